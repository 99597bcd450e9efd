// Package metrics shows what a router does to Prometheus.
//
// [Server] is a router.Protocol that serves /metrics, with a listener and
// authentication (action "metrics"). [Collector] is what a program registers that
// has a registry of its own:
//
//	prometheus.MustRegister(metrics.NewCollector(r))
//
// Each live path, muxer, connection and session has a sample with the value 1
// (paths, hls_muxers, rtsp_conns, rtsp_sessions, rtmp_conns, srt_conns,
// webrtc_sessions), and one for each number that the Control API shows about it:
// rtsp_sessions_inbound_bytes, srt_conns_ms_rtt... So has each destination that a
// path is forwarded to (forward_dests), with its state: idle, forwarding, error. A
// family without objects has one sample with the value 0. Viewers of HLS have no
// sessions: hls_sessions are told apart by address, user and program, and are gone
// some time after their last request.
//
// [NewRecordings] counts what recorders write, and lose.
//
// The query selects: ?type=paths, ?path=NAME, ?hls_muxer=NAME, ?rtsp_conn=ID,
// ?rtsp_session=ID and so on.
package metrics

import (
	"context"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/org/mtx/controlapi"
	"github.com/org/mtx/protocol/httpserver"
	"github.com/org/mtx/record"
	"github.com/org/mtx/router"
)

// Server serves /metrics.
type Server struct {
	// HTTP is where. Default: a listener on ":9998".
	HTTP httpserver.Endpoint

	// QueryToken accepts a token in the query parameter "jwt" or "token".
	QueryToken bool

	// Recording is the state of the recorders whose counters are shown; nil: none.
	Recording *record.State
}

var _ router.Protocol = (*Server)(nil)

// Name implements router.Protocol.
func (*Server) Name() string { return "metrics" }

// Serve implements router.Protocol.
func (s *Server) Serve(ctx context.Context, h *router.Host) error {
	endpoint := s.HTTP
	if endpoint == nil {
		endpoint = httpserver.Listen{Addr: ":9998"}
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", controlapi.Authenticated(h, router.ActionMetrics, s.QueryToken, Handler(h.Router(), s.extra()...)))
	e := httpserver.WithDefaults(endpoint, h.Log(), h.Listen)
	return e.Serve(ctx, mux, controlapi.Announce(h))
}

func (s *Server) extra() []prometheus.Collector {
	if s.Recording == nil {
		return nil
	}
	return []prometheus.Collector{NewRecordings(s.Recording)}
}

// Handler returns the metrics of a router, of the Go runtime and of the process,
// without authentication. Queries that select something leave more out.
func Handler(r *router.Router, more ...prometheus.Collector) http.Handler {
	program := prometheus.NewRegistry()
	program.MustRegister(more...)
	program.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		c := &Collector{router: r, filter: filterOf(q.URL.Query())}
		own := prometheus.NewRegistry()
		own.MustRegister(c)
		gatherers := prometheus.Gatherers{own}
		if c.filter.all() {
			gatherers = append(gatherers, program)
		}
		promhttp.HandlerFor(gatherers, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError}).ServeHTTP(w, q)
	})
}
