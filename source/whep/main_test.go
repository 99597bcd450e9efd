package whep_test

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/org/mtx/protocol/httpserver"
	"github.com/org/mtx/protocol/webrtc"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
	"github.com/org/mtx/router/routertest"
	"github.com/org/mtx/source/internal/pulltest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// origin is a WebRTC server that is pulled from.
type origin struct {
	*router.Router
	addr string // of HTTP
	log  *pulltest.Log
	stop func()
}

// serve starts one. A stream is on the path "cam" as long as it runs.
func serve(t testing.TB, l httpserver.Listen, auth router.Authenticator, tracks []media.Track, unit func(track, n int) *media.Unit) *origin {
	t.Helper()
	if l.Addr == "" {
		l.Addr = "127.0.0.1:0"
	}
	o := &origin{log: &pulltest.Log{}}
	r, err := router.New(router.Config{
		Protocols: []router.Protocol{&webrtc.Server{HTTP: l, UDPAddr: "127.0.0.1:0"}},
		Paths:     []router.PathConfig{{Name: "cam", Override: true}}, Auth: auth, AuthPause: -1,
	}, router.WithLogger(slog.New(slog.NewTextHandler(o.log, &slog.HandlerOptions{Level: slog.LevelDebug}))))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.Router, o.addr = r, r.ProtocolAddrs("webrtc")[0].String()
	stopFeed := routertest.Feed(t, r, "cam", tracks, unit)
	o.stop = sync.OnceFunc(func() {
		stopFeed()
		_ = r.Close()
	})
	t.Cleanup(func() {
		o.stop()
		if t.Failed() {
			t.Logf("log of the server:\n%.10000s", o.log)
		}
	})
	return o
}

// hostile starts an HTTP server with a handler. It reads requests to their end.
func hostile(t testing.TB, h http.HandlerFunc) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // from then on, the end of the connection is noticed
		r.Body = io.NopCloser(bytes.NewReader(body))
		h(w, r)
	}))
	t.Cleanup(srv.Close)
	return "whep" + strings.TrimPrefix(srv.URL, "http")
}
