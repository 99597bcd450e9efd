package egress

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// inlineReaders is up to how many readers are served by the publisher itself: waking a worker costs more than serving them.
const inlineReaders = 2

// AsPackets as the channel of a Want stands for packets one by one instead of interleaved frames.
const AsPackets = -1

// Want is an encoding that a reader needs: interleaved frames of a track under an RTP channel, or its packets.
type Want struct {
	Track   int
	Channel int // 0 to 255, or AsPackets
}

// Loss tells a reader about packets that were discarded before they came to it.
type Loss struct {
	Track   int
	Packets int
	Video   bool
	Control bool
}

// Reader receives the messages of a group. It must be comparable (a pointer). [TCPReader] and [UDPReader] are readers;
// a protocol that encrypts for each reader brings its own.
//
// Deliver and Discard are never called concurrently for one reader. They run on a worker or on the publisher's
// goroutine: they must not block, and must not call methods of the group.
type Reader interface {
	// Wants returns what the reader needs. It is called once, by Add.
	Wants() []Want

	// Deliver sends a message. Who sends UDP adds datagrams to the batch, which is flushed when all
	// readers have been asked. An encoding is missing if the reader was added while the message was made.
	Deliver(m *Message, b *Batch)

	// Discard counts packets that were lost because of overload.
	Discard(l Loss)
}

// Group is the readers of one stream in one protocol. All methods are safe for concurrent use.
type Group struct {
	pool     *Pool
	state    atomic.Pointer[groupState]
	inflight atomic.Int64 // items pushed to shards and not handled yet

	mu      sync.Mutex
	members map[Reader]*member
	wants   map[Want]int // number of readers
	parts   []*part      // by shard; nil until used
	sizes   []int        // readers by shard
	closed  bool

	inlineMu sync.Mutex
	inline   *Batch
}

// member is a reader's place in a group.
type member struct {
	reader  Reader
	wants   []Want
	part    *part
	backlog []*Message    // with a reference each; of the worker, once pushed
	pause   time.Duration // before the backlog, or notPaced
	removed bool          // guarded by part.mu
}

// groupState is what Send and the queries need, replaced as a whole.
type groupState struct {
	readers  int
	parts    []*part   // those with readers
	channels [][]uint8 // by track
	packets  []bool    // by track
	udp      bool
}

// NewGroup returns a group without readers. It costs no goroutine.
func (p *Pool) NewGroup() *Group {
	g := &Group{
		pool:    p,
		members: make(map[Reader]*member),
		wants:   make(map[Want]int),
	}
	g.state.Store(&groupState{})
	return g
}

// Len returns the number of readers.
func (g *Group) Len() int { return g.state.Load().readers }

// Channels returns the RTP channels under which readers want interleaved frames of a track. The slice must not be changed.
func (g *Group) Channels(track int) []uint8 {
	s := g.state.Load()
	if track < 0 || track >= len(s.channels) {
		return nil
	}
	return s.channels[track]
}

// HasUDP reports whether any reader wants packets one by one.
func (g *Group) HasUDP() bool { return g.state.Load().udp }

// WantsPackets reports whether any reader wants packets of a track one by one.
func (g *Group) WantsPackets(track int) bool {
	s := g.state.Load()
	return track >= 0 && track < len(s.packets) && s.packets[track]
}

// Add adds a reader. It gets the messages of the backlog and then, without a gap, every message whose Send begins
// after Add returns. Messages are retained as long as needed. Adding a reader twice, or to a closed group, does nothing.
//
// The backlog goes out at once; the queue of a TCP reader holds it beside what it may hold.
func (g *Group) Add(r Reader, backlog ...*Message) { g.add(r, backlog, notPaced) }

// AddPaced is Add for readers that may lose what comes too fast: a backlog of more than 64 KiB is sent at 20 Mbit/s, or
// within 250 ms, whichever is faster, and what comes meanwhile after it. Any backlog begins after a pause, for peers that
// may not be ready yet.
func (g *Group) AddPaced(r Reader, pause time.Duration, backlog ...*Message) {
	g.add(r, backlog, pause)
}

func (g *Group) add(r Reader, backlog []*Message, pause time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, dup := g.members[r]; dup || g.closed {
		return
	}
	if g.parts == nil {
		g.parts = make([]*part, len(g.pool.shards))
		g.sizes = make([]int, len(g.pool.shards))
	}
	i := g.pool.assign(g.sizes)
	if g.parts[i] == nil {
		g.parts[i] = &part{group: g, shard: g.pool.shards[i], index: i}
	}
	j := &member{reader: r, wants: slices.Clone(r.Wants()), part: g.parts[i], pause: pause}
	for _, m := range backlog {
		m.Retain()
		j.backlog = append(j.backlog, m)
	}
	g.members[r] = j
	g.sizes[i]++
	for _, w := range j.wants {
		g.wants[w]++
	}
	g.publish()
	if !j.part.shard.push(j.part, item{join: j}) {
		for _, m := range j.backlog {
			m.Release()
		}
	}
}

// Remove takes a reader out. When it returns the reader is not called again, and a TCP connection gets
// no more of its media than the end of the block that it had begun. Removing a reader that is not there does nothing.
func (g *Group) Remove(r Reader) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if j := g.members[r]; j != nil {
		g.drop(j)
		g.publish()
	}
}

// Close removes all readers. Messages that are sent later are lost.
func (g *Group) Close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	for _, j := range g.members {
		g.drop(j)
	}
	g.publish()
}

// drop removes a member. The caller holds g.mu.
func (g *Group) drop(j *member) {
	p := j.part
	p.mu.Lock()
	j.removed = true
	if i := slices.Index(p.readers, j.reader); i >= 0 {
		p.readers = slices.Delete(p.readers, i, i+1)
	}
	p.unpace(j.reader)
	p.mu.Unlock()
	if r, ok := j.reader.(interface{ purge() }); ok {
		r.purge() // a TCPReader, or a type that embeds one
	}
	delete(g.members, j.reader)
	g.sizes[p.index]--
	g.pool.unassign(p.index)
	for _, w := range j.wants {
		if g.wants[w]--; g.wants[w] == 0 {
			delete(g.wants, w)
		}
	}
}

// publish replaces the state. The caller holds g.mu.
func (g *Group) publish() {
	s := &groupState{readers: len(g.members)}
	for i, n := range g.sizes {
		if n > 0 {
			s.parts = append(s.parts, g.parts[i])
		}
	}
	for w := range g.wants {
		for w.Track >= len(s.channels) {
			s.channels = append(s.channels, nil)
			s.packets = append(s.packets, false)
		}
		if w.Channel == AsPackets {
			s.packets[w.Track] = true
			s.udp = true
		} else {
			s.channels[w.Track] = append(s.channels[w.Track], uint8(w.Channel))
		}
	}
	for _, c := range s.channels {
		slices.Sort(c)
	}
	g.state.Store(s)
}

// Send gives a message to all readers and takes over the caller's reference. It does not block: a worker that is too far
// behind loses the message for its readers, which count it. Messages of one goroutine are delivered in its order.
func (g *Group) Send(m *Message) {
	s := g.state.Load()
	switch {
	case s.readers == 0 || g.pool.closed.Load():
		m.Release()
	case s.readers <= inlineReaders && g.inflight.Load() == 0:
		g.sendInline(s, m)
	default:
		m.refs.Add(int32(len(s.parts)))
		for _, p := range s.parts {
			if !p.shard.push(p, item{m: m}) {
				m.Release()
			}
		}
		m.Release()
	}
}

func (g *Group) sendInline(s *groupState, m *Message) {
	g.inlineMu.Lock()
	if g.inline == nil {
		g.inline = NewBatch(inlineBatch)
	}
	for _, p := range s.parts {
		p.mu.Lock()
		p.deliver(m, g.inline)
		p.mu.Unlock()
	}
	g.inlineMu.Unlock()
	m.Release()
}
