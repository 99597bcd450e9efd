package rtsp

import (
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/org/mtx/protocol/internal/egress"
)

// tlsListener puts TLS on top of connections, and joins what the library writes
// packet by packet.
type tlsListener struct {
	net.Listener
	sv   *server
	conf *tls.Config
}

// Accept implements net.Listener.
func (l tlsListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	t := tls.Server(c, l.conf)
	return &tlsConn{Conn: t, out: l.sv.newOut(t), timeout: l.sv.cfg.WriteTimeout}, nil
}

// flushAfter bounds how long a packet waits for the end of its access unit.
const flushAfter = 2 * time.Millisecond

// maxCoalesced bounds what is joined, bytes.
const maxCoalesced = 128 << 10

// tlsConn is a connection with TLS. Media comes from the fan-out if it is not
// encrypted once more (SRTP) and does not go through a tunnel; otherwise from the
// library, and the interleaved frames of an access unit are joined into one write.
type tlsConn struct {
	net.Conn
	intake
	answers
	out     *egress.TCPConn
	timeout time.Duration // of writes
	direct  atomic.Bool   // media comes from the fan-out: out writes everything
	before  atomic.Uint64 // bytes that were written without out

	mu    sync.Mutex
	buf   []byte
	timer *time.Timer
	err   error // of the last delayed write
}

// Read implements net.Conn.
func (c *tlsConn) Read(p []byte) (int, error) { return c.read(c.Conn, p) }

// Write implements net.Conn.
func (c *tlsConn) Write(p []byte) (int, error) {
	f := c.join
	if c.direct.Load() {
		f = func(p []byte) (int, error) { return writeWith(c.out, c.timeout, p) }
	}
	n, err := c.intake.write(p, f)
	c.wrote(p, err)
	return n, err
}

func (c *tlsConn) join(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return 0, c.err
	}
	c.buf = append(c.buf, p...)
	// $, channel, length, RTP header: media packets have an even channel, the
	// last one of an access unit has the marker bit (RFC 3550 section 5.1)
	isMedia := len(p) > 5 && p[0] == '$' && p[1]&1 == 0
	if !isMedia || p[5]&0x80 != 0 || len(c.buf) > maxCoalesced {
		return len(p), c.flushLocked()
	}
	if c.timer == nil {
		c.timer = time.AfterFunc(flushAfter, func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			_ = c.flushLocked()
		})
	} else if len(c.buf) == len(p) {
		c.timer.Reset(flushAfter)
	}
	return len(p), nil
}

func (c *tlsConn) flushLocked() error {
	if len(c.buf) == 0 {
		return c.err
	}
	n, err := c.Conn.Write(c.buf)
	c.err = err
	c.before.Add(uint64(n))
	c.buf = c.buf[:0]
	return c.err
}

// Close implements net.Conn.
func (c *tlsConn) Close() error {
	err := c.out.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timer != nil {
		c.timer.Stop()
	}
	c.err = net.ErrClosed
	return err
}

// SetWriteDeadline implements net.Conn. The fan-out has a timeout of its own.
func (c *tlsConn) SetWriteDeadline(t time.Time) error {
	if c.direct.Load() {
		return nil
	}
	return c.Conn.SetWriteDeadline(t)
}

// media implements mediaConn.
func (c *tlsConn) media() *egress.TCPConn {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.flushLocked()
	c.direct.Store(true)
	return c.out
}

func (c *tlsConn) sent() uint64   { return c.before.Load() + c.out.Written() }
func (c *tlsConn) failure() error { return writeFailure(c.out) }
