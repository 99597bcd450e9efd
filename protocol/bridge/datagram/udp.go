package datagram

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/readbuffer"
	"golang.org/x/net/ipv4"
)

const (
	// defaultBatch is how many datagrams one system call takes, where the system
	// can (recvmmsg).
	defaultBatch = 8
	// maxDatagram is more than the largest payload of a UDP datagram. Memory that
	// no datagram reaches is never touched.
	maxDatagram = 1 << 16
)

// udpSocket receives UDP.
type udpSocket struct {
	pc     *net.UDPConn
	batch  *ipv4.PacketConn // it reads IPv6 as well
	source netip.Addr
	msgs   []ipv4.Message
	out    [][]byte
	once   sync.Once
}

func listenUDP(ctx context.Context, a Address, o Options) (socket, error) {
	host, err := resolve(ctx, a.Host)
	if err != nil {
		return nil, err
	}
	var pc *net.UDPConn
	if host.IsMulticast() {
		pc, err = listenMulticast(ctx, host, a)
	} else {
		if a.Interface != "" {
			o.Log.Warn("the interface has no effect: the host is no multicast group", "interface", a.Interface)
		}
		pc, err = listenUnicast(host, a.Port)
	}
	if err != nil {
		return nil, err
	}
	if o.ReadBuffer > 0 {
		if err := pc.SetReadBuffer(o.ReadBuffer); err != nil {
			_ = pc.Close()
			return nil, fmt.Errorf("read buffer size %d: %w", o.ReadBuffer, err)
		}
		if n, err := readbuffer.ReadBuffer(pc); err == nil && n < o.ReadBuffer {
			o.Log.Warn("the system allows a smaller UDP read buffer only", "wanted", o.ReadBuffer, "got", n)
		}
	}
	s := &udpSocket{pc: pc, batch: ipv4.NewPacketConn(pc), source: a.Source.WithZone("")}
	s.msgs = make([]ipv4.Message, o.Batch)
	memory := make([]byte, o.Batch*maxDatagram)
	for i := range s.msgs {
		s.msgs[i].Buffers = [][]byte{memory[i*maxDatagram : (i+1)*maxDatagram]}
	}
	return s, nil
}

// resolve returns the address of a host; the zero Addr stands for all addresses.
func resolve(ctx context.Context, host string) (netip.Addr, error) {
	if host == "" {
		return netip.Addr{}, nil
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Unmap(), nil
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return netip.Addr{}, errors.New("the name of the host cannot be resolved")
	}
	for _, ip := range ips { // senders use IPv4 more often
		if ip.Unmap().Is4() {
			return ip.Unmap(), nil
		}
	}
	return ips[0], nil
}

func listenUnicast(host netip.Addr, port uint16) (*net.UDPConn, error) {
	network := "udp4"
	if !host.IsValid() || host.Is6() {
		network = "udp" // [::] takes IPv4 too
	}
	return net.ListenUDP(network, &net.UDPAddr{IP: host.AsSlice(), Port: int(port), Zone: host.Zone()})
}

func (s *udpSocket) receive(timeout time.Duration) ([][]byte, error) {
	if err := s.pc.SetReadDeadline(time.Now().Add(timeout)); err != nil {
		return nil, err
	}
	for {
		n, err := s.batch.ReadBatch(s.msgs, 0)
		if err != nil {
			return nil, err
		}
		s.out = s.out[:0]
		for i := range s.msgs[:n] {
			m := &s.msgs[i]
			if m.N > 0 && s.allowed(m.Addr) {
				s.out = append(s.out, m.Buffers[0][:m.N])
			}
		}
		if len(s.out) > 0 {
			return s.out, nil
		}
	}
}

// allowed tells whether the sender is the one that is wanted.
func (s *udpSocket) allowed(from net.Addr) bool {
	if !s.source.IsValid() {
		return true
	}
	addr, ok := from.(*net.UDPAddr)
	return ok && addr.AddrPort().Addr().Unmap().WithZone("") == s.source
}

func (s *udpSocket) close() { s.once.Do(func() { _ = s.pc.Close() }) }
