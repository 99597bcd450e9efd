package egress

import (
	"slices"
	"time"
)

const (
	// paceFrom is how large a backlog may be that is sent at once, bytes: what a receive buffer holds in any case.
	paceFrom = 64 << 10

	// minPace is the least rate of a paced backlog, bytes per second.
	minPace = 5 << 19

	// paceTime is how long a backlog may take, unless it is done sooner at minPace. A GOP of one second goes out four
	// times as fast as it came.
	paceTime = 250 * time.Millisecond

	// notPaced as a pause says that a backlog is sent at once.
	notPaced time.Duration = -1

	// maxPause bounds the sleep of a pacer, which is long after a large message.
	maxPause = 20 * time.Millisecond
)

// pacer gives a reader its backlog at a limited rate, and what comes meanwhile behind it. Then the reader is served like
// the others. Messages are not split: they leave as they would have left when they were new. All fields but stop are
// guarded by part.mu.
type pacer struct {
	part   *part
	reader Reader
	queue  []item
	bytes  int // in the queue
	most   int // that may be
	rate   int // bytes per second
	credit int // that may be sent; negative after a large message
	last   time.Time
	gone   bool
	stop   chan struct{} // closed with gone
}

// paced starts a pacer if the backlog of a member is large. It takes the backlog over. The caller holds p.mu.
func (p *part) paced(j *member) bool {
	total := 0
	for _, m := range j.backlog {
		total += m.Len()
	}
	if j.pause == notPaced || total == 0 || total <= paceFrom && j.pause == 0 {
		return false
	}
	pc := &pacer{
		part: p, reader: j.reader, bytes: total, most: total + maxQueuedBytes,
		rate: max(minPace, int(float64(total)/paceTime.Seconds())),
		stop: make(chan struct{}),
	}
	for _, m := range j.backlog {
		pc.queue = append(pc.queue, item{m: m})
	}
	j.backlog = nil
	p.pacers = append(p.pacers, pc)
	pause := j.pause
	p.group.pool.wg.Go(func() { pc.run(pause) })
	return true
}

// push puts a message behind the others. The caller holds part.mu.
func (pc *pacer) push(m *Message) {
	n := m.Len()
	if pc.bytes+n > pc.most {
		pc.queue = append(pc.queue, item{lost: []Loss{m.loss()}})
		return
	}
	m.Retain()
	pc.bytes += n
	pc.queue = append(pc.queue, item{m: m})
}

func (pc *pacer) run(pause time.Duration) {
	b := NewBatch(inlineBatch)
	t := time.NewTimer(pause)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-pc.stop:
			return
		}
		pause, more := pc.send(b)
		if !more {
			return
		}
		t.Reset(pause)
	}
}

// send sends what is due. It returns when to be called again, unless the reader caught up.
func (pc *pacer) send(b *Batch) (pause time.Duration, more bool) {
	p := pc.part
	p.mu.Lock()
	defer p.mu.Unlock()
	if pc.gone || p.group.pool.closed.Load() {
		pc.end()
		return 0, false
	}
	now := time.Now()
	if !pc.last.IsZero() {
		earned := int(now.Sub(pc.last).Seconds() * float64(pc.rate))
		pc.credit = min(pc.credit+earned, paceFrom)
	}
	pc.last = now
	for len(pc.queue) > 0 && pc.credit >= 0 {
		it := pc.queue[0]
		pc.queue[0] = item{}
		pc.queue = pc.queue[1:]
		if it.m == nil {
			for _, l := range it.lost {
				pc.reader.Discard(l)
			}
			continue
		}
		n := it.m.Len()
		pc.bytes -= n
		pc.credit -= n
		pc.reader.Deliver(it.m, b)
		b.Flush()
		it.m.Release()
	}
	if len(pc.queue) == 0 {
		pc.end()
		p.readers = append(p.readers, pc.reader)
		return 0, false
	}
	pause = time.Duration(float64(-pc.credit) / float64(pc.rate) * float64(time.Second))
	return min(max(pause, time.Millisecond), maxPause), true
}

// end takes the pacer out and gives back what waits. The caller holds part.mu.
func (pc *pacer) end() {
	if pc.gone {
		return
	}
	pc.gone = true
	close(pc.stop)
	for _, it := range pc.queue {
		if it.m != nil {
			it.m.Release()
		}
	}
	pc.queue = nil
	pc.part.pacers = slices.DeleteFunc(pc.part.pacers, func(o *pacer) bool { return o == pc })
}

// unpace ends the pacer of a reader, if it has one. The caller holds p.mu.
func (p *part) unpace(r Reader) {
	for _, pc := range slices.Clone(p.pacers) {
		if pc.reader == r {
			pc.end()
		}
	}
}
