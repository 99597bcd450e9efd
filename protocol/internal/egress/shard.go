package egress

import "sync"

// A part may have so much waiting in its shard, and as much again being served, before messages are lost.
const (
	maxQueuedMessages = 256
	maxQueuedBytes    = 16 << 20
)

// shard is one worker.
type shard struct {
	wake  chan struct{} // capacity 1
	batch *Batch        // of the worker alone

	mu     sync.Mutex
	ready  []*part // those with something in their queue
	closed bool

	spare []*part // of the worker alone: ready is swapped with it
}

// part holds the readers that one group has on one shard.
type part struct {
	group *Group
	shard *shard
	index int // of the shard

	// Guarded by shard.mu.
	queue    []item
	messages int
	bytes    int
	lost     []Loss // behind the queue
	waiting  bool   // in shard.ready

	spare []item // of the worker alone

	mu      sync.Mutex // held while readers are served
	readers []Reader
	pacers  []*pacer // of readers that are not among them yet
	first   int      // the reader that is served first; moves on with each message
}

// item is a message, a reader that joins, or messages that were lost.
type item struct {
	m    *Message
	join *member
	lost []Loss
}

func newShard() *shard {
	return &shard{wake: make(chan struct{}, 1), batch: NewBatch(0)}
}

// push puts an item into the part's queue, and reports whether it was taken. Only messages can be refused.
func (s *shard) push(p *part, it item) bool {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return false
	}
	if it.m != nil {
		n := it.m.Len()
		if p.messages >= maxQueuedMessages || p.bytes > 0 && p.bytes+n > maxQueuedBytes {
			p.lose(it.m.loss())
			s.mu.Unlock()
			return false
		}
		p.messages++
		p.bytes += n
	} else if len(p.lost) > 0 {
		// What was lost before a reader joins is no loss for it.
		p.queue = append(p.queue, item{lost: p.lost})
		p.lost = nil
		p.group.inflight.Add(1)
	}
	p.queue = append(p.queue, it)
	p.group.inflight.Add(1)
	wake := false
	if !p.waiting {
		p.waiting = true
		s.ready = append(s.ready, p)
		wake = len(s.ready) == 1
	}
	s.mu.Unlock()
	if wake {
		s.signal()
	}
	return true
}

// lose remembers a message that did not fit. Until the worker takes the queue it stays full, so all losses are
// behind what is in it.
func (p *part) lose(l Loss) {
	for i := range p.lost {
		o := &p.lost[i]
		if o.Track == l.Track && o.Control == l.Control {
			o.Packets += l.Packets
			o.Video = o.Video || l.Video
			return
		}
	}
	p.lost = append(p.lost, l)
}

func (s *shard) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *shard) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.signal()
}

func (s *shard) run() {
	for {
		s.mu.Lock()
		ready, closed := s.ready, s.closed
		s.ready = s.spare[:0]
		s.mu.Unlock()
		for _, p := range ready {
			s.serve(p, closed)
		}
		clear(ready)
		s.spare = ready
		if closed {
			return
		}
		if len(ready) == 0 {
			<-s.wake
		}
	}
}

// serve handles all that waits for a part, or throws it away.
func (s *shard) serve(p *part, discard bool) {
	s.mu.Lock()
	queue, lost := p.queue, p.lost
	p.queue, p.lost = p.spare, nil
	p.messages, p.bytes, p.waiting = 0, 0, false
	s.mu.Unlock()

	for _, it := range queue {
		switch {
		case it.join != nil:
			p.admit(it.join, s.batch, discard)
		case it.lost != nil:
			p.discard(it.lost)
		case discard:
			it.m.Release()
		default:
			p.mu.Lock()
			p.deliver(it.m, s.batch)
			p.mu.Unlock()
			it.m.Release()
		}
	}
	if len(lost) > 0 {
		p.discard(lost)
	}
	n := len(queue)
	clear(queue)
	p.spare = queue[:0]
	p.group.inflight.Add(-int64(n))
}

// deliver gives a message to all readers of the part. The caller holds p.mu.
func (p *part) deliver(m *Message, b *Batch) {
	for _, pc := range p.pacers {
		pc.push(m)
	}
	n := len(p.readers)
	if n == 0 {
		return
	}
	if p.first++; p.first >= n {
		p.first = 0
	}
	for _, r := range p.readers[p.first:] {
		r.Deliver(m, b)
		b.between()
	}
	for _, r := range p.readers[:p.first] {
		r.Deliver(m, b)
		b.between()
	}
	b.Flush()
}

// admit adds a reader and gives it its backlog.
func (p *part) admit(j *member, b *Batch, discard bool) {
	p.mu.Lock()
	if !j.removed && !discard && !p.paced(j) {
		b.backlog = true
		for _, m := range j.backlog {
			j.reader.Deliver(m, b)
			b.Flush()
		}
		b.backlog = false
		p.readers = append(p.readers, j.reader)
	}
	p.mu.Unlock()
	for _, m := range j.backlog {
		m.Release()
	}
	j.backlog = nil
}

func (p *part) discard(lost []Loss) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range lost {
		for _, r := range p.readers {
			r.Discard(l)
		}
	}
	for _, pc := range p.pacers {
		pc.queue = append(pc.queue, item{lost: lost})
	}
}
