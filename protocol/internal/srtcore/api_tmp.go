package srtcore

import (
	"net"
	"net/netip"

	"github.com/org/mtx/protocol/internal/egress"
)

const (
	minPayload = 188
	maxPayload = 1456
)

type conclusion struct{ km []byte }
type cryptoState struct{}

func newCryptoState(string) *cryptoState   { return nil }
func (*cryptoState) open(km []byte) error { return nil }

// Listener TEMPORARY.
type Listener struct{}

// Listen serves SRT on a socket, which it takes over.
func Listen(sock *net.UDPConn, cfg Config) (*Listener, error) { return nil, nil }

// Close ends all connections and returns when nothing that the listener started is left.
func (l *Listener) Close() {}

// Addr returns the address of the socket.
func (l *Listener) Addr() netip.AddrPort { return netip.AddrPort{} }

// Conn is a connection; an egress.Reader of the packets of track 0 (Message.SetPackets).
type Conn struct{}

func (c *Conn) Wants() []egress.Want                          { return nil }
func (c *Conn) Deliver(m *egress.Message, b *egress.Batch)    {}
func (c *Conn) Discard(l egress.Loss)                         {}
func (c *Conn) Read(p []byte) (int, error)                    { return 0, nil }
func (c *Conn) Close(reason error)                            {}
func (c *Conn) Done() <-chan struct{}                         { return nil }
func (c *Conn) Err() error                                    { return nil }
func (c *Conn) StreamID() string                              { return "" }
func (c *Conn) RemoteAddr() netip.AddrPort                    { return netip.AddrPort{} }
func (c *Conn) PeerVersion() uint32                           { return 0 }
func (c *Conn) Stats() Stats                                  { return Stats{} }
