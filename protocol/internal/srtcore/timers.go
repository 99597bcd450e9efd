package srtcore

import (
	"container/heap"
	"sync"
	"time"

	"github.com/org/mtx/protocol/internal/egress"
)

// tickGrain is what due times are rounded up to, in microseconds, so that one wake-up serves many connections.
const tickGrain = 5000

// timers knows when which connection is due. One goroutine serves them all.
type timers struct {
	wake chan struct{} // capacity 1
	done chan struct{}

	mu     sync.Mutex
	queue  dueQueue
	next   int64 // when the loop will wake up by itself
	closed bool
}

// due is a connection's place in the queue, guarded by timers.mu.
type due struct {
	conn  *Conn
	at    int64 // microseconds
	index int   // -1: not queued
}

func newTimers() *timers {
	return &timers{wake: make(chan struct{}, 1), done: make(chan struct{})}
}

// set makes a connection due at a time, or earlier if it was.
func (t *timers) set(d *due, at int64) {
	at = (at + tickGrain - 1) / tickGrain * tickGrain
	t.mu.Lock()
	switch {
	case d.index < 0:
		d.at = at
		heap.Push(&t.queue, d)
	case at < d.at:
		d.at = at
		heap.Fix(&t.queue, d.index)
	}
	wake := at < t.next
	if wake {
		t.next = at
	}
	t.mu.Unlock()
	if wake {
		t.signal()
	}
}

// drop takes a connection out.
func (t *timers) drop(d *due) {
	t.mu.Lock()
	if d.index >= 0 {
		heap.Remove(&t.queue, d.index)
	}
	t.mu.Unlock()
}

// pop appends the connections that are due. It returns when the next one is, or -1 if there is none, and whether it is time to end.
func (t *timers) pop(dst []*Conn, now int64) (out []*Conn, next int64, end bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.queue) > 0 && t.queue[0].at <= now {
		dst = append(dst, heap.Pop(&t.queue).(*due).conn) // nothing else is in there
	}
	t.next = 1<<63 - 1
	next = -1
	if len(t.queue) > 0 {
		next = t.queue[0].at
		t.next = next
	}
	return dst, next, t.closed && len(t.queue) == 0 && len(dst) == 0
}

func (t *timers) signal() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// close lets the loop end when all connections have.
func (t *timers) close() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.signal()
}

func (t *timers) wait() { <-t.done }

// runTimers is the timer loop.
func (l *Listener) runTimers() {
	t := l.timers
	defer close(t.done)
	b := egress.NewBatch(0)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var conns []*Conn
	w := &tickWork{}
	for {
		var next int64
		var end bool
		conns, next, end = t.pop(conns[:0], l.now())
		if end {
			return
		}
		for _, c := range conns {
			c.tick(b, w)
		}
		b.Flush()
		if len(conns) > 0 {
			clear(conns)
			continue // what they have set may be due
		}
		if next < 0 {
			<-t.wake
			continue
		}
		timer.Reset(time.Duration(next-l.now()) * time.Microsecond)
		select {
		case <-timer.C:
		case <-t.wake:
		}
	}
}

// dueQueue implements heap.Interface.
type dueQueue []*due

func (q dueQueue) Len() int           { return len(q) }
func (q dueQueue) Less(i, j int) bool { return q[i].at < q[j].at }
func (q dueQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

func (q *dueQueue) Push(x any) {
	d := x.(*due) // as above
	d.index = len(*q)
	*q = append(*q, d)
}

func (q *dueQueue) Pop() any {
	old := *q
	d := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	d.index = -1
	return d
}
