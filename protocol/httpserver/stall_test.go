package httpserver

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// stalling is a connection that stops reading when it is told to.
type stalling struct {
	net.Conn
	gate chan struct{}
	stop atomic.Bool
}

func (s *stalling) Read(p []byte) (int, error) {
	if s.stop.Load() {
		<-s.gate
		return 0, io.EOF
	}
	return s.Conn.Read(p)
}

// counting is a listener that knows how many connections are open.
type counting struct {
	net.Listener
	open atomic.Int64
}

func (c *counting) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c.open.Add(1)
	return &counted{Conn: conn, of: c}, nil
}

type counted struct {
	net.Conn
	of   *counting
	over atomic.Bool
}

func (c *counted) Close() error {
	if !c.over.Swap(true) {
		c.of.open.Add(-1)
	}
	return c.Conn.Close()
}

// A client of HTTP/2 that does not read anymore is given up: the stream if the
// client opens its window no further, the connection if it takes nothing at all.
func TestStallHTTP2(t *testing.T) {
	t.Parallel()
	for name, stalls := range map[string]bool{"stream": false, "connection": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testStall(t, stalls)
		})
	}
}

func testStall(t *testing.T, stalls bool) {
	t.Helper()
	cert, key := writeCert(t, t.TempDir(), "localhost")
	ln := &counting{}
	over := make(chan struct{}, 1)
	addr, _ := start(t, Listen{
		Addr: "127.0.0.1:0", CertFile: cert, KeyFile: key, WriteTimeout: 200 * time.Millisecond,
		Open: func(network, addr string) (net.Listener, error) {
			var err error
			ln.Listener, err = (&net.ListenConfig{}).Listen(context.Background(), network, addr)
			return ln, err
		},
	}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		defer func() { over <- struct{}{} }()
		for {
			if _, err := w.Write(make([]byte, 1<<20)); err != nil {
				return
			}
		}
	}))
	var conn *stalling
	tr := &http.Transport{
		ForceAttemptHTTP2: true,
		DialTLSContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			conn = &stalling{Conn: c, gate: make(chan struct{})}
			tc := tls.Client(conn, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
			return tc, tc.HandshakeContext(ctx)
		},
	}
	if stalls {
		tr.HTTP2 = &http.HTTP2Config{MaxReceiveBufferPerConnection: 1 << 30, MaxReceiveBufferPerStream: 1 << 30}
	}
	defer tr.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+addr+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	if res.ProtoMajor != 2 {
		t.Fatalf("HTTP/%d", res.ProtoMajor)
	}
	conn.stop.Store(stalls)
	select {
	case <-over:
	case <-time.After(patience):
		t.Error("the handler still writes")
	}
	if stalls {
		eventually(t, "end of the connection", func() bool { return ln.open.Load() == 0 })
	}
	close(conn.gate)
	_ = res.Body.Close()
}

// What is answered without a look at the body is not held up by a body that does
// not come.
func TestNoBodyComes(t *testing.T) {
	t.Parallel()
	addr, _ := start(t, Listen{Addr: "127.0.0.1:0", ReadTimeout: 150 * time.Millisecond, AllowOrigins: []string{"*"}}, http.HandlerFunc(hello))
	for request, want := range map[string]string{
		"POST /..%2fx": " 400 ",
		"OPTIONS /":    " 204 ",
		"PUT /":        " 200 ",
	} {
		got := raw(t, addr, request+" HTTP/1.1\r\nHost: x\r\nOrigin: http://a\r\nAccess-Control-Request-Method: GET\r\nContent-Length: 10\r\n\r\nabc")
		if !strings.Contains(got, want) {
			t.Errorf("%s: %q", request, got)
		}
	}
}
