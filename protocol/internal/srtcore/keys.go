package srtcore

import (
	"bytes"
	"encoding/binary"

	"github.com/org/mtx/protocol/internal/egress"
)

// keyAnnouncement is where the refresh of the key for sending stands, guarded by Conn.mu.
type keyAnnouncement struct {
	packets int    // sent with the present key
	message []byte // announces the next key, until the peer has confirmed it
	ready   bool   // the peer has the next key
	renewed bool   // there is a next key
	sentAt  int64

	derivedAt int64 // when a key of the peer was last derived
}

// turnKeys announces the next key for sending ahead of time, and takes it into use when its time has come and the
// peer has it (section 6.1.6). The caller holds c.mu.
func (c *Conn) turnKeys(b *egress.Batch, packets int, now int64) {
	k := &c.km
	k.packets += packets
	// The next key replaces the one before: no packet that may have to be sent again must be encrypted with that.
	past := c.snd.count == 0 || int(c.snd.at(0).key) == c.crypto.current
	if !k.renewed && past && k.packets >= c.l.cfg.KeyRefresh-c.l.cfg.KeyPreAnnounce {
		message, err := c.crypto.renew()
		if err != nil {
			c.end(err)
			return
		}
		k.message, k.renewed, k.ready = message, true, false
		c.sendKM(b, extKMReq, message, now)
		k.sentAt = now
	}
	if k.ready && k.packets >= c.l.cfg.KeyRefresh {
		c.crypto.current = keyBoth - c.crypto.current
		*k = keyAnnouncement{derivedAt: k.derivedAt}
	}
}

// announceKeys repeats the announcement, and returns when to do it again.
func (c *Conn) announceKeys(b *egress.Batch, now int64) int64 {
	wait := max(c.rtt.timeout(), kmRetryMin)
	if now-c.km.sentAt >= wait {
		c.sendKM(b, extKMReq, c.km.message, now)
		c.km.sentAt = now
	}
	return c.km.sentAt + wait
}

func (c *Conn) sendKM(b *egress.Batch, subtype uint16, message []byte, now int64) {
	c.stats.PacketsSentKM++
	c.control(b, ctrlUser, subtype, 0, message, now)
}

// onUser handles extension messages, which refresh keys and complete the handshake of version 4.
func (c *Conn) onUser(b *egress.Batch, h header, payload []byte, now int64) {
	switch h.subtype {
	case extHSReq:
		c.onHSReq(b, payload, now)
	case extKMReq:
		c.onKMReq(b, payload, now)
	case extKMRsp:
		c.stats.PacketsReceivedKM++
		// An echo confirms; other contents are an error code.
		if c.km.message != nil && len(payload) == len(c.km.message) && bytes.Equal(payload, c.km.message) {
			c.km.ready, c.km.message = true, nil
		}
	}
}

// onHSReq is how callers of version 4 announce their latency.
func (c *Conn) onHSReq(b *egress.Batch, payload []byte, now int64) {
	e, ok := parseHSExt(payload)
	if !ok || c.hs.version != 4 {
		return
	}
	if e.flags&flagRexmitBit == 0 || e.flags&flagTSBPDSend == 0 {
		c.control(b, ctrlShutdown, 0, 0, nil, now)
		c.end(RejectRogue)
		return
	}
	c.latency = max(c.l.cfg.Latency.Microseconds(), int64(e.sendDelay)*1000)
	r := hsExt{version: 0x010203, flags: ourFlags &^ flagTSBPDSend, sendDelay: uint16(c.latency / 1000)}
	c.control(b, ctrlUser, extHSRsp, 0, r.append(nil), now)
}

// onKMReq takes new keys of the peer.
func (c *Conn) onKMReq(b *egress.Batch, payload []byte, now int64) {
	c.stats.PacketsReceivedKM++
	if c.crypto == nil && c.hs.version == 4 && c.v4Secret != "" {
		c.v4Keys(b, payload, now)
		return
	}
	if c.crypto == nil {
		c.refuseKM(b, kmNoSecret, now)
		return
	}
	if !c.crypto.knowsSalt(payload) {
		if c.km.derivedAt != 0 && now-c.km.derivedAt < kmDerivePeriod {
			return // it costs a millisecond; the peer will ask again
		}
		c.km.derivedAt = now
	}
	if err := c.crypto.receiveKM(payload); err != nil {
		c.refuseKM(b, kmBadSecret, now)
		return
	}
	c.sendKM(b, extKMRsp, payload, now)
}

// v4Keys begins encryption with a caller of version 4, who does so after the handshake.
func (c *Conn) v4Keys(b *egress.Batch, payload []byte, now int64) {
	cs := newCryptoState(c.v4Secret)
	if err := cs.open(payload); err != nil {
		c.refuseKM(b, kmBadSecret, now)
		c.control(b, ctrlShutdown, 0, 0, nil, now)
		c.end(RejectBadSecret)
		return
	}
	c.crypto = cs
	c.sendKM(b, extKMRsp, payload, now)
}

// refuseKM answers with an error code, which is in the byte order of the host unlike everything else.
func (c *Conn) refuseKM(b *egress.Batch, code uint32, now int64) {
	var p [4]byte
	binary.LittleEndian.PutUint32(p[:], code)
	c.sendKM(b, extKMRsp, p[:], now)
}
