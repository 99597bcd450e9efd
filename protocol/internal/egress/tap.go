package egress

import (
	"net"
	"net/netip"
)

// Tap is shown the datagrams of a socket, such as for a dump of packets. Its methods are called from many goroutines.
type Tap interface {
	// Enabled tells whether there is anything to show at present. It is asked about once per system call.
	Enabled() bool

	// Packet shows a datagram that was received, or is about to be sent. name is that of SetTap. The data is lent for the
	// duration of the call, which holds up other datagrams.
	Packet(name string, sent bool, local, remote netip.AddrPort, data []byte)
}

// tap is a Tap and what it is told about a socket.
type tap struct {
	Tap
	name  string
	local netip.AddrPort
}

// SetTap shows datagrams from then on, also those that leave in batches. It must be called before the socket is used. A nil Tap is none.
func (s *UDPSocket) SetTap(name string, t Tap) {
	s.tap = tap{Tap: t, name: name}
	if a, ok := s.LocalAddr().(*net.UDPAddr); ok {
		s.tap.local = a.AddrPort()
	}
}

// Tapped tells whether datagrams are to be shown at present.
func (s *UDPSocket) Tapped() bool { return s.tap.Tap != nil && s.tap.Enabled() }

// Received shows a datagram that was read past the methods of the socket.
func (s *UDPSocket) Received(from netip.AddrPort, data []byte) {
	s.tap.Packet(s.tap.name, false, s.tap.local, from, data)
}

func (s *UDPSocket) sending(to netip.AddrPort, data []byte) {
	s.tap.Packet(s.tap.name, true, s.tap.local, to, data)
}

// ReadFrom implements net.PacketConn.
func (s *UDPSocket) ReadFrom(p []byte) (int, net.Addr, error) {
	n, from, err := s.UDPConn.ReadFrom(p)
	if err == nil && s.Tapped() {
		if u, ok := from.(*net.UDPAddr); ok {
			s.Received(u.AddrPort(), p[:n])
		}
	}
	return n, from, err
}

// ReadFromUDPAddrPort is as that of net.UDPConn.
func (s *UDPSocket) ReadFromUDPAddrPort(p []byte) (int, netip.AddrPort, error) {
	n, from, err := s.UDPConn.ReadFromUDPAddrPort(p)
	if err == nil && s.Tapped() {
		s.Received(from, p[:n])
	}
	return n, from, err
}

// WriteTo implements net.PacketConn.
func (s *UDPSocket) WriteTo(p []byte, to net.Addr) (int, error) {
	if s.Tapped() {
		if u, ok := to.(*net.UDPAddr); ok {
			s.sending(u.AddrPort(), p)
		}
	}
	return s.UDPConn.WriteTo(p, to)
}

// WriteToUDPAddrPort is as that of net.UDPConn.
func (s *UDPSocket) WriteToUDPAddrPort(p []byte, to netip.AddrPort) (int, error) {
	if s.Tapped() {
		s.sending(to, p)
	}
	return s.UDPConn.WriteToUDPAddrPort(p, to)
}

// show shows the datagrams of a batch, as they arrive at the other side.
func (b *Batch) show(s *UDPSocket) {
	for i := range b.entries {
		e := &b.entries[i]
		data := e.data
		for range e.packets {
			n := min(e.segment, len(data))
			s.sending(e.dest.addr, data[:n])
			data = data[n:]
		}
	}
}
