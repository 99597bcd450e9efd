package egress

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// stream parses what a reader receives: frames on channel 0 and control messages "C<n>\n".
type stream struct {
	r       *bufio.Reader
	stall   func() // called before each element
	unit    int    // of the packet that came last
	next    int    // number of the packet that must come next, 0: a new unit
	units   int
	gaps    int
	control int
	channel byte
}

func newStream(c net.Conn) *stream { return &stream{r: bufio.NewReaderSize(c, 4096), unit: -1} }

// read consumes elements until until returns true, and checks order and integrity.
func (s *stream) read(until func() bool) error {
	for !until() {
		if s.stall != nil {
			s.stall()
		}
		c, err := s.r.ReadByte()
		if err != nil {
			return err
		}
		switch c {
		case 'C':
			err = s.readControl()
		case '$':
			err = s.readFrame()
		default:
			err = fmt.Errorf("after unit %d packet %d: unexpected byte %#x", s.unit, s.next, c)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *stream) readControl() error {
	line, err := s.r.ReadString('\n')
	if err != nil {
		return err
	}
	n, _, _ := strings.Cut(strings.TrimSpace(line), " ")
	if n != fmt.Sprint(s.control) {
		return fmt.Errorf("control message %q, want number %d", n, s.control)
	}
	if s.next != 0 {
		return errors.New("control message inside of a unit")
	}
	s.control++
	return nil
}

func (s *stream) readFrame() error {
	var h [3]byte
	if _, err := io.ReadFull(s.r, h[:]); err != nil {
		return err
	}
	if h[0] != s.channel {
		return fmt.Errorf("channel %d, want %d", h[0], s.channel)
	}
	pkt := make([]byte, binary.BigEndian.Uint16(h[1:]))
	if _, err := io.ReadFull(s.r, pkt); err != nil {
		return err
	}
	unit, i, n, key, err := checkPacket(pkt)
	switch {
	case err != nil:
		return err
	case i != s.next:
		return fmt.Errorf("unit %d: packet %d, want %d", unit, i, s.next)
	case i > 0 && unit != s.unit:
		return fmt.Errorf("unit %d goes on as %d", s.unit, unit)
	case i == 0 && unit <= s.unit:
		return fmt.Errorf("unit %d after %d", unit, s.unit)
	case i == 0 && s.unit >= 0 && unit != s.unit+1:
		s.gaps++
		if !key {
			return fmt.Errorf("unit %d after %d is not a key frame", unit, s.unit)
		}
	}
	s.unit = unit
	if s.next = i + 1; s.next == n {
		s.next = 0
		s.units++
	}
	return nil
}

var track0 = []TCPTrack{{Track: 0, Channel: 0}}

// Many readers, some of which stall, get frames and control messages in order and never torn.
func TestTCPReaders(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"tcp", "unix", "pipe", "tls"} {
		for _, readers := range []int{1, 2, 24} {
			t.Run(fmt.Sprintf("%s/%d", kind, readers), func(t *testing.T) {
				t.Parallel()
				testTCPReaders(t, kind, readers)
			})
		}
	}
}

func testTCPReaders(t *testing.T, kind string, readers int) {
	const units = 240
	p := NewPool(3)
	defer p.Close()
	g := p.NewGroup()
	defer g.Close()

	var wg sync.WaitGroup
	var conns []*TCPConn
	var rs []*TCPReader
	gaps := make([]int, readers)
	for i := range readers {
		a, b := socketPair(t, kind)
		c := NewTCPConn(a, TCPOptions{QueueBytes: 256 << 10, OnError: func(err error) { t.Error(err) }})
		r := NewTCPReader(c, []TCPTrack{{Track: 0, Channel: uint8(i % 3 * 2)}})
		g.Add(r)
		conns, rs = append(conns, c), append(rs, r)
		s := newStream(b)
		s.channel = uint8(i % 3 * 2)
		if i%2 == 1 || readers == 1 {
			s.stall = func() {
				if rand.IntN(400) == 0 {
					time.Sleep(20 * time.Millisecond)
				}
			}
		}
		wg.Go(func() {
			// The last units may have been dropped: a control message behind them is what ends the test.
			if err := s.read(func() bool { return s.control == units+1 }); err != nil {
				t.Errorf("reader %d: %v", i, err)
			}
			gaps[i] = s.gaps
		})
	}
	for unit := range units {
		for _, c := range conns {
			if _, err := fmt.Fprintf(c, "C%d %s\n", unit, strings.Repeat("x", unit)); err != nil {
				t.Error(err)
			}
		}
		g.Send(testMessage(p, g, unit, unitSizes(unit)))
		time.Sleep(200 * time.Microsecond)
	}
	eventually(t, "the last unit is handed over", func() bool { return g.inflight.Load() == 0 })
	for _, c := range conns {
		fmt.Fprintf(c, "C%d\n", units)
	}
	wg.Wait()

	due := uint64(0)
	for unit := range units {
		due += uint64(len(unitSizes(unit)))
	}
	for i, r := range rs {
		eventually(t, "all packets are counted, all memory is given back", func() bool {
			conns[i].mu.Lock()
			defer conns[i].mu.Unlock()
			if q := &conns[i].q; q.media != 0 || q.control != 0 || q.len() != 0 || cap(q.items) > keepItems || conns[i].draining {
				return t.Failed()
			}
			s := r.Stats()
			return s.Packets+s.Discarded == due || t.Failed()
		})
		if gaps[i] > 0 && r.Stats().Discarded == 0 {
			t.Errorf("reader %d: gaps but nothing discarded", i)
		}
		conns[i].Close()
	}
}

// A reader that does not read loses whole units while the others get all; it resumes at a key frame.
func TestTCPSlowReader(t *testing.T) {
	t.Parallel()
	const readers, queue, units = 5, 128 << 10, 200
	p := NewPool(2)
	defer p.Close()
	g := p.NewGroup()
	defer g.Close()
	var rs []*TCPReader
	var got atomic.Int64
	var wg sync.WaitGroup
	var slow net.Conn
	for i := range readers {
		kind := "tcp-large"
		if i == 0 {
			kind = "tcp"
		}
		a, b := socketPair(t, kind)
		r := NewTCPReader(NewTCPConn(a, TCPOptions{QueueBytes: queue, WriteTimeout: time.Minute}), track0)
		g.Add(r)
		rs = append(rs, r)
		if i == 0 {
			slow = b
			continue
		}
		wg.Go(func() {
			s := newStream(b)
			if err := s.read(func() bool { got.Store(int64(s.unit)); return s.unit == units-1 && s.next == 0 }); err != nil || s.gaps > 0 {
				t.Errorf("reader %d: %v, %d gaps", i, err, s.gaps)
			}
		})
	}
	most := 0
	send := func(unit int) {
		g.Send(testMessage(p, g, unit, unitSizes(unit)))
		rs[0].conn.mu.Lock()
		most = max(most, rs[0].conn.q.media)
		rs[0].conn.mu.Unlock()
	}
	for unit := range units {
		send(unit)
		eventually(t, "others keep up", func() bool {
			ok := t.Failed()
			n := 0
			for _, r := range rs[1:] {
				r.conn.mu.Lock()
				n += r.conn.q.media
				r.conn.mu.Unlock()
			}
			return ok || n == 0 && g.inflight.Load() == 0
		})
	}
	wg.Wait()
	if most == 0 || most > queue {
		t.Errorf("the queue held up to %d bytes, limit %d", most, queue)
	}
	for i, r := range rs {
		if d := r.Stats().Discarded; (d > 0) != (i == 0) {
			t.Errorf("reader %d: %d discarded", i, d)
		}
	}

	// It reads again: what was queued comes, then a gap that ends at a key frame (checked by read).
	s := newStream(slow)
	done := make(chan error, 1)
	go func() { done <- s.read(func() bool { return s.gaps >= 1 }) }()
	for unit := units; ; unit++ {
		send(unit)
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			return
		case <-time.After(time.Millisecond):
		}
		if unit > 40*units {
			t.Fatal("no gap seen")
		}
	}
}

// A reader that takes nothing is closed after WriteTimeout.
func TestTCPWriteTimeout(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"tcp", "pipe"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			p := NewPool(1)
			defer p.Close()
			g := p.NewGroup()
			defer g.Close()
			a, b := socketPair(t, kind)
			errs := make(chan error, 2)
			c := NewTCPConn(a, TCPOptions{WriteTimeout: 100 * time.Millisecond, OnError: func(err error) { errs <- err }})
			r := NewTCPReader(c, track0)
			g.Add(r)
			start := time.Now()
			unit := 0
			eventually(t, "the connection fails", func() bool {
				g.Send(testMessage(p, g, unit, unitSizes(unit)))
				unit++
				return len(errs) > 0
			})
			if err := <-errs; !errors.Is(err, ErrWriteTimeout) {
				t.Errorf("got %v", err)
			}
			if time.Since(start) < 100*time.Millisecond {
				t.Error("failed too early")
			}
			if _, err := c.Write([]byte("x")); !errors.Is(err, ErrWriteTimeout) {
				t.Errorf("Write after the timeout: %v", err)
			}
			for range 2000 { // the other end sees that it is closed, after what came through
				if _, err := b.Read(make([]byte, 1<<20)); err != nil {
					break
				}
			}
			before := r.Stats().Discarded
			g.Send(testMessage(p, g, 0, []int{100}))
			eventually(t, "packets to a dead connection are counted", func() bool { return r.Stats().Discarded == before+1 })
			c.Close()
			if len(errs) > 0 {
				t.Errorf("OnError called again: %v", <-errs)
			}
		})
	}
}

// closeRecorder knows whether it was closed.
type closeRecorder struct {
	net.Conn
	closed atomic.Bool
}

func (c *closeRecorder) Close() error {
	c.closed.Store(true)
	return c.Conn.Close()
}

// The goroutine that reads ends with the connection: by then the reason is known.
func TestTCPReasonBeforeClose(t *testing.T) {
	t.Parallel()
	a, _ := socketPair(t, "pipe")
	conn := &closeRecorder{Conn: a}
	early := make(chan bool, 1)
	c := NewTCPConn(conn, TCPOptions{
		WriteTimeout: time.Millisecond,
		OnError:      func(error) { early <- !conn.closed.Load() },
	})
	defer func() { _ = c.Close() }()
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if !<-early {
		t.Error("the connection was closed before OnError was called")
	}
	eventually(t, "the connection is closed", conn.closed.Load)
}

// The other side goes away: OnError is called once although many writes fail.
func TestTCPReset(t *testing.T) {
	t.Parallel()
	p := NewPool(1)
	defer p.Close()
	g := p.NewGroup()
	defer g.Close()
	a, b := socketPair(t, "tcp")
	errs := make(chan error, 10)
	c := NewTCPConn(a, TCPOptions{OnError: func(err error) { errs <- err }})
	defer c.Close()
	g.Add(NewTCPReader(c, track0))
	b.Close()
	unit := 0
	eventually(t, "the connection fails", func() bool {
		g.Send(testMessage(p, g, unit, unitSizes(unit)))
		unit++
		return len(errs) > 0
	})
	for range 10 {
		g.Send(testMessage(p, g, unit, unitSizes(unit)))
	}
	g.Close()
	if len(errs) != 1 {
		t.Errorf("OnError called %d times", len(errs))
	}
}

// OnError may close the connection, and Close ends the goroutine of a backlog without calling OnError.
func TestTCPClose(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"tcp", "pipe", "tls"} {
		a, _ := socketPair(t, kind)
		c := NewTCPConn(a, TCPOptions{OnError: func(err error) { t.Errorf("OnError: %v", err) }})
		p := NewPool(1)
		b := p.Get(0)
		b.AppendPacket(make([]byte, 10<<20))
		r := NewTCPReader(c, track0)
		if !c.send(r, b, false, false, 1) || !c.draining {
			t.Fatal("not queued")
		}
		c.Close()
		if n := b.refs.Load(); n != 1 {
			t.Errorf("%s: %d references, want 1", kind, n)
		}
		if c.draining || c.q.len() != 0 || r.Stats().Discarded != 1 {
			t.Errorf("%s: after Close: draining %v, %d queued, %+v", kind, c.draining, c.q.len(), r.Stats())
		}
		if _, err := c.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Write after Close: %v", err)
		}
		p.Close()
	}
}

// Control messages that the other side does not take are bounded.
func TestTCPControlLimit(t *testing.T) {
	t.Parallel()
	a, _ := socketPair(t, "tcp")
	c := NewTCPConn(a, TCPOptions{})
	defer c.Close()
	msg := make([]byte, 10000)
	for n := 0; ; n += len(msg) {
		if _, err := c.Write(msg); err != nil {
			if !errors.Is(err, ErrControlQueueFull) {
				t.Fatal(err)
			}
			break
		}
		if n > 64<<20 {
			t.Fatal("no limit")
		}
	}
	if c.q.control > maxControlBytes {
		t.Errorf("%d bytes are waiting", c.q.control)
	}
}

// Remove throws away the queue of a reader, but for the block that has been begun.
func TestTCPRemovePurges(t *testing.T) {
	t.Parallel()
	p := NewPool(1)
	defer p.Close()
	g := p.NewGroup()
	defer g.Close()
	a, b := socketPair(t, "tcp")
	c := NewTCPConn(a, TCPOptions{})
	defer c.Close()
	r := NewTCPReader(c, track0)
	g.Add(r)
	unit := 0
	for ; unit < 2000; unit++ {
		c.mu.Lock()
		full := c.q.media > 1<<20
		c.mu.Unlock()
		if full {
			break
		}
		g.Send(testMessage(p, g, unit, unitSizes(unit)))
		eventually(t, "served", func() bool { return g.inflight.Load() == 0 })
	}
	g.Remove(r)
	c.mu.Lock()
	left := c.q.media
	c.mu.Unlock()
	if left > 200<<10 {
		t.Errorf("%d bytes are still queued", left)
	}
	if _, err := c.Write([]byte("C0\n")); err != nil {
		t.Fatal(err)
	}
	s := newStream(b)
	if err := s.read(func() bool { return s.control == 1 }); err != nil {
		t.Fatal(err)
	}
	if s.unit >= unit-1 || s.gaps > 0 {
		t.Errorf("got unit %d of %d, %d gaps", s.unit, unit, s.gaps)
	}
	eventually(t, "all are counted", func() bool {
		st, due := r.Stats(), 0
		for i := range unit {
			due += len(unitSizes(i))
		}
		return st.Packets+st.Discarded == uint64(due)
	})
}

func TestTCPControlMessages(t *testing.T) {
	t.Parallel()
	p := NewPool(1)
	defer p.Close()
	g := p.NewGroup()
	defer g.Close()
	a, b := socketPair(t, "tcp")
	c := NewTCPConn(a, TCPOptions{})
	defer c.Close()
	r := NewTCPReader(c, []TCPTrack{{Track: 3, Channel: 6}})
	g.Add(r)
	if ch := g.Channels(3); len(ch) != 1 || ch[0] != 6 || g.Channels(0) != nil || g.HasUDP() {
		t.Fatalf("channels %v", ch)
	}
	r.skip[3] = true // waiting for a key frame does not hold reports back
	m := p.NewMessage()
	m.Track, m.Control = 3, true
	blk := p.Get(0)
	blk.AppendFrame(7, []byte("report"))
	m.SetInterleaved(6, blk)
	g.Send(m)
	buf := make([]byte, 10)
	if _, err := io.ReadFull(b, buf); err != nil || string(buf) != "$\x07\x00\x06report" {
		t.Fatalf("%q %v", buf, err)
	}
	eventually(t, "counted", func() bool { return r.Stats().ControlPackets == 1 })
	s := r.Stats()
	if s.Bytes != 6 || s.Packets != 0 || time.Since(s.LastWrite) > time.Minute || c.Written() != 10 {
		t.Errorf("%+v, %d written", s, c.Written())
	}
}

func TestTCPNoAllocations(t *testing.T) {
	p := NewPool(1)
	defer p.Close()
	a, b := socketPair(t, "tcp")
	go io.Copy(io.Discard, b)
	c := NewTCPConn(a, TCPOptions{})
	defer c.Close()
	if c.rc == nil {
		t.Skip("no direct writes on this system")
	}
	r := NewTCPReader(c, track0)
	blk := p.Get(0)
	blk.AppendFrame(0, make([]byte, 100))
	if n := testing.AllocsPerRun(200, func() { c.send(r, blk, false, false, 1) }); n != 0 {
		t.Errorf("%v allocations per write", n)
	}
}
