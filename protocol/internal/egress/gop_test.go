package egress

import (
	"fmt"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestGOP(t *testing.T) {
	t.Parallel()
	p := NewPool(1)
	defer p.Close()
	var g GOP
	add := func(size int, begins bool, limit int) *Message {
		m, b := p.NewMessage(), p.Get(size)
		b.AppendPacket(make([]byte, size))
		m.SetPackets(b)
		g.Add(m, begins, limit)
		return m
	}
	want := func(what string, list ...*Message) {
		t.Helper()
		if !slices.Equal(g.Messages(time.Minute), list) {
			t.Errorf("%s: %d messages, want %d", what, len(g.Messages(time.Minute)), len(list))
		}
	}
	const limit = 10000
	all := []*Message{add(10, false, limit)}
	want("before the key frame")
	k1, a := add(10, true, limit), add(10, false, limit)
	want("key frame", k1, a)
	k2 := add(10, true, limit)
	want("next key frame", k2)
	all = append(all, k1, a, k2, add(limit, false, limit), add(10, false, limit))
	want("too large")
	k3 := add(10, true, limit)
	want("again", k3)
	all = append(all, k3, add(10, true, 0), add(10, false, limit))
	want("off")
	for i, m := range all {
		if n := m.refs.Load(); n != 1 {
			t.Errorf("message %d: %d references", i, n)
		}
		m.Release()
	}
}

// What is old is forgotten, up to the next key frame.
func TestGOPAge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := NewPool(1)
		defer p.Close()
		var g GOP
		defer g.Clear()
		add := func(begins bool) {
			m := p.NewMessage()
			g.Add(m, begins, 10000)
			m.Release()
		}
		for step, ca := range []struct {
			begins bool
			pause  time.Duration
			want   int
		}{{true, 0, 1}, {false, time.Minute, 2}, {false, time.Second, 0}, {false, 0, 0}, {true, 0, 1}} {
			add(ca.begins)
			time.Sleep(ca.pause)
			if n := len(g.Messages(time.Minute)); n != ca.want {
				t.Errorf("step %d: %d messages, want %d", step, n, ca.want)
			}
		}
	})
}

// backlogOf makes units of about 20 KB, of which the first is a key frame.
func backlogOf(p *Pool, g *Group, units int) []*Message {
	list := make([]*Message, units)
	for i := range list {
		list[i] = testMessage(p, g, i, repeat(14, 1400))
	}
	return list
}

// A backlog is larger than the queue of a slow reader, and what comes after it has
// the queue for itself.
func TestTCPBacklog(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"tcp", "tls"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			p := NewPool(1)
			defer p.Close()
			g := p.NewGroup()
			defer g.Close()
			a, b := socketPair(t, kind)
			c := NewTCPConn(a, TCPOptions{QueueBytes: 100 << 10})
			defer c.Close()
			r := NewTCPReader(c, track0)
			g.Add(newWisher(track0)) // makes the group want frames
			const units, more = 29, 4
			list := backlogOf(p, g, units)
			g.Add(r, list...)
			for i := range more {
				g.Send(testMessage(p, g, units+i, repeat(14, 1400)))
			}
			for _, m := range list {
				m.Release()
			}
			s := newStream(b)
			if err := s.read(func() bool { return s.units == units+more }); err != nil {
				t.Fatal(err)
			}
			if s.gaps > 0 || r.Stats().Discarded > 0 {
				t.Errorf("%d gaps, %+v", s.gaps, r.Stats())
			}
			eventually(t, "queue empty", func() bool {
				c.mu.Lock()
				defer c.mu.Unlock()
				return c.q.media == 0 && c.q.backlog == 0 && !c.draining
			})
		})
	}
}

// wisher wants frames and drops them.
type wisher struct{ wants []Want }

func newWisher(tracks []TCPTrack) *wisher {
	w := &wisher{}
	for _, t := range tracks {
		w.wants = append(w.wants, Want{Track: t.Track, Channel: int(t.Channel)})
	}
	return w
}

func (w *wisher) Wants() []Want          { return w.wants }
func (*wisher) Deliver(*Message, *Batch) {}
func (*wisher) Discard(Loss)             {}

// A paced reader gets its backlog and then the rest, in order, and not all at once.
func TestPaced(t *testing.T) {
	t.Parallel()
	p := NewPool(2)
	defer p.Close()
	g := p.NewGroup()
	defer g.Close()
	g.Add(newMemReader()) // somebody who is there already
	const units, more = 50, 200
	list := backlogOf(p, g, units)
	total := 0
	for _, m := range list {
		total += m.Len()
	}
	r := newMemReader()
	began := time.Now()
	g.AddPaced(r, 0, list...)
	for i := range more {
		g.Send(testMessage(p, g, units+i, []int{30}))
	}
	eventually(t, "caught up", func() bool { return quiet(g) && !pacing(g) })
	took := time.Since(began)
	r.check(t, 0, units+more)
	rate := max(minPace, float64(total)/paceTime.Seconds())
	if least := time.Duration(float64(total-paceFrom) / rate * float64(time.Second)); took < least {
		t.Errorf("%d bytes were sent in %v", total, took)
	}
	g.Send(testMessage(p, g, units+more, []int{30}))
	eventually(t, "served", func() bool { return quiet(g) })
	r.check(t, 0, units+more+1)
	for _, m := range list {
		if n := m.refs.Load(); n != 1 {
			t.Fatalf("%d references, want 1", n)
		}
		m.Release()
	}
}

func pacing(g *Group) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, p := range g.parts {
		if p == nil {
			continue
		}
		p.mu.Lock()
		n := len(p.pacers)
		p.mu.Unlock()
		if n > 0 {
			return true
		}
	}
	return false
}

// A reader that leaves, or whose pool is closed, gives its backlog back.
func TestPacedEnds(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(p *Pool, g *Group, r Reader){
		"removed":     func(_ *Pool, g *Group, r Reader) { g.Remove(r) },
		"group close": func(_ *Pool, g *Group, _ Reader) { g.Close() },
		"pool close":  func(p *Pool, _ *Group, _ Reader) { p.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := NewPool(1)
			g := p.NewGroup()
			g.Add(newMemReader())
			list := backlogOf(p, g, 400)
			r := newMemReader()
			g.AddPaced(r, 0, list...)
			eventually(t, "begun", func() bool { return pacing(g) })
			end(p, g, r)
			if pacing(g) && name != "pool close" {
				t.Error("goes on")
			}
			g.Close()
			p.Close()
			for i, m := range list {
				if n := m.refs.Load(); n != 1 {
					t.Fatalf("message %d: %d references, want 1", i, n)
				}
				m.Release()
			}
		})
	}
}

// A large backlog reaches a UDP socket with an ordinary receive buffer as a whole.
func TestPacedUDP(t *testing.T) {
	t.Parallel()
	p := NewPool(1)
	defer p.Close()
	g := p.NewGroup()
	defer g.Close()
	s := listenUDP(t, "udp4", "127.0.0.1:0")
	rx, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer rx.Close()
	r, err := NewUDPReader(s, s, []UDPTrack{{Track: 0, RTP: receiver{rx}.addr()}})
	if err != nil {
		t.Fatal(err)
	}
	g.Add(newMemReader())
	const units = 60
	list := backlogOf(p, g, units)
	g.AddPaced(r, 0, list...)
	for _, m := range list {
		m.Release()
	}
	rx.SetReadDeadline(time.Now().Add(20 * time.Second))
	buf := make([]byte, 2000)
	for want := range units * 14 {
		n, err := rx.Read(buf)
		if err != nil {
			t.Fatalf("packet %d: %v", want, err)
		}
		unit, i, _, _, err := checkPacket(buf[:n])
		if err != nil || unit*14+i != want {
			t.Fatalf("unit %d packet %d instead of packet %d: %v", unit, i, want, err)
		}
	}
}

// A pause delays a backlog of any size, and what comes meanwhile.
func TestPacedPause(t *testing.T) {
	t.Parallel()
	p := NewPool(1)
	defer p.Close()
	g := p.NewGroup()
	defer g.Close()
	g.Add(newMemReader())
	m := testMessage(p, g, 0, []int{30})
	r := newMemReader()
	began := time.Now()
	const pause = 20 * time.Millisecond
	g.AddPaced(r, pause, m)
	m.Release()
	g.Send(testMessage(p, g, 1, []int{30}))
	eventually(t, "both came", func() bool { return r.count.Load() == 2 })
	if d := time.Since(began); d < pause {
		t.Errorf("after %v", d)
	}
	r.check(t, 0, 2)
}

// BenchmarkGOP sends units to readers with and without a cache. What is kept
// depends on neither the packets nor the readers.
func BenchmarkGOP(b *testing.B) {
	for _, limit := range []int{0, 16 << 20} {
		for _, readers := range []int{1, 100} {
			b.Run(fmt.Sprintf("limit=%d/readers=%d", limit, readers), func(b *testing.B) {
				p := NewPool(0)
				defer p.Close()
				g := p.NewGroup()
				defer g.Close()
				for range readers {
					g.Add(newWisher(track0))
				}
				var kept GOP
				data := make([]byte, 14*1404)
				b.ReportAllocs()
				for n := 0; b.Loop(); n++ {
					m, blk := p.NewMessage(), p.Get(len(data))
					blk.Data, blk.Packets = append(blk.Data, data...), 14
					m.Video, m.Key = true, n%60 == 0
					m.SetInterleaved(0, blk)
					kept.Add(m, m.Key, limit)
					g.Send(m)
				}
				kept.Clear()
			})
		}
	}
}
