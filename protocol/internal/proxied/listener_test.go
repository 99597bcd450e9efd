package proxied

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	loopback  = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	elsewhere = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
)

// logs is what was logged.
type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func listen(t *testing.T, trusted []netip.Prefix) (net.Listener, *logs) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	out := &logs{}
	l := Listen(ln, trusted, slog.New(slog.NewTextHandler(out, nil)))
	t.Cleanup(func() { _ = l.Close() })
	return l, out
}

func dial(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func accept(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func header(t *testing.T, version byte, from string) string {
	t.Helper()
	a := net.TCPAddrFromAddrPort(netip.MustParseAddrPort(from))
	var b bytes.Buffer
	if _, err := proxyproto.HeaderProxyFromAddrs(version, a, a).WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	local := string(proxyproto.SIGV2) + "\x20\x00\x00\x00" // the proxy speaks for itself
	for name, c := range map[string]struct {
		trusted []netip.Prefix
		sent    string
		remote  string // empty: that of the connection
		rest    string
	}{
		"v1":                 {loopback, header(t, 1, "192.0.2.7:4000") + "OPTIONS", "192.0.2.7:4000", "OPTIONS"},
		"v1 IPv6":            {loopback, header(t, 1, "[2001:db8::1]:5") + "OPTIONS", "[2001:db8::1]:5", "OPTIONS"},
		"v1 unknown":         {loopback, "PROXY UNKNOWN\r\nOPTIONS", "", "OPTIONS"},
		"v2":                 {loopback, header(t, 2, "192.0.2.7:4000") + "OPTIONS", "192.0.2.7:4000", "OPTIONS"},
		"v2 IPv6":            {loopback, header(t, 2, "[2001:db8::1]:5") + "OPTIONS", "[2001:db8::1]:5", "OPTIONS"},
		"v2 local":           {loopback, local + "OPTIONS", "", "OPTIONS"},
		"none":               {loopback, "PLAY rtsp://", "", "PLAY rtsp://"},
		"one byte":           {loopback, "\x03", "", "\x03"},
		"begins like one":    {loopback, "\r\n\r\n\x00\r\nOPTIONS", "", "\r\n\r\n\x00\r\nOPTIONS"},
		"long":               {loopback, header(t, 1, "192.0.2.7:4000") + strings.Repeat("x", 10000), "192.0.2.7:4000", strings.Repeat("x", 10000)},
		"twice":              {loopback, header(t, 1, "192.0.2.7:4000") + "PROXY TCP4 ", "192.0.2.7:4000", "PROXY TCP4 "},
		"not trusted":        {elsewhere, header(t, 1, "192.0.2.7:4000") + "OPTIONS", "", header(t, 1, "192.0.2.7:4000") + "OPTIONS"},
		"nobody is trusted":  {nil, header(t, 2, "192.0.2.7:4000") + "OPTIONS", "", header(t, 2, "192.0.2.7:4000") + "OPTIONS"},
		"trusted and silent": {elsewhere, "", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, _ := listen(t, c.trusted)
			client := dial(t, l)
			if _, err := io.WriteString(client, c.sent); err != nil {
				t.Fatal(err)
			}
			server := accept(t, l)
			want := c.remote
			if want == "" {
				want = client.LocalAddr().String()
			}
			if got := server.RemoteAddr().String(); got != want {
				t.Errorf("the client is %s, want %s", got, want)
			}
			got := make([]byte, len(c.rest))
			if _, err := io.ReadFull(server, got); err != nil || string(got) != c.rest {
				t.Errorf("read %q, %v", got, err)
			}
			if _, err := io.WriteString(server, "answer"); err != nil {
				t.Error(err)
			}
			_ = client.(*net.TCPConn).CloseWrite() // it is one
			if rest, err := io.ReadAll(server); err != nil || len(rest) > 0 {
				t.Errorf("read %q, %v at the end", rest, err)
			}
		})
	}
}

// What is no header is refused with one line; nobody else waits for it.
func TestBadHeaders(t *testing.T) {
	t.Parallel()
	for name, sent := range map[string]string{
		"v1 without end":   "PROXY TCP4 " + strings.Repeat("1", 200),
		"v1 addresses":     "PROXY TCP4 a b 1 2\r\n",
		"v1 ports":         "PROXY TCP4 1.2.3.4 1.2.3.4 99999 -1\r\n",
		"v2 version":       string(proxyproto.SIGV2) + "\x31\x11\x00\x00",
		"v2 too short":     string(proxyproto.SIGV2) + "\x21\x11\x00\x04abcd",
		"v2 absurd length": string(proxyproto.SIGV2) + "\x21\x11\xff\xff" + strings.Repeat("x", 70000),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, out := listen(t, loopback)
			bad := dial(t, l)
			_, _ = io.WriteString(bad, sent)
			if _, err := bad.Read(make([]byte, 1)); err == nil {
				t.Error("it was answered")
			}
			good := dial(t, l)
			_, _ = io.WriteString(good, header(t, 2, "192.0.2.8:1")+"x")
			if a := accept(t, l).RemoteAddr().String(); a != "192.0.2.8:1" {
				t.Errorf("the next client is %s", a)
			}
			if s := out.String(); strings.Count(s, "\n") != 1 || !strings.Contains(s, "wrong header of the PROXY protocol") {
				t.Errorf("logged %q", s)
			}
		})
	}
}

// Connections without a word neither hold up others nor outlive the listener.
// Probes of load balancers, which close at once, are no news.
func TestSilentConnections(t *testing.T) {
	t.Parallel()
	l, out := listen(t, loopback)
	var silent []net.Conn
	for range 20 {
		silent = append(silent, dial(t, l))
	}
	_ = dial(t, l).Close()
	c := dial(t, l)
	_, _ = io.WriteString(c, header(t, 1, "192.0.2.9:1"))
	accept(t, l)
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	for _, s := range silent {
		if _, err := s.Read(make([]byte, 1)); err == nil {
			t.Error("a silent connection is not closed")
		}
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after Close: %v", err)
	}
	_ = l.Close() // twice does no harm
	if s := out.String(); s != "" {
		t.Errorf("logged %q", s)
	}
}

// failing is a listener that has no file descriptors left, once.
type failing struct {
	net.Listener
	once sync.Once
}

var errShortage = errors.New("too many open files")

func (f *failing) Accept() (c net.Conn, err error) {
	f.once.Do(func() { err = errShortage })
	if err != nil {
		return nil, err
	}
	return f.Listener.Accept()
}

func TestErrorsOfAcceptArePassedOn(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := Listen(&failing{Listener: ln}, loopback, slog.New(slog.DiscardHandler))
	defer func() { _ = l.Close() }()
	if _, err := l.Accept(); !errors.Is(err, errShortage) {
		t.Errorf("got %v", err)
	}
	_, _ = io.WriteString(dial(t, l), "x")
	accept(t, l)
}

// quiet is a connection that times out at once.
type quiet struct{ net.Conn }

func (quiet) SetReadDeadline(time.Time) error { return nil }
func (quiet) Read([]byte) (int, error)        { return 0, timeoutError{} }

type timeoutError struct{}

func (timeoutError) Error() string   { return "time is over" }
func (timeoutError) Timeout() bool   { return true }
func (timeoutError) Temporary() bool { return true }

// Who says nothing in time is left to the protocol, which has limits of its own.
func TestSilenceIsLeftToTheProtocol(t *testing.T) {
	t.Parallel()
	a, b := net.Pipe()
	defer func() { _, _ = a.Close(), b.Close() }()
	q := quiet{a}
	if c, err := identify(q); c != net.Conn(q) || err != nil {
		t.Errorf("got %v, %v", c, err)
	}
}

func FuzzIdentify(f *testing.F) {
	f.Add([]byte("PROXY TCP4 192.0.2.7 192.0.2.8 1 2\r\nabc"))
	f.Add([]byte("PROXY UNKNOWN\r\n"))
	f.Add(fmt.Appendf(nil, "%s\x21\x11\x00\x0c%sabc", proxyproto.SIGV2, "abcdefghijkl"))
	f.Add(fmt.Appendf(nil, "%s\x20\x00\x00\x00", proxyproto.SIGV2))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := identify(&script{Reader: bytes.NewReader(data)})
		if err != nil {
			return
		}
		rest, err := io.ReadAll(c)
		if err != nil || !bytes.HasSuffix(data, rest) {
			t.Errorf("read %q, %v", rest, err)
		}
		if a, ok := c.RemoteAddr().(*net.TCPAddr); !ok || a == nil {
			t.Errorf("the address is %v", c.RemoteAddr())
		}
	})
}

// script is a connection on which certain bytes come.
type script struct {
	net.Conn
	*bytes.Reader
}

func (s *script) Read(p []byte) (int, error)      { return s.Reader.Read(p) }
func (s *script) SetReadDeadline(time.Time) error { return nil }
func (s *script) RemoteAddr() net.Addr            { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }
