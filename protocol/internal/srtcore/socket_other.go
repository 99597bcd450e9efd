//go:build !linux

package srtcore

import (
	"net"
	"net/netip"
)

// datagramSize is what is read of a datagram; longer ones are ignored.
const datagramSize = 1536

// socketReader reads one datagram at a time. It belongs to one goroutine.
type socketReader struct {
	conn *net.UDPConn
	data [datagramSize]byte
	n    int
	from netip.AddrPort
}

func newSocketReader(c *net.UDPConn) (*socketReader, error) { return &socketReader{conn: c}, nil }

// read waits for datagrams and returns how many there are.
func (r *socketReader) read() (n int, err error) {
	r.n, r.from, err = r.conn.ReadFromUDPAddrPort(r.data[:])
	return 1, err
}

// datagram returns a datagram of the last read, valid until the next one.
func (r *socketReader) datagram(int) ([]byte, netip.AddrPort, bool) {
	return r.data[:r.n], netip.AddrPortFrom(r.from.Addr().Unmap(), r.from.Port()), r.n < datagramSize
}

func setReceiveBuffer(c *net.UDPConn, size int) {
	c.SetReadBuffer(size) //nolint:errcheck // best effort
}
