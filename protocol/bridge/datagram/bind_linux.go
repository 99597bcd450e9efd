package datagram

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// bindGroup binds to the group itself, so that datagrams of other groups and to
// this machine that use the same port do not arrive. Package net binds to all
// addresses. Several sockets may be bound to the same group.
func bindGroup(_ context.Context, group netip.Addr, port uint16, interfaces []*net.Interface) (*net.UDPConn, error) {
	family := unix.AF_INET6
	if group.Is4() {
		family = unix.AF_INET
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_UDP)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	f := os.NewFile(uintptr(fd), "udp multicast")
	defer func() { _ = f.Close() }() // FilePacketConn makes a copy
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return nil, os.NewSyscallError("setsockopt", err)
	}
	if group.Is6() {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1); err != nil {
			return nil, os.NewSyscallError("setsockopt", err)
		}
	}
	onlyJoined(fd, group)
	if err := unix.Bind(fd, groupAddress(group, port, interfaces)); err != nil {
		return nil, os.NewSyscallError("bind", err)
	}
	pc, err := net.FilePacketConn(f)
	if err != nil {
		return nil, err
	}
	udp, ok := pc.(*net.UDPConn)
	if !ok {
		_ = pc.Close()
		return nil, errors.New("the socket is not a UDP socket")
	}
	return udp, nil
}

// onlyJoined switches off that datagrams arrive on interfaces where another
// socket joined the group. Old kernels cannot for IPv6: no harm.
func onlyJoined(fd int, group netip.Addr) {
	if group.Is4() {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_ALL, 0)
	} else {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_ALL, 0)
	}
}

// groupAddress is what to bind to. The kernel wants to know the interface of a
// group of local scope: if there are several, then all addresses it is.
func groupAddress(group netip.Addr, port uint16, interfaces []*net.Interface) unix.Sockaddr {
	if group.Is4() {
		return &unix.SockaddrInet4{Port: int(port), Addr: group.As4()}
	}
	a := &unix.SockaddrInet6{Port: int(port), Addr: group.As16()}
	if group.IsLinkLocalMulticast() || group.IsInterfaceLocalMulticast() {
		if len(interfaces) == 1 {
			a.ZoneId = uint32(interfaces[0].Index)
		} else {
			a.Addr = netip.IPv6Unspecified().As16()
		}
	}
	return a
}
