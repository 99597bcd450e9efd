package egress

import (
	"net"
	"os"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

func TestProbe(t *testing.T) {
	t.Parallel()
	s := listenUDP(t, "udp4", "127.0.0.1:0")
	if s.mode.Load() < modeBatch {
		t.Errorf("mode %d", s.mode.Load())
	}
	size := 0
	s.rc.Control(func(fd uintptr) { size, _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF) })
	if size < 200<<10 {
		t.Errorf("send buffer of %d bytes", size)
	}
}

// The kernel refuses UDP_SEGMENT on sockets without checksums, as it does where a device cannot compute them and for
// segments above the MTU. What was refused is sent again without it, and the destination is remembered.
func TestUDPSegmentationRefused(t *testing.T) {
	t.Parallel()
	s := listenUDP(t, "udp4", "127.0.0.1:0")
	setMode(t, s, modeGSO)
	x := newReceiver(t, "udp4", "127.0.0.1:0")
	s.rc.Control(func(fd uintptr) { unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_NO_CHECK, 1) })
	d, err := s.Destination(x.addr())
	if err != nil {
		t.Fatal(err)
	}
	b := NewBatch(0)
	var c Counters
	sizes := append(repeat(8, 700), 30)
	pkts := packetsOf(sizes)
	for i := range 3 {
		b.Send(d, slices.Concat(pkts...), 700, &c, false)
		if i > 0 && len(b.entries) != len(pkts) {
			t.Errorf("%d entries, want %d", len(b.entries), len(pkts))
		}
		b.Flush()
		x.expect(t, pkts)
		if d.gsoMax.Load() != 699 {
			t.Errorf("segments up to %d", d.gsoMax.Load())
		}
	}
	if st := c.Stats(); st.Packets != 27 || st.Discarded != 0 {
		t.Errorf("%+v", st)
	}
	for errno, max := range map[unix.Errno]int32{unix.EIO: 0, unix.EMSGSIZE: 899, unix.ENETUNREACH: maxGSOBytes} {
		d.gsoMax.Store(maxGSOBytes)
		if got := d.refused(errno, 900); got != (max != maxGSOBytes) || d.gsoMax.Load() != max {
			t.Errorf("%v: %v, %d", errno, got, d.gsoMax.Load())
		}
	}
}

// One destination that fails does not cost the others anything.
func TestUDPUnreachable(t *testing.T) {
	t.Parallel()
	s := listenUDP(t, "udp4", "127.0.0.1:0")
	setMode(t, s, modeBatch)
	x := newReceiver(t, "udp4", "127.0.0.1:0")
	good, err := s.Destination(x.addr())
	if err != nil {
		t.Fatal(err)
	}
	bad, err := s.Destination(x.addr())
	if err != nil {
		t.Fatal(err)
	}
	bad.raw.buf[0] = 0xff // no such address family
	b := NewBatch(0)
	var cg, cb Counters
	pkts := packetsOf([]int{100, 100})
	data := slices.Concat(pkts...)
	for range 3 {
		b.Send(bad, data, 100, &cb, false)
		b.Send(good, data, 100, &cg, false)
	}
	b.Flush()
	x.expect(t, slices.Repeat(pkts, 3))
	if g, b := cg.Stats(), cb.Stats(); g.Packets != 6 || g.Discarded != 0 || b.Packets != 0 || b.Discarded != 6 {
		t.Errorf("%+v %+v", g, b)
	}
}

// A full send buffer costs a short wait, then the datagrams. A pair of Unix sockets shows it: loopback UDP never does.
func TestUDPBufferFull(t *testing.T) {
	t.Parallel()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fds[0]), "")
	defer unix.Close(fds[1])
	c, err := net.FilePacketConn(f)
	f.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	rc, err := c.(*net.UnixConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	s := &UDPSocket{rc: rc}
	s.mode.Store(modeBatch)
	d := &Destination{socket: s} // without an address: to the peer
	b := NewBatch(0)
	var n Counters
	const all = 5000
	for range all {
		b.Send(d, make([]byte, 1000), 1000, &n, false)
	}
	b.Flush()
	st := n.Stats()
	if st.Packets == 0 || st.Discarded == 0 || st.Packets+st.Discarded != all {
		t.Errorf("%+v", st)
	}
	buf := make([]byte, 2000)
	got := uint64(0)
	for {
		if k, _ := unix.Read(fds[1], buf); k != 1000 {
			break
		}
		got++
	}
	if got != st.Packets {
		t.Errorf("%d came, %d were counted", got, st.Packets)
	}
}
