package whipclient

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"
)

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
