package webrtcpeer

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/transport/v4"
	"github.com/pion/transport/v4/stdnet"
)

// interfacesAge is how long the list of network interfaces is used: asking the
// system for it costs more than all else of a new peer but its keys.
const interfacesAge = 5 * time.Second

// hostNet is the network of the host, with a list of interfaces that is kept for
// a while and shared by all peers.
type hostNet struct {
	*stdnet.Net
	readBuffer int

	mu    sync.Mutex
	asked time.Time
}

func newHostNet(readBuffer int) (*hostNet, error) {
	n, err := stdnet.NewNet()
	if err != nil {
		return nil, fmt.Errorf("network interfaces: %w", err)
	}
	return &hostNet{Net: n, readBuffer: readBuffer, asked: time.Now()}, nil
}

// Interfaces implements transport.Net.
func (n *hostNet) Interfaces() ([]*transport.Interface, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if time.Since(n.asked) > interfacesAge {
		n.asked = time.Now()
		if err := n.Net.UpdateInterfaces(); err != nil {
			return nil, err
		}
	}
	return n.Net.Interfaces()
}

// ListenUDP implements transport.Net.
func (n *hostNet) ListenUDP(network string, addr *net.UDPAddr) (transport.UDPConn, error) {
	c, err := n.Net.ListenUDP(network, addr)
	if err == nil && n.readBuffer > 0 {
		if err := c.SetReadBuffer(n.readBuffer); err != nil {
			_ = c.Close()
			return nil, err
		}
	}
	return c, err
}

// address is an address of an interface.
type address struct {
	iface string
	ip    netip.Addr
}

// addresses returns the addresses of the interfaces that are up. Link-local IPv6
// addresses are of no use to others without a zone.
func (n *hostNet) addresses() []address {
	interfaces, err := n.Interfaces()
	if err != nil {
		return nil
	}
	var list []address
	for _, i := range interfaces {
		if i.Flags&net.FlagUp == 0 {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			continue
		}
		for _, a := range addrs {
			ipn, ok := a.(*net.IPNet)
			if !ok {
				continue
			}
			ip, ok := netip.AddrFromSlice(ipn.IP)
			if ip = ip.Unmap(); ok && !ip.IsLinkLocalUnicast() {
				list = append(list, address{i.Name, ip})
			}
		}
	}
	return list
}
