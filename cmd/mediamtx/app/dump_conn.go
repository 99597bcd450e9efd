package app

import (
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Conn returns a TCP connection that is dumped, or the connection itself.
func (d *dumper) Conn(protocol string, c net.Conn) net.Conn {
	if !d.enabled.Load() {
		return c
	}
	local, err1 := netip.ParseAddrPort(c.LocalAddr().String())
	remote, err2 := netip.ParseAddrPort(c.RemoteAddr().String())
	if err1 != nil || err2 != nil {
		return c // not TCP
	}
	now := time.Now()
	f := d.create(protocol, remote, now)
	if f == nil {
		return c
	}
	dc := &dumpedConn{Conn: c, file: f}
	pcap, err := newTCPCapture(f, local, remote, now)
	if err != nil {
		f.close(err)
		return c
	}
	dc.pcap = pcap
	return dc
}

// dumpedConn is a connection with its file.
type dumpedConn struct {
	net.Conn

	mu   sync.Mutex
	file *dumpFile
	pcap *tcpCapture

	// What was received last, if the program has asked for just these few bytes to
	// look at them. It is written together with what follows, since programs for
	// captures find the beginning of a message only in one piece.
	held   []byte
	heldAt time.Time
}

// maxHeld bounds dumpedConn.held, in bytes.
const maxHeld = 16

func (c *dumpedConn) received(b []byte, more bool) {
	if len(b) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if len(c.held) > 0 {
		b, now = append(c.held, b...), c.heldAt
		c.held = nil
	}
	if more && len(b) <= maxHeld {
		c.held, c.heldAt = slices.Clone(b), now
		return
	}
	c.write(false, b, now)
}

func (c *dumpedConn) sending(b []byte) {
	if len(b) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.release()
	c.write(true, b, time.Now())
}

// release writes what is held. The caller holds c.mu, as that of write does.
func (c *dumpedConn) release() {
	c.write(false, c.held, c.heldAt)
	c.held = nil
}

func (c *dumpedConn) write(out bool, b []byte, at time.Time) {
	if c.file.file == nil {
		return
	}
	if err := c.pcap.data(out, b, at); err != nil {
		c.file.close(err)
	}
}

// Read implements net.Conn.
func (c *dumpedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.received(b[:n], n == len(b) && err == nil)
	return n, err
}

// Write implements net.Conn. It records first: when the other side has the bytes,
// it may answer, or close the connection.
func (c *dumpedConn) Write(b []byte) (int, error) {
	c.sending(b)
	return c.Conn.Write(b)
}

// Close implements net.Conn.
func (c *dumpedConn) Close() error {
	c.mu.Lock()
	c.release()
	if c.file.file != nil {
		_ = c.pcap.end(time.Now())
		c.file.close(nil)
	}
	c.mu.Unlock()
	return c.Conn.Close()
}
