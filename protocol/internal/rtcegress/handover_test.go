package rtcegress

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"github.com/org/mtx/protocol/internal/egress"
)

// switching is a peer connection whose candidate pair changes between UDP and something else. It has no lock: only one
// goroutine may write at a time.
type switching struct {
	udp   *plainWriter
	other atomic.Bool
	count atomic.Int64 // that went the other way
}

func (s *switching) WriteRTP(h *rtp.Header, payload []byte) (int, error) {
	if s.other.Load() {
		s.count.Add(1)
		return len(payload), nil
	}
	return s.udp.WriteRTP(h, payload)
}

func (s *switching) Write([]byte) (int, error) { panic("not used") }

// While the pair changes all the time and packets are asked for again, all packets leave, one way or the other.
func TestHandover(t *testing.T) {
	t.Parallel()
	c := newConn(t)
	r := newReceiver(t)
	_ = r.SetReadBuffer(4 << 20)
	w := &switching{udp: &plainWriter{conn: c, to: r.addr()}}
	_, tr := newWire(t, 7)
	tr.bound.Store(&binding{ssrc: 7, pt: 96, w: w, nack: true})
	v := NewViewer(c, map[int]*Track{0: tr}, nil)
	p, b := newPool(t), egress.NewBatch(0)

	stop := make(chan struct{})
	var wg sync.WaitGroup
	var asked atomic.Uint32
	loop := func(f func(i uint16)) {
		wg.Go(func() {
			for i := uint16(0); ; i++ {
				select {
				case <-stop:
					return
				case <-time.After(100 * time.Microsecond):
					f(i)
				}
			}
		})
	}
	loop(func(i uint16) { w.other.Store(i%8 < 3) })
	loop(func(i uint16) {
		v.feedback(v.tracks[0], []rtcp.Packet{nackOf(7, uint16(asked.Load())-i%8)})
		v.Stats()
	})
	const units = 2000
	for i := range units {
		deliver(v, b, unit(p, 0, true, i, 0, 100, 100, 50))
		v.mu.Lock()
		asked.Store(uint32(v.tracks[0].seq))
		v.mu.Unlock()
		if i%8 == 0 {
			time.Sleep(50 * time.Microsecond) // for a queue to run empty
		}
	}
	close(stop)
	wg.Wait()
	direct(t, v)
	s := v.Stats()
	if want := 3*units + s.Retransmitted; s.Packets != want || s.Discarded != 0 || s.Retransmitted == 0 {
		t.Errorf("%+v, want %d packets", s, want)
	}
	v.mu.Lock()
	taken, passed := v.outlet.taken, v.outlet.passed
	v.mu.Unlock()
	if other := uint64(w.count.Load()); taken == 0 || other == 0 || passed+other != s.Packets {
		t.Errorf("%d packets, of which %d at the socket, %d of them in batches, %d elsewhere", s.Packets, passed, taken, other)
	}
	v.Close()
}

// The packets of a GOP with which a viewer begins come one after the other.
func TestPacing(t *testing.T) {
	t.Parallel()
	p := newPool(t)
	g := p.NewGroup()
	w, tr := newWire(t, 7)
	v := NewViewer(nil, map[int]*Track{0: tr}, w.WriteRTCP)
	var backlog []*egress.Message
	const units = 40
	sizes := []int{1200, 1200, 1200, 1200, 1200, 1200, 1200, 1200, 1200, 1200, 1200, 1200, 1200, 1200}
	for i := range units {
		backlog = append(backlog, unit(p, 0, i == 0, i, uint32(i*3000), sizes...))
	}
	begin := time.Now()
	g.Add(v, backlog...)
	for _, m := range backlog {
		m.Release()
	}
	eventually(t, "all came", func() bool { return len(w.packets()) == units*len(sizes) })
	if d := time.Since(begin); d < units*14*1200/paceBytes*pacePause {
		t.Errorf("took %v", d)
	}
	follow(t, w.packets(), 0, len(sizes), 102)
	g.Remove(v)
	direct(t, v)
	v.Close()
}
