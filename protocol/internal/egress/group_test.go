package egress

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// memReader notes what it is given.
type memReader struct {
	wants []Want
	hold  chan struct{} // Deliver waits for it to be closed
	count atomic.Int64
	lost  atomic.Int64
	gone  atomic.Bool // set after Remove

	mu    sync.Mutex
	units []int
	errs  []string
}

func newMemReader() *memReader { return &memReader{wants: []Want{{Track: 0, Channel: AsPackets}}} }

func (r *memReader) Wants() []Want { return r.wants }

func (r *memReader) Deliver(m *Message, _ *Batch) {
	if r.hold != nil {
		<-r.hold
	}
	if !r.mu.TryLock() {
		panic("Deliver called concurrently")
	}
	defer r.mu.Unlock()
	if m.Packets() == nil {
		return // made before the reader came
	}
	unit, _, _, _, err := checkPacket(m.Packets().Data[:m.Packets().Sizes[0]])
	if err != nil {
		r.errs = append(r.errs, err.Error())
	}
	if r.gone.Load() {
		r.errs = append(r.errs, "Deliver after Remove")
	}
	r.units = append(r.units, unit)
	r.count.Add(1)
}

func (r *memReader) Discard(l Loss) { r.lost.Add(int64(l.Packets)) }

// check fails unless the units were from, from+1... to-1.
func (r *memReader) check(t *testing.T, from, to int) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.errs) > 0 {
		t.Error(r.errs)
	}
	for i, u := range r.units {
		if u != from+i {
			t.Errorf("unit %d at place %d, want %d", u, i, from+i)
			return
		}
	}
	if len(r.units) != to-from {
		t.Errorf("%d units, want %d", len(r.units), to-from)
	}
}

func quiet(g *Group) bool { return g.inflight.Load() == 0 }

// Readers that come and go, so that the group changes between serving inline and by the shards, get each unit
// once and in order.
func TestGroupOrder(t *testing.T) {
	t.Parallel()
	p := NewPool(4)
	defer p.Close()
	g := p.NewGroup()
	defer g.Close()
	first := newMemReader()
	g.Add(first)
	type stay struct {
		r        *memReader
		from, to int
	}
	var live, all []*stay
	const units = 4000
	for unit := range units {
		switch {
		case unit%50 == 10 || unit%50 == 12:
			s := &stay{r: newMemReader(), from: unit}
			g.Add(s.r)
			live, all = append(live, s), append(all, s)
		case unit%100 == 90:
			for _, s := range live {
				g.Remove(s.r)
				s.r.gone.Store(true)
			}
			live = nil
		}
		g.Send(testMessage(p, g, unit, []int{40}))
		for _, s := range live {
			s.to = unit + 1
		}
		if unit%20 == 0 { // let it change to inline
			eventually(t, "served", func() bool { return quiet(g) })
		}
	}
	eventually(t, "served", func() bool { return quiet(g) })
	if n := first.lost.Load(); n > 0 {
		t.Fatalf("overload: %d", n)
	}
	first.check(t, 0, units)
	for _, s := range all {
		// What was under way when it was removed did not reach it.
		s.r.check(t, s.from, s.from+int(s.r.count.Load()))
		if n := s.from + int(s.r.count.Load()); n > s.to {
			t.Errorf("got unit %d after it was removed at %d", n, s.to)
		}
	}
}

// After Remove returned, a reader is not called.
func TestGroupRemove(t *testing.T) {
	t.Parallel()
	for _, base := range []int{0, 5} { // inline and by shards
		t.Run(fmt.Sprint(base), func(t *testing.T) {
			t.Parallel()
			p := NewPool(2)
			defer p.Close()
			g := p.NewGroup()
			for range base {
				g.Add(newMemReader())
			}
			stop := make(chan struct{})
			var wg sync.WaitGroup
			wg.Go(func() {
				for unit := 0; ; unit++ {
					select {
					case <-stop:
						return
					default:
						g.Send(testMessage(p, g, unit, []int{16}))
					}
				}
			})
			for i := range 2 {
				wg.Go(func() {
					for range 100 {
						r := newMemReader()
						g.Add(r)
						if i == 0 {
							end := time.Now().Add(10 * time.Millisecond)
							for r.count.Load() == 0 && time.Now().Before(end) {
								time.Sleep(10 * time.Microsecond)
							}
						}
						g.Remove(r)
						r.gone.Store(true)
						if n := r.count.Load(); n > 0 {
							r.mu.Lock()
							from := r.units[0]
							r.mu.Unlock()
							if r.lost.Load() == 0 {
								r.check(t, from, from+int(n))
							}
						}
					}
				})
			}
			go func() {
				time.Sleep(300 * time.Millisecond)
				close(stop)
			}()
			wg.Wait()
			g.Close()
			if g.Len() != 0 {
				t.Errorf("%d readers", g.Len())
			}
		})
	}
}

// A shard that does not get on does not hold up the publisher or other shards; its readers count what they miss.
func TestGroupOverload(t *testing.T) {
	t.Parallel()
	p := NewPool(2)
	defer p.Close()
	g := p.NewGroup()
	defer g.Close()
	slow := newMemReader()
	slow.hold = make(chan struct{})
	g.Add(slow)
	var fast []*memReader
	for range 2 * gatherReaders {
		r := newMemReader()
		g.Add(r)
		fast = append(fast, r)
	}
	eventually(t, "all joined", func() bool { return quiet(g) })
	ps := g.state.Load().parts
	if len(ps) != 2 {
		t.Fatalf("%d shards are used", len(ps))
	}
	slowPart := ps[0]
	if !slices.Contains(slowPart.readers, Reader(slow)) {
		slowPart = ps[1]
	}
	same := func(r *memReader) bool { return slices.Contains(slowPart.readers, Reader(r)) }

	var others []*memReader
	for _, r := range fast {
		if !same(r) {
			others = append(others, r)
		}
	}
	const units = 1000
	for unit := range units {
		g.Send(testMessage(p, g, unit, []int{20, 20}))
		for _, r := range others {
			eventually(t, "the other shard goes on", func() bool { return r.count.Load() == int64(unit+1) })
		}
	}
	late := newMemReader() // joins after the loss, on the same shard: none of its business
	bias := func(n int) {
		p.mu.Lock()
		p.loads[slowPart.index] += n
		p.mu.Unlock()
	}
	bias(-1000)
	g.Add(late)
	bias(1000)
	close(slow.hold)
	eventually(t, "served", func() bool { return quiet(g) })
	for _, r := range append(fast, slow) {
		n, lost := r.count.Load(), r.lost.Load()
		if n+lost/2 != units || same(r) != (lost > 0) {
			t.Errorf("%d units, %d packets lost", n, lost)
		}
		r.check(t, 0, int(n))
		if same(r) && n > 2*maxQueuedMessages {
			t.Errorf("%d messages were queued", n)
		}
	}
	if late.count.Load() != 0 || late.lost.Load() != 0 {
		t.Errorf("late reader: %d units, %d lost", late.count.Load(), late.lost.Load())
	}
	g.Send(testMessage(p, g, units, []int{20}))
	eventually(t, "served", func() bool { return quiet(g) })
	late.check(t, units, units+1)
}

// A queue holds a bounded number of bytes, but always one message.
func TestGroupOverloadBytes(t *testing.T) {
	t.Parallel()
	p := NewPool(1)
	defer p.Close()
	g := p.NewGroup()
	defer g.Close()
	r := newMemReader()
	r.hold = make(chan struct{})
	g.Add(r)
	for range inlineReaders {
		g.Add(newMemReader())
	}
	eventually(t, "joined", func() bool { return quiet(g) })
	send := func(unit int) {
		m := p.NewMessage()
		b := p.Get(maxQueuedBytes + 20)
		b.AppendPacket(testPacket(nil, unit, 0, 2, 20, false))
		b.AppendPacket(make([]byte, maxQueuedBytes))
		m.SetPackets(b)
		g.Send(m)
	}
	send(0)
	sh := p.shards[0]
	eventually(t, "the worker takes it", func() bool {
		sh.mu.Lock()
		defer sh.mu.Unlock()
		return g.state.Load().parts[0].messages == 0
	})
	for unit := range 4 {
		send(unit + 1)
	}
	close(r.hold)
	eventually(t, "served", func() bool { return quiet(g) })
	r.check(t, 0, 2)
	if r.lost.Load() != 3*2 {
		t.Errorf("%d lost", r.lost.Load())
	}
}

// A backlog comes first, and nothing is missing or doubled between it and what is sent next.
func TestGroupBacklog(t *testing.T) {
	t.Parallel()
	p := NewPool(2)
	defer p.Close()
	g := p.NewGroup()
	defer g.Close()
	for range 5 {
		g.Add(newMemReader())
	}
	var cache []*Message
	var late []*memReader
	const units = 200
	for unit := range units {
		m := testMessage(p, g, unit, []int{30})
		m.Retain()
		cache = append(cache, m)
		g.Send(m)
		if unit%20 == 7 {
			r := newMemReader()
			g.Add(r, cache...)
			late = append(late, r)
		}
	}
	eventually(t, "served", func() bool { return quiet(g) })
	for _, r := range late {
		r.check(t, 0, units)
	}
	for _, m := range cache {
		if n := m.refs.Load(); n != 1 {
			t.Fatalf("%d references, want 1", n)
		}
		m.Release()
	}
}

func TestGroupQueries(t *testing.T) {
	t.Parallel()
	p := NewPool(2)
	defer p.Close()
	g := p.NewGroup()
	reader := func(w ...Want) *memReader { return &memReader{wants: w} }
	a := reader(Want{0, 0}, Want{1, 2})
	b := reader(Want{0, 4}, Want{1, 0})
	c := reader(Want{0, 0})
	u := reader(Want{2, AsPackets})
	check := func(what string, n int, ch0, ch1 []uint8, udp bool) {
		t.Helper()
		if g.Len() != n || !slices.Equal(g.Channels(0), ch0) || !slices.Equal(g.Channels(1), ch1) ||
			g.HasUDP() != udp || g.WantsPackets(2) != udp || g.WantsPackets(0) || g.WantsPackets(9) || g.Channels(9) != nil {
			t.Errorf("%s: %d %v %v %v", what, g.Len(), g.Channels(0), g.Channels(1), g.HasUDP())
		}
	}
	check("empty", 0, nil, nil, false)
	g.Add(a)
	g.Add(a)
	check("a", 1, []uint8{0}, []uint8{2}, false)
	g.Add(b)
	g.Add(c)
	g.Add(u)
	check("all", 4, []uint8{0, 4}, []uint8{0, 2}, true)
	g.Remove(a)
	g.Remove(u)
	g.Remove(u)
	check("without a and u", 2, []uint8{0, 4}, []uint8{0}, false)
	g.Close()
	g.Close()
	g.Add(a)
	check("closed", 0, nil, nil, false)
	g.Send(testMessage(p, g, 0, []int{20}))
	if !slices.Equal(p.loads, []int{0, 0}) {
		t.Errorf("loads %v", p.loads)
	}
}

// Readers spread evenly; few readers of a group stay together.
func TestPoolAssign(t *testing.T) {
	t.Parallel()
	p := NewPool(4)
	defer p.Close()
	for range 4 {
		g := p.NewGroup()
		for range gatherReaders {
			g.Add(newMemReader())
		}
		if n := len(g.state.Load().parts); n != 1 {
			t.Errorf("%d shards for a small group", n)
		}
	}
	g := p.NewGroup()
	for range 400 {
		g.Add(newMemReader())
	}
	if slices.Max(p.loads)-slices.Min(p.loads) > gatherReaders {
		t.Errorf("loads %v", p.loads)
	}
}

// Close ends the workers, twice is fine, and what is sent or added later is released.
func TestPoolClose(t *testing.T) {
	t.Parallel()
	p := NewPool(2)
	g := p.NewGroup()
	rs := []*memReader{}
	for range 20 {
		rs = append(rs, newMemReader())
		g.Add(rs[len(rs)-1])
	}
	var sent []*Message
	send := func() {
		m := testMessage(p, g, 0, []int{20})
		m.Retain()
		sent = append(sent, m)
		g.Send(m)
	}
	for range 100 {
		send()
	}
	p.Close()
	p.Close()
	send()
	g.Add(newMemReader(), sent...)
	g.Remove(rs[0])
	g.Close()
	for i, m := range sent {
		if n := m.refs.Load(); n != 1 {
			t.Fatalf("message %d: %d references, want 1", i, n)
		}
	}
}

func TestReleasePanics(t *testing.T) {
	t.Parallel()
	p := NewPool(1)
	defer p.Close()
	for name, f := range map[string]func(){
		"block":   func() { b := p.Get(1 << 21); b.Release(); b.Release() },
		"message": func() { m := &Message{pool: p}; m.refs.Store(0); m.Release() },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}

func TestBlockClasses(t *testing.T) {
	t.Parallel()
	p := NewPool(1)
	defer p.Close()
	for _, size := range []int{0, 1, 1023, 1024, 1025, 4096, 16<<10 + 1, 1 << 20, 1<<20 + 1, 5 << 20} {
		for range 2 {
			b := p.Get(size)
			if cap(b.Data) < size || len(b.Data) != 0 || len(b.Sizes) != 0 || b.Packets != 0 {
				t.Errorf("size %d: cap %d len %d", size, cap(b.Data), len(b.Data))
			}
			if most := 4*size + 2048; cap(b.Data) > most {
				t.Errorf("size %d: cap %d", size, cap(b.Data))
			}
			b.AppendPacket(make([]byte, 3000)) // grows small ones
			b.Release()
		}
	}
	b := p.Get(0)
	b.AppendFrame(0, make([]byte, 65536))
	if len(b.Data) != 0 {
		t.Error("an impossible frame was added")
	}
}
