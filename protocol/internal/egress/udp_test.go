package egress

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"time"
)

// receiver collects datagrams.
type receiver struct {
	*net.UDPConn
}

func newReceiver(t testing.TB, network, addr string) receiver {
	t.Helper()
	s := listenUDP(t, network, addr)
	s.SetReadBuffer(4 << 20)
	return receiver{s.UDPConn}
}

func (r receiver) addr() netip.AddrPort {
	return r.LocalAddr().(*net.UDPAddr).AddrPort()
}

func (r receiver) expect(t *testing.T, want [][]byte) {
	t.Helper()
	buf := make([]byte, 65536)
	r.SetReadDeadline(time.Now().Add(10 * time.Second))
	for i, w := range want {
		n, err := r.Read(buf)
		if err != nil {
			t.Fatalf("datagram %d of %d: %v", i, len(want), err)
		}
		if !bytes.Equal(buf[:n], w) {
			t.Fatalf("datagram %d: %d bytes, want %d", i, n, len(w))
		}
	}
}

var modes = map[string]sendMode{"gso": modeGSO, "sendmmsg": modeBatch, "plain": modePlain}

// setMode forces a way of sending.
func setMode(t testing.TB, s *UDPSocket, mode sendMode) {
	t.Helper()
	if s.mode.Load() < mode {
		t.Skip("not available on this system")
	}
	s.mode.Store(mode)
}

func packetsOf(sizes []int) [][]byte {
	var out [][]byte
	for i, n := range sizes {
		p := make([]byte, n)
		for k := range p {
			p[k] = byte(i*7 + k)
		}
		out = append(out, p)
	}
	return out
}

func repeat(n, size int) []int { return slices.Repeat([]int{size}, n) }

var sizeTests = map[string][]int{
	"one":               {1200},
	"tiny":              {1},
	"equal":             repeat(12, 1400),
	"last shorter":      append(repeat(11, 1400), 3),
	"last longer":       append(repeat(5, 1000), 1400),
	"all different":     {900, 800, 700, 1000, 1, 2, 3, 1400},
	"64 segments":       repeat(64, 100),
	"65 segments":       repeat(65, 100),
	"200 and a rest":    append(repeat(200, 50), 49),
	"more than 65000":   repeat(60, 1400),
	"large":             {65000, 400},
	"empty in between":  {100, 0, 100, 100, 0},
	"alternating":       {100, 200, 100, 200, 100},
	"groups of several": slices.Concat(repeat(3, 1400), []int{20}, repeat(4, 1400), []int{30}, repeat(2, 500)),
}

// What gortsplib asks of a socket that it is given.
var _ interface {
	net.PacketConn
	SyscallConn() (syscall.RawConn, error)
	SetReadBuffer(int) error
} = (*UDPSocket)(nil)

func TestUDPSizes(t *testing.T) {
	t.Parallel()
	for modeName, mode := range modes {
		for name, sizes := range sizeTests {
			t.Run(modeName+"/"+name, func(t *testing.T) {
				t.Parallel()
				p := NewPool(2)
				defer p.Close()
				g := p.NewGroup()
				defer g.Close()
				s := listenUDP(t, "udp4", "127.0.0.1:0")
				setMode(t, s, mode)
				var rx []receiver
				var rs []*UDPReader
				for range 3 {
					x := newReceiver(t, "udp4", "127.0.0.1:0")
					r, err := NewUDPReader(s, s, []UDPTrack{{Track: 0, RTP: x.addr()}})
					if err != nil {
						t.Fatal(err)
					}
					g.Add(r)
					rx, rs = append(rx, x), append(rs, r)
				}
				pkts := packetsOf(sizes)
				total := 0
				for range 3 {
					m, b := p.NewMessage(), p.Get(0)
					for _, pkt := range pkts {
						b.AppendPacket(pkt)
					}
					total += len(b.Data)
					m.SetPackets(b)
					g.Send(m)
					for _, x := range rx {
						x.expect(t, pkts)
					}
				}
				for _, r := range rs {
					eventually(t, "counted", func() bool { return r.Stats().Packets == uint64(3*len(sizes)) })
					if s := r.Stats(); s.Bytes != uint64(total) || s.Discarded != 0 || s.LastWrite.IsZero() {
						t.Errorf("%+v", s)
					}
				}
			})
		}
	}
}

// Many readers on several shards and more entries than a batch holds.
func TestUDPManyReaders(t *testing.T) {
	t.Parallel()
	for modeName, mode := range modes {
		t.Run(modeName, func(t *testing.T) {
			t.Parallel()
			p := NewPool(2)
			defer p.Close()
			g := p.NewGroup()
			defer g.Close()
			s := listenUDP(t, "udp4", "127.0.0.1:0")
			setMode(t, s, mode)
			const receivers, readers, units, packets = 30, 60, 10, 40
			var rx []receiver
			for range receivers {
				rx = append(rx, newReceiver(t, "udp4", "127.0.0.1:0"))
			}
			var rs []*UDPReader
			for i := range readers {
				r, err := NewUDPReader(s, s, []UDPTrack{{Track: 0, RTP: rx[i%receivers].addr()}})
				if err != nil {
					t.Fatal(err)
				}
				g.Add(r)
				rs = append(rs, r)
			}
			buf := make([]byte, 2000)
			for unit := range units {
				// One run for each packet, 2400 in all.
				g.Send(testMessage(p, g, unit, slices.Repeat([]int{100, 101}, packets/2)))
				for i, x := range rx {
					var seen [packets]int
					x.SetReadDeadline(time.Now().Add(10 * time.Second))
					for range packets * readers / receivers {
						n, err := x.Read(buf)
						if err != nil {
							t.Fatal(err)
						}
						u, k, _, _, err := checkPacket(buf[:n])
						if err != nil || u != unit {
							t.Fatalf("receiver %d: unit %d, want %d: %v", i, u, unit, err)
						}
						seen[k]++
					}
					if slices.Min(seen[:]) != readers/receivers || slices.Max(seen[:]) != readers/receivers {
						t.Fatalf("receiver %d: packets came %v times", i, seen)
					}
				}
			}
			eventually(t, "served", func() bool { return quiet(g) })
			for _, r := range rs {
				if s := r.Stats(); s.Packets != packets*units || s.Discarded != 0 {
					t.Errorf("%+v", s)
				}
			}
		})
	}
}

func TestUDPFamilies(t *testing.T) {
	t.Parallel()
	v6 := func(t *testing.T) {
		c, err := net.ListenUDP("udp6", &net.UDPAddr{IP: net.IPv6loopback})
		if err != nil {
			t.Skip("no IPv6 on this system")
		}
		c.Close()
	}
	for _, tt := range []struct {
		name, network, listen, rxNetwork, rxAddr string
		dest                                     func(netip.AddrPort) netip.AddrPort
	}{
		{"IPv4", "udp4", "127.0.0.1:0", "udp4", "127.0.0.1:0", nil},
		{"IPv4 as IPv6 on an IPv4 socket", "udp4", "0.0.0.0:0", "udp4", "127.0.0.1:0", func(a netip.AddrPort) netip.AddrPort {
			return netip.AddrPortFrom(netip.AddrFrom16(a.Addr().As16()), a.Port())
		}},
		{"IPv6", "udp6", "[::1]:0", "udp6", "[::1]:0", nil},
		{"dual stack to IPv4", "udp", ":0", "udp4", "127.0.0.1:0", nil},
		{"dual stack to IPv6", "udp", ":0", "udp6", "[::1]:0", nil},
		{"IPv6 with zone", "udp6", "[::]:0", "udp6", "[::1]:0", func(a netip.AddrPort) netip.AddrPort {
			return netip.AddrPortFrom(a.Addr().WithZone("1"), a.Port())
		}},
	} {
		for modeName, mode := range modes {
			t.Run(tt.name+"/"+modeName, func(t *testing.T) {
				t.Parallel()
				if tt.network != "udp4" {
					v6(t)
				}
				s := listenUDP(t, tt.network, tt.listen)
				setMode(t, s, mode)
				x := newReceiver(t, tt.rxNetwork, tt.rxAddr)
				a := x.addr()
				if tt.dest != nil {
					a = tt.dest(a)
				}
				d, err := s.Destination(a)
				if err != nil {
					t.Fatal(err)
				}
				b := NewBatch(0)
				var c Counters
				sizes := []int{500, 500, 500, 20}
				pkts := packetsOf(sizes)
				b.Send(d, slices.Concat(pkts...), 500, &c, true)
				b.Flush()
				x.expect(t, pkts)
				if st := c.Stats(); st.ControlPackets != 4 || st.Discarded != 0 {
					t.Errorf("%+v", st)
				}
			})
		}
	}
}

func TestUDPDestinationErrors(t *testing.T) {
	t.Parallel()
	s := listenUDP(t, "udp4", "127.0.0.1:0")
	for _, a := range []string{"[::1]:5000", "127.0.0.1:0", "[fe80::1%nosuchinterface]:5000"} {
		if _, err := s.Destination(netip.MustParseAddrPort(a)); err == nil {
			t.Errorf("%s: no error", a)
		}
		if _, err := NewUDPReader(s, s, []UDPTrack{{RTP: netip.MustParseAddrPort(a)}}); err == nil {
			t.Errorf("%s: no error", a)
		}
	}
	if _, err := s.Destination(netip.AddrPort{}); err == nil {
		t.Error("no error")
	}
}

// Media and reports leave through their own sockets and go to their own addresses.
func TestUDPControl(t *testing.T) {
	t.Parallel()
	p := NewPool(1)
	defer p.Close()
	g := p.NewGroup()
	defer g.Close()
	rtp, rtcp := listenUDP(t, "udp4", "127.0.0.1:0"), listenUDP(t, "udp4", "127.0.0.1:0")
	rxRTP, rxRTCP := newReceiver(t, "udp4", "127.0.0.1:0"), newReceiver(t, "udp4", "127.0.0.1:0")
	r, err := NewUDPReader(rtp, rtcp, []UDPTrack{
		{Track: 1, RTP: rxRTP.addr(), RTCP: rxRTCP.addr()},
		{Track: 2, RTP: rxRTP.addr()},
	})
	if err != nil {
		t.Fatal(err)
	}
	g.Add(r)
	for i, control := range []bool{false, true, true, false} {
		m, b := p.NewMessage(), p.Get(0)
		m.Track, m.Control = 1+i/2, control
		b.AppendPacket([]byte{byte(i)})
		m.SetPackets(b)
		g.Send(m)
	}
	rxRTP.expect(t, [][]byte{{0}, {3}})
	eventually(t, "counted", func() bool { return r.Stats().Packets == 2 })
	buf := make([]byte, 10)
	n, from, err := rxRTCP.ReadFromUDPAddrPort(buf)
	if err != nil || n != 1 || buf[0] != 1 || from != rtcp.LocalAddr().(*net.UDPAddr).AddrPort() {
		t.Errorf("%v from %v: %v", buf[:n], from, err)
	}
	if s := r.Stats(); s.ControlPackets != 1 {
		t.Errorf("%+v", s)
	}
	r.Discard(Loss{Track: 2, Packets: 5})
	r.Discard(Loss{Track: 0, Packets: 5})
	r.Discard(Loss{Track: 7, Packets: 5})
	if n := r.Stats().Discarded; n != 5 {
		t.Errorf("%d discarded", n)
	}
}

// A closed socket loses what is sent.
func TestUDPClosed(t *testing.T) {
	t.Parallel()
	for modeName, mode := range modes {
		t.Run(modeName, func(t *testing.T) {
			t.Parallel()
			s := listenUDP(t, "udp4", "127.0.0.1:0")
			setMode(t, s, mode)
			d, err := s.Destination(netip.MustParseAddrPort("127.0.0.1:9"))
			if err != nil {
				t.Fatal(err)
			}
			s.Close()
			b := NewBatch(0)
			var c Counters
			b.Send(d, make([]byte, 1000), 100, &c, false)
			b.Flush()
			if st := c.Stats(); st.Discarded != 10 || st.Packets != 0 {
				t.Errorf("%+v", st)
			}
		})
	}
}

// Readers with encodings of their own build them in scratch memory, which is flushed between readers when it gets full.
func TestBatchScratch(t *testing.T) {
	t.Parallel()
	s := listenUDP(t, "udp4", "127.0.0.1:0")
	b := NewBatch(0)
	var rx [16]receiver
	var dest [16]*Destination
	for i := range rx {
		rx[i] = newReceiver(t, "udp4", "127.0.0.1:0")
		var err error
		if dest[i], err = s.Destination(rx[i].addr()); err != nil {
			t.Fatal(err)
		}
	}
	var c Counters
	var pending [16][][]byte
	flushes := 0
	for round := range 40 {
		var want [16][][]byte
		for i, d := range dest {
			size, n := 100+rand.IntN(1300), 1+rand.IntN(10)
			mem := b.Scratch(size * n)
			for k := range mem {
				mem[k] = byte(round + i + k)
			}
			b.Send(d, mem, size, &c, false)
			for k := range n {
				want[i] = append(want[i], slices.Clone(mem[k*size:(k+1)*size]))
			}
			before := len(b.scratch)
			b.between()
			if len(b.scratch) < before {
				flushes++
			}
		}
		if round%5 == 4 {
			b.Flush()
		}
		for i := range rx {
			// Read at the latest when the fifth round is flushed.
			pending[i] = append(pending[i], want[i]...)
			if round%5 == 4 {
				rx[i].expect(t, pending[i])
				pending[i] = nil
			}
		}
	}
	b.Flush()
	if flushes == 0 {
		t.Error("never flushed between readers")
	}
	if b.Room() != scratchSize {
		t.Errorf("room for %d bytes in an empty batch", b.Room())
	}
	if b.Scratch(100); b.Room() != scratchSize-100 {
		t.Errorf("room for %d bytes", b.Room())
	}
	b.Flush()
	if small := NewBatch(inlineBatch); small.Room() != inlineScratchSize {
		t.Errorf("room for %d bytes in a small batch", small.Room())
	}
	if b.Scratch(scratchSize * 2); len(b.scratch) != 0 {
		t.Error("scratch was enlarged")
	}
	if time.Since(b.Now()) > time.Minute {
		t.Error("wrong time")
	}
}

func TestUDPNoAllocations(t *testing.T) {
	s := listenUDP(t, "udp4", "127.0.0.1:0")
	x := newReceiver(t, "udp4", "127.0.0.1:0")
	go io.Copy(io.Discard, x)
	p := NewPool(1)
	defer p.Close()
	blk := p.Get(0)
	for _, pkt := range packetsOf(sizeTests["groups of several"]) {
		blk.AppendPacket(pkt)
	}
	d, err := s.Destination(x.addr())
	if err != nil {
		t.Fatal(err)
	}
	b := NewBatch(0)
	var c Counters
	if n := testing.AllocsPerRun(100, func() {
		for range 20 {
			b.SendBlock(d, blk, &c, false)
		}
		b.Flush()
	}); n != 0 {
		t.Errorf("%v allocations per batch", n)
	}
	x.Close()
}

func TestAppendRuns(t *testing.T) {
	t.Parallel()
	for name, sizes := range sizeTests {
		off, packets := 0, 0
		for _, r := range appendRuns(nil, sizes) {
			if r.off != off || r.packets > maxSegments || r.packets > 1 && r.len > maxGSOBytes {
				t.Errorf("%s: %+v", name, r)
			}
			n := 0
			for _, s := range sizes[packets : packets+r.packets] {
				n += s
			}
			if n != r.len || r.packets > 1 && (r.len > r.packets*r.segment || r.len <= (r.packets-1)*r.segment) {
				t.Errorf("%s: %+v holds %d bytes", name, r, n)
			}
			off += r.len
			packets += r.packets
		}
		if packets != len(sizes) {
			t.Errorf("%s: %d packets, want %d", name, packets, len(sizes))
		}
	}
}
