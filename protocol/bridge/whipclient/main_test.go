package whipclient

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	offer  = "v=0\r\ns=offer\r\n"
	answer = "v=0\r\ns=answer\r\n"
)

// recorder is a server that notes what it was asked.
type recorder struct {
	*httptest.Server
	mu   sync.Mutex
	seen []*http.Request
}

// serve starts a server with a handler; nil accepts everything.
func serve(t *testing.T, secure bool, h http.HandlerFunc) *recorder {
	t.Helper()
	r := &recorder{}
	if h == nil {
		h = accept
	}
	r.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		_, _ = io.Copy(io.Discard, q.Body) // from then on, the end of the connection is noticed
		r.mu.Lock()
		r.seen = append(r.seen, q.Clone(context.Background()))
		r.mu.Unlock()
		h(w, q)
	}))
	if secure {
		r.EnableHTTP2 = true
		r.StartTLS()
	} else {
		r.Start()
	}
	t.Cleanup(r.Close)
	return r
}

func (r *recorder) requests() []*http.Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]*http.Request(nil), r.seen...)
}

// url is that of a stream on the server. host replaces the IP address.
func (r *recorder) url(host, userinfo, rest string) string {
	_, addr, _ := strings.Cut(r.URL, "://")
	scheme := "whep"
	if r.TLS != nil {
		scheme = "wheps"
	}
	if host != "" {
		addr = strings.Replace(addr, "127.0.0.1", host, 1)
	}
	return scheme + "://" + userinfo + addr + rest
}

func (r *recorder) fingerprint() string {
	sum := sha256.Sum256(r.Certificate().Raw)
	return hex.EncodeToString(sum[:])
}

// accept opens a session for every offer.
func accept(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodPost:
		w.Header().Set("Content-Type", contentSDP)
		w.Header().Set("Location", r.URL.Path+"/session?x=1")
		w.Header().Set("ETag", "*")
		w.Header().Set("ID", "the-id")
		w.Header().Add("Link", `<turn:turn.example:3478?transport=udp>; rel="ice-server"; username="u,\"1\""; credential="p;2"; credential-type="password"`)
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write([]byte(answer))
	case http.MethodOptions:
		w.Header().Set("Link", `<stun:stun.example>; rel="ice-server", <https://x>; rel=help`)
		w.WriteHeader(http.StatusNoContent)
	}
}

func client(t *testing.T, o Options) *Client {
	t.Helper()
	if o.Protocol == "" {
		o.Protocol = WHEP
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// within fails if f does not return in time.
func within(t *testing.T, d time.Duration, f func()) {
	t.Helper()
	began := time.Now()
	f()
	if took := time.Since(began); took > d {
		t.Errorf("it took %v, more than %v", took, d)
	}
}
