package webrtc

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/org/mtx/protocol/httpserver"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
	"github.com/org/mtx/router/routertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds what must happen; nothing waits that long unless a test fails.
const patience = 20 * time.Second

// rig is a router with a WebRTC server.
type rig struct {
	*router.Router
	t      testing.TB
	server *Server
	url    string // without a slash at the end
	log    *routertest.Log
	http   *http.Client
}

// newRig starts a server on the local machine. Without paths it accepts all.
func newRig(t testing.TB, s Server, auth router.Authenticator, paths ...router.PathConfig) *rig {
	t.Helper()
	if s.HTTP == nil {
		s.HTTP = httpserver.Listen{Addr: "127.0.0.1:0"}
	}
	if s.UDPAddr == "" && !s.NoUDP && s.UDP == nil {
		s.UDPAddr = "127.0.0.1:0"
	}
	if len(paths) == 0 {
		paths = []router.PathConfig{{Name: "all_others", Override: true}}
	}
	g := &rig{t: t, server: &s, log: &routertest.Log{}}
	g.Router = routertest.New(t, router.Config{Protocols: []router.Protocol{&s}, Auth: auth, AuthPause: -1, Paths: paths},
		router.WithLogger(slog.New(slog.NewTextHandler(g.log, &slog.HandlerOptions{Level: slog.LevelDebug}))))
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log:\n%.20000s", g.log)
		}
	})
	g.url = "http://" + g.ProtocolAddrs("webrtc")[0].String()
	tr := &http.Transport{DisableCompression: true}
	t.Cleanup(tr.CloseIdleConnections)
	g.http = &http.Client{
		Transport: tr, Timeout: patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return g
}

// do returns an answer with its body. header holds names and values.
func (g *rig) do(method, path, body string, header ...string) (*http.Response, string) {
	g.t.Helper()
	res, b, err := g.try(method, path, body, header...)
	if err != nil {
		g.t.Fatal(err)
	}
	return res, b
}

func (g *rig) try(method, path, body string, header ...string) (*http.Response, string, error) {
	req, err := http.NewRequestWithContext(context.Background(), method, g.url+path, strings.NewReader(body))
	if err != nil {
		return nil, "", err
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	res, err := g.http.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	return res, string(b), err
}

// publish writes the sample stream in real time until the test ends or stop is
// called.
func (g *rig) publish(path string) (stop func()) {
	g.t.Helper()
	return g.publishUnits(path, routertest.SampleTracks(), routertest.SampleUnit)
}

func (g *rig) publishUnits(path string, tracks []media.Track, unit func(track, n int) *media.Unit) (stop func()) {
	g.t.Helper()
	return routertest.Feed(g.t, g.Router, path, tracks, unit)
}

// sessionsOf returns what operators see of the sessions in a state.
func (g *rig) sessionsOf(state string) []*Details {
	var out []*Details
	for i := range g.Sessions(kind) {
		if i.State == state {
			out = append(out, i.Details.(*Details))
		}
	}
	return out
}
