package rtcegress

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/pion/ice/v4"

	"github.com/org/mtx/protocol/internal/egress"
)

var _ ice.AddrPortReaderWriter = (*Conn)(nil)

func newConn(t testing.TB) *Conn {
	t.Helper()
	c, err := Wrap(loopback(t))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Packets of a viewer that is served wait for the batch, others do not; a change of the address loses nothing.
func TestCollect(t *testing.T) {
	t.Parallel()
	p, b := newPool(t), egress.NewBatch(0)
	c := newConn(t)
	one, two := newReceiver(t), newReceiver(t)
	w, tr := newWire(t, 7)
	w.conn, w.to = c, one.addr()
	v := NewViewer(c, map[int]*Track{0: tr}, w.WriteRTCP)
	deliver(v, b, unit(p, 0, true, 0, 0, 100))
	seq, _ := one.next(t)
	direct(t, v)
	if v.slow {
		t.Fatal("not written to directly")
	}
	check := func(r receiver, sizes ...int) {
		t.Helper()
		for _, want := range sizes {
			seq++
			if s, n := r.next(t); s != seq || n != want+rtpHeaderSize+srtpOverhead {
				t.Errorf("sequence number %d of %d bytes, want %d of %d", s, n, seq, want)
			}
		}
	}
	m := unit(p, 0, false, 1, 10, 100, 100, 100, 50, 100, 200, 200, 1)
	v.Deliver(m, b)
	before := v.Stats().Packets
	b.Flush()
	if n := v.Stats().Packets - before; n != 8 {
		t.Errorf("%d packets left with the batch", n)
	}
	m.Release()
	check(one, 100, 100, 100, 50, 100, 200, 200, 1)

	w.to = two.addr() // the candidate pair changed
	deliver(v, b, unit(p, 0, false, 2, 20, 100, 100))
	check(two, 100, 100)

	large := make([]int, 1000) // more than the memory of a batch
	for i := range large {
		large[i] = 1200
	}
	_ = two.SetReadBuffer(4 << 20)
	deliver(v, b, unit(p, 0, false, 3, 30, large[:200]...))
	check(two, large[:200]...)

	w.conn, w.got = nil, nil // over TCP, say
	deliver(v, b, unit(p, 0, false, 4, 40, 100, 100))
	deliver(v, b, unit(p, 0, false, 5, 50, 100))
	eventually(t, "went another way", func() bool { return len(w.packets()) == 3 })
	for i, g := range w.packets() {
		if seq++; g.SequenceNumber != seq {
			t.Errorf("packet %d: sequence number %d, want %d", i, g.SequenceNumber, seq)
		}
	}
	direct(t, v)
	if !v.slow {
		t.Error("writing may block, and is done directly")
	}

	w.conn = c // and back
	deliver(v, b, unit(p, 0, false, 6, 60, 100, 100))
	check(two, 100, 100)
	direct(t, v)
	deliver(v, b, unit(p, 0, false, 7, 70, 100, 100))
	check(two, 100, 100)
	if s := v.Stats(); s.Discarded != 0 || s.Packets != 1+8+2+200+3+4 || v.slow {
		t.Errorf("%+v", s)
	}
	v.Close()
	if c.outlets.get(7) != nil {
		t.Error("still known")
	}
}

// Packets of two viewers with one SSRC are sent at once.
func TestSameSSRC(t *testing.T) {
	t.Parallel()
	p, b := newPool(t), egress.NewBatch(0)
	c := newConn(t)
	var rs []receiver
	var vs []*Viewer
	for range 2 {
		r := newReceiver(t)
		w, tr := newWire(t, 7)
		w.conn, w.to = c, r.addr()
		v := NewViewer(c, map[int]*Track{0: tr}, w.WriteRTCP)
		rs, vs = append(rs, r), append(vs, v)
	}
	for i := range 3 {
		for k, v := range vs {
			deliver(v, b, unit(p, 0, i == 0, i, 0, 100, 100))
			rs[k].next(t)
			rs[k].next(t)
			direct(t, v)
		}
	}
	if c.outlets.get(7) != nil || !vs[1].slow {
		t.Error("an SSRC of two viewers is used to find one")
	}
	for _, v := range vs {
		if s := v.Stats(); s.Packets != 6 || s.Discarded != 0 {
			t.Errorf("%+v", s)
		}
		v.Close()
	}
}

// faulty is a socket with an error per read.
type faulty struct {
	net.PacketConn
	errs []error
}

func (f *faulty) ReadFrom(p []byte) (int, net.Addr, error) {
	if len(f.errs) > 0 {
		err := f.errs[0]
		f.errs = f.errs[1:]
		return 0, nil, err
	}
	return f.PacketConn.ReadFrom(p)
}

func TestAnyPacketConn(t *testing.T) {
	t.Parallel()
	f := &faulty{PacketConn: loopback(t), errs: []error{errors.New("message too long"), os.ErrDeadlineExceeded}}
	c, err := Wrap(f)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.SetReadBuffer(1000); !errors.Is(err, errors.ErrUnsupported) {
		t.Error(err)
	}
	buf := make([]byte, 100)
	if _, _, err := c.ReadFromAddrPort(buf); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
	r := newReceiver(t)
	if _, err := r.WriteTo([]byte("hello"), c.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	n, a, err := c.ReadFromAddrPort(buf)
	if err != nil || string(buf[:n]) != "hello" || a != r.addr() {
		t.Errorf("%q from %v, %v", buf[:n], a, err)
	}
	p, b := newPool(t), egress.NewBatch(0)
	w, tr := newWire(t, 7)
	w.conn, w.to = c, r.addr()
	v := NewViewer(c, map[int]*Track{0: tr}, w.WriteRTCP)
	defer v.Close()
	deliver(v, b, unit(p, 0, true, 0, 0, 100, 100))
	r.next(t)
	if _, n := r.next(t); n != 100+rtpHeaderSize+srtpOverhead {
		t.Errorf("%d bytes", n)
	}
	if _, err := c.WriteTo([]byte("x"), net.UDPAddrFromAddrPort(r.addr())); err != nil {
		t.Error(err)
	}
	direct(t, v)
}

func TestListen(t *testing.T) {
	t.Parallel()
	c, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.SetReadBuffer(100000); err != nil {
		t.Error(err)
	}
	r := newReceiver(t)
	if _, err := c.WriteTo([]byte("x"), net.UDPAddrFromAddrPort(r.addr())); err != nil {
		t.Error(err)
	}
	if _, err := c.WriteToAddrPort([]byte("y"), r.addr()); err != nil {
		t.Error(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(-time.Second))
	if _, _, err := c.ReadFromAddrPort(make([]byte, 10)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
	_ = c.Close()
	if _, _, err := c.ReadFromAddrPort(make([]byte, 10)); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	for _, bad := range []string{"127.0.0.1:x", "203.0.113.1:1"} {
		if c, err := Listen(bad); err == nil {
			_ = c.Close()
			t.Errorf("listens at %s", bad)
		}
	}
	if _, err := c.WriteToAddrPort(nil, netip.AddrPort{}); err == nil {
		t.Error("wrote to nowhere")
	}
}

// Delivering allocates nothing, but for the reports once per second.
func TestAllocations(t *testing.T) {
	c := newConn(t)
	r := newReceiver(t)
	w := &plainWriter{conn: c, to: r.addr()}
	_, tr := newWire(t, 7)
	tr.bound.Store(&binding{ssrc: 7, pt: 96, w: w, nack: true})
	v := NewViewer(c, map[int]*Track{0: tr}, nil)
	defer v.Close()
	p, b := newPool(t), egress.NewBatch(0)
	m := unit(p, 0, true, 0, 0, benchSizes...)
	defer m.Release()
	v.Deliver(m, b)
	direct(t, v)
	v.told = true
	for range 2 * historyUnits {
		v.Deliver(m, b)
		b.Flush()
	}
	if n := testing.AllocsPerRun(100, func() { v.Deliver(m, b); b.Flush() }); n > 0 {
		t.Errorf("%v allocations per access unit", n)
	}
}
