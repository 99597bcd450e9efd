package srtcore

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/org/mtx/protocol/internal/egress"
)

// DialConfig is how a caller behaves. Remote is required; the zero value of every other field stands for its default.
type DialConfig struct {
	// Remote is the listener to call.
	Remote netip.AddrPort

	// StreamID tells the listener what is wanted, in up to 512 bytes.
	StreamID string

	// Passphrase encrypts the connection, with keys of KeyLength bytes: 16 (the default), 24 or 32. A listener may ask for
	// another length.
	Passphrase string
	KeyLength  int

	// ReceiveLatency and SendLatency are the delays between sending and delivery of what is received and sent. The larger one of
	// both sides counts. Default: 120 ms.
	ReceiveLatency, SendLatency time.Duration

	// MTU is the largest IP packet, in bytes. Default and maximum: 1500.
	MTU int

	// Answer is how the connection is used. OnOpen is called by Dial.
	Answer Answer

	// Config holds the rest; of it, PeerIdleTimeout, MaxPayload, Window, ReceiveBuffer, KeyRefresh, KeyPreAnnounce and Log are
	// used.
	Config Config
}

// Caller is a connection to a listener, with a socket of its own.
type Caller struct {
	*Conn
	l    *Listener
	pool *egress.Pool

	writing sync.Mutex
	batch   *egress.Batch
}

// Shutdown ends the connection, tells the peer, and returns when nothing that Dial started is left. It must not be
// called by OnData, OnOpen or OnClose.
func (c *Caller) Shutdown() {
	c.l.Close()
	c.pool.Close()
}

// Dial calls a listener, which must speak version 5 of the handshake (libsrt 1.3 and later). The socket, which must not be connected, is
// taken over, also in case of an error. A refusal of the listener is a Rejection.
func Dial(ctx context.Context, sock *net.UDPConn, cfg DialConfig) (*Caller, error) {
	c, err := dialOn(ctx, sock, cfg)
	if err != nil {
		sock.Close()
		return nil, err
	}
	return c, nil
}

func dialOn(ctx context.Context, sock *net.UDPConn, cfg DialConfig) (*Caller, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	setReceiveBuffer(sock, cfg.Config.ReceiveBuffer)
	h := newCall(&cfg)
	if err := h.run(ctx, sock); err != nil {
		return nil, err
	}
	l, err := Listen(sock, cfg.Config)
	if err != nil {
		return nil, err
	}
	c, err := l.called(h)
	if err != nil {
		l.Close()
		return nil, err
	}
	c.open()
	return &Caller{Conn: c, l: l, pool: egress.NewPool(1), batch: egress.NewBatch(0)}, nil
}

func (c DialConfig) withDefaults() (DialConfig, error) {
	c.Config.Accept = func(context.Context, *Request) (*Answer, error) { return nil, RejectPeer }
	c.Config.Latency = 0
	var err error
	if c.Config, err = c.Config.withDefaults(); err != nil {
		return c, err
	}
	def(&c.KeyLength, 16)
	def(&c.ReceiveLatency, defaultLatency)
	def(&c.SendLatency, defaultLatency)
	def(&c.MTU, mtu)
	c.Remote = netip.AddrPortFrom(c.Remote.Addr().Unmap(), c.Remote.Port())
	switch {
	case !c.Remote.IsValid():
		return c, errors.New("srt: the address to call is missing")
	case len(c.StreamID) > maxStreamID:
		return c, fmt.Errorf("srt: stream id of %d bytes: at most %d are possible", len(c.StreamID), maxStreamID)
	case c.KeyLength != 16 && c.KeyLength != 24 && c.KeyLength != 32:
		return c, fmt.Errorf("srt: key length %d: must be 16, 24 or 32 bytes", c.KeyLength)
	case c.ReceiveLatency < 0 || c.ReceiveLatency > maxLatency || c.SendLatency < 0 || c.SendLatency > maxLatency:
		return c, fmt.Errorf("srt: latencies %v and %v: must be between 0 and %v", c.ReceiveLatency, c.SendLatency, maxLatency)
	case c.MTU < minMTU || c.MTU > mtu:
		return c, fmt.Errorf("srt: MTU %d: must be between %d and %d bytes", c.MTU, minMTU, mtu)
	}
	return c, nil
}

// called makes the connection of a call that was answered.
func (l *Listener) called(h *call) (*Conn, error) {
	dest, err := l.sock.Destination(h.addr)
	if err != nil {
		return nil, err
	}
	since := func(t time.Time) int64 { return t.Sub(l.start).Microseconds() }
	c := &Conn{
		l:           l,
		dest:        dest,
		hs:          h.answer,
		key:         peerKey{h.addr, h.answer.socket},
		addr:        h.addr,
		id:          h.id,
		peerID:      h.answer.socket,
		mtu:         int(h.answer.mtu),
		overhead:    udpIPv4 + headerSize,
		start:       since(h.start),
		answer:      &h.cfg.Answer,
		done:        make(chan struct{}),
		latency:     max(h.cfg.ReceiveLatency.Microseconds(), int64(h.answer.ext.sendDelay)*1000),
		peerLatency: max(h.cfg.SendLatency.Microseconds(), int64(h.answer.ext.receiveDelay)*1000),
		crypto:      h.crypto,
		rtt:         rtt{smoothed: initialRTT, variance: initialRTTVar},
		lastHeard:   l.now(),
	}
	if !h.addr.Addr().Is4() {
		c.overhead += 20
	}
	c.payload = min(l.cfg.MaxPayload, c.mtu-udpIPv4-headerSize)
	c.due = due{conn: c, index: -1}
	c.snd.init(h.answer.isn, int(min(h.answer.flow, uint32(l.cfg.Window))))
	if c.answer.OnData != nil || c.answer.ReadBuffer > 0 {
		c.rcv = newReceiver(h.answer.isn, l.cfg.Window, since(h.arrival), h.answerTime)
	}
	if c.answer.OnData == nil && c.answer.ReadBuffer > 0 {
		c.inbox = newInbox(c.answer.ReadBuffer)
	}
	l.mu.Lock()
	l.conns[c.id] = c
	l.peers[c.key] = &peer{conn: c}
	l.mu.Unlock()
	return c, nil
}

// Write sends p in packets of Config.MaxPayload bytes, the last of which may be shorter. It does not block: if the peer is too slow,
// p is dropped and counted (Stats.OutboundFramesDiscarded). It fails once the connection has ended.
func (c *Caller) Write(p []byte) (int, error) {
	if err := c.Err(); err != nil {
		return 0, err
	}
	blk := c.pool.Get(len(p))
	for rest := p; len(rest) > 0; {
		n := min(len(rest), c.payload)
		blk.AppendPacket(rest[:n])
		rest = rest[n:]
	}
	m := c.pool.NewMessage()
	m.SetPackets(blk)
	c.writing.Lock()
	c.Deliver(m, c.batch)
	c.batch.Flush()
	c.writing.Unlock()
	m.Release()
	return len(p), nil
}

// Discarded returns Stats.OutboundFramesDiscarded, at less cost.
func (c *Conn) Discarded() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stats.OutboundFramesDiscarded
}

// randomID makes the id of a socket.
func randomID() uint32 {
	for {
		var b [4]byte
		rand.Read(b[:])
		if id := binary.BigEndian.Uint32(b[:]) & 0x3fffffff; id != 0 {
			return id
		}
	}
}
