package router

import (
	"log/slog"
	"net"
	"net/netip"
)

// Option injects a dependency of the process. What can be written down and
// reloaded belongs to [Config] instead.
type Option func(*Router)

// WithLogger sets the logger. The default, and nil, discard everything. Its handler
// must not call the router, and what logs waits for it: it should be quick.
func WithLogger(l *slog.Logger) Option {
	return func(r *Router) {
		if l != nil {
			r.log = l
		}
	}
}

// WithHooks adds observers. It can be given several times.
func WithHooks(h Hooks) Option { return func(r *Router) { r.Observe(h) } }

// WithConns lets a function take the place of each TCP connection that
// [Host.Listen] accepts, to observe it: protocol is the name of the protocol. It
// must not block; if it returns nil, or panics, the connection is closed. Protocols
// write to a connection that is not a *net.TCPConn in a slower way.
func WithConns(wrap func(protocol string, c net.Conn) net.Conn) Option {
	return func(r *Router) { r.wrapConn = wrap }
}

// PacketTap is shown the UDP datagrams of servers. Its methods are called from
// many goroutines.
type PacketTap interface {
	// Enabled tells whether datagrams are to be shown at present. It is asked with
	// every system call, so it must be quick.
	Enabled() bool

	// Packet shows a datagram that was received, or is about to be sent, and the
	// name of the protocol. The IP address of local is the one that the socket was
	// opened with, which may be unspecified. The data must neither be changed nor
	// kept. Media waits for Packet to return.
	Packet(protocol string, sent bool, local, remote netip.AddrPort, data []byte)
}

// WithPackets shows a tap the UDP datagrams that servers exchange with clients, to
// observe them. Those of multicast, and of sessions of WebRTC with a socket of
// their own, are not shown. After a panic of Packet the protocol shows it nothing more.
func WithPackets(t PacketTap) Option { return func(r *Router) { r.packets = t } }
