package auth_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/org/mtx/auth"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/routertest"
)

// newService is an HTTP service that lets in whoever knows the password "right".
func newService(t testing.TB) (url string, asked *atomic.Int32) {
	t.Helper()
	asked = new(atomic.Int32)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		var q map[string]string
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil || r.Method != http.MethodPost {
			t.Error("not a question: ", err)
		}
		switch {
		case q["password"] == "right" || q["token"] == "right":
			w.WriteHeader(http.StatusNoContent)
		case q["password"] == "moved":
			http.Redirect(w, r, "/yes", http.StatusFound)
		case q["password"] == "broken":
			w.WriteHeader(http.StatusInternalServerError)
		case q["user"] == "":
			w.WriteHeader(http.StatusUnauthorized)
		default:
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	t.Cleanup(srv.Close)
	return srv.URL, asked
}

func ask(t testing.TB, a router.Authenticator, q router.AccessRequest) (router.Identity, *router.AuthError) {
	t.Helper()
	id, err := a.Authenticate(t.Context(), &q)
	if err == nil {
		return id, nil
	}
	var ae *router.AuthError
	if !errors.As(err, &ae) {
		t.Fatalf("got %T, want an AuthError", err)
	}
	return id, ae
}

func TestHTTPAuthenticator(t *testing.T) {
	t.Parallel()
	u, _ := newService(t)
	routertest.TestAuthenticator(t, func() router.Authenticator { return &auth.HTTP{URL: u} },
		[]router.AccessRequest{{Action: router.ActionRead, Path: "cam", User: "u", Pass: "right"}},
		[]router.AccessRequest{{Action: router.ActionRead, Path: "cam"}, {Action: router.ActionRead, Path: "cam", User: "u", Pass: "wrong"}})
}

func TestHTTPQuestion(t *testing.T) {
	t.Parallel()
	var got map[string]any
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_ = json.NewDecoder(r.Body).Decode(&got)
	}))
	defer srv.Close()
	a := &auth.HTTP{URL: srv.URL}
	defer a.Close()
	id, err := ask(t, a, router.AccessRequest{
		Action: router.ActionPublish, Path: "a/b", Query: "x=y", Protocol: "rtsp", SessionID: "id1", UserAgent: "agent",
		Addr: netip.MustParseAddr("::ffff:10.0.0.7"), User: "u", Pass: "p", Token: "t",
	})
	if err != nil || id.User != "u" {
		t.Error(id, err)
	}
	for k, want := range map[string]string{
		"user": "u", "password": "p", "token": "t", "ip": "10.0.0.7", "action": "publish", "path": "a/b", "protocol": "rtsp",
		"id": "id1", "query": "x=y", "userAgent": "agent",
	} {
		if got[k] != want {
			t.Errorf("%s is %v, want %q", k, got[k], want)
		}
	}
	if len(got) != 10 {
		t.Error(got)
	}
}

func TestHTTPRefusals(t *testing.T) {
	t.Parallel()
	u, _ := newService(t)
	a := &auth.HTTP{URL: u, Exclude: []auth.Permission{{Action: router.ActionMetrics}, {Action: router.ActionRead, Path: "free"}}}
	defer a.Close()
	for _, c := range []struct {
		q    router.AccessRequest
		want string // empty: let in
		asks bool
	}{
		{q: router.AccessRequest{Action: router.ActionRead, User: "u", Pass: "right"}},
		{q: router.AccessRequest{Action: router.ActionRead, Token: "right"}},
		{q: router.AccessRequest{Action: router.ActionRead}, want: "status 401", asks: true},
		{q: router.AccessRequest{Action: router.ActionRead, Token: "x"}, want: "status 401"},
		{q: router.AccessRequest{Action: router.ActionRead, User: "u", Pass: "wrong"}, want: "status 403"},
		{q: router.AccessRequest{Action: router.ActionRead, User: "u", Pass: "broken"}, want: "status 500"},
		{q: router.AccessRequest{Action: router.ActionRead, User: "u", Pass: "moved"}, want: "status 302"},
		{q: router.AccessRequest{Action: router.ActionMetrics}},
		{q: router.AccessRequest{Action: router.ActionRead, Path: "free"}},
		{q: router.AccessRequest{Action: router.ActionPublish, Path: "free", User: "u"}, want: "status 403"},
	} {
		_, err := ask(t, a, c.q)
		switch {
		case (err == nil) != (c.want == ""), err != nil && !strings.Contains(err.Error(), c.want):
			t.Errorf("%+v: got %v, want %q", c.q, err, c.want)
		case err != nil && err.AskCredentials != c.asks:
			t.Errorf("%+v: asks for credentials: %v", c.q, err.AskCredentials)
		}
	}
}

func TestHTTPServiceIsDownOrSlow(t *testing.T) {
	t.Parallel()
	block := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-block }))
	defer srv.Close()
	defer close(block)
	slow := &auth.HTTP{URL: strings.Replace(srv.URL, "http://", "http://me:topsecret@", 1), Timeout: 20 * time.Millisecond}
	defer slow.Close()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	down := &auth.HTTP{URL: strings.Replace(gone.URL, "http://", "http://me:topsecret@", 1)}
	defer down.Close()
	for _, a := range []*auth.HTTP{slow, down} {
		_, err := ask(t, a, router.AccessRequest{Action: router.ActionRead, Pass: "topsecret"})
		if err == nil || !strings.Contains(err.Error(), "the HTTP service cannot be asked") || strings.Contains(err.Error(), "topsecret") {
			t.Error(err)
		}
	}
	// who does not want to wait does not have to
	slow = &auth.HTTP{URL: srv.URL}
	defer slow.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := slow.Authenticate(ctx, &router.AccessRequest{Action: router.ActionRead}); err == nil {
		t.Error("let in")
	}
}

// Questions one after another take one connection, also if the answers have bodies.
func TestHTTPConnectionIsReused(t *testing.T) {
	t.Parallel()
	var conns atomic.Int32
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, strings.Repeat("an answer ", 1000))
	}))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns.Add(1)
		}
	}
	srv.Start()
	defer srv.Close()
	a := &auth.HTTP{URL: srv.URL}
	defer a.Close()
	for range 20 {
		if _, err := ask(t, a, router.AccessRequest{Action: router.ActionRead}); err != nil {
			t.Fatal(err)
		}
	}
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

func TestHTTPCache(t *testing.T) {
	t.Parallel()
	u, asked := newService(t)
	a := &auth.HTTP{URL: u, CacheFor: time.Hour}
	defer a.Close()
	q := router.AccessRequest{Action: router.ActionRead, Path: "a", User: "u", Pass: "right", SessionID: "1"}
	other := q
	other.SessionID = "2"
	for _, q := range []router.AccessRequest{q, q, other} {
		if _, err := ask(t, a, q); err != nil {
			t.Error(err)
		}
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
	q.Path = "b"
	_, _ = ask(t, a, q)
	q.Pass = "wrong"
	_, _ = ask(t, a, q)
	_, _ = ask(t, a, q)
	if n := asked.Load(); n != 4 {
		t.Errorf("asked %d times: another path, and what was refused, must be asked about", n)
	}
}

func TestHTTPFingerprint(t *testing.T) {
	t.Parallel()
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // refused handshakes
	srv.StartTLS()
	defer srv.Close()
	sum := sha256.Sum256(srv.Certificate().Raw)
	q := router.AccessRequest{Action: router.ActionRead}
	for fp, ok := range map[string]bool{
		hex.EncodeToString(sum[:]):                  true,
		strings.ToUpper(hex.EncodeToString(sum[:])): true,
		hex.EncodeToString(make([]byte, 32)):        false,
		"":                                          false, // signed by nobody who is trusted
	} {
		a := &auth.HTTP{URL: srv.URL, Fingerprint: fp}
		if _, err := ask(t, a, q); (err == nil) != ok {
			t.Errorf("%q: got %v", fp, err)
		}
		a.Close()
	}
}

func TestHTTPValidate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a    *auth.HTTP
		want string
	}{
		{&auth.HTTP{}, "the URL must be an absolute http or https URL"},
		{&auth.HTTP{URL: "rtsp://x"}, "the URL must be an absolute http or https URL"},
		{&auth.HTTP{URL: "http://x", Fingerprint: "zz"}, `fingerprint "zz" must be a SHA-256 of 64 hexadecimal digits`},
		{&auth.HTTP{URL: "http://x", Exclude: []auth.Permission{{Action: "zz"}}}, `exclusion 0: action "zz" is unknown`},
	} {
		if err := c.a.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %s", err, c.want)
		}
		if _, err := ask(t, c.a, router.AccessRequest{Action: router.ActionRead}); err == nil {
			t.Error("an authenticator that is not valid let somebody in")
		}
	}
}
