package srtcore

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"net/netip"

	"github.com/org/mtx/protocol/internal/egress"
)

// handshake handles a handshake packet. It keeps nothing of callers that have not proved their address.
func (l *Listener) handshake(ctx context.Context, b *egress.Batch, h header, payload []byte, addr netip.AddrPort, now int64) {
	defer func() {
		if p := recover(); p != nil {
			l.recovered("the SRT handshake", p) //nolint:errcheck // logged
		}
	}()
	hs, ext, ok := parseHandshake(payload)
	if !ok {
		return
	}
	switch hs.typ {
	case hsInduction:
		if h.dest == 0 {
			l.induction(b, hs, addr, now)
		}
	case hsConclusion:
		if l.cookies.valid(hs.cookie, addr, now) {
			l.conclusion(ctx, b, h, hs, ext, addr, now)
		}
	}
}

// induction answers a caller's first request with a cookie. The answer is as large as the request, at most.
func (l *Listener) induction(b *egress.Batch, hs handshake, addr netip.AddrPort, now int64) {
	hs.cookie = l.cookies.make(addr, l.cookies.period(now))
	hs.version = 5
	hs.encryption = 0
	hs.extension = magic
	hs.ip = wireIP(addr.Addr())
	l.reply(b, handshakePacket(&hs, uint32(now)), addr)
}

// conclusion handles a caller's second request, or repeats the answer to it.
func (l *Listener) conclusion(ctx context.Context, b *egress.Batch, h header, hs handshake, ext []byte, addr netip.AddrPort, now int64) {
	key := peerKey{addr, hs.socket}
	l.mu.RLock()
	p := l.peers[key]
	var response []byte
	if p != nil {
		response = p.response
		switch {
		case p.conn != nil && len(response) >= headerSize:
			// The caller derives our clock from it.
			response = bytes.Clone(response)
			binary.BigEndian.PutUint32(response[8:], p.conn.timestamp(now))
		case p.conn == nil && response != nil && now >= p.expires:
			p, response = nil, nil
		}
	}
	l.mu.RUnlock()
	if p != nil {
		if response != nil {
			l.reply(b, response, addr)
		}
		return
	}
	c, err := parseConclusion(hs, ext)
	if err != nil {
		code := asRejection(err)
		if code.unsupported() {
			l.cfg.Log.Info("connection refused", "remote", addr, "reason", err)
		} else {
			l.cfg.Log.Debug("SRT handshake refused", "remote", addr, "code", int(code), "error", err)
		}
		l.reply(b, rejection(hs, code, uint32(now)), addr)
		return
	}
	if !l.beginAccept(key, addr) {
		return // the caller will ask again
	}
	go l.accept(ctx, &Request{
		StreamID:         c.streamID,
		Addr:             addr,
		Encrypted:        c.km != nil,
		KeyLength:        kmKeyLength(c.km),
		HandshakeVersion: int(hs.version),
		PeerVersion:      c.ext.version,
		hs:               c,
	}, key, h.ts, now)
}

// beginAccept reserves a place for a call of Accept.
func (l *Listener) beginAccept(key peerKey, addr netip.AddrPort) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.pending >= l.cfg.MaxAccepting || l.accepting[addr.Addr()] >= max(l.cfg.MaxAccepting/4, 1) {
		return false
	}
	l.pending++
	l.accepting[addr.Addr()]++
	l.peers[key] = &peer{}
	l.accepts.Add(1)
	return true
}

func (l *Listener) endAccept(addr netip.AddrPort) {
	l.mu.Lock()
	l.pending--
	if l.accepting[addr.Addr()]--; l.accepting[addr.Addr()] == 0 {
		delete(l.accepting, addr.Addr())
	}
	l.mu.Unlock()
}

// accept asks the application, and answers the caller. It is a goroutine.
func (l *Listener) accept(ctx context.Context, r *Request, key peerKey, ts uint32, arrival int64) {
	defer l.accepts.Done()
	answer, err := l.ask(ctx, r)
	l.endAccept(key.addr)
	var c *Conn
	if err == nil {
		c, err = l.newConn(r, answer, key, ts, arrival)
	}
	if err != nil {
		code := asRejection(err)
		l.cfg.Log.Debug("SRT caller refused", "remote", key.addr, "code", int(code), "error", err)
		response := rejection(r.hs.handshake, code, uint32(l.now()))
		l.remember(key, response)
		l.write(response, key.addr)
		return
	}
	l.write(c.response, key.addr)
	c.open()
}

// ask calls Accept and completes its decision.
func (l *Listener) ask(ctx context.Context, r *Request) (answer *Answer, err error) {
	defer func() {
		if p := recover(); p != nil {
			l.recovered("Accept", p) //nolint:errcheck // logged
			err = RejectInternal
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, l.cfg.AcceptTimeout)
	defer cancel()
	answer, err = l.cfg.Accept(ctx, r)
	switch {
	case err != nil:
		return nil, err
	case r.Encrypted && r.crypto == nil:
		return nil, RejectBadSecret
	case answer == nil:
		return &Answer{}, nil
	}
	return answer, nil
}

// remember keeps a rejection for callers that repeat their request.
func (l *Listener) remember(key peerKey, response []byte) {
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.rejected) > 0 {
		oldest := l.rejected[0]
		p := l.peers[oldest]
		if p != nil && p.conn == nil && p.response != nil {
			if len(l.rejected) < maxRejections && now < p.expires {
				break
			}
			delete(l.peers, oldest)
		}
		l.rejected = l.rejected[1:]
	}
	l.peers[key] = &peer{response: response, expires: now + rejectionMemory.Microseconds()}
	l.rejected = append(l.rejected, key)
}

// register gives a connection its id and its place in the tables.
func (l *Listener) register(c *Conn) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return RejectClose
	}
	for {
		var b [4]byte
		rand.Read(b[:])
		c.id = binary.BigEndian.Uint32(b[:]) & 0x3fffffff
		if c.id != 0 && l.conns[c.id] == nil {
			break
		}
	}
	c.response = c.conclusionResponse()
	l.conns[c.id] = c
	l.peers[c.key] = &peer{response: c.response, conn: c}
	return nil
}

// reply sends a datagram from the receive loop.
func (l *Listener) reply(b *egress.Batch, data []byte, addr netip.AddrPort) {
	d, err := l.sock.Destination(addr)
	if err != nil {
		return
	}
	b.Send(d, data, len(data), nil, true)
}

// handshakePacket encodes a handshake without extensions.
func handshakePacket(hs *handshake, ts uint32) []byte {
	b := make([]byte, headerSize, headerSize+handshakeSize+hsExtSize+4+maxKMSize+4)
	putControl(b, ctrlHandshake, 0, 0, ts, hs.socket)
	return hs.append(b)
}

// rejection encodes the answer to a refused request.
func rejection(hs handshake, code Rejection, ts uint32) []byte {
	hs.typ = hsRejection + uint32(code)
	hs.extension = 0
	return handshakePacket(&hs, ts)
}

// conclusionResponse encodes the answer that opens a connection.
func (c *Conn) conclusionResponse() []byte {
	hs := c.hs.handshake
	peerSocket := hs.socket
	hs.socket = c.id
	hs.cookie = 0
	hs.mtu = uint32(c.mtu)
	hs.flow = uint32(c.l.cfg.Window)
	hs.ip = wireIP(c.addr.Addr())
	hs.encryption, hs.extension = 0, dgramSocket
	if hs.version == 5 {
		hs.extension = hasHSReq
		if c.crypto != nil {
			hs.extension |= hasKMReq
			hs.encryption = uint16(c.crypto.keyLen / 8)
		}
	}
	// The peer takes the time of arrival minus this timestamp as the beginning of our clock.
	b := handshakePacket(&hs, uint32(c.l.now()-c.start))
	binary.BigEndian.PutUint32(b[12:], peerSocket)
	if hs.version == 4 {
		return b
	}
	e := hsExt{ourVersion, ourFlags, uint16(c.latency / 1000), uint16(c.peerLatency / 1000)}
	b = e.append(append(b, 0, extHSRsp, 0, hsExtSize/4))
	if c.crypto != nil {
		b = append(b, 0, extKMRsp, 0, byte(len(c.hs.km)/4))
		b = append(b, c.hs.km...)
	}
	return b
}

func kmKeyLength(km []byte) int {
	if km == nil {
		return 0
	}
	k, err := parseKM(km)
	if err != nil {
		return 0
	}
	return k.keyLen
}
