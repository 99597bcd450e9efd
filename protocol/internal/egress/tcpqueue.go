package egress

import (
	"errors"
	"os"
	"time"
)

// drainBytes is about how much the goroutine of a connection takes from the queue at once. Readers that are removed
// may get so much more.
const drainBytes = 64 << 10

// keepItems is the capacity up to which the queue of a connection is kept while it is empty.
const keepItems = 16

// queued is a block or control message that waits, or the rest of one.
type queued struct {
	data    []byte
	block   *Block // nil: a control message
	reader  *TCPReader
	rtcp    bool
	begun   bool
	backlog bool
}

// release ends an item that was not sent as a whole.
func (it *queued) release() {
	if it.block != nil {
		it.reader.Lost(it.block.Packets)
		it.block.Release()
	}
}

// tcpQueue is what a connection has not taken yet. Blocks are shared with the queues of other connections.
type tcpQueue struct {
	items   []queued
	head    int // items before it are gone
	busy    int // items from head on that are being written
	media   int // bytes
	backlog int // bytes of media that readers begin with
	control int // bytes
}

func (q *tcpQueue) len() int { return len(q.items) - q.head }

func (q *tcpQueue) push(it queued) {
	if q.head > 0 && len(q.items) == cap(q.items) {
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	q.items = append(q.items, it)
	q.count(&it, len(it.data))
}

func (q *tcpQueue) count(it *queued, n int) {
	if it.block != nil {
		q.media += n
		if it.backlog {
			q.backlog += n
		}
	} else {
		q.control += n
	}
}

// take marks the first items as being written and appends their bytes to dst.
func (q *tcpQueue) take(dst [][]byte) [][]byte {
	n := 0
	for i := q.head; i < len(q.items) && (n == 0 || n+len(q.items[i].data) <= drainBytes); i++ {
		n += len(q.items[i].data)
		dst = append(dst, q.items[i].data)
		q.busy++
	}
	return dst
}

// advance takes out n bytes that were written, and ends the marking.
func (q *tcpQueue) advance(n int, now int64) {
	q.busy = 0
	for n > 0 {
		it := &q.items[q.head]
		k := min(n, len(it.data))
		it.data, it.begun = it.data[k:], true
		q.count(it, -k)
		n -= k
		if len(it.data) > 0 {
			return
		}
		if it.block != nil {
			it.reader.done(it.block, it.rtcp, now)
			it.block.Release()
		}
		*it = queued{}
		q.head++
	}
	if q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
	}
}

// purge drops the items of a reader that are not begun.
func (q *tcpQueue) purge(r *TCPReader) {
	keep := q.head
	for i := q.head; i < len(q.items); i++ {
		it := &q.items[i]
		if it.reader == r && !it.begun && i >= q.head+q.busy {
			q.count(it, -len(it.data))
			it.release()
			continue
		}
		q.items[keep] = *it
		keep++
	}
	clear(q.items[keep:])
	q.items = q.items[:keep]
}

// clear drops everything.
func (q *tcpQueue) clear() {
	for i := q.head; i < len(q.items); i++ {
		q.items[i].release()
	}
	*q = tcpQueue{}
}

// shrink gives the memory of an empty queue back, unless it is little.
func (q *tcpQueue) shrink() {
	if cap(q.items) > keepItems {
		*q = tcpQueue{}
	}
}

// drain writes the queue until it is empty, waiting for the other side.
func (c *TCPConn) drain() {
	var bufs [][]byte
	for {
		c.mu.Lock()
		if c.err != nil && !c.flushing {
			c.q.clear()
		}
		if c.q.len() == 0 {
			c.q.shrink()
			c.draining = false
			c.idle.Broadcast()
			c.mu.Unlock()
			return
		}
		bufs = c.q.take(bufs[:0])
		c.mu.Unlock()

		n, err := c.writeWait(bufs)
		clear(bufs)
		c.written.Add(uint64(n))

		c.mu.Lock()
		c.q.advance(n, time.Now().UnixNano())
		if err != nil && n == 0 {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				err = ErrWriteTimeout
			}
			c.flushing = false
			c.fail(err)
		}
		c.mu.Unlock()
	}
}

// writeWait writes some of bufs, waiting until the first bytes are taken. An error counts if nothing was.
func (c *TCPConn) writeWait(bufs [][]byte) (int, error) {
	total := 0
	for _, p := range bufs {
		for len(p) > 0 {
			n, err := c.writeSome(p, total == 0)
			total += n
			if err != nil || n == 0 {
				return total, err
			}
			p = p[n:]
		}
	}
	return total, nil
}

// writeSome writes a part of p; unless wait is set only what is taken without waiting, where that can be told.
func (c *TCPConn) writeSome(p []byte, wait bool) (int, error) {
	if c.rc == nil {
		c.Conn.SetWriteDeadline(time.Now().Add(c.o.WriteTimeout))
		return c.Conn.Write(p[:min(len(p), drainBytes)])
	}
	c.out, c.outN, c.outErr = p, 0, nil
	var err error
	if wait {
		c.Conn.SetWriteDeadline(time.Now().Add(c.o.WriteTimeout))
		err = c.rc.Write(c.writeAny)
	} else {
		err = c.rc.Control(c.writeNow)
	}
	c.out = nil
	if err == nil {
		err = c.outErr
	}
	return c.outN, err
}
