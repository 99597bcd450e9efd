package datagram

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// listenMulticast opens a socket and joins a group.
func listenMulticast(ctx context.Context, group netip.Addr, a Address) (*net.UDPConn, error) {
	if a.Source.IsValid() && a.Source.Is4() != group.Is4() {
		return nil, fmt.Errorf("the source %v and the group %v are not of the same kind", a.Source, group)
	}
	interfaces, err := multicastInterfaces(a.Interface)
	if err != nil {
		return nil, err
	}
	pc, err := bindGroup(ctx, group, a.Port, interfaces)
	if err != nil {
		return nil, err
	}
	if err := joinAll(pc, group, a.Source, interfaces); err != nil {
		_ = pc.Close()
		return nil, err
	}
	return pc, nil
}

// multicastInterfaces returns the interface of a name or of an address, or all
// that can be used. Loopback can, although it does not say so.
func multicastInterfaces(name string) ([]*net.Interface, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	var out []*net.Interface
	for i := range all {
		it := &all[i]
		switch {
		case name != "":
			if it.Name == name || hasAddress(it, name) {
				return []*net.Interface{it}, nil
			}
		case it.Flags&net.FlagUp != 0 && it.Flags&(net.FlagMulticast|net.FlagLoopback) != 0:
			out = append(out, it)
		}
	}
	if name != "" {
		return nil, fmt.Errorf("interface %q: this machine has no such network interface", clip(name))
	}
	return out, nil
}

func hasAddress(it *net.Interface, name string) bool {
	want, err := netip.ParseAddr(name)
	if err != nil {
		return false
	}
	addrs, err := it.Addrs()
	if err != nil {
		return false
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok && ip.Unmap() == want.Unmap().WithZone("") {
				return true
			}
		}
	}
	return false
}

// joinAll joins a group wherever that is possible.
func joinAll(pc *net.UDPConn, group, source netip.Addr, interfaces []*net.Interface) error {
	join := joiner(pc, group, source)
	var errs []error
	joined := 0
	for _, it := range interfaces {
		if err := join(it); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", it.Name, err))
		} else {
			joined++
		}
	}
	switch {
	case joined > 0:
		return nil
	case len(errs) == 0:
		return errors.New("no network interface can do multicast")
	}
	return fmt.Errorf("the multicast group cannot be joined: %w", errs[0])
}

// joiner returns what joins a group on an interface, with IGMP or MLD, and tells
// routers about the source if there is one (RFC 4607).
func joiner(pc *net.UDPConn, group, source netip.Addr) func(*net.Interface) error {
	g := &net.UDPAddr{IP: group.AsSlice()}
	from := &net.UDPAddr{IP: source.AsSlice()}
	if group.Is4() {
		p := ipv4.NewPacketConn(pc)
		if source.IsValid() {
			return func(it *net.Interface) error { return p.JoinSourceSpecificGroup(it, g, from) }
		}
		return func(it *net.Interface) error { return p.JoinGroup(it, g) }
	}
	p := ipv6.NewPacketConn(pc)
	if source.IsValid() {
		return func(it *net.Interface) error { return p.JoinSourceSpecificGroup(it, g, from) }
	}
	return func(it *net.Interface) error { return p.JoinGroup(it, g) }
}
