package whipclient

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
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

// Failures are one clear sentence without secrets.
func TestErrors(t *testing.T) {
	t.Parallel()
	reply := func(status int, kind, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}
	}
	const j, p = "application/json", "text/plain; charset=utf-8"
	for _, ca := range []struct {
		name, userinfo, token string
		h                     http.HandlerFunc
		want                  string
	}{
		{"401", "", "", reply(401, j, `{"status":"error","error":"who are you"}`), "the server asks for credentials, and the URL has none (401): who are you"},
		{"401 basic", "me:s3cret@", "", reply(401, p, "wrong: s3cret"), "the server refuses the credentials of the URL (401): wrong: ***"},
		{"401 bearer", "", "t0ken", reply(401, p, "wrong: t0ken"), "the server refuses the bearer token (401): wrong: ***"},
		{"403", "", "", reply(403, "text/html", "<h1>no</h1>"), "the server does not permit this (403)"},
		{"404", "", "", reply(404, j, `{"status":"error","error":"no stream is available on path 'cam'"}`), "the server has no such stream (404): no stream is available on path 'cam'"},
		{"405", "", "", reply(405, p, ""), "the address is not one of WHIP or WHEP (405)"},
		{"406", "", "", reply(406, "application/problem+json", `{"title":"bad","detail":"no codec in common"}`), "the server cannot use the offer (406): no codec in common"},
		{"500", "", "", reply(500, j, `{"error":{"a":1},"message":"line 1\nline 2\u0000\u001b[31m"}`), "the server answers 500 (Internal Server Error): line 1 line 2[31m"},
		{"999", "", "", reply(999, j, `[`), "the server answers 999"},
		{"long text", "", "", reply(400, p, strings.Repeat("ab", 100000)), "the server answers 400 (Bad Request): " + strings.Repeat("ab", 150) + "..."},
		{"503", "", "", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "30")
			w.WriteHeader(http.StatusServiceUnavailable)
		}, "the server is not available now (503), and asks to wait for 30 s"},
		{"echo of the query", "", "", func(w http.ResponseWriter, r *http.Request) {
			reply(400, p, r.URL.Query().Get("token")+" "+r.URL.RawQuery)(w, r)
		}, "the server answers 400 (Bad Request): *** ***"},
		{"content type", "", "", reply(201, "text/html", "<html>"), `the server answers with content type "text/html": it must be application/sdp`},
		{"no SDP", "", "", reply(201, contentSDP, "hello"), "the server answers with something that is no SDP"},
		{"empty", "", "", reply(201, contentSDP, ""), "the server answers with something that is no SDP"},
		{"204", "", "", reply(204, contentSDP, ""), "the server answers 204 (No Content)"},
		{"endless", "", "", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentSDP)
			w.WriteHeader(http.StatusCreated)
			for line := []byte("v=0" + strings.Repeat("a=b\r\n", 1000)); ; {
				if _, err := w.Write(line); err != nil {
					return
				}
			}
		}, "the answer of the server is larger than 262144 bytes"},
		{"slow", "", "", func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusCreated)
			for r.Context().Err() == nil {
				_, _ = w.Write([]byte("v"))
				_ = http.NewResponseController(w).Flush()
				time.Sleep(20 * time.Millisecond)
			}
		}, "the server does not answer within 300ms"},
		{"silent", "", "", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "the server does not answer within 300ms"},
		{"hangs up", "", "", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "the server closed the connection"},
		{"headers", "", "", func(w http.ResponseWriter, _ *http.Request) {
			for i := range 100 {
				w.Header().Set(fmt.Sprintf("X-%d", i), strings.Repeat("x", 4000))
			}
		}, "the headers of the answer are larger than 65536 bytes"},
	} {
		t.Run(ca.name, func(t *testing.T) {
			t.Parallel()
			srv := serve(t, false, ca.h)
			var log bytes.Buffer
			c := client(t, Options{
				URL: srv.url("", ca.userinfo, "/cam?token=qwertz"), BearerToken: ca.token, Timeout: 300 * time.Millisecond,
				Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
			})
			if ca.name == "long text" || ca.name == "endless" || ca.name == "headers" {
				c.o.Timeout = 10 * time.Second
			}
			_, err := c.Post(t.Context(), offer)
			var e *Error
			if !errors.As(err, &e) || e.Reason != ca.want || e.Address != c.Address() {
				t.Errorf("got  %v\nwant %s", err, ca.want)
			}
			for _, secret := range []string{"s3cret", "t0ken", "qwertz"} {
				for ; err != nil; err = errors.Unwrap(err) {
					if strings.Contains(err.Error(), secret) {
						t.Errorf("the error tells %q", secret)
					}
				}
				if strings.Contains(log.String(), secret) {
					t.Errorf("the log tells %q", secret)
				}
			}
		})
	}
}

// Nobody listens, or somebody else does.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	srv := serve(t, true, nil)
	c := client(t, Options{URL: srv.url("", "me:s3cret@", "/")})
	if _, err := c.Post(t.Context(), offer); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("an unknown certificate: %v", err)
	}
	c = client(t, Options{URL: srv.url("", "me:s3cret@", "/"), Fingerprint: strings.Repeat("ab", 32)})
	if _, err := c.Post(t.Context(), offer); !errors.Is(err, ErrFingerprint) {
		t.Errorf("a wrong fingerprint: %v", err)
	}
	if len(srv.requests()) != 0 {
		t.Error("a server with the wrong certificate got a request")
	}
	plain := serve(t, false, nil)
	addr := plain.url("", "me:s3cret@", "/")
	plain.Close()
	c = client(t, Options{URL: addr})
	if _, err := c.ICEServers(t.Context()); err == nil || !strings.Contains(err.Error(), "refused") || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("nobody listens: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Post(ctx, offer); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled context: %v", err)
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

// A session that is of no use is ended.
func TestUselessAnswer(t *testing.T) {
	t.Parallel()
	srv := serve(t, false, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "/session")
		w.WriteHeader(http.StatusCreated)
	})
	c := client(t, Options{URL: srv.url("", "", "/cam")})
	if _, err := c.Post(t.Context(), offer); err == nil {
		t.Error("an empty answer is accepted")
	}
	if q := srv.requests(); len(q) != 2 || q[1].Method != http.MethodDelete || q[1].URL.Path != "/session" {
		t.Errorf("%d requests", len(q))
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

func TestExplain(t *testing.T) {
	t.Parallel()
	c := client(t, Options{URL: "wheps://me:s3cret@host/cam?token=qwertz"})
	cause := errors.New("the connection of s3cret failed")
	err := c.Explain(cause)
	if got, want := err.Error(), "wheps://host/cam: the connection of *** failed"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if errors.Is(err, cause) {
		t.Error("the cause holds a secret")
	}
	if again := c.Explain(err); again != err { //nolint:errorlint // as it is
		t.Errorf("explained twice: %v", again)
	}
	if err := c.Explain(context.Canceled); err != context.Canceled { //nolint:errorlint // as it is
		t.Errorf("a cancelled context: %v", err)
	}
	if err := c.Explain(nil); err != nil {
		t.Error(err)
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for _, ca := range []struct {
		o    Options
		want string
	}{
		{Options{URL: "whep://host/a"}, ""},
		{Options{URL: "wheps://user:pass@[::1]:8889/a?b=c", Fingerprint: strings.Repeat("aB:", 31) + "cd"}, ""},
		{Options{URL: "whep://$G1:$G2/$MTX_QUERY"}, ""},
		{Options{Protocol: WHIP, URL: "whips://host"}, ""},
		{Options{URL: "http://u:s3cret@host/$G1"}, `the scheme of the URL is "http": it must be whep or wheps`},
		{Options{URL: "whip://host"}, `the scheme of the URL is "whip": it must be whep or wheps`},
		{Options{Protocol: WHIP, URL: "whep://host"}, `the scheme of the URL is "whep": it must be whip or whips`},
		{Options{URL: "s3cret:1234@host/x"}, `the scheme of the URL is "": it must be whep or wheps`},
		{Options{URL: "whep:///s3cret"}, "the URL has no host"},
		{Options{URL: "whep://u:s3cret/x@host"}, "the URL is invalid: invalid port"},
		{Options{}, `the scheme of the URL is "": it must be whep or wheps`},
		{Options{URL: "whep://h", Fingerprint: "12"}, `fingerprint "12": it must be a SHA-256 of 64 hexadecimal digits`},
		{Options{URL: "whep://h", BearerToken: "s3cret\r\nX: y"}, "the bearer token holds a space, a control character or one that is not ASCII"},
		{Options{Protocol: "http", URL: "http://h"}, `protocol "http": it must be whip or whep`},
	} {
		if ca.o.Protocol == "" {
			ca.o.Protocol = WHEP
		}
		got := ""
		if err := ca.o.Validate(); err != nil {
			got = err.Error()
		}
		if got != ca.want {
			t.Errorf("%+v:\ngot  %q\nwant %q", ca.o, got, ca.want)
		}
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
