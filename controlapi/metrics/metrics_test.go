package metrics_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"go.uber.org/goleak"

	"github.com/org/mtx/controlapi/metrics"
	"github.com/org/mtx/protocol/httpserver"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
	"github.com/org/mtx/router/routertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type session struct{ info router.SessionInfo }

func (s *session) Info() router.SessionInfo { return s.info }
func (*session) Close() error               { return nil }

type details struct {
	ID               string   `json:"id"`
	InboundRTPLost   uint64   `json:"inboundRTPPacketsLost"`
	MSRTT            float64  `json:"msRTT"`
	Missing          *float64 `json:"mbpsMaxBW"`
	PacketsSendDrops int      `json:"packetsFlightSize"`
}

func newRouter(t *testing.T) (*router.Router, string) {
	t.Helper()
	id := uuid.NewString()
	ready := make(chan struct{})
	r := routertest.New(t, router.Config{
		Paths: []router.PathConfig{{Name: router.AllOthers}, {Name: "idle"}, {Name: "relay", Sinks: []router.Sink{
			&routertest.Sink{Label: "recorder"}, &routertest.Sink{Label: "rtsp"}, &routertest.Sink{Label: "srt", RunFunc: func(context.Context, *router.SinkRun) error {
				return errors.New("refused")
			}},
		}}},
		SourceRetryPause: time.Hour,
		Protocols: []router.Protocol{
			&routertest.Protocol{Label: "rtmp"},
			&routertest.Protocol{Label: "srt", ServeFunc: func(ctx context.Context, h *router.Host) error {
				defer h.AddSession(&session{router.SessionInfo{
					ID: id, Kind: "srtConn", Path: "cam", RemoteAddr: "1.2.3.4:5", State: "read",
					Details: &details{ID: id, InboundRTPLost: 7, MSRTT: 1.5, PacketsSendDrops: 3},
				}})()
				h.Ready()
				close(ready)
				<-ctx.Done()
				return nil
			}},
		},
	})
	<-ready
	pub, err := r.Publish(t.Context(), "cam", []media.Track{{Codec: &media.KLV{}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pub.Close)
	return r, id
}

// scrape parses the answer as Prometheus does.
func scrape(t *testing.T, r *router.Router, query string) (map[string]*dto.MetricFamily, string) {
	t.Helper()
	w := httptest.NewRecorder()
	metrics.Handler(r).ServeHTTP(w, httptest.NewRequest("GET", "/metrics"+query, http.NoBody))
	if w.Code != 200 {
		t.Fatal(w.Code, w.Body)
	}
	text := w.Body.String()
	p := expfmt.NewTextParser(model.LegacyValidation)
	fs, err := p.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatal(err, text)
	}
	return fs, text
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	r, id := newRouter(t)
	_, text := scrape(t, r, "")
	labels := `{id="` + id + `",path="cam",remoteAddr="1.2.3.4:5",state="read"}`
	for _, want := range []string{
		`paths{name="cam",state="ready"} 1`, `paths{name="idle",state="notReady"} 1`, `paths_readers{name="cam",state="ready"} 0`,
		`paths_bytes_received{name="cam",state="ready"} 0`, `paths_inbound_bytes{name="cam",state="ready"} 0`,
		"rtmp_conns 0", "srt_conns" + labels + " 1", "srt_conns_inbound_rtp_packets_lost" + labels + " 7",
		"srt_conns_ms_rtt" + labels + " 1.5", "srt_conns_packets_flight_size" + labels + " 3",
		"# TYPE srt_conns_inbound_rtp_packets_lost counter", "# TYPE srt_conns_ms_rtt gauge", "# TYPE srt_conns_packets_flight_size gauge",
		"go_goroutines ",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is missing in\n%s", want, text)
		}
	}
	for _, not := range []string{"rtsp_", "mbps_max_bw"} {
		if strings.Contains(text, not) {
			t.Errorf("%s is there", not)
		}
	}
}

type shared struct {
	Out     uint64 `json:"outboundBytes"`
	viewers []router.SessionInfo
}

func (d *shared) Viewers() []router.SessionInfo { return d.viewers }

// Who watches HLS has no session, but is told by the muxer.
func TestViewers(t *testing.T) {
	t.Parallel()
	r := routertest.New(t, router.Config{Protocols: []router.Protocol{
		&routertest.Protocol{Label: "hls", ServeFunc: func(ctx context.Context, h *router.Host) error {
			d := &shared{Out: 9}
			for _, id := range []string{"a", "b"} {
				d.viewers = append(d.viewers, router.SessionInfo{ID: id, Path: "cam", RemoteAddr: "1.2.3.4", State: "read", Details: &shared{Out: 5}})
			}
			defer h.AddSession(&session{router.SessionInfo{ID: "x", Kind: "hlsMuxer", Path: "cam", Details: d}})()
			h.Ready()
			<-ctx.Done()
			return nil
		}},
	}})
	for query, want := range map[string]string{
		"?hls_session=b":     "hls_sessions{id=\"b\",path=\"cam\",remoteAddr=\"1.2.3.4\"} 1\nhls_sessions_outbound_bytes{id=\"b\",path=\"cam\",remoteAddr=\"1.2.3.4\"} 5",
		"?hls_session=x":     "hls_sessions 0",
		"?hls_muxer=cam":     "hls_muxers{name=\"cam\"} 1\nhls_muxers_outbound_bytes{name=\"cam\"} 9",
		"?type=hls_sessions": "id=\"a\"",
	} {
		_, text := scrape(t, r, query)
		var lines []string
		for l := range strings.Lines(text) {
			if l[0] != '#' {
				lines = append(lines, strings.TrimSpace(l))
			}
		}
		if got := strings.Join(lines, "\n"); got != want && query != "?type=hls_sessions" || !strings.Contains(got, want) {
			t.Errorf("%s: got\n%s\nwant\n%s", query, got, want)
		}
	}
}

func TestReaders(t *testing.T) {
	t.Parallel()
	r, _ := newRouter(t)
	rd, err := r.Read(t.Context(), "cam", router.SubscribeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer rd.Close()
	_, text := scrape(t, r, "?path=cam")
	for _, want := range []string{`paths_readers{name="cam",state="ready"} 1`, `paths_readers{name="cam",readerType="program",state="ready"} 1`} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is missing in\n%s", want, text)
		}
	}
}

func TestFilters(t *testing.T) {
	t.Parallel()
	r, id := newRouter(t)
	for query, want := range map[string]string{
		"?type=paths":                 "cam idle relay",
		"?path=cam":                   "cam",
		"?type=paths&path=idle":       "idle",
		"?path=none":                  "0",
		"?srt_conn=" + id:             id,
		"?srt_conn=x":                 "0",
		"?type=rtmp_conns":            "0",
		"?type=zz":                    "",
		"?type=srt_conns&path=cam":    id,
		"?type=rtsp_sessions":         "", // its server is off
		"?type=srt_conns&srt_conn=zz": "0",
	} {
		fs, _ := scrape(t, r, query)
		var got []string
		for _, name := range []string{"paths", "rtmp_conns", "srt_conns", "rtsp_sessions", "go_goroutines"} {
			for _, m := range fs[name].GetMetric() {
				if len(m.GetLabel()) == 0 {
					got = append(got, "0")
					continue
				}
				got = append(got, m.GetLabel()[0].GetValue())
			}
		}
		slices.Sort(got)
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%s: got %q, want %q", query, s, want)
		}
	}
}

// Destinations of a path are shown while they wait, work and fail.
func TestForwards(t *testing.T) {
	t.Parallel()
	r, _ := newRouter(t)
	got := func() string {
		fs, _ := scrape(t, r, "?type=forward_dests")
		var out []string
		for _, m := range fs["forward_dests"].GetMetric() {
			l := map[string]string{}
			for _, p := range m.GetLabel() {
				l[p.GetName()] = p.GetValue()
			}
			if _, err := uuid.Parse(l["id"]); err != nil || l["type"] != l["protocol"] || len(l) != 6 {
				t.Errorf("%v", l)
			}
			out = append(out, l["path"]+" "+l["pos"]+" "+l["type"]+" "+l["state"])
		}
		slices.Sort(out)
		return strings.Join(out, ", ")
	}
	if s := got(); s != "relay 1 rtsp idle, relay 2 srt idle" {
		t.Error(s)
	}
	pub, err := r.Publish(t.Context(), "relay", []media.Track{{Codec: &media.KLV{}}})
	if err != nil {
		t.Fatal(err)
	}
	defer pub.Close()
	routertest.Eventually(t, "states", func() bool { return got() == "relay 1 rtsp forwarding, relay 2 srt error" })
}

// What goes up and down is not a counter.
func TestTypes(t *testing.T) {
	t.Parallel()
	r := routertest.New(t, router.Config{Protocols: []router.Protocol{
		&routertest.Protocol{Label: "srt", ServeFunc: func(ctx context.Context, h *router.Host) error {
			defer h.AddSession(&session{router.SessionInfo{ID: "x", Kind: "srtConn", Details: &struct {
				Sent      uint64 `json:"packetsSent"`
				Tolerance uint64 `json:"packetsReorderTolerance"`
				Late      uint64 `json:"packetsReceivedAvgBelatedTime"`
				Belated   uint64 `json:"packetsReceivedBelated"`
				MSS       uint64 `json:"byteMSS"`
			}{}}})()
			h.Ready()
			<-ctx.Done()
			return nil
		}},
	}})
	_, text := scrape(t, r, "?type=srt_conns")
	for _, want := range []string{
		"srt_conns_packets_sent counter", "srt_conns_packets_reorder_tolerance gauge", "srt_conns_packets_received_avg_belated_time gauge",
		"srt_conns_packets_received_belated counter", "srt_conns_bytes_mss gauge",
	} {
		if !strings.Contains(text, "# TYPE "+want+"\n") {
			t.Errorf("%s: not in\n%s", want, text)
		}
	}
}

// A program has the metrics in its own registry.
func TestRegisterer(t *testing.T) {
	t.Parallel()
	r, _ := newRouter(t)
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(metrics.NewCollector(r))
	fs, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(fs, func(f *dto.MetricFamily) bool { return f.GetName() == "srt_conns_ms_rtt" }) {
		t.Error("srt_conns_ms_rtt is missing")
	}
}

func TestServer(t *testing.T) {
	routertest.TestProtocol(t, func() router.Protocol {
		return &metrics.Server{HTTP: httpserver.Listen{Addr: "127.0.0.1:0"}}
	})
}

func TestAuthentication(t *testing.T) {
	t.Parallel()
	r := routertest.New(t, router.Config{
		Protocols: []router.Protocol{&metrics.Server{HTTP: httpserver.Listen{Addr: "127.0.0.1:0"}}},
		Auth: router.AuthenticatorFunc(func(_ context.Context, q *router.AccessRequest) (router.Identity, error) {
			if q.Action == router.ActionMetrics && q.Pass == "right" {
				return router.Identity{}, nil
			}
			return router.Identity{}, &router.AuthError{AskCredentials: !q.HasCredentials()}
		}),
	})
	for pass, want := range map[string]int{"": 401, "right": 200} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+r.ProtocolAddrs("metrics")[0].String()+"/metrics", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if pass != "" {
			req.SetBasicAuth("u", pass)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("%q: %d, want %d", pass, res.StatusCode, want)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}
