package egress

import (
	"fmt"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// An access unit of the benchmarks: 12 packets of 1400 bytes, as of 4 Mbit/s at 30 frames per second.
const (
	benchPackets = 12
	benchSize    = 1400
)

// noopReader counts what it is given.
type noopReader struct {
	left *atomic.Int64
	done chan struct{}
	n    uint64
	_    [5]uint64
}

func (*noopReader) Wants() []Want { return []Want{{Track: 0, Channel: AsPackets}} }
func (*noopReader) Discard(Loss)  { panic("overload") }
func (r *noopReader) Deliver(m *Message, _ *Batch) {
	b := m.Packets()
	off := 0
	for _, n := range b.Sizes {
		r.n += uint64(n) + uint64(b.Data[off])
		off += n
	}
	if r.left.Add(-1) == 0 {
		r.done <- struct{}{}
	}
}

func benchMessage(p *Pool, g *Group) *Message {
	m := p.NewMessage()
	m.Video, m.Key = true, true
	var pkt [benchSize]byte
	for _, ch := range g.Channels(0) {
		b := p.Get(benchPackets * (benchSize + 4))
		for range benchPackets {
			b.AppendFrame(ch, pkt[:])
		}
		m.SetInterleaved(ch, b)
	}
	if g.HasUDP() {
		b := p.Get(benchPackets * benchSize)
		for range benchPackets {
			b.AppendPacket(pkt[:])
		}
		m.SetPackets(b)
	}
	return m
}

// report gives the process CPU and the allocations of f per packet and reader.
func report(b *testing.B, readers int, f func()) {
	b.Helper()
	var m0, m1 runtime.MemStats
	runtime.ReadMemStats(&m0)
	cpu := processCPU()
	b.ResetTimer()
	f()
	b.StopTimer()
	d := float64(b.N) * benchPackets * float64(readers)
	b.ReportMetric(float64(processCPU()-cpu)/d, "cpu-ns/pkt/reader")
	runtime.ReadMemStats(&m1)
	b.ReportMetric(float64(m1.Mallocs-m0.Mallocs)/d, "allocs/pkt/reader")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkFanOut is the cost of bringing a message to readers that do nothing with it; making the message is included.
func BenchmarkFanOut(b *testing.B) {
	for _, n := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			p := NewPool(0)
			defer p.Close()
			g := p.NewGroup()
			var left atomic.Int64
			done := make(chan struct{}, 1)
			for range n {
				g.Add(&noopReader{left: &left, done: done})
			}
			report(b, n, func() {
				for range b.N {
					left.Store(int64(n))
					g.Send(benchMessage(p, g))
					<-done
				}
			})
		})
	}
}

// sink reads everything, and signals when a multiple of unit bytes was read by all sinks that share got.
func sink(c net.Conn, got *atomic.Int64, unit int64, done chan<- struct{}) {
	buf := make([]byte, 256<<10)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		if got.Add(int64(n))%unit == 0 {
			done <- struct{}{}
		}
	}
}

// BenchmarkTCP includes the receiving side, which the same process plays, in its CPU.
func BenchmarkTCP(b *testing.B) {
	const readers = 200
	var pkt [benchSize + 4]byte
	setup := func(b *testing.B) ([]*net.TCPConn, func()) {
		var all []*net.TCPConn
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		var got atomic.Int64
		done := make(chan struct{}, 1)
		for range readers {
			c, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				b.Fatal(err)
			}
			s, err := l.Accept()
			if err != nil {
				b.Fatal(err)
			}
			all = append(all, s.(*net.TCPConn))
			go sink(c, &got, readers*benchPackets*(benchSize+4), done)
			b.Cleanup(func() { c.Close(); s.Close() })
		}
		l.Close()
		return all, func() { <-done }
	}
	b.Run("group", func(b *testing.B) {
		conns, wait := setup(b)
		p := NewPool(0)
		defer p.Close()
		g := p.NewGroup()
		defer g.Close()
		for _, c := range conns {
			g.Add(NewTCPReader(NewTCPConn(c, TCPOptions{}), []TCPTrack{{Track: 0, Channel: 0}}))
		}
		report(b, readers, func() {
			for range b.N {
				g.Send(benchMessage(p, g))
				wait()
			}
		})
	})
	b.Run("write-per-packet", func(b *testing.B) {
		conns, wait := setup(b)
		report(b, readers, func() {
			for range b.N {
				for _, c := range conns {
					for range benchPackets {
						c.Write(pkt[:])
					}
				}
				wait()
			}
		})
	})
}

// BenchmarkUDP sends to 200 readers on sockets that nobody reads from.
func BenchmarkUDP(b *testing.B) {
	const readers = 200
	for name, mode := range map[string]sendMode{"gso": modeGSO, "sendmmsg": modeBatch, "plain": modePlain} {
		b.Run(name, func(b *testing.B) {
			p := NewPool(0)
			defer p.Close()
			g := p.NewGroup()
			s := listenUDP(b, "udp4", "127.0.0.1:0")
			if s.mode.Load() < mode {
				b.Skip("not available on this system")
			}
			s.mode.Store(mode)
			var rs []*UDPReader
			for range readers {
				rx := listenUDP(b, "udp4", "127.0.0.1:0")
				r, err := NewUDPReader(s, s, []UDPTrack{{RTP: rx.LocalAddr().(*net.UDPAddr).AddrPort()}})
				if err != nil {
					b.Fatal(err)
				}
				rs = append(rs, r)
				g.Add(r)
			}
			report(b, readers, func() {
				for i := range b.N {
					g.Send(benchMessage(p, g))
					for _, r := range rs {
						for r.packets.Load()+r.discarded.Load() < uint64(i+1)*benchPackets {
							time.Sleep(20 * time.Microsecond)
						}
					}
				}
			})
			var lost uint64
			for _, r := range rs {
				lost += r.Stats().Discarded
			}
			b.ReportMetric(float64(lost), "discarded")
		})
	}
}
