package whipclient

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"
)

// A session from the question for ICE servers to its end, with all kinds of
// credentials, over HTTP and HTTPS.
func TestSession(t *testing.T) {
	t.Parallel()
	const basic = "Basic bWU6czNjcmV0Lw==" // me:s3cret/
	for _, ca := range []struct {
		name, userinfo, token, want string
		secure                      bool
	}{
		{name: "none"},
		{name: "basic", userinfo: "me:s3cret%2F@", want: basic},
		{name: "bearer", token: "me:s3cret", want: "Bearer me:s3cret"},
		{name: "both", userinfo: "me:s3cret%2F@", token: "abc", want: "Bearer abc"},
		{name: "TLS", userinfo: "me:s3cret%2F@", want: basic, secure: true},
	} {
		t.Run(ca.name, func(t *testing.T) {
			t.Parallel()
			srv := serve(t, ca.secure, nil)
			o := Options{URL: srv.url("", ca.userinfo, "/a/b%2Fc/whep?k=v1"), BearerToken: ca.token}
			if ca.secure {
				o.Fingerprint = strings.ToUpper(srv.fingerprint())
			}
			c := client(t, o)
			servers, err := c.ICEServers(t.Context())
			if want := []ICEServer{{URL: "stun:stun.example"}}; err != nil || !reflect.DeepEqual(servers, want) {
				t.Errorf("ICE servers %v, %v, want %v", servers, err, want)
			}
			s, err := c.Post(t.Context(), offer)
			if err != nil {
				t.Fatal(err)
			}
			if s.Answer != answer || s.ID != "the-id" || s.ETag != "*" {
				t.Errorf("session %+v", s)
			}
			want := []ICEServer{{URL: "turn:turn.example:3478?transport=udp", Username: `u,"1"`, Password: "p;2"}}
			if !reflect.DeepEqual(s.ICEServers, want) {
				t.Errorf("ICE servers of the session %+v, want %+v", s.ICEServers, want)
			}
			s.Delete(t.Context())
			s.Delete(t.Context())
			var got []string
			for _, q := range srv.requests() {
				got = append(got, q.Method+" "+q.RequestURI)
				if a := q.Header.Get("Authorization"); a != ca.want {
					t.Errorf("%s: authorization %q, want %q", q.Method, a, ca.want)
				}
				if q.Method == http.MethodPost && q.Header.Get("Content-Type") != contentSDP {
					t.Errorf("content type %q", q.Header.Get("Content-Type"))
				}
			}
			if want := []string{"OPTIONS /a/b%2Fc/whep?k=v1", "POST /a/b%2Fc/whep?k=v1", "DELETE /a/b/c/whep/session?x=1"}; !reflect.DeepEqual(got, want) {
				t.Errorf("requests %q, want %q", got, want)
			}
		})
	}
}

// Locations of sessions, relative to http://127.0.0.1:PORT/cam/whep.
func TestSessionLocation(t *testing.T) {
	t.Parallel()
	for _, ca := range []struct{ location, deleted string }{
		{"/cam/whep/1", "/cam/whep/1"},
		{"whep/1?a=b", "/cam/whep/1?a=b"},
		{"../x", "/x"},
		{"http://127.0.0.1:PORT/s", "/s"},
		{"https://127.0.0.1/s", "/s"},        // a proxy ends TLS
		{"http://u:p@127.0.0.1:9/s#f", "/s"}, // the port inside of a container
		{"http://localhost:PORT/s", ""},      // another host
		{"//localhost:PORT/s", ""},           // another host
		{"", ""},                             // none
		{"gopher://127.0.0.1:PORT/s", ""},    // not HTTP
		{"http://127.0.0.1:PORT/%zz", ""},    // invalid
	} {
		t.Run(ca.location, func(t *testing.T) {
			t.Parallel()
			srv := serve(t, false, func(w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodPost {
					return
				}
				if ca.location != "" {
					_, port, _ := strings.Cut(r.Host, ":")
					w.Header().Set("Location", strings.ReplaceAll(ca.location, "PORT", port))
				}
				w.Header().Set("Content-Type", "application/sdp; charset=utf-8")
				w.WriteHeader(http.StatusCreated)
				_, _ = w.Write([]byte(answer))
			})
			c := client(t, Options{URL: srv.url("", "", "/cam/whep")})
			s, err := c.Post(t.Context(), offer)
			if err != nil {
				t.Fatal(err)
			}
			s.Delete(t.Context())
			got := ""
			for _, q := range srv.requests()[1:] {
				got += q.RequestURI
			}
			if got != ca.deleted {
				t.Errorf("DELETE %q, want %q", got, ca.deleted)
			}
		})
	}
}

// Credentials stay where they belong.
func TestRedirects(t *testing.T) {
	t.Parallel()
	secure := serve(t, true, nil)
	plain := serve(t, false, nil)
	to := func(status int, target string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			if target != "" {
				w.Header().Set("Location", target)
			}
			w.WriteHeader(status)
		}
	}
	for _, ca := range []struct {
		name    string
		path    string // that is redirected to
		secure  bool
		h       http.HandlerFunc
		err     string
		target  *recorder
		trusted bool
	}{
		{name: "to HTTPS of the same host", path: "/redirected-up", h: to(308, secure.URL+"/redirected-up"), target: secure, trusted: true},
		{name: "to another host", path: "/redirected-host", h: to(307, strings.Replace(plain.URL, "127.0.0.1", "localhost", 1)+"/redirected-host"), target: plain},
		{name: "to another port", path: "/redirected-port", h: to(307, plain.URL+"/redirected-port"), target: plain},
		{name: "with credentials", path: "/redirected-userinfo", h: to(307, strings.Replace(plain.URL, "//", "//root:toor@", 1)+"/redirected-userinfo"), target: plain},
		{name: "to HTTP", secure: true, h: to(307, plain.URL+"/x"), err: "the server redirects from HTTPS to HTTP, which is refused"},
		{name: "loop", h: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, r.URL.Path, http.StatusTemporaryRedirect)
		}, err: "the server redirects more than 5 times"},
		{name: "302", h: to(302, "/x"), err: "the server answers 302 (Found): redirects that keep the offer are 307 and 308"},
		{name: "no address", h: to(307, ""), err: "the server redirects to an address that is missing or invalid"},
		{name: "file", h: to(307, "file://host/etc/passwd"), err: `the server redirects to an address with the scheme "file": http and https are accepted`},
	} {
		t.Run(ca.name, func(t *testing.T) {
			t.Parallel()
			first := serve(t, ca.secure, ca.h)
			o := Options{URL: first.url("", "me:s3cret@", "/cam?token=qwertz"), Fingerprint: secure.fingerprint()}
			if ca.secure {
				o.Fingerprint = first.fingerprint()
			}
			c := client(t, o)
			s, err := c.Post(t.Context(), offer)
			if ca.err != "" {
				if err == nil || err.Error() != c.Address()+": "+ca.err {
					t.Fatalf("got %v, want %s", err, ca.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			s.Delete(t.Context())
			found := 0
			for _, q := range ca.target.requests() {
				if !strings.HasPrefix(q.URL.Path, ca.path) {
					continue
				}
				found++
				if has := q.Header.Get("Authorization") != ""; has != ca.trusted {
					t.Errorf("%s %s: credentials %v, want %v", q.Method, q.URL.Path, has, ca.trusted)
				}
				if q.Header.Get("Referer") != "" || strings.Contains(q.RequestURI, "qwertz") {
					t.Errorf("%s %s tells where it comes from", q.Method, q.RequestURI)
				}
			}
			if found != 2 {
				t.Errorf("%d requests reached the target, want POST and DELETE", found)
			}
		})
	}
}

// Whoever stops does not wait for a server that is gone.
func TestDeleteIsBounded(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	deleted := make(chan struct{}, 1)
	srv := serve(t, false, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodDelete {
			deleted <- struct{}{}
			<-release
			return
		}
		accept(w, r)
	})
	defer close(release)
	c := client(t, Options{URL: srv.url("", "", "/cam")})
	ctx, cancel := context.WithCancel(t.Context())
	s, err := c.Post(ctx, offer)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	within(t, maxDelete+time.Second, func() { s.Delete(ctx) })
	select {
	case <-deleted:
	default:
		t.Error("the server was not asked to end the session")
	}
}

// Servers that do not know OPTIONS are used nevertheless.
func TestNoOptions(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]http.HandlerFunc{
		"405":     func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusMethodNotAllowed) },
		"401":     func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) },
		"hang up": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"endless": func(w http.ResponseWriter, _ *http.Request) {
			for {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		},
		"redirects": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTemporaryRedirect) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := serve(t, false, func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodOptions {
					h(w, r)
					return
				}
				accept(w, r)
			})
			c := client(t, Options{URL: srv.url("", "me:s3cret@", "/cam")})
			if list, err := c.ICEServers(t.Context()); len(list) != 0 || err != nil {
				t.Errorf("OPTIONS: %v, %v", list, err)
			}
			if _, err := c.Post(t.Context(), offer); err != nil {
				t.Error(err)
			}
		})
	}
}

// ICE servers that come with the answer are used for a second attempt, and only
// then.
func TestTryICEServers(t *testing.T) {
	t.Parallel()
	failed := errors.New("no connection")
	before, told := []ICEServer{{URL: "stun:stun.example"}}, []ICEServer{{URL: "turn:x"}}
	for _, ca := range []struct {
		name        string
		told        []ICEServer
		unconnected bool
		err         error
		calls       int
	}{
		{"works", told, false, nil, 1},
		{"other failure", told, false, failed, 1},
		{"nothing new", before, true, failed, 1},
		{"none", nil, true, failed, 1},
		{"new ones", told, true, failed, 2},
	} {
		t.Run(ca.name, func(t *testing.T) {
			t.Parallel()
			srv := serve(t, false, nil)
			c := client(t, Options{URL: srv.url("", "", "/cam")})
			var calls [][]ICEServer
			err := c.TryICEServers(t.Context(), func(s []ICEServer) ([]ICEServer, bool, error) {
				calls = append(calls, s)
				return ca.told, ca.unconnected, ca.err
			})
			if !errors.Is(err, ca.err) || len(calls) != ca.calls || !reflect.DeepEqual(calls[0], before) || ca.calls == 2 && !reflect.DeepEqual(calls[1], told) {
				t.Errorf("%d calls, with %v: %v", len(calls), calls, err)
			}
		})
	}
}
