package httpserver

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"
)

// FuzzRepeated compares with net/http what is made of two requests of a
// connection, of which the second has a header that may be remembered.
func FuzzRepeated(f *testing.F) {
	header := "\r\nHost: example.com\r\nUser-Agent: x\r\nCookie: a=b\r\n\r\n"
	get := "GET /cam/index.m3u8 HTTP/1.1" + header
	for _, second := range []string{
		get, "HEAD /a%20b?x=%2F&y HTTP/1.1" + header, "POST / HTTP/1.1" + header, "GET //other/x HTTP/1.1" + header,
		"GET http://evil/ HTTP/1.1" + header, "GET / HTTP/1.0" + header, "GET /a b HTTP/1.1" + header, "GET /\x01 HTTP/1.1" + header,
		"GET  / HTTP/1.1" + header, "GET /\nHost: evil HTTP/1.1" + header, " GET / HTTP/1.1" + header, "GET / HTTP/1.1" + header + get,
		"GET /x#y HTTP/1.1" + header, "GET /%zz HTTP/1.1" + header, "GET / HTTP/1.1\r\nHost: other\r\n\r\n", "get / HTTP/1.1" + header,
	} {
		f.Add([]byte(get), []byte(second))
	}
	f.Add([]byte("GET / HTTP/1.1\r\nPragma: no-cache\r\nHost: a\r\n\r\n"), []byte("GET /y HTTP/1.1\r\nPragma: no-cache\r\nHost: a\r\n\r\n"))
	f.Add([]byte("GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n"), []byte("GET /y HTTP/1.1\r\nHost: b\r\n\r\n"))
	f.Add([]byte("GET / HTTP/1.1\r\nConnection: close\r\nHost: b\r\n\r\n"), []byte("GET /y HTTP/1.1\r\nConnection: close\r\nHost: b\r\n\r\n"))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		raw := headerOf(first)
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(first)))
		if err != nil || raw == nil {
			return
		}
		var p repeated
		p.remember(bytes.Clone(raw), r.WithContext(context.Background()))
		got, n := p.read(second)
		if got == nil {
			return
		}
		br := bufio.NewReader(bytes.NewReader(second))
		want, err := http.ReadRequest(br)
		if err != nil {
			t.Fatalf("%q was read, net/http says %v", second, err)
		}
		rest, _ := io.ReadAll(br)
		if len(rest) != len(second)-n || want.Body != http.NoBody || want.Close {
			t.Fatalf("%q: %d bytes left, want %d", second, len(second)-n, len(rest))
		}
		if got.Method != want.Method || got.Host != want.Host || got.RequestURI != want.RequestURI || got.Proto != want.Proto ||
			!reflect.DeepEqual(got.URL, want.URL) || !reflect.DeepEqual(got.Header, want.Header) {
			t.Fatalf("%q:\n%+v\n%+v", second, got, want)
		}
	})
}

// The requests of a connection keep apart what may differ between them.
func TestLeanRepeats(t *testing.T) {
	t.Parallel()
	seen := make(chan string, 8)
	addr, _ := start(t, Listen{Addr: "127.0.0.1:0"}, Lean(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen <- strings.Join([]string{r.Method, r.RequestURI, r.Host, r.Header.Get("X"), ClientAddr(r).String()}, " ")
		w.Header().Set("Content-Length", "2")
		_, _ = io.WriteString(w, "ok")
	})))
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(patience))
	br := bufio.NewReader(conn)
	for _, c := range []struct{ request, want string }{
		{"GET /1 HTTP/1.1|Host: a|X: 1||", "GET /1 a 1"},
		{"GET /2 HTTP/1.1|Host: a|X: 1||", "GET /2 a 1"}, // from here on it can be remembered
		{"GET /3?q HTTP/1.1|Host: a|X: 1||", "GET /3?q a 1"},
		{"HEAD /4 HTTP/1.1|Host: a|X: 1||", "HEAD /4 a 1"},
		{"GET /5 HTTP/1.1|Host: a|X: 2||", "GET /5 a 2"},
		{"GET /6 HTTP/1.1|Host: a|X: 2||", "GET /6 a 2"},
		{"GET /7 HTTP/1.1|Host: b||", "GET /7 b "},
	} {
		request := strings.ReplaceAll(c.request, "|", "\r\n")
		_, _ = io.WriteString(conn, request)
		method, _, _ := strings.Cut(c.request, " ")
		res, err := http.ReadResponse(br, &http.Request{Method: method})
		if err != nil {
			t.Fatalf("%s: %v", c.want, err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		if got := <-seen; got != c.want+" 127.0.0.1" {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}
