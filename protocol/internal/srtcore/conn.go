package srtcore

import (
	"errors"
	"net/netip"
	"sync"

	"github.com/org/mtx/protocol/internal/egress"
)

// Times in microseconds, after libsrt where it has them.
const (
	keepAlivePeriod = 1_000_000
	idleTick        = 250_000
	initialRTT      = 100_000
	initialRTTVar   = 50_000
	maxRTT          = 10_000_000
	kmRetryMin      = 100_000
	kmDerivePeriod  = 1_000_000
)

// Conn is a connection. It is an egress.Reader that takes the packets of track 0 (Message.SetPackets), so it sends whatever
// the group that it was added to is sent. Its methods are safe for concurrent use.
type Conn struct {
	l           *Listener
	dest        *egress.Destination
	hs          *conclusion
	key         peerKey
	addr        netip.AddrPort
	id          uint32 // of our socket
	peerID      uint32
	mtu         int
	payload     int   // most bytes in a data packet that is sent
	overhead    int   // headers of a packet, bytes
	start       int64 // of our timestamps, microseconds
	response    []byte
	answer      *Answer
	inbox       *inbox
	done        chan struct{}
	due         due
	latency     int64 // microseconds, of what we receive; changes in version 4 only
	peerLatency int64

	mu        sync.Mutex
	opened    bool
	closing   error // set when the connection is about to end
	flush     bool  // deliver what is there before ending
	ended     bool
	crypto    *cryptoState
	v4Secret  string
	rtt       rtt
	lastHeard int64 // microseconds
	lastSent  int64
	nextDrive int64 // when the timer was last set for
	snd       sender
	rcv       *receiver // nil if what the peer sends is ignored
	km        keyAnnouncement
	stats     Stats // sums; the rest is computed
	counters  egress.Counters
}

// newConn makes and registers a connection. ts and arrival are the caller's and our time of its request.
func (l *Listener) newConn(r *Request, answer *Answer, key peerKey, ts uint32, arrival int64) (*Conn, error) {
	dest, err := l.sock.Destination(key.addr)
	if err != nil {
		return nil, errors.Join(RejectSystem, err)
	}
	c := &Conn{
		l:           l,
		dest:        dest,
		hs:          r.hs,
		key:         key,
		addr:        key.addr,
		peerID:      r.hs.socket,
		mtu:         int(r.hs.mtu),
		overhead:    udpIPv4 + headerSize,
		start:       arrival,
		answer:      answer,
		done:        make(chan struct{}),
		latency:     max(l.cfg.Latency.Microseconds(), int64(r.hs.ext.sendDelay)*1000),
		peerLatency: max(l.cfg.Latency.Microseconds(), int64(r.hs.ext.receiveDelay)*1000),
		crypto:      r.crypto,
		v4Secret:    r.passphrase,
		rtt:         rtt{smoothed: initialRTT, variance: initialRTTVar},
		lastHeard:   l.now(),
	}
	if !key.addr.Addr().Unmap().Is4() {
		c.overhead += 20
	}
	c.payload = min(l.cfg.MaxPayload, c.mtu-udpIPv4-headerSize)
	c.due = due{conn: c, index: -1}
	c.snd.init(r.hs.isn, int(min(r.hs.flow, uint32(l.cfg.Window))))
	if answer.OnData != nil || answer.ReadBuffer > 0 {
		c.rcv = newReceiver(r.hs.isn, l.cfg.Window, arrival, ts)
	}
	if answer.OnData == nil && answer.ReadBuffer > 0 {
		c.inbox = newInbox(answer.ReadBuffer)
	}
	if err := l.register(c); err != nil {
		return nil, err
	}
	return c, nil
}

// open calls OnOpen, and lets data through.
func (c *Conn) open() {
	if c.answer.OnOpen != nil {
		func() {
			defer func() {
				if p := recover(); p != nil {
					c.Close(c.l.recovered("OnOpen", p))
				}
			}()
			c.answer.OnOpen(c)
		}()
	}
	c.mu.Lock()
	c.opened = true
	c.mu.Unlock()
	c.l.timers.set(&c.due, c.l.now())
}

// StreamID returns what the caller asked for.
func (c *Conn) StreamID() string { return c.hs.streamID }

// RemoteAddr returns the address of the peer.
func (c *Conn) RemoteAddr() netip.AddrPort { return c.addr }

// PeerVersion returns the peer's version of libsrt as 0xMMmmpp, or 0 if unknown.
func (c *Conn) PeerVersion() uint32 { return c.hs.ext.version }

// Encrypted reports whether packets are encrypted.
func (c *Conn) Encrypted() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.crypto != nil
}

// Done returns a channel that is closed when the connection has ended.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Err returns why the connection has ended, or nil while it has not: ErrPeerClosed, ErrPeerIdle, ErrClosed or what was given to Close.
func (c *Conn) Err() error {
	select {
	case <-c.done:
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.closing
	default:
		return nil
	}
}

// Read reads what the peer sent, if Answer.ReadBuffer was set. Each call returns bytes of one packet. After the end it
// returns what is left and then io.EOF, if the peer closed the connection, or the reason.
func (c *Conn) Read(p []byte) (int, error) {
	if c.inbox == nil {
		return 0, errors.New("srt: this connection is not for reading")
	}
	return c.inbox.read(p)
}

// Close ends the connection and tells the peer. It returns at once; Done and Answer.OnClose tell when it has ended. A nil
// reason stands for ErrClosed. Only the first call counts.
func (c *Conn) Close(reason error) {
	if reason == nil {
		reason = ErrClosed
	}
	c.mu.Lock()
	if c.closing != nil {
		c.mu.Unlock()
		return
	}
	c.closing = reason
	var b [headerSize]byte
	putControl(b[:], ctrlShutdown, 0, 0, c.timestamp(c.l.now()), c.peerID)
	c.mu.Unlock()
	c.l.write(b[:], c.addr)
	c.l.timers.set(&c.due, c.l.now())
}

// end marks a connection that the timer loop will end. The caller holds c.mu.
func (c *Conn) end(err error) {
	if c.closing == nil {
		c.closing = err
		c.l.timers.set(&c.due, c.l.now())
	}
}

// timestamp returns a time as our packets have it.
func (c *Conn) timestamp(now int64) uint32 { return uint32(now - c.start) }

// control sends a control packet. The caller holds c.mu.
func (c *Conn) control(b *egress.Batch, typ, subtype uint16, info uint32, payload []byte, now int64) {
	s := b.Scratch(headerSize + len(payload))
	putControl(s, typ, subtype, info, c.timestamp(now), c.peerID)
	copy(s[headerSize:], payload)
	b.Send(c.dest, s, len(s), nil, true)
	c.lastSent = now
}

// packet handles a packet of the peer. It is called by the receive loop.
func (c *Conn) packet(b *egress.Batch, h header, payload []byte, now int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer func() {
		if p := recover(); p != nil {
			c.end(c.l.recovered("the SRT protocol", p))
		}
	}()
	if c.closing != nil {
		return
	}
	c.lastHeard = now
	if !h.control {
		c.data(b, h, payload, now)
		return
	}
	switch h.typ {
	case ctrlACK:
		c.onACK(b, h, payload, now)
	case ctrlACKACK:
		c.onACKACK(h, now)
	case ctrlNAK:
		c.onNAK(b, payload, now)
	case ctrlDropReq:
		c.onDropReq(payload)
	case ctrlUser:
		c.onUser(b, h, payload, now)
	case ctrlShutdown:
		c.flush = true
		c.end(ErrPeerClosed)
	}
}

// tickWork is memory of the timer loop.
type tickWork struct {
	deliver []delivery
}

type delivery struct {
	buf  *packetBuffer
	size int
}

// tick does what is due. It is called by the timer loop only, so what it delivers is in order.
func (c *Conn) tick(b *egress.Batch, w *tickWork) {
	w.deliver = w.deliver[:0]
	now := c.l.now()
	next, end := c.advance(b, w, now)
	c.deliver(w.deliver)
	clear(w.deliver)
	if end {
		c.finish()
		return
	}
	c.l.timers.set(&c.due, next)
}

// advance does everything but calling out, and returns when to be called again, or that the connection is over.
func (c *Conn) advance(b *egress.Batch, w *tickWork, now int64) (next int64, end bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer func() {
		if p := recover(); p != nil {
			err := c.l.recovered("the SRT protocol", p)
			if c.closing == nil {
				c.closing = err
			}
			next, end = now+tickGrain, c.opened
		}
	}()
	if c.closing == nil && now-c.lastHeard > c.l.cfg.PeerIdleTimeout.Microseconds() {
		c.closing = ErrPeerIdle
		c.flush = true
		c.control(b, ctrlShutdown, 0, 0, nil, now)
	}
	if c.closing != nil {
		if !c.opened {
			return now + tickGrain, false
		}
		if c.rcv != nil && c.flush {
			w.deliver = c.rcv.releaseAll(w.deliver)
		}
		return 0, true
	}
	next = now + idleTick
	if c.rcv != nil {
		next = min(next, c.tickReceiver(b, w, now))
	}
	next = min(next, c.tickSender(b, now))
	if now-c.lastSent >= keepAlivePeriod {
		c.control(b, ctrlKeepAlive, 0, 0, nil, now)
	}
	return next, false
}

// deliver hands payloads over.
func (c *Conn) deliver(list []delivery) {
	for i, d := range list {
		data := d.buf[:d.size]
		if c.inbox != nil {
			c.inbox.push(d)
			continue
		}
		if !c.callOnData(data) {
			for _, d := range list[i:] {
				putPacketBuffer(d.buf)
			}
			return
		}
		putPacketBuffer(d.buf)
	}
}

func (c *Conn) callOnData(data []byte) (ok bool) {
	defer func() {
		if p := recover(); p != nil {
			c.Close(c.l.recovered("OnData", p))
		}
	}()
	c.answer.OnData(data)
	return true
}

// finish ends the connection for good. It is called by the timer loop.
func (c *Conn) finish() {
	c.mu.Lock()
	if c.ended {
		c.mu.Unlock()
		return
	}
	c.ended = true
	err := c.closing
	c.snd.clear()
	if c.rcv != nil {
		c.rcv.clear()
	}
	c.mu.Unlock()
	c.l.remove(c)
	c.l.timers.drop(&c.due)
	if c.inbox != nil {
		c.inbox.close(err)
	}
	close(c.done)
	if c.answer.OnClose == nil {
		return
	}
	c.l.onClose.Go(func() {
		defer func() {
			if p := recover(); p != nil {
				c.l.recovered("OnClose", p) //nolint:errcheck // logged
			}
		}()
		c.answer.OnClose(c, err)
	})
}

// rtt is the round-trip time in microseconds (section 4.10).
type rtt struct {
	smoothed, variance int64
	measured           bool
}

func (r *rtt) sample(d int64) {
	d = min(max(d, 0), maxRTT)
	if !r.measured {
		r.smoothed, r.variance, r.measured = d, d/2, true
		return
	}
	diff := d - r.smoothed
	if diff < 0 {
		diff = -diff
	}
	r.variance += (diff - r.variance) / 4
	r.smoothed += (d - r.smoothed) / 8
}

// timeout is after how long an answer can be given up.
func (r *rtt) timeout() int64 { return r.smoothed + 4*r.variance + 10_000 }

func millis(us int64) uint64 { return uint64(max(us, 0) / 1000) }
