package httpserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"
)

// where answers with what the handler sees.
func where(w http.ResponseWriter, r *http.Request) {
	_, _ = io.WriteString(w, Prefix(r)+" "+r.URL.Path+" "+BaseURL(r))
}

func TestMounts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		make func() (http.Handler, func() Endpoint)
	}{
		{"ServeMux", func() (http.Handler, func() Endpoint) {
			mux := http.NewServeMux()
			return mux, func() Endpoint { return OnMux{Mux: mux, Prefix: "/video"} }
		}},
		{"Mount", func() (http.Handler, func() Endpoint) {
			m := &Mount{Prefix: "/video"}
			return m, func() Endpoint { return m }
		}},
		{"Mount with log", func() (http.Handler, func() Endpoint) {
			m := &Mount{Prefix: "/video"}
			log, _ := newLog()
			return m, func() Endpoint { return WithDefaults(m, log, nil) }
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h, endpoint := c.make()
			srv := httptest.NewServer(h)
			t.Cleanup(srv.Close)
			client := newClient(t, nil)
			base := strings.TrimPrefix(srv.URL, "http://")
			for range 3 {
				_, stop := start(t, endpoint(), http.HandlerFunc(where))
				for path, want := range map[string]string{
					"/video/a/b": "/video /a/b http://" + base + "/video",
					"/video/":    "/video / http://" + base + "/video",
				} {
					if res, body := get(t, client, srv.URL+path); res.StatusCode != 200 || body != want {
						t.Errorf("%s: got %d %q, want %q", path, res.StatusCode, body, want)
					}
				}
				for _, path := range []string{"/", "/videos/a"} {
					if res, _ := get(t, client, srv.URL+path); res.StatusCode != http.StatusNotFound {
						t.Errorf("%s: status %d", path, res.StatusCode)
					}
				}
				err := endpoint().Serve(t.Context(), http.NotFoundHandler(), func(net.Addr) { t.Error("ready") })
				if err == nil {
					t.Error("two components at once")
				}
				stop()
				if res, _ := get(t, client, srv.URL+"/video/a"); res.StatusCode != http.StatusNotFound {
					t.Errorf("after the end: status %d", res.StatusCode)
				}
			}
		})
	}
}

// Components route with chi, below a chi router of the program too.
func TestChi(t *testing.T) {
	t.Parallel()
	component := chi.NewRouter()
	component.Patch("/v3/paths/edit/*", func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
		}
		_, _ = fmt.Fprintf(w, "%s %s", chi.URLParam(r, "*"), b)
	})
	outer := chi.NewRouter()
	handled, mounted := &Mount{Prefix: "/a/b", MaxBodyBytes: 10}, &Mount{Prefix: "/c", MaxBodyBytes: 10}
	outer.Handle("/a/b/*", handled)
	outer.Mount("/c", mounted)
	mux := http.NewServeMux()
	mux.Handle("/", outer)
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	listening, _ := start(t, Listen{Addr: "127.0.0.1:0", MaxBodyBytes: 10}, component)
	start(t, handled, component)
	start(t, mounted, component)
	start(t, OnMux{Mux: mux, Prefix: "/d", MaxBodyBytes: 10}, component)
	client := newClient(t, nil)
	for _, base := range []string{"http://" + listening, srv.URL + "/a/b", srv.URL + "/c", srv.URL + "/d"} {
		for sent, want := range map[string]string{"{}": "200 x/y {}", strings.Repeat("x", 100): "413 x/y " + strings.Repeat("x", 10)} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPatch, base+"/v3/paths/edit/x/y", strings.NewReader(sent))
			if err != nil {
				t.Fatal(err)
			}
			res, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			b, _ := io.ReadAll(res.Body)
			_ = res.Body.Close()
			if got := fmt.Sprintf("%d %s", res.StatusCode, b); got != want {
				t.Errorf("%s: got %q, want %q", base, got, want)
			}
		}
	}
}

func TestMountRoot(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	start(t, OnMux{Mux: mux}, http.HandlerFunc(where))
	if _, body := get(t, newClient(t, nil), srv.URL+"/a"); body != " /a "+srv.URL {
		t.Errorf("got %q", body)
	}
}

func TestMountProblems(t *testing.T) {
	t.Parallel()
	taken := http.NewServeMux()
	taken.Handle("/a/", http.NotFoundHandler())
	for name, e := range map[string]Endpoint{
		"no mux":      OnMux{},
		"slash":       OnMux{Mux: http.NewServeMux(), Prefix: "/a/"},
		"no slash":    OnMux{Mux: http.NewServeMux(), Prefix: "a"},
		"wildcard":    OnMux{Mux: http.NewServeMux(), Prefix: "/{x}"},
		"taken":       OnMux{Mux: taken, Prefix: "/a"},
		"mount slash": &Mount{Prefix: "/"},
		"bad origin":  &Mount{AllowOrigins: []string{"x"}},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		if err := e.Serve(ctx, http.NotFoundHandler(), func(net.Addr) { t.Errorf("%s: ready", name) }); err == nil {
			t.Errorf("%s: no error", name)
		}
		cancel()
	}
}

// The end of a component ends its requests although the server lives on.
func TestMountEnds(t *testing.T) {
	t.Parallel()
	m := &Mount{WriteTimeout: time.Hour}
	srv := httptest.NewServer(m)
	t.Cleanup(srv.Close)
	entered := make(chan struct{}, 2)
	_, stop := start(t, m, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		entered <- struct{}{}
		if r.URL.Path == "/poll" {
			<-r.Context().Done()
			return
		}
		for {
			if _, err := w.Write(make([]byte, 1<<20)); err != nil {
				return
			}
		}
	}))
	for _, path := range []string{"/poll", "/flood"} {
		c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		_, _ = io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n")
		<-entered
	}
	began := time.Now()
	stop()
	if d := time.Since(began); d > grace+3*time.Second {
		t.Errorf("the end took %v", d)
	}
}

// The timeouts of the program's server do not cut long polls either.
func TestMountLongPoll(t *testing.T) {
	t.Parallel()
	const timeout = 150 * time.Millisecond
	m := &Mount{}
	srv := httptest.NewUnstartedServer(m)
	srv.Config.ReadTimeout, srv.Config.WriteTimeout = timeout, timeout
	srv.Start()
	t.Cleanup(srv.Close)
	start(t, m, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body)
		select {
		case <-time.After(3 * timeout):
			_, _ = io.WriteString(w, "polled")
		case <-r.Context().Done():
			_, _ = io.WriteString(w, "cut")
		}
	}))
	c := newClient(t, nil)
	for range 2 { // on one connection
		for _, sent := range []string{"", "a body"} {
			res, err := c.Post(srv.URL, "text/plain", strings.NewReader(sent))
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(res.Body)
			_ = res.Body.Close()
			if err != nil || string(b) != "polled" {
				t.Errorf("body %q: %q %v", sent, b, err)
			}
		}
	}
}
