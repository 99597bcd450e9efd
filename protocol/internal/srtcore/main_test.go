package srtcore

import (
	"bytes"
	"context"
	"encoding/binary"
	"log/slog"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	srt "github.com/datarhei/gosrt"
	"go.uber.org/goleak"

	"github.com/org/mtx/protocol/internal/egress"
)

func TestMain(m *testing.M) {
	if addr := os.Getenv(readersEnv); addr != "" {
		runReaders(addr)
		return
	}
	// The dialer of gosrt leaves this one behind when it is refused.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/datarhei/gosrt.DialWithContext.func1"))
}

// patience is how long tests wait for something that must happen.
const patience = 15 * time.Second

// testListener is a listener on a random port.
type testListener struct {
	*Listener
	conns chan *Conn
	ends  chan error
}

// listen starts a listener. accept may be nil: then everybody is let in with OnData.
func listen(t testing.TB, cfg Config, accept func(r *Request) (*Answer, error)) *testListener {
	t.Helper()
	sock, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	tl := &testListener{conns: make(chan *Conn, 256), ends: make(chan error, 256)}
	cfg.Accept = func(_ context.Context, r *Request) (*Answer, error) {
		a, err := accept(r)
		if err != nil {
			return nil, err
		}
		open, end := a.OnOpen, a.OnClose
		a.OnOpen = func(c *Conn) {
			if open != nil {
				open(c)
			}
			tl.conns <- c
		}
		a.OnClose = func(c *Conn, err error) {
			if end != nil {
				end(c, err)
			}
			tl.ends <- err
		}
		return a, nil
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	if tl.Listener, err = Listen(sock, cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tl.Close)
	return tl
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Logf("%s", bytes.TrimSpace(p))
	return len(p), nil
}

func (tl *testListener) addr() string { return tl.Addr().String() }

// conn waits for the next connection.
func (tl *testListener) conn(t testing.TB) *Conn {
	t.Helper()
	select {
	case c := <-tl.conns:
		return c
	case <-time.After(patience):
		t.Fatal("no connection")
		return nil
	}
}

// end waits for the next connection to end.
func (tl *testListener) end(t testing.TB) error {
	t.Helper()
	select {
	case err := <-tl.ends:
		return err
	case <-time.After(patience):
		t.Fatal("the connection did not end")
		return nil
	}
}

// dial connects with gosrt.
func dial(t testing.TB, addr string, change func(c *srt.Config)) srt.Conn {
	t.Helper()
	c, err := tryDial(addr, change)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func tryDial(addr string, change func(c *srt.Config)) (srt.Conn, error) {
	cfg := srt.DefaultConfig()
	cfg.PayloadSize = 1316
	if change != nil {
		change(&cfg)
	}
	return srt.Dial("srt", addr, cfg)
}

// numbered makes the i-th payload of a stream, which can be recognized.
func numbered(i, size int) []byte {
	p := bytes.Repeat([]byte{byte(i * 7)}, size)
	binary.BigEndian.PutUint32(p, uint32(i))
	return p
}

// sequence checks payloads made by numbered.
type sequence struct {
	mu     sync.Mutex
	got    int
	bad    int // damaged or out of order
	missed int
	next   int
	first  int // -1: the stream may begin anywhere
	notify chan struct{}
}

func newSequence() *sequence { return &sequence{notify: make(chan struct{}, 1)} }

func (s *sequence) take(p []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := -1
	if len(p) >= 4 {
		i = int(binary.BigEndian.Uint32(p))
	}
	if s.first < 0 && i >= 0 {
		s.first, s.next = i, i
	}
	if i < s.next || i > 1<<24 || !bytes.Equal(p, numbered(i, len(p))) {
		s.bad++
		return
	}
	s.missed += i - s.next
	s.next = i + 1
	s.got++
	select {
	case s.notify <- struct{}{}:
	default:
	}
}

// wait waits until the i-th payload has come.
func (s *sequence) wait(t testing.TB, i int) {
	t.Helper()
	limit := time.After(patience)
	for {
		s.mu.Lock()
		done := s.next > i
		s.mu.Unlock()
		if done {
			return
		}
		select {
		case <-s.notify:
		case <-limit:
			s.mu.Lock()
			defer s.mu.Unlock() //nolint:gocritic // the test ends here
			t.Fatalf("payload %d did not come: %d came, %d missed, %d bad, next %d", i, s.got, s.missed, s.bad, s.next)
		}
	}
}

func (s *sequence) check(t testing.TB, got int) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.got != got || s.bad != 0 || s.missed != 0 {
		t.Errorf("%d payloads came, %d missed, %d bad; want %d, 0, 0", s.got, s.missed, s.bad, got)
	}
}

// publisher sends to a group of readers.
type publisher struct {
	pool  *egress.Pool
	group *egress.Group
}

func newPublisher(t testing.TB) *publisher {
	pool := egress.NewPool(0)
	t.Cleanup(pool.Close)
	return &publisher{pool, pool.NewGroup()}
}

// send sends payloads first to last as one message, the last of which is short.
func (p *publisher) send(first, last int) {
	b := p.pool.Get((last - first + 1) * 1316)
	for i := first; i <= last; i++ {
		size := 1316
		if i == last {
			size = 376
		}
		b.AppendPacket(numbered(i, size))
	}
	m := p.pool.NewMessage()
	m.SetPackets(b)
	p.group.Send(m)
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for limit := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatal("timeout: " + what)
		}
	}
}

// acceptInto lets everybody in.
func acceptInto(conns chan<- *Conn) func(context.Context, *Request) (*Answer, error) {
	return func(context.Context, *Request) (*Answer, error) {
		return &Answer{OnData: func([]byte) {}, OnOpen: func(c *Conn) { conns <- c }}, nil
	}
}
