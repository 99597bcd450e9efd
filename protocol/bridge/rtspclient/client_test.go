package rtspclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/liberrors"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestParseURL(t *testing.T) {
	t.Parallel()
	for _, ca := range []struct {
		in     string
		user   string // user:pass
		out    string // without credentials
		tunnel gortsplib.Tunnel
	}{
		{"rtsp://host/path", "", "rtsp://host/path", gortsplib.TunnelNone},
		{"RTSP://host:8554/a/b?c=d", "", "rtsp://host:8554/a/b?c=d", gortsplib.TunnelNone},
		{"rtsps://host", "", "rtsps://host", gortsplib.TunnelNone},
		{"rtsp+http://host:80/p", "", "rtsp://host:80/p", gortsplib.TunnelHTTP},
		{"rtsps+http://host/p", "", "rtsps://host/p", gortsplib.TunnelHTTP},
		{"rtsp+ws://host/p", "", "rtsp://host/p", gortsplib.TunnelWebSocket},
		{"rtsps+ws://host/p", "", "rtsps://host/p", gortsplib.TunnelWebSocket},
		{"rtsp://u:p@host/path", "u:p", "rtsp://host/path", gortsplib.TunnelNone},
		{"rtsp://u@host/path", "u:", "rtsp://host/path", gortsplib.TunnelNone},
		{"rtsp://u:p%40s%2Fs%25@host/path", "u:p@s/s%", "rtsp://host/path", gortsplib.TunnelNone},
		{"rtsp://u:100%@host/path", "u:100%", "rtsp://host/path", gortsplib.TunnelNone},
		{"rtsp://u:a@b@host/path", "u:a@b", "rtsp://host/path", gortsplib.TunnelNone},
		{"rtsp://u:a:b@host/path", "u:a:b", "rtsp://host/path", gortsplib.TunnelNone},
		{"rtsp://u:a/b@host:554/path", "u:a/b", "rtsp://host:554/path", gortsplib.TunnelNone},
		{"rtsp://u:a?b#c@host/path", "u:a?b#c", "rtsp://host/path", gortsplib.TunnelNone},
		{`rtsp://u:^"<>[] {}|\@host/path`, `u:^"<>[] {}|\`, "rtsp://host/path", gortsplib.TunnelNone},
		{`rtsp://u:p@ss:w/rd?#%&=+ "ü@host:554/path`, `u:p@ss:w/rd?#%&=+ "ü`, "rtsp://host:554/path", gortsplib.TunnelNone},
		{"rtsp://host/path@home", "", "rtsp://host/path@home", gortsplib.TunnelNone},
		{"rtsp://u:p@host/path?mail=a@b", "u:p", "rtsp://host/path?mail=a@b", gortsplib.TunnelNone},
		{"rtsp://[::1]:8554/path", "", "rtsp://[::1]:8554/path", gortsplib.TunnelNone},
		{"rtsp://u:p@[fe80::1%eth0]/path", "u:p", "rtsp://[fe80::1%25eth0]/path", gortsplib.TunnelNone},
		{"rtsp://u:p@[fe80::1%25eth0]/path", "u:p", "rtsp://[fe80::1%25eth0]/path", gortsplib.TunnelNone},
		{"rtsp://host/a%20b", "", "rtsp://host/a%20b", gortsplib.TunnelNone},
	} {
		u, tunnel, err := ParseURL(ca.in)
		if err != nil {
			t.Errorf("%s: %v", ca.in, err)
			continue
		}
		user := ""
		if u.User != nil {
			pass, _ := u.User.Password()
			user = u.User.Username() + ":" + pass
		}
		if user != ca.user {
			t.Errorf("%s: credentials %q, want %q", ca.in, user, ca.user)
		}
		if out := u.CloneWithoutCredentials().String(); out != ca.out || tunnel != ca.tunnel {
			t.Errorf("%s: %q, tunnel %v, want %q, tunnel %v", ca.in, out, tunnel, ca.out, ca.tunnel)
		}
	}
}

func TestParseURLErrors(t *testing.T) {
	t.Parallel()
	for _, in := range []string{
		"", "host/path", "http://host/path", "rtsp+udp://host/path", "rtsp+://host", "rtsp://", "rtsp:///path",
		"rtsp://u:topsecret@", "rtsp://u:topsecret@host:port/path", "rtsp://u:topsecret@ho st/path",
		"rtsp://u:topsecret@host/path#fragment", "rtsp:u:topsecret@host", "u:topsecret@host", "u:topsecret://host",
		"rtsp://u:topsecret@[::1/path", "rtsp://u:topsecret@host/%zz", "rtsp://u:topsecret",
	} {
		_, _, err := ParseURL(in)
		if err == nil {
			t.Errorf("%q is accepted", in)
		} else if strings.Contains(err.Error(), "topsecret") {
			t.Errorf("%q: the error shows the password: %v", in, err)
		}
	}
}

func FuzzParseURL(f *testing.F) {
	f.Add("rtsp://u:p@host:554/path?q#f")
	f.Add("rtsp+ws://[::1%zone]:1/@/@")
	f.Fuzz(func(t *testing.T, s string) {
		u, _, err := ParseURL(s)
		if err == nil && (u.Hostname() == "" || u.Scheme != "rtsp" && u.Scheme != "rtsps") {
			t.Errorf("%q: %v", s, u)
		}
	})
}

func TestRedact(t *testing.T) {
	t.Parallel()
	u, _, err := ParseURL("rtsp://admin:s3cr%40t/x@host/path")
	if err != nil {
		t.Fatal(err)
	}
	for _, ca := range []struct{ in, want string }{
		{"nothing to hide", "nothing to hide"},
		{"dial rtsp://admin:s3cr@t/x@host/path: refused", "dial rtsp://host/path: refused"},
		{`parse "rtsps+ws://a:b@host:1/p": bad`, `parse "rtsps+ws://host:1/p": bad`},
		{"user a@b has s3cr@t/x", "user a@b has ***"},
		{"encoded s3cr@t%2Fx", "encoded ***"},
		{"encoded s3cr%40t%2Fx", "encoded ***"},
		{"Basic YWRtaW46czNjckB0L3g=", "Basic ***"},
		{"rtsp://host/p?user=a&pass=hunter2&x=1", "rtsp://host/p?user=a&pass=***&x=1"},
		{"rtsp://host/p?jwt=abc.def", "rtsp://host/p?jwt=***"},
		{"rtsp://host/p?TOKEN=abc", "rtsp://host/p?TOKEN=***"},
	} {
		if got := Redact(ca.in, u); got != ca.want {
			t.Errorf("%q becomes %q, want %q", ca.in, got, ca.want)
		}
	}
	if got := Redact("a text", nil); got != "a text" {
		t.Error(got)
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	c, err := New(Options{URL: "rtsp://admin:topsecret@host/path?token=hidden"})
	if err != nil {
		t.Fatal(err)
	}
	for _, ca := range []struct {
		err  error
		want string
	}{
		{liberrors.ErrClientBadStatusCode{Code: 401, Message: "Unauthorized"}, "the server refuses the credentials of the URL"},
		{liberrors.ErrClientBadStatusCode{Code: 404, Message: "Not Found"}, "the server has no such stream (404)"},
		{liberrors.ErrClientBadStatusCode{Code: 500, Message: "topsecret"}, "the server answers 500 (***)"},
		{liberrors.ErrClientUDPTimeout{}, "nothing arrives over UDP for 10s"},
		{liberrors.ErrClientTCPTimeout{}, "nothing arrives for 10s"},
		{liberrors.ErrClientRequestTimedOut{}, "the server does not answer within 10s"},
		{fmt.Errorf("read: %w", io.EOF), "the server closed the connection"},
		{context.DeadlineExceeded, "the server cannot be reached within 10s"},
		{errors.New("parse rtsp://admin:topsecret@host/: wrong"), "parse rtsp://host/: wrong"},
	} {
		got := c.Explain(ca.err)
		if want := "rtsp://host/path: " + ca.want; got.Error() != want {
			t.Errorf("%q, want %q", got, want)
		}
		for e := got; e != nil; e = errors.Unwrap(e) {
			if strings.Contains(e.Error(), "topsecret") || strings.Contains(e.Error(), "hidden") {
				t.Errorf("%v shows a secret", e)
			}
		}
		if again := c.Explain(got); !errors.Is(again, got) {
			t.Errorf("explained twice: %v", again)
		}
	}
	if c.Explain(nil) != nil || !errors.Is(c.Explain(context.Canceled), context.Canceled) {
		t.Error("nil and context errors must stay as they are")
	}
	anonymous, err := New(Options{URL: "rtsp://host/path"})
	if err != nil {
		t.Fatal(err)
	}
	got := anonymous.Explain(liberrors.ErrClientBadStatusCode{Code: 401}).Error()
	if !strings.Contains(got, "the URL has none") {
		t.Error(got)
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	for _, ca := range []struct {
		o    Options
		want string // in the error; empty if valid
	}{
		{Options{}, ""},
		{Options{Transport: "automatic"}, ""},
		{Options{Transport: "quic"}, `transport "quic"`},
		{Options{Fingerprint: strings.Repeat("aB", 32)}, ""},
		{Options{Fingerprint: strings.TrimSuffix(strings.Repeat("AB:", 32), ":")}, ""},
		{Options{Fingerprint: "abc"}, `fingerprint "abc"`},
		{Options{Fingerprint: strings.Repeat("x", 64)}, "fingerprint"},
		{Options{UDPSourcePortRange: [2]int{1000, 1001}}, ""},
		{Options{UDPSourcePortRange: [2]int{1000, 1000}}, "1000-1000"},
		{Options{UDPSourcePortRange: [2]int{1000, 70000}}, "1000-70000"},
		{Options{UDPSourcePortRange: [2]int{0, 2000}}, "0-2000"},
		{Options{UDPReadBufferSize: -1}, "negative"},
		{Options{ReadTimeout: -1}, "negative"},
	} {
		ca.o.URL = "rtsp://host/path"
		_, err := New(ca.o)
		switch {
		case err == nil && ca.want != "":
			t.Errorf("%+v is accepted", ca.o)
		case err != nil && (ca.want == "" || !strings.Contains(err.Error(), ca.want)):
			t.Errorf("%+v: %v", ca.o, err)
		}
	}
}

// A server that takes connections and never says a word holds nobody up.
func TestSilentServer(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"rtsp", "rtsps", "rtsp+http", "rtsps+http", "rtsp+ws", "rtsps+ws"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = ln.Close() }()
			c, err := New(Options{URL: scheme + "://" + ln.Addr().String() + "/path", Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if err := c.Start(ctx); err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			conn := make(chan net.Conn, 1)
			go func() {
				if nc, err := ln.Accept(); err == nil {
					conn <- nc
				}
				cancel()
			}()
			start := time.Now()
			if _, _, err := c.Describe(c.URL); err == nil {
				t.Error("no error")
			}
			c.Close()
			if d := time.Since(start); d > 5*time.Second {
				t.Errorf("it took %v to close", d)
			}
			_ = (<-conn).Close()
			if c.Err() == nil {
				t.Error("Err is nil")
			}
		})
	}
}

func ExampleNew() {
	_, err := New(Options{URL: "rtsp://user:pass@host/path", Transport: "carrier pigeon"})
	fmt.Println(err)

	u, _, _ := ParseURL("rtsps+ws://user:pass@host/path")
	fmt.Println(Address(u))
	fmt.Println(Redact("dial rtsp://user:pass@host/path", (*base.URL)(nil)))
	// Output:
	// transport "carrier pigeon": it must be automatic, udp, multicast or tcp
	// rtsps://host/path
	// dial rtsp://host/path
}
