package router

import (
	"log/slog"
	"net"
	"net/netip"
	"sync/atomic"
)

// wrappingListener hands connections to the function of [WithConns].
type wrappingListener struct {
	net.Listener
	h *Host
}

// Accept implements net.Listener.
func (l wrappingListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if w := l.wrap(c); w != nil {
			return w, nil
		}
		_ = c.Close() // a panic ends the connection that it happened for
	}
}

func (l wrappingListener) wrap(c net.Conn) (w net.Conn) {
	_ = protect(l.h.log, func() error {
		w = l.h.r.wrapConn(l.h.proto, c)
		return nil
	})
	return w
}

// guardedTap is the tap of [WithPackets] for one protocol. It is over with its first
// panic, which would otherwise end the program: goroutines of libraries call it.
type guardedTap struct {
	PacketTap
	log      *slog.Logger
	panicked atomic.Bool
}

// Enabled implements PacketTap.
func (t *guardedTap) Enabled() bool { return !t.panicked.Load() && t.PacketTap.Enabled() }

// Packet implements PacketTap.
func (t *guardedTap) Packet(protocol string, sent bool, local, remote netip.AddrPort, data []byte) {
	err := protect(t.log, func() error {
		t.PacketTap.Packet(protocol, sent, local, remote, data)
		return nil
	})
	if err != nil {
		t.panicked.Store(true)
	}
}
