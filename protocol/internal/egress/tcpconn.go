package egress

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	defaultQueueBytes   = 2 << 20
	defaultWriteTimeout = 10 * time.Second

	// maxControlBytes of control messages may wait behind media.
	maxControlBytes = 256 << 10

	// closeGrace bounds how long Close waits for what is queued.
	closeGrace = 250 * time.Millisecond
)

// ErrControlQueueFull is returned by TCPConn.Write when the other side does not take what it asked for.
var ErrControlQueueFull = errors.New("too many unsent control messages")

// ErrWriteTimeout is the error of a connection whose other side took nothing for too long.
var ErrWriteTimeout = fmt.Errorf("nothing was taken by the other side: %w", os.ErrDeadlineExceeded)

// TCPOptions configure a TCPConn.
type TCPOptions struct {
	// QueueBytes bounds the media that waits for a slow reader, beside its backlog. Default 2 MiB.
	QueueBytes int

	// WriteTimeout is how long the other side may take nothing before the connection is closed. Default 10s.
	WriteTimeout time.Duration

	// OnError is called once, from a goroutine of its own, before the connection is closed because of an
	// error in writing: who reads from it sees what follows from the error only after the error itself. It is
	// not called after Close.
	OnError func(error)
}

// TCPConn is a connection that carries whole control messages of a library (Write) and blocks of media, each as a whole.
//
// A *net.TCPConn (or *net.UnixConn) is written to without blocking; what it does not take waits in a queue, for which a
// goroutine runs while it lasts. Any other net.Conn (TLS, a pipe) always goes through the queue.
type TCPConn struct {
	net.Conn

	o       TCPOptions
	rc      syscall.RawConn // nil: no direct writes
	written atomic.Uint64

	mu       sync.Mutex
	idle     sync.Cond // draining became false
	err      error     // why nothing more is written
	draining bool      // a goroutine owns the socket and the first q.busy items
	flushing bool      // closed, but the queue is still written
	q        tcpQueue

	// Arguments and results of the callbacks below, which are made once, so that a write allocates nothing.
	// Guarded by mu, and while draining owned by the goroutine.
	out      []byte
	outN     int
	outErr   error
	writeNow func(fd uintptr)
	writeAny func(fd uintptr) bool
}

// NewTCPConn wraps a connection. Nobody else may write to it from then on.
func NewTCPConn(c net.Conn, o TCPOptions) *TCPConn {
	if o.QueueBytes <= 0 {
		o.QueueBytes = defaultQueueBytes
	}
	if o.WriteTimeout <= 0 {
		o.WriteTimeout = defaultWriteTimeout
	}
	t := &TCPConn{Conn: c, o: o}
	t.idle.L = &t.mu
	if rc := directConn(c); rc != nil {
		t.rc = rc
		t.writeNow = t.writeFd
		t.writeAny = func(fd uintptr) bool {
			t.writeFd(fd)
			return t.outN > 0 || t.outErr != nil
		}
	}
	return t
}

// NetConn returns the wrapped connection.
func (c *TCPConn) NetConn() net.Conn { return c.Conn }

// Written returns the number of bytes that the connection has taken, control messages and frame headers included.
func (c *TCPConn) Written() uint64 { return c.written.Load() }

// SetWriteDeadline does nothing: TCPOptions.WriteTimeout rules.
func (c *TCPConn) SetWriteDeadline(time.Time) error { return nil }

// SetDeadline sets the read deadline only.
func (c *TCPConn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

// Write sends a control message, in one piece and behind what is waiting. It does not wait for the other side, and
// fails with ErrControlQueueFull if 256 KiB are waiting already.
func (c *TCPConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return 0, c.err
	}
	n := 0
	if c.rc != nil && !c.draining {
		n = c.write(p)
		if c.err != nil {
			return n, c.err
		}
	} else if c.q.control > 0 && c.q.control+len(p) > maxControlBytes {
		return 0, ErrControlQueueFull
	}
	if n < len(p) {
		c.push(queued{data: append([]byte(nil), p[n:]...)})
	}
	return len(p), nil
}

// send sends a block, or reports that it was not taken. What belongs to a backlog always is.
func (c *TCPConn) send(r *TCPReader, b *Block, control, backlog bool, now int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return false
	}
	n := 0
	if c.rc != nil && !c.draining {
		n = c.write(b.Data)
		if c.err != nil {
			return false
		}
		if n == len(b.Data) {
			r.done(b, control, now)
			return true
		}
	} else if waiting := c.q.media - c.q.backlog; !backlog && waiting > 0 && waiting+len(b.Data) > c.o.QueueBytes {
		return false
	}
	b.Retain()
	c.push(queued{data: b.Data[n:], block: b, reader: r, rtcp: control, begun: n > 0, backlog: backlog})
	return true
}

// write writes what the socket takes at once. The caller holds c.mu; nobody is draining.
func (c *TCPConn) write(p []byte) int {
	c.out, c.outN, c.outErr = p, 0, nil
	err := c.rc.Control(c.writeNow)
	c.out = nil
	if err == nil {
		err = c.outErr
	}
	c.written.Add(uint64(c.outN))
	if err != nil {
		c.fail(err)
	}
	return c.outN
}

// push puts an item behind the others. The caller holds c.mu.
func (c *TCPConn) push(it queued) {
	c.q.push(it)
	if !c.draining {
		c.draining = true
		go c.drain()
	}
}

// fail ends the connection. The caller holds c.mu.
func (c *TCPConn) fail(err error) {
	if c.err != nil {
		return
	}
	c.err = err
	if !c.draining {
		c.q.clear()
	}
	go func() {
		if c.o.OnError != nil {
			c.o.OnError(err)
		}
		c.Conn.Close()
	}()
}

// Close closes the connection. No goroutine of the connection writes after Close returned.
//
// A connection that is written to directly is closed at once; what is waiting is lost, since the other side does not take it.
// Of any other, all that was written waits in the queue, so Close first waits, for up to 250 ms, until that is out.
func (c *TCPConn) Close() error {
	c.mu.Lock()
	if c.err == nil {
		c.err = net.ErrClosed
		if c.flushing = c.rc == nil && c.draining; c.flushing {
			defer time.AfterFunc(closeGrace, c.abandon).Stop()
		}
	}
	for c.flushing && c.draining {
		c.idle.Wait()
	}
	if !c.draining {
		c.q.clear()
	}
	c.mu.Unlock()

	err := c.Conn.Close()

	c.mu.Lock()
	for c.draining {
		c.idle.Wait()
	}
	c.mu.Unlock()
	return err
}

// abandon makes Close wait no longer for the other side.
func (c *TCPConn) abandon() {
	c.mu.Lock()
	c.flushing = false
	c.idle.Broadcast()
	c.mu.Unlock()
}

// purge throws away what waits for a reader, but for what is being written.
func (c *TCPConn) purge(r *TCPReader) {
	c.mu.Lock()
	c.q.purge(r)
	c.mu.Unlock()
}
