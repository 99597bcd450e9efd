//go:build !linux

package datagram

import (
	"context"
	"errors"
	"net"
	"net/netip"
)

// bindGroup binds to all addresses, as package net does for groups: other
// sockets may use the same port.
func bindGroup(ctx context.Context, group netip.Addr, port uint16, _ []*net.Interface) (*net.UDPConn, error) {
	network := "udp6"
	if group.Is4() {
		network = "udp4"
	}
	var lc net.ListenConfig
	pc, err := lc.ListenPacket(ctx, network, netip.AddrPortFrom(group, port).String())
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
