package httpserver

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func hello(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }

func get(t *testing.T, c *http.Client, url string, header ...string) (*http.Response, string) {
	t.Helper()
	return do(t, c, http.MethodGet, url, header...)
}

func do(t *testing.T, c *http.Client, method, url string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(b)
}

// raw sends bytes and returns everything that comes back.
func raw(t *testing.T, addr, request string) string {
	t.Helper()
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(c) // a reset is an end too
	return string(b)
}

func TestListen(t *testing.T) {
	t.Parallel()
	addr, stop := start(t, Listen{Addr: "127.0.0.1:0"}, http.HandlerFunc(hello))
	c := newClient(t, nil)
	res, body := get(t, c, "http://"+addr+"/x")
	if res.StatusCode != 200 || body != "hello" || res.Header.Get("Server") != "mediamtx" {
		t.Errorf("got %d %q %v", res.StatusCode, body, res.Header)
	}
	stop()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatalf("the address is not free: %v", err)
	}
	_ = ln.Close()
}

func TestListenProblems(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	for name, l := range map[string]Listen{
		"busy":       {Addr: ln.Addr().String()},
		"no port":    {Addr: "zz"},
		"bad port":   {Addr: "127.0.0.1:99999"},
		"key only":   {Addr: "127.0.0.1:0", KeyFile: "x"},
		"no file":    {Addr: "127.0.0.1:0", KeyFile: "/nonexistent", CertFile: "/nonexistent"},
		"bad origin": {Addr: "127.0.0.1:0", AllowOrigins: []string{"example.com"}},
		"path":       {Addr: "127.0.0.1:0", AllowOrigins: []string{"https://example.com/"}},
		"stars":      {Addr: "127.0.0.1:0", AllowOrigins: []string{"https://*.*.*.*"}},
	} {
		err := l.Serve(t.Context(), http.NotFoundHandler(), func(net.Addr) { t.Errorf("%s: ready", name) })
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestEqual(t *testing.T) {
	t.Parallel()
	value := func() Endpoint {
		return Listen{
			Addr: ":1", AllowOrigins: []string{"*"}, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
			ReadTimeout: time.Second,
		}
	}
	if !reflect.DeepEqual(value(), value()) {
		t.Error("equal values differ")
	}
	mux := http.NewServeMux()
	if !reflect.DeepEqual(OnMux{Mux: mux, Prefix: "/a"}, OnMux{Mux: mux, Prefix: "/a"}) {
		t.Error("equal values differ")
	}
}

func TestOpen(t *testing.T) {
	t.Parallel()
	var asked string
	open := func(network, addr string) (net.Listener, error) {
		asked = network + " " + addr
		return net.Listen(network, addr)
	}
	start(t, WithDefaults(&Listen{Addr: "127.0.0.1:0"}, nil, open), http.HandlerFunc(hello))
	if asked != "tcp4 127.0.0.1:0" {
		t.Errorf("asked to open %q", asked)
	}
}

func TestTLSReload(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := writeCert(t, dir, "one.example.com")
	log, lines := newLog()
	addr, _ := start(t, Listen{Addr: "127.0.0.1:0", CertFile: cert, KeyFile: key, Log: log}, http.HandlerFunc(hello))
	nameOf := func() (name string, major int) {
		c := newClient(t, &tls.Config{InsecureSkipVerify: true})
		res, _ := get(t, c, "https://"+addr+"/")
		return res.TLS.PeerCertificates[0].Subject.CommonName, res.ProtoMajor
	}
	if n, major := nameOf(); n != "one.example.com" || major != 2 {
		t.Errorf("got %q, HTTP/%d", n, major)
	}
	if err := os.WriteFile(key, []byte("half a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "warning", func() bool { nameOf(); return strings.Contains(lines.String(), "cannot load") })
	if n, _ := nameOf(); n != "one.example.com" {
		t.Errorf("got %q while the new files are broken", n)
	}
	other := t.TempDir()
	c2, k2 := writeCert(t, other, "two.example.com")
	for from, to := range map[string]string{c2: cert, k2: key} {
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "new certificate", func() bool { n, _ := nameOf(); return n == "two.example.com" })
	if _, err := os.Stat(filepath.Join(other, "server.crt")); err == nil {
		t.Error("the file was not moved")
	}
}

// A long poll may take longer than both timeouts, in HTTP/1 and HTTP/2.
func TestLongPoll(t *testing.T) {
	t.Parallel()
	cert, key := writeCert(t, t.TempDir(), "localhost")
	const timeout = 200 * time.Millisecond
	slow := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body)
		_, _ = io.WriteString(w, "first ")
		w.(http.Flusher).Flush()
		select {
		case <-time.After(3 * timeout):
		case <-r.Context().Done():
			return
		}
		_, _ = io.WriteString(w, "second")
	})
	for _, l := range []Listen{
		{Addr: "127.0.0.1:0", ReadTimeout: timeout, WriteTimeout: timeout},
		{Addr: "127.0.0.1:0", ReadTimeout: 4 * time.Second, WriteTimeout: timeout, CertFile: cert, KeyFile: key},
	} {
		addr, _ := start(t, l, slow)
		c := newClient(t, &tls.Config{InsecureSkipVerify: true})
		url := "http://" + addr + "/"
		if l.CertFile != "" {
			url = "https://" + addr + "/"
		}
		for _, sent := range []string{"", "a body"} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(sent))
			if err != nil {
				t.Fatal(err)
			}
			res, err := c.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(res.Body)
			_ = res.Body.Close()
			if err != nil || string(body) != "first second" {
				t.Errorf("%s, body %q: got %q, %v", url, sent, body, err)
			}
		}
	}
}

// A client that reads nothing is given up.
func TestWriteTimeout(t *testing.T) {
	t.Parallel()
	failed := make(chan error, 1)
	addr, _ := start(t, Listen{Addr: "127.0.0.1:0", WriteTimeout: 100 * time.Millisecond},
		http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			for {
				if _, err := w.Write(make([]byte, 1<<20)); err != nil {
					failed <- err
					return
				}
			}
		}))
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	select {
	case <-failed:
	case <-time.After(patience):
		t.Error("the handler still writes")
	}
}

func TestSlowClients(t *testing.T) {
	t.Parallel()
	readErr := make(chan error, 1)
	addr, _ := start(t, Listen{Addr: "127.0.0.1:0", ReadTimeout: 150 * time.Millisecond},
		http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			_, err := io.ReadAll(r.Body)
			readErr <- err
		}))
	if got := raw(t, addr, "GET / HTTP/1.1\r\nHo"); strings.Contains(got, " 200 ") {
		t.Errorf("slow header: got %q", got)
	}
	raw(t, addr, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
	if err := <-readErr; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("slow body: got %v", err)
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	readErr := make(chan error, 1)
	addr, _ := start(t, Listen{Addr: "127.0.0.1:0", MaxBodyBytes: 1000},
		http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, err := io.Copy(io.Discard, r.Body)
			readErr <- err
			if err != nil {
				w.WriteHeader(http.StatusRequestEntityTooLarge)
			}
		}))
	c := newClient(t, nil)
	res, err := c.Post("http://"+addr+"/", "text/plain", strings.NewReader(strings.Repeat("x", 1001)))
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	var tooLarge *http.MaxBytesError
	if err := <-readErr; !errors.As(err, &tooLarge) || res.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("huge body: got %v, %d", err, res.StatusCode)
	}
	got := raw(t, addr, "GET / HTTP/1.1\r\nHost: x\r\nX: "+strings.Repeat("x", 100<<10)+"\r\n\r\n")
	if got != "" && !strings.HasPrefix(got, "HTTP/1.1 431") { // empty: the reset overtook the answer
		t.Errorf("huge header: got %.60q", got)
	}
}

func TestPaths(t *testing.T) {
	t.Parallel()
	seen := make(chan string, 1)
	addr, _ := start(t, Listen{Addr: "127.0.0.1:0"}, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		seen <- r.URL.Path
	}))
	for path, want := range map[string]string{
		"/a/b":             "/a/b",
		"/a%2Fb":           "/a/b",
		"/a..b/...":        "/a..b/...",
		"/%c3%a9":          "/é",
		"/../etc":          "",
		"/..%2fetc":        "",
		"/a/%2e%2e/etc":    "",
		"/a%5c..%5cetc":    "",
		"/a%00b":           "",
		"/a%0d%0aX:%20y":   "",
		"/a%7f":            "",
		"/%ff":             "",
		"/a/b/..":          "",
		"/..;/admin":       "/..;/admin",
		"/%252e%252e%252f": "/%2e%2e%2f",
	} {
		got := raw(t, addr, "GET "+path+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		if want == "" {
			if !strings.HasPrefix(got, "HTTP/1.1 400") {
				t.Errorf("%s: got %.40q", path, got)
			}
			continue
		}
		if !strings.HasPrefix(got, "HTTP/1.1 200") {
			t.Errorf("%s: got %.40q", path, got)
			continue
		}
		if p := <-seen; p != want {
			t.Errorf("%s: handler got %q, want %q", path, p, want)
		}
	}
}

func TestPanics(t *testing.T) {
	t.Parallel()
	log, lines := newLog()
	addr, _ := start(t, Listen{Addr: "127.0.0.1:0", Log: log}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/early":
			w.Header().Set("Cache-Control", "immutable")
			w.Header().Set("Content-Encoding", "gzip")
			panic("one")
		case "/late":
			_, _ = io.WriteString(w, "half")
			panic("two")
		case "/abort":
			panic(http.ErrAbortHandler)
		}
		hello(w, r)
	}))
	c := newClient(t, nil)
	if res, _ := get(t, c, "http://"+addr+"/early"); res.StatusCode != http.StatusInternalServerError || res.Header.Get("Cache-Control") != "" ||
		res.Header.Get("Content-Encoding") != "" {
		t.Errorf("early: status %d, header %v", res.StatusCode, res.Header)
	}
	for _, path := range []string{"/late", "/abort"} {
		if got := raw(t, addr, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n"); strings.Contains(got, "0\r\n\r\n") {
			t.Errorf("%s: the answer looks complete: %q", path, got)
		}
	}
	if res, _ := get(t, c, "http://"+addr+"/"); res.StatusCode != http.StatusOK {
		t.Errorf("afterwards: status %d", res.StatusCode)
	}
	if n := strings.Count(lines.String(), "msg=panic"); n != 2 {
		t.Errorf("%d panics in the log, want 2:\n%s", n, lines)
	}
}

// Components make the answers of the endpoint in their own form.
func TestErrors(t *testing.T) {
	t.Parallel()
	log, lines := newLog()
	answer := func(w http.ResponseWriter, status int, err error) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "{"+err.Error()+"}")
	}
	for name, wrap := range map[string]func(http.Handler) http.Handler{"plain": func(h http.Handler) http.Handler { return h }, "lean": Lean} {
		addr, _ := start(t, Listen{Addr: "127.0.0.1:0", Log: log}, Errors(wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			LogPath(w, "/hidden")
			if r.Method == http.MethodGet {
				panic("x")
			}
			hello(w, r)
		})), answer))
		for request, want := range map[string]string{
			"GET /..%2fx": "400 {invalid path}", "GET /SECRET?jwt=SECRET": "500 {internal error}", "PUT /": "200 hello",
		} {
			method, path, _ := strings.Cut(request, " ")
			res, body := do(t, newClient(t, nil), method, "http://"+addr+path)
			if got := fmt.Sprint(res.StatusCode, " ", body); got != want {
				t.Errorf("%s, %s: %s, want %s", name, request, got, want)
			}
		}
	}
	if !strings.Contains(lines.String(), "msg=panic") || strings.Contains(lines.String(), "SECRET") {
		t.Errorf("no panic in the log, or a secret:\n%s", lines)
	}
}

func TestAccessLog(t *testing.T) {
	t.Parallel()
	log, lines := newLog()
	addr, stop := start(t, Listen{Addr: "127.0.0.1:0", Log: log}, http.HandlerFunc(hello))
	get(t, newClient(t, nil), "http://"+addr+"/cam/index.m3u8?user=SECRET1&jwt=SECRET2&x=1", "Authorization", "Bearer SECRET3")
	stop()
	got := lines.String()
	if strings.Contains(got, "SECRET") {
		t.Errorf("the log holds a secret:\n%s", got)
	}
	for _, want := range []string{"method=GET", "/cam/index.m3u8?user=***&jwt=***&x=1", "status=200", "bytes=5", "remote=127.0.0.1"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in the log:\n%s", want, got)
		}
	}
}

// Stopping ends long polls, silent connections and handlers that wait for a slow
// client, within the grace period.
func TestStop(t *testing.T) {
	t.Parallel()
	entered := make(chan string, 3)
	addr, stop := start(t, Listen{Addr: "127.0.0.1:0", WriteTimeout: time.Hour}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		entered <- r.URL.Path
		if r.URL.Path == "/poll" {
			<-r.Context().Done()
			_, _ = fmt.Fprint(w, "stopped")
			return
		}
		for {
			if _, err := w.Write(make([]byte, 1<<20)); err != nil {
				return
			}
		}
	}))
	dial := func(send string) net.Conn {
		c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		_, _ = io.WriteString(c, send)
		return c
	}
	poll := dial("GET /poll HTTP/1.1\r\nHost: x\r\n\r\n")
	dial("GET /flood HTTP/1.1\r\nHost: x\r\n\r\n")
	dial("")
	<-entered
	<-entered
	began := time.Now()
	stop()
	if d := time.Since(began); d > grace+3*time.Second {
		t.Errorf("stopping took %v", d)
	}
	_ = poll.SetDeadline(time.Now().Add(patience))
	res, err := http.ReadResponse(bufio.NewReader(poll), nil)
	if err != nil {
		t.Fatalf("the long poll got no answer: %v", err)
	}
	defer func() { _ = res.Body.Close() }()
	if b, _ := io.ReadAll(res.Body); string(b) != "stopped" {
		t.Errorf("the long poll got %q", b)
	}
}

func TestStopSilentIsFast(t *testing.T) {
	t.Parallel()
	addr, stop := start(t, Listen{Addr: "127.0.0.1:0"}, http.HandlerFunc(hello))
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	get(t, newClient(t, nil), "http://"+addr+"/") // the silent one was accepted before
	began := time.Now()
	stop()
	if d := time.Since(began); d > grace/2 {
		t.Errorf("stopping took %v", d)
	}
}

func TestHijack(t *testing.T) {
	t.Parallel()
	addr, _ := start(t, Listen{Addr: "127.0.0.1:0", WriteTimeout: 50 * time.Millisecond}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(c, "mine")
		_ = c.Close()
	}))
	if got := raw(t, addr, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); got != "mine" {
		t.Errorf("got %q", got)
	}
}

func TestContextBeforeStart(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := (Listen{Addr: "127.0.0.1:0"}).Serve(ctx, http.NotFoundHandler(), func(net.Addr) {}); err != nil {
		t.Error(err)
	}
}
