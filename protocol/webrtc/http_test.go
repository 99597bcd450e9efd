package webrtc

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/org/mtx/protocol/httpserver"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/routertest"
)

func TestTargets(t *testing.T) {
	t.Parallel()
	const secret = "01234567-89ab-cdef-0123-456789abcdef"
	for p, want := range map[string]target{
		"/":                         {},
		"":                          {},
		"/favicon.ico":              {},
		"/cam":                      {kind: targetRedirect, name: "cam", to: "/cam/"},
		"/a/b":                      {kind: targetRedirect, name: "a/b", to: "/a/b/"},
		"/cam/":                     {kind: targetFile, name: "cam", action: router.ActionRead, file: readPage},
		"/a/b/":                     {kind: targetFile, name: "a/b", action: router.ActionRead, file: readPage},
		"/cam/publish":              {kind: targetFile, name: "cam", action: router.ActionPublish, file: publishPage},
		"/cam/publish/":             {kind: targetRedirect, name: "cam", to: "/cam/publish"},
		"/publish":                  {kind: targetRedirect, name: "publish", to: "/publish/"},
		"/whip":                     {kind: targetRedirect, name: "whip", to: "/whip/"},
		"/cam/reader.js":            {kind: targetFile, name: "cam", file: readerScript},
		"/a/b/publisher.js":         {kind: targetFile, name: "a/b", file: publisherScript},
		"/cam/whip":                 {kind: targetEndpoint, name: "cam", action: router.ActionPublish},
		"/cam/whip/":                {kind: targetEndpoint, name: "cam", action: router.ActionPublish},
		"/a/b/whep":                 {kind: targetEndpoint, name: "a/b", action: router.ActionRead},
		"/a/whep/whep/":             {kind: targetEndpoint, name: "a/whep", action: router.ActionRead},
		"/cam/whip/" + secret:       {kind: targetSession, name: "cam", action: router.ActionPublish, secret: secret},
		"/cam/whep/" + secret + "/": {kind: targetSession, name: "cam", action: router.ActionRead, secret: secret},
		"/cam/whep/other":           {kind: targetRedirect, name: "cam/whep/other", to: "/cam/whep/other/"},
		"/whep/" + secret:           {kind: targetRedirect, name: "whep/" + secret, to: "/whep/" + secret + "/"},
		"//evil.org/":               {kind: targetFile, name: "/evil.org", action: router.ActionRead, file: readPage},
	} {
		if got := targetOf(p); got != want {
			t.Errorf("%s: got %+v, want %+v", p, got, want)
		}
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	g := newRig(t, Server{}, nil, router.PathConfig{Name: "cam"}, router.PathConfig{Name: "empty"},
		router.PathConfig{Name: "pulled", Source: &routertest.Source{RunFunc: func(ctx context.Context, _ *router.SourceRun) error {
			<-ctx.Done()
			return nil
		}}},
		router.PathConfig{Name: "moved", Fallback: "/empty"}, router.PathConfig{Name: "away", Fallback: "https://example.com/x/whep"},
		router.PathConfig{Name: "rtsp", Fallback: "rtsp://user:secret@example.com/x"},
		router.PathConfig{Name: "circle1", Fallback: "/circle2"}, router.PathConfig{Name: "circle2", Fallback: "/circle1"})
	const gone = "/cam/whip/01234567-89ab-cdef-0123-456789abcdef"
	sdp := []string{"Content-Type", "application/sdp"}
	fragment := []string{"Content-Type", "application/trickle-ice-sdpfrag"}
	for _, c := range []struct {
		method, path, body string
		header             []string
		status             int
		location           string
	}{
		{"GET", "/", "", nil, 404, ""},
		{"GET", "/favicon.ico", "", nil, 404, ""},
		{"GET", "/cam", "", nil, 302, "/cam/"},
		{"GET", "/cam?a=b&c", "", nil, 302, "/cam/?a=b&c"},
		{"GET", "/cam/", "", nil, 200, ""},
		{"HEAD", "/cam/", "", nil, 200, ""},
		{"GET", "/cam/publish", "", nil, 200, ""},
		{"GET", "/cam/publish/?x=1", "", nil, 302, "/cam/publish?x=1"},
		{"GET", "/cam/reader.js", "", nil, 200, ""},
		{"GET", "/cam/publisher.js", "", nil, 200, ""},
		{"GET", "/nowhere/", "", nil, 404, ""},
		{"GET", "/nowhere/publish", "", nil, 404, ""},
		{"OPTIONS", "/cam/", "", nil, 204, ""},
		{"POST", "/cam/", "", nil, 405, ""},
		{"DELETE", "/cam/reader.js", "", nil, 405, ""},

		// names
		{"GET", "//evil.org", "", nil, 400, ""},
		{"GET", "//evil.org/", "", nil, 400, ""},
		{"GET", "/%2f/evil.org", "", nil, 400, ""},
		{"GET", "/a//b/", "", nil, 400, ""},
		{"GET", "/cam%0aX/", "", nil, 400, ""},
		{"GET", "/%3cscript%3e/", "", nil, 400, ""},
		{"GET", "/..%2f..%2fetc/", "", nil, 400, ""},
		{"GET", "/~x/./publish", "", nil, 400, ""},
		{"POST", "/a%20b/whip", offerText, sdp, 400, ""},
		{"POST", "/%ff/whep", offerText, sdp, 400, ""},
		{"POST", "//whep", offerText, sdp, 400, ""},
		{"POST", "/" + strings.Repeat("x", 2000) + "/whep", offerText, sdp, 400, ""},

		// endpoints
		{"GET", "/cam/whip", "", nil, 405, ""},
		{"HEAD", "/cam/whep", "", nil, 405, ""},
		{"PUT", "/cam/whip", offerText, sdp, 405, ""},
		{"PATCH", "/cam/whip", "", nil, 405, ""},
		{"DELETE", "/cam/whep/", "", nil, 405, ""},
		{"OPTIONS", "/cam/whip", "", nil, 204, ""},
		{"OPTIONS", "/cam/whep/", "", nil, 204, ""},
		{"OPTIONS", "/nowhere/whep", "", nil, 404, ""},
		{"POST", "/cam/whip", offerText, nil, 400, ""},
		{"POST", "/cam/whip", offerText, []string{"Content-Type", "text/plain"}, 400, ""},
		{"POST", "/cam/whip", offerText, []string{"Content-Type", "application/sdp;;;"}, 400, ""},
		{"POST", "/cam/whip", "", sdp, 400, ""},
		{"POST", "/cam/whip", "nonsense", sdp, 400, ""},
		{"POST", "/cam/whip", "v=0\r\n", sdp, 400, ""},
		{"POST", "/cam/whip", strings.Repeat("a", maxSDP+1), sdp, 413, ""},
		{"POST", "/pulled/whip", offerText, sdp, 400, ""},
		{"POST", "/nowhere/whip", offerText, sdp, 404, ""},
		{"POST", "/empty/whep", offerText, sdp, 404, ""},
		{"POST", "/nowhere/whep/", offerText, sdp, 404, ""},
		{"POST", "/moved/whep", offerText, sdp, 404, ""}, // as /empty
		{"POST", "/away/whep?a=b", offerText, sdp, 307, "https://example.com/x/whep?a=b"},
		{"POST", "/rtsp/whep", offerText, sdp, 404, ""},
		{"POST", "/circle1/whep", offerText, sdp, 404, ""},

		// sessions
		{"GET", gone, "", nil, 405, ""},
		{"POST", gone, offerText, sdp, 405, ""},
		{"OPTIONS", gone, "", nil, 204, ""},
		{"PATCH", gone, "a=end-of-candidates\r\n", fragment, 404, ""},
		{"PATCH", gone, "", nil, 404, ""},
		{"DELETE", gone, "", nil, 404, ""},
		{"DELETE", "/cam/whip/nonsense", "", nil, 405, ""},
	} {
		res, body := g.do(c.method, c.path, c.body, c.header...)
		if res.StatusCode != c.status || res.Header.Get("Location") != c.location {
			t.Errorf("%s %.100s: got %d %q, want %d %q (%.100s)", c.method, c.path, res.StatusCode, res.Header.Get("Location"), c.status, c.location, body)
		}
		if c.status >= 400 && c.method != "HEAD" && !strings.Contains(body, "invalid path") { // the last is of httpserver
			var e struct{ Status, Error string }
			if err := json.Unmarshal([]byte(body), &e); err != nil || e.Status != "error" || e.Error == "" {
				t.Errorf("%s %.100s: not an error in JSON: %q", c.method, c.path, body)
			}
		}
		if c.status == 405 && !strings.HasPrefix(res.Header.Get("Allow"), "OPTIONS, ") {
			t.Errorf("%s %s: Allow %q", c.method, c.path, res.Header.Get("Allow"))
		}
	}
	if strings.Contains(g.log.String(), "secret") {
		t.Error("a password is in the log")
	}
}

// A body without a length is bounded too.
func TestBodyWithoutLength(t *testing.T) {
	t.Parallel()
	g := newRig(t, Server{}, nil)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.url+"/cam/whip", &endless{left: 10 << 20})
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/sdp")
	res, err := g.http.Do(req)
	if err != nil {
		return // the server closed the connection while the body was being sent
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("status %d", res.StatusCode)
	}
}

type endless struct{ left int }

func (e *endless) Read(p []byte) (int, error) {
	if e.left <= 0 {
		return 0, errors.New("too much was read")
	}
	e.left -= len(p)
	for i := range p {
		p[i] = 'a'
	}
	return len(p), nil
}

// Every request needs permission, but for preflights and scripts.
func TestAuth(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var last router.AccessRequest
	auth := router.AuthenticatorFunc(func(_ context.Context, q *router.AccessRequest) (router.Identity, error) {
		mu.Lock()
		defer mu.Unlock()
		last = *q
		if q.User == "u" && q.Pass == "p" || q.Token == "tok" {
			return router.Identity{User: "u"}, nil
		}
		return router.Identity{}, &router.AuthError{Err: errors.New("no"), AskCredentials: !q.HasCredentials()}
	})
	g := newRig(t, Server{
		HTTP:       httpserver.Listen{Addr: "127.0.0.1:0", AllowOrigins: []string{"*"}},
		ICEServers: []ICEServer{{URL: "stun:localhost:1"}},
	}, auth)
	basic := func(pair string) []string {
		return []string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte(pair))}
	}
	bearer := func(v string) []string { return []string{"Authorization", "Bearer " + v} }
	for _, c := range []struct {
		method, path string
		header       []string
		status       int
		action       router.Action
	}{
		{"GET", "/cam/", nil, 401, "read"},
		{"GET", "/cam/publish", nil, 401, "publish"},
		{"GET", "/cam/reader.js", nil, 200, ""},
		{"GET", "/cam/", basic("u:p"), 200, "read"},
		{"GET", "/cam/", basic("u:wrong"), 401, "read"},
		{"OPTIONS", "/cam/whip", nil, 401, "publish"},
		{"OPTIONS", "/cam/whep", bearer("u:p"), 204, "read"},
		{"OPTIONS", "/cam/whep", []string{"Origin", "http://x", "Access-Control-Request-Method", "POST"}, 204, ""},
		{"POST", "/cam/whip?x=y", nil, 401, "publish"},
		{"POST", "/cam/whep", nil, 401, "read"},
		{"POST", "/cam/whep", bearer("u:wrong"), 401, "read"},
		{"POST", "/cam/whep", bearer("wrong"), 401, "read"},
		{"POST", "/cam/whep?jwt=tok", nil, 401, "read"}, // queries end up in logs
		{"POST", "/cam/whep", bearer("tok"), 404, "read"},
		{"POST", "/cam/whep", bearer("u:p"), 404, "read"},
		{"POST", "/cam/whep", basic("u:p"), 404, "read"},
	} {
		last = router.AccessRequest{}
		header := slices.Concat([]string{"Content-Type", "application/sdp"}, c.header)
		res, body := g.do(c.method, c.path, offerText, header...)
		if res.StatusCode != c.status || last.Action != c.action {
			t.Errorf("%s %s %v: %d for %q, want %d for %q", c.method, c.path, c.header, res.StatusCode, last.Action, c.status, c.action)
		}
		if c.status == 401 && (res.Header.Get("WWW-Authenticate") != `Basic realm="mediamtx"` ||
			body != `{"error":"authentication error","status":"error"}`) {
			t.Errorf("%s %s: %v %s", c.method, c.path, res.Header, body)
		}
		if c.action != "" && (last.Path != "cam" || last.Protocol != "webrtc" || last.Addr.String() != "127.0.0.1" || last.UserAgent == "") {
			t.Errorf("%s %s: request %+v", c.method, c.path, last)
		}
		if n := len(res.Header.Values("Link")); n != 0 && c.status != 204 {
			t.Errorf("%s %s: ICE servers without permission", c.method, c.path)
		}
	}
	res, _ := g.do(http.MethodOptions, "/cam/whep", "", bearer("tok")...)
	if l := res.Header.Get("Link"); l != `<stun:localhost:1>; rel="ice-server"` || res.Header.Get("Accept-Post") != "application/sdp" {
		t.Errorf("OPTIONS: %v", res.Header)
	}
}

// Wrong credentials are answered after a pause, which holds up nobody else.
func TestPauseAfterWrongCredentials(t *testing.T) {
	t.Parallel()
	auth := router.AuthenticatorFunc(func(_ context.Context, q *router.AccessRequest) (router.Identity, error) {
		if q.Pass == "p" {
			return router.Identity{}, nil
		}
		return router.Identity{}, &router.AuthError{AskCredentials: !q.HasCredentials()}
	})
	g := newRig(t, Server{}, auth)
	cfg := g.Config()
	cfg.AuthPause = time.Hour
	if _, err := g.Apply(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	for range 20 {
		wg.Go(func() {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, g.url+"/cam/", nil)
			if err != nil {
				t.Error(err)
				return
			}
			req.SetBasicAuth("u", "wrong")
			if res, err := g.http.Do(req); err == nil {
				_ = res.Body.Close()
				t.Error("wrong credentials were answered at once")
			}
		})
	}
	for range 5 {
		if res, _ := g.do(http.MethodGet, "/cam/", "", "Authorization", "Basic dTpw"); res.StatusCode != http.StatusOK {
			t.Errorf("status %d", res.StatusCode)
		}
	}
}

func TestCORS(t *testing.T) {
	t.Parallel()
	g := newRig(t, Server{HTTP: httpserver.Listen{Addr: "127.0.0.1:0", AllowOrigins: []string{"https://ok.example"}}}, nil)
	for origin, want := range map[string]string{"https://ok.example": "https://ok.example", "https://evil.example": ""} {
		res, _ := g.do(http.MethodOptions, "/cam/whep", "", "Origin", origin, "Access-Control-Request-Method", "PATCH")
		if got := res.Header.Get("Access-Control-Allow-Origin"); res.StatusCode != http.StatusNoContent || got != want {
			t.Errorf("%s: %d %q", origin, res.StatusCode, got)
		}
		methods := res.Header.Get("Access-Control-Allow-Methods")
		if (want != "") != (strings.Contains(methods, "PATCH") && strings.Contains(methods, "DELETE")) {
			t.Errorf("%s: methods %q", origin, methods)
		}
	}
}

// Behind the mux of a program, URLs carry its prefix.
func TestOnMux(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	s := &Server{HTTP: httpserver.OnMux{Mux: mux, Prefix: "/video"}, UDPAddr: "127.0.0.1:0"}
	routertest.New(t, router.Config{Protocols: []router.Protocol{s}, Paths: []router.PathConfig{{Name: "cam"}}})
	for path, want := range map[string]string{"/video/cam?x": "/video/cam/?x", "/video/cam/": "", "/cam/": ""} {
		w := httptest.NewRecorder()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
		if err != nil {
			t.Fatal(err)
		}
		mux.ServeHTTP(w, r)
		if got := w.Header().Get("Location"); got != want {
			t.Errorf("%s: Location %q", path, got)
		}
	}
}
