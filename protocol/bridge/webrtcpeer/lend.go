package webrtcpeer

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/ice/v4"

	"github.com/org/mtx/protocol/internal/rtcegress"
)

// The muxes of the library close the sockets that they are given. The sockets
// are not ours, so that they can outlive an engine when the configuration
// changes: what the muxes get is lent.

// lentUDP is a socket whose Close ends only the reading.
type lentUDP struct {
	*rtcegress.Conn
	closed  atomic.Bool
	reading sync.Mutex // held while somebody reads
}

func lendUDP(c *rtcegress.Conn) *lentUDP { return &lentUDP{Conn: c} }

// Close implements net.PacketConn. A socket without deadlines is closed indeed.
func (c *lentUDP) Close() error {
	c.closed.Store(true)
	if c.Conn.SetReadDeadline(time.Unix(1, 0)) == nil {
		return nil
	}
	return c.Conn.Close()
}

// ReadFromAddrPort implements ice.AddrPortReaderWriter. An error ends the mux, and
// with it all peers: only the end of the socket is one.
func (c *lentUDP) ReadFromAddrPort(b []byte) (int, netip.AddrPort, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	for !c.closed.Load() {
		n, addr, err := c.Conn.ReadFromAddrPort(b)
		switch {
		case err == nil:
			return n, addr, nil
		case errors.Is(err, net.ErrClosed):
			return 0, netip.AddrPort{}, err
		}
		time.Sleep(5 * time.Millisecond) // an error that stays must not spin
	}
	return 0, netip.AddrPort{}, net.ErrClosed
}

// ReadFrom implements net.PacketConn.
func (c *lentUDP) ReadFrom(b []byte) (int, net.Addr, error) {
	n, addr, err := c.ReadFromAddrPort(b)
	if err != nil {
		return 0, nil, err
	}
	return n, net.UDPAddrFromAddrPort(addr), nil
}

// giveBack makes the socket as it was, after Close. It waits for a read that goes
// on, and for no other: a mux that is closed while it holds a packet never reads
// again.
func (c *lentUDP) giveBack() {
	c.reading.Lock()
	defer c.reading.Unlock()
	_ = c.Conn.SetReadDeadline(time.Time{})
}

// lentListener is a listener whose Close ends only the accepting.
type lentListener struct {
	net.Listener
	closed atomic.Bool
}

type deadliner interface{ SetDeadline(time.Time) error }

// Accept implements net.Listener.
func (l *lentListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		switch {
		case l.closed.Load():
			if c != nil {
				_ = c.Close()
			}
			return nil, net.ErrClosed
		case err == nil:
			return c, nil
		}
		if errors.Is(err, net.ErrClosed) {
			return nil, err
		}
		time.Sleep(5 * time.Millisecond) // too many open files, aborted connections
	}
}

// Addr implements net.Listener. When the mux is being closed, there is none: the mux
// then cannot keep a connection that has come too late for it to close, and for which
// it would wait until that is taken for abandoned.
func (l *lentListener) Addr() net.Addr {
	if l.closed.Load() {
		return noAddr{}
	}
	return l.Listener.Addr()
}

type noAddr struct{}

func (noAddr) Network() string { return "tcp" }
func (noAddr) String() string  { return "closed" }

// Close implements net.Listener. A listener without deadlines is closed indeed.
func (l *lentListener) Close() error {
	l.closed.Store(true)
	if d, ok := l.Listener.(deadliner); ok {
		return d.SetDeadline(time.Unix(1, 0))
	}
	return l.Listener.Close()
}

func (l *lentListener) giveBack() {
	if d, ok := l.Listener.(deadliner); ok {
		_ = d.SetDeadline(time.Time{})
	}
}

// udpMux tells ICE of one address per family only: with one socket for all, more
// of them only cost a goroutine and pairs to check each. The remote side gets
// all addresses, see hosts.
type udpMux struct {
	*ice.UDPMuxDefault
	addrs []net.Addr
}

// GetListenAddresses implements ice.UDPMux.
func (m *udpMux) GetListenAddresses() []net.Addr { return m.addrs }

// muxAddrs chooses the addresses that stand for a socket.
func muxAddrs(local net.Addr, n *hostNet) []net.Addr {
	u, ok := local.(*net.UDPAddr)
	if !ok || !u.IP.IsUnspecified() {
		return []net.Addr{local}
	}
	var v4, v6 net.IP
	for _, a := range n.addresses() {
		ip := net.IP(a.ip.AsSlice())
		switch {
		case a.ip.Is4() && (v4 == nil || v4.IsLoopback()):
			v4 = ip
		case a.ip.Is6() && (v6 == nil || v6.IsLoopback()):
			v6 = ip
		}
	}
	if v4 == nil {
		v4 = net.IPv4(127, 0, 0, 1)
	}
	list := []net.Addr{&net.UDPAddr{IP: v4, Port: u.Port}}
	if u.IP.To4() == nil && v6 != nil {
		list = append(list, &net.UDPAddr{IP: v6, Port: u.Port})
	}
	return list
}
