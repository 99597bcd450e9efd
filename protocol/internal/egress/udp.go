package egress

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync/atomic"
	"syscall"
)

// udpSendBuffer is asked for at each socket, so that an access unit for many readers fits; the system may give less.
const udpSendBuffer = 4 << 20

// sendMode is how datagrams leave a socket.
type sendMode = int32

const (
	modePlain sendMode = iota // one call per datagram
	modeBatch                 // sendmmsg(2)
	modeGSO                   // sendmmsg(2) with UDP_SEGMENT
)

// UDPSocket is a UDP socket from which batches of datagrams are sent. It is a net.PacketConn too, and may be
// read from and written to as one at the same time.
type UDPSocket struct {
	*net.UDPConn

	rc   syscall.RawConn
	ipv4 bool // AF_INET: takes no IPv6 addresses
	mode atomic.Int32
	tap  tap
}

// WrapUDP prepares a socket for sending batches. The socket is asked for a send buffer of 4 MiB. It must not be connected.
func WrapUDP(c *net.UDPConn) (*UDPSocket, error) {
	rc, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	a, ok := c.LocalAddr().(*net.UDPAddr)
	if !ok {
		return nil, fmt.Errorf("not a UDP address: %v", c.LocalAddr())
	}
	s := &UDPSocket{UDPConn: c, rc: rc, ipv4: a.IP.To4() != nil}
	setSendBuffer(s, udpSendBuffer)
	s.mode.Store(probeSendMode(s))
	return s, nil
}

// Destination is an address to which datagrams are sent from one socket, by one batch at a time.
type Destination struct {
	socket *UDPSocket
	addr   netip.AddrPort
	raw    rawAddr
	plain  plainAddr
	zone   uint32

	// gsoMax is the largest segment for which UDP_SEGMENT has not failed. It does for segments above
	// the MTU, and always where the network device cannot compute checksums.
	gsoMax atomic.Int32
}

// Destination prepares an address. IPv4 addresses may be given in either form.
func (s *UDPSocket) Destination(a netip.AddrPort) (*Destination, error) {
	ip := a.Addr().Unmap()
	if !ip.IsValid() || a.Port() == 0 {
		return nil, fmt.Errorf("invalid UDP destination %v", a)
	}
	if s.ipv4 && !ip.Is4() {
		return nil, fmt.Errorf("UDP destination %v: the socket takes IPv4 addresses only", a)
	}
	zone, err := zoneIndex(ip.Zone())
	if err != nil {
		return nil, fmt.Errorf("UDP destination %v: %w", a, err)
	}
	d := &Destination{socket: s, addr: netip.AddrPortFrom(ip, a.Port()), zone: zone}
	d.raw.set(d.addr, s.ipv4, zone)
	d.gsoMax.Store(maxGSOBytes)
	return d, nil
}

// AddrPort returns the address.
func (d *Destination) AddrPort() netip.AddrPort { return d.addr }

func zoneIndex(zone string) (uint32, error) {
	if zone == "" {
		return 0, nil
	}
	if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
		return uint32(n), nil
	}
	i, err := net.InterfaceByName(zone)
	if err != nil {
		return 0, err
	}
	return uint32(i.Index), nil
}
