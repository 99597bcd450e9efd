package httpserver

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// leanHandler answers in all the ways that there are. What waits says so when it
// begins, and when it is told to end.
func leanHandler(waits chan<- struct{}) http.Handler {
	return Lean(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/length":
			w.Header().Set("Content-Length", "5")
			_, _ = io.WriteString(w, "hello")
		case "/pieces":
			w.Header().Set("Content-Length", "10")
			_, _ = io.WriteString(w, "hello")
			_, _ = io.WriteString(w, "world")
		case "/small":
			_, _ = io.WriteString(w, "hello")
		case "/large":
			for range 100 {
				_, _ = io.WriteString(w, strings.Repeat("x", 1000))
			}
		case "/flush":
			_, _ = io.WriteString(w, "hel")
			w.(http.Flusher).Flush()
			_, _ = io.WriteString(w, "lo")
		case "/empty":
			w.WriteHeader(http.StatusNoContent)
		case "/nothing":
		case "/short":
			w.Header().Set("Content-Length", "10")
			_, _ = io.WriteString(w, "hello")
		case "/split":
			w.Header().Set("X-A", "b\r\nX-Evil: c")
			_, _ = io.WriteString(w, r.Host)
		case "/body":
			b, err := io.ReadAll(r.Body)
			_, _ = fmt.Fprint(w, string(b), err)
		case "/early":
			panic("early")
		case "/late":
			w.Header().Set("Content-Length", "10")
			_, _ = io.WriteString(w, "half")
			panic("late")
		case "/wait":
			if waits != nil {
				waits <- struct{}{}
			}
			<-r.Context().Done()
			if waits != nil {
				waits <- struct{}{}
			}
		case "/slow":
			select {
			case <-time.After(watchAfter + 300*time.Millisecond):
			case <-r.Context().Done():
				return
			}
			_, _ = io.WriteString(w, "slow")
		}
	}))
}

// ask sends requests and reads that many answers from one connection.
func ask(t *testing.T, addr string, requests string, n int) (bodies []string, answers []*http.Response, err error) {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, strings.ReplaceAll(requests, "\n", "\r\n")); err != nil {
		t.Fatal(err)
	}
	br := bufio.NewReader(conn)
	for i := range n {
		if i == 2 && n == 3 {
			_ = conn.SetDeadline(time.Now().Add(200 * time.Millisecond)) // there should be none
		}
		res, err := http.ReadResponse(br, nil)
		if err != nil {
			return bodies, answers, err
		}
		b, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		bodies, answers = append(bodies, string(b)), append(answers, res)
		if err != nil {
			return bodies, answers, err
		}
	}
	return bodies, answers, nil
}

func getOf(path string) string { return "GET " + path + " HTTP/1.1\nHost: x\n\n" }

func TestLeanAnswers(t *testing.T) {
	t.Parallel()
	addr, _ := start(t, Listen{Addr: "127.0.0.1:0"}, leanHandler(nil))
	paths := []string{"/length", "/pieces", "/small", "/large", "/flush", "/empty", "/nothing", "/split", "/early", "/length"}
	want := []string{"hello", "helloworld", "hello", strings.Repeat("x", 100000), "hello", "", "", "x", "internal error\n", "hello"}
	all := ""
	for _, p := range paths {
		all += getOf(p)
	}
	bodies, answers, err := ask(t, addr, all, len(paths)) // pipelined, one connection
	if err != nil {
		t.Fatalf("after %d answers: %v", len(answers), err)
	}
	for i, p := range paths {
		res := answers[i]
		if bodies[i] != want[i] {
			t.Errorf("%s: %.40q, want %.40q", p, bodies[i], want[i])
		}
		if res.Header.Get("Server") != "mediamtx" || res.Header.Get("X-Evil") != "" {
			t.Errorf("%s: header %v", p, res.Header)
		}
		if _, err := http.ParseTime(res.Header.Get("Date")); err != nil {
			t.Errorf("%s: %v", p, err)
		}
		if len(bodies[i]) > 0 && !strings.HasPrefix(res.Header.Get("Content-Type"), "text/plain") {
			t.Errorf("%s: type %q", p, res.Header.Get("Content-Type"))
		}
	}
	if answers[5].StatusCode != 204 || answers[8].StatusCode != 500 || answers[6].ContentLength != 0 {
		t.Errorf("status %d and %d, length %d", answers[5].StatusCode, answers[8].StatusCode, answers[6].ContentLength)
	}
}

// A client of net/http notices no difference.
func TestLeanClient(t *testing.T) {
	t.Parallel()
	addr, _ := start(t, Listen{Addr: "127.0.0.1:0", AllowOrigins: []string{"*"}}, leanHandler(nil))
	c := newClient(t, nil)
	for range 3 {
		for path, want := range map[string]string{"/length": "hello", "/large": strings.Repeat("x", 100000), "/flush": "hello", "/slow": "slow", "/nothing": ""} {
			if res, body := get(t, c, "http://"+addr+path, "Origin", "https://a"); body != want || res.Header.Get("Access-Control-Allow-Origin") != "*" {
				t.Errorf("%s: %.40q %v", path, body, res.Header)
			}
		}
		res, body := do(t, c, http.MethodHead, "http://"+addr+"/length")
		if res.ContentLength != 5 || body != "" {
			t.Errorf("HEAD: %d %q", res.ContentLength, body)
		}
		post, err := c.Post("http://"+addr+"/body", "text/plain", strings.NewReader("sent"))
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(post.Body)
		_ = post.Body.Close()
		if string(b) != "sent<nil>" {
			t.Errorf("POST: %q", b)
		}
	}
}

// After the first request, which net/http reads, everything comes from us.
func TestLeanBadRequests(t *testing.T) {
	t.Parallel()
	addr, _ := start(t, Listen{Addr: "127.0.0.1:0", ReadTimeout: 300 * time.Millisecond, MaxBodyBytes: 1000}, leanHandler(nil))
	for name, c := range map[string]struct {
		second string
		status int // of the second answer; 0 if the connection must end without one
		body   string
	}{
		"good":            {getOf("/length"), 200, "hello"},
		"no host":         {"GET / HTTP/1.1\n\n", 400, ""},
		"bad host":        {"GET / HTTP/1.1\nHost: a/b\n\n", 400, ""},
		"garbage":         {"\x00\xff\x16\n\n", 400, ""},
		"bad header":      {"GET / HTTP/1.1\nHost: x\na b: c\n\n", 400, ""},
		"control":         {"GET / HTTP/1.1\nHost: x\na: \x01\n\n", 400, ""},
		"bad length":      {"POST /body HTTP/1.1\nHost: x\nContent-Length: -1\n\n", 400, ""},
		"two lengths":     {"POST /body HTTP/1.1\nHost: x\nContent-Length: 1\nContent-Length: 2\n\nab", 400, ""},
		"version":         {"GET / HTTP/3.0\nHost: x\n\n", 505, ""},
		"HTTP/1.0":        {"GET /large HTTP/1.0\n\n", 200, strings.Repeat("x", 100000)},
		"close":           {"GET /length HTTP/1.1\nHost: x\nConnection: close\n\n", 200, "hello"},
		"traversal":       {"GET /..%2fetc HTTP/1.1\nHost: x\n\n", 400, ""},
		"huge header":     {"GET / HTTP/1.1\nHost: x\nA: " + strings.Repeat("x", 200<<10) + "\n\n", -431, ""},
		"slow header":     {"GET / HTTP/1.1\nHo", -400, ""},
		"body":            {"POST /body HTTP/1.1\nHost: x\nContent-Length: 3\n\nabc", 200, "abc<nil>"},
		"chunked":         {"POST /body HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n3\nabc\n0\n\n", 200, "abc<nil>"},
		"huge body":       {"POST /body HTTP/1.1\nHost: x\nContent-Length: 2000\n\n" + strings.Repeat("y", 2000), 200, "too large"},
		"slow body":       {"POST /body HTTP/1.1\nHost: x\nContent-Length: 3\n\na", 200, "timeout"},
		"unread body":     {"POST /length HTTP/1.1\nHost: x\nContent-Length: 30\n\n" + getOf("/smuggled"), 200, "hello"},
		"panic":           {getOf("/late"), 200, "half"},
		"short":           {getOf("/short"), 200, "hello"},
		"no more than it": {"", 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := 3
			if name == "no more than it" {
				n = 1
			}
			bodies, answers, err := ask(t, addr, getOf("/length")+c.second, n)
			switch {
			case len(answers) < 1 || bodies[0] != "hello":
				t.Fatalf("the first answer is missing: %v", err)
			case n == 1:
				return
			case len(answers) > 2:
				t.Errorf("%d answers", len(answers))
			case len(answers) < 2 && c.status > 0:
				t.Errorf("no second answer: %v", err)
			case len(answers) < 2:
				return
			}
			if s := answers[1].Header.Get("Server"); s != "mediamtx" {
				t.Errorf("server %q", s)
			}
			if got := answers[1].StatusCode; got != c.status && -got != c.status || !strings.Contains(bodies[1], c.body) {
				t.Errorf("got %d %.100q, want %d %.40q", got, bodies[1], c.status, c.body)
			}
		})
	}
}

// The handler learns that its client has left.
func TestLeanClientLeaves(t *testing.T) {
	t.Parallel()
	waits := make(chan struct{}, 2)
	addr, _ := start(t, Listen{Addr: "127.0.0.1:0"}, leanHandler(waits))
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(conn, "GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
	<-waits
	_ = conn.Close()
	select {
	case <-waits:
	case <-time.After(patience):
		t.Error("the handler still waits")
	}
}

// Stopping ends connections, whatever they do.
func TestLeanStop(t *testing.T) {
	t.Parallel()
	waits := make(chan struct{}, 2)
	addr, stop := start(t, Listen{Addr: "127.0.0.1:0"}, leanHandler(waits))
	for _, requests := range []string{"/length", "/wait"} {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		_, _ = io.WriteString(conn, strings.ReplaceAll(getOf("/length")+getOf(requests), "\n", "\r\n"))
		_ = conn.SetDeadline(time.Now().Add(patience))
		if _, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil {
			t.Fatal(err)
		}
	}
	<-waits
	began := time.Now()
	stop()
	if d := time.Since(began); d > grace {
		t.Errorf("stopping took %v", d)
	}
	select {
	case <-waits:
	default:
		t.Error("the handler was not told")
	}
}

func BenchmarkLean(b *testing.B) {
	body := make([]byte, 100<<10)
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Length"] = []string{strconv.Itoa(len(body))}
		_, _ = w.Write(body)
	})
	for name, h := range map[string]http.Handler{"net/http": h, "lean": Lean(h)} {
		b.Run(name, func(b *testing.B) {
			g := Listen{Addr: "127.0.0.1:0"}
			ready := make(chan net.Addr, 1)
			go func() { _ = g.Serve(b.Context(), h, func(a net.Addr) { ready <- a }) }()
			conn, err := (&net.Dialer{}).DialContext(b.Context(), "tcp", (<-ready).String())
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			br := bufio.NewReaderSize(conn, 64<<10)
			b.ReportAllocs()
			for b.Loop() {
				_, _ = io.WriteString(conn, "GET /cam/x HTTP/1.1\r\nHost: x\r\n\r\n")
				res, err := http.ReadResponse(br, nil)
				if err != nil {
					b.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, res.Body)
			}
		})
	}
}
