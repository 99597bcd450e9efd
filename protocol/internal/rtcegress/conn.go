package rtcegress

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/org/mtx/protocol/internal/egress"
)

// Conn is the UDP socket of many peer connections. It is made for ice.NewUDPMuxDefault: a net.PacketConn that implements
// ice.AddrPortReaderWriter too.
type Conn struct {
	net.PacketConn

	socket  *egress.UDPSocket // nil: not a UDP socket, nothing is collected
	outlets outlets
}

// Listen opens a UDP socket at an address (host:port; without a host: all addresses, IPv4 and IPv6).
func Listen(address string) (*Conn, error) {
	a, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return nil, fmt.Errorf("address %q: %w", address, err)
	}
	c, err := net.ListenUDP("udp", a)
	if err != nil {
		return nil, err
	}
	return Wrap(c)
}

// Wrap makes a Conn of a socket, which it owns from then on. Anything else than a *net.UDPConn works too, but without batches.
func Wrap(c net.PacketConn) (*Conn, error) {
	u, ok := c.(*net.UDPConn)
	if !ok {
		return &Conn{PacketConn: c}, nil
	}
	s, err := egress.WrapUDP(u)
	if err != nil {
		return nil, err
	}
	return &Conn{PacketConn: s, socket: s}, nil
}

// SetTap shows the datagrams of the socket, see egress.UDPSocket.SetTap; not those of anything else than a *net.UDPConn.
func (c *Conn) SetTap(name string, t egress.Tap) {
	if c.socket != nil {
		c.socket.SetTap(name, t)
	}
}

// SetReadBuffer sets the size of the receive buffer of the socket in bytes.
func (c *Conn) SetReadBuffer(bytes int) error {
	if c.socket == nil {
		return errors.ErrUnsupported
	}
	return c.socket.SetReadBuffer(bytes)
}

// maxReadErrors is how many reads may fail in a row before the error is passed on.
const maxReadErrors = 1000

// ReadFromAddrPort implements ice.AddrPortReaderWriter. Errors that concern one datagram are passed over, since pion's mux
// ends at the first one: on Windows for example a datagram that is larger than the buffer.
func (c *Conn) ReadFromAddrPort(p []byte) (int, netip.AddrPort, error) {
	for i := 1; ; i++ {
		n, a, err := c.readFrom(p)
		if err == nil || errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) || i >= maxReadErrors {
			return n, a, err
		}
	}
}

func (c *Conn) readFrom(p []byte) (int, netip.AddrPort, error) {
	if c.socket != nil {
		return c.socket.ReadFromUDPAddrPort(p)
	}
	n, a, err := c.PacketConn.ReadFrom(p)
	if err != nil {
		return n, netip.AddrPort{}, err
	}
	u, ok := a.(*net.UDPAddr)
	if !ok {
		return 0, netip.AddrPort{}, fmt.Errorf("not a UDP address: %v", a)
	}
	return n, u.AddrPort(), nil
}

// WriteToAddrPort implements ice.AddrPortReaderWriter. Media of a viewer that is being served is sent later, together
// with other media.
func (c *Conn) WriteToAddrPort(p []byte, to netip.AddrPort) (int, error) {
	if o := c.outletOf(p); o != nil && o.collect(p, to) {
		return len(p), nil
	}
	if c.socket != nil {
		return c.socket.WriteToUDPAddrPort(p, to)
	}
	return c.PacketConn.WriteTo(p, net.UDPAddrFromAddrPort(to))
}

// WriteTo implements net.PacketConn.
func (c *Conn) WriteTo(p []byte, to net.Addr) (int, error) {
	if u, ok := to.(*net.UDPAddr); ok {
		if o := c.outletOf(p); o != nil && o.collect(p, u.AddrPort()) {
			return len(p), nil
		}
	}
	return c.PacketConn.WriteTo(p, to)
}

// outletOf returns the outlet of the viewer that a packet comes from, or nil.
func (c *Conn) outletOf(p []byte) *outlet {
	const (
		headerSize = 12 // of RTP; SRTP leaves it as it is (RFC 3711 section 3.1)
		version2   = 2
		minRTCP    = 192 // RFC 5761 section 4
		maxRTCP    = 223
	)
	if len(p) < headerSize || p[0]>>6 != version2 || p[1] >= minRTCP && p[1] <= maxRTCP {
		return nil
	}
	return c.outlets.get(binary.BigEndian.Uint32(p[8:]))
}
