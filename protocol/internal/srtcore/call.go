package srtcore

import (
	"bytes"
	"context"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"
)

// hasConfig is the bit of the extension field that announces a stream id.
const hasConfig = 4

// callRetry is after how long a request is repeated, as in libsrt.
const callRetry = 250 * time.Millisecond

// call is the handshake of a caller (section 4.3.1).
type call struct {
	cfg    *DialConfig
	addr   netip.AddrPort
	id     uint32 // of our socket
	isn    seq
	start  time.Time // of our timestamps
	crypto *cryptoState
	km     []byte

	cookie     uint32
	answer     *conclusion // what was agreed on
	answerTime uint32      // the peer's time of it
	arrival    time.Time   // and ours
}

func newCall(cfg *DialConfig) *call {
	h := &call{cfg: cfg, addr: cfg.Remote, id: randomID(), start: time.Now()}
	var b [4]byte
	rand.Read(b[:])
	h.isn = seq(binary.BigEndian.Uint32(b[:]) & maxSeq)
	return h
}

// run does both exchanges.
func (h *call) run(ctx context.Context, sock *net.UDPConn) error {
	defer context.AfterFunc(ctx, func() { sock.SetReadDeadline(time.Unix(1, 0)) })() //nolint:errcheck // it is a valid socket
	if err := h.exchange(ctx, sock, h.induction, h.onInduction); err != nil {
		return err
	}
	if err := h.exchange(ctx, sock, h.conclusion, h.onConclusion); err != nil {
		return err
	}
	return sock.SetReadDeadline(time.Time{})
}

// exchange sends a request until take accepts an answer.
func (h *call) exchange(ctx context.Context, sock *net.UDPConn, request func() []byte, take func(hs handshake, ext []byte) (bool, error)) error {
	buf := make([]byte, 2048)
	for next := time.Now(); ; {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("srt: no answer: %w", context.Cause(ctx))
		}
		if !time.Now().Before(next) {
			if _, err := sock.WriteToUDPAddrPort(request(), h.addr); err != nil {
				return fmt.Errorf("srt: %w", err)
			}
			next = time.Now().Add(callRetry)
		}
		if err := sock.SetReadDeadline(next); err != nil {
			return err
		}
		if ctx.Err() != nil {
			continue // the deadline of its end was overwritten
		}
		n, from, err := sock.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("srt: %w", err)
		}
		if err != nil {
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				time.Sleep(time.Until(next)) // nobody listens there (ICMP), now
			}
			continue
		}
		if hs, ext, ok := h.answerTo(buf[:n], from); ok {
			if done, err := take(hs, ext); done || err != nil {
				return err
			}
		}
	}
}

// answerTo recognizes handshakes for us.
func (h *call) answerTo(data []byte, from netip.AddrPort) (hs handshake, ext []byte, ok bool) {
	if len(data) < headerSize || from.Port() != h.addr.Port() || from.Addr().Unmap().WithZone("") != h.addr.Addr().WithZone("") {
		return hs, nil, false
	}
	p, payload := parseHeader(data)
	// libsrt up to 1.3.0 answers to socket 0
	if !p.control || p.typ != ctrlHandshake || p.dest != h.id && p.dest != 0 {
		return hs, nil, false
	}
	h.arrival, h.answerTime = time.Now(), p.ts
	return parseHandshake(payload)
}

func (h *call) timestamp() uint32 { return uint32(time.Since(h.start).Microseconds()) }

// base is what both requests have in common.
func (h *call) base() handshake {
	return handshake{
		isn: h.isn, mtu: uint32(h.cfg.MTU), flow: uint32(h.cfg.Config.Window),
		socket: h.id, ip: wireIP(h.addr.Addr()),
	}
}

// packet encodes a request, which is for socket 0.
func (h *call) packet(hs *handshake) []byte {
	b := make([]byte, headerSize, headerSize+handshakeSize)
	putControl(b, ctrlHandshake, 0, 0, h.timestamp(), 0)
	return hs.append(b)
}

func (h *call) induction() []byte {
	hs := h.base()
	hs.version, hs.extension, hs.typ = 4, dgramSocket, hsInduction
	return h.packet(&hs)
}

func (h *call) onInduction(hs handshake, _ []byte) (bool, error) {
	switch {
	case hs.typ >= hsRejection && hs.typ < 1<<31:
		return false, Rejection(hs.typ - hsRejection)
	case hs.typ != hsInduction:
		return false, nil
	case hs.version < 5 || hs.extension != magic:
		return false, errors.New("srt: the listener speaks an old version of the protocol: version 1.3 is needed")
	}
	h.cookie = hs.cookie
	if h.cfg.Passphrase == "" {
		return true, nil
	}
	keyLen := h.cfg.KeyLength
	if n := int(hs.encryption) * 8; n == 16 || n == 24 || n == 32 {
		keyLen = n // the listener insists
	}
	h.crypto = newCryptoState(h.cfg.Passphrase)
	var err error
	h.km, err = h.crypto.begin(keyLen)
	return err == nil, err
}

func (h *call) conclusion() []byte {
	hs := h.base()
	hs.version, hs.typ, hs.cookie = 5, hsConclusion, h.cookie
	hs.extension = hasHSReq
	if h.crypto != nil {
		hs.extension |= hasKMReq
		hs.encryption = uint16(h.crypto.keyLen / 8)
	}
	if h.cfg.StreamID != "" {
		hs.extension |= hasConfig
	}
	b := h.packet(&hs)
	e := hsExt{ourVersion, ourFlags, uint16(h.cfg.ReceiveLatency.Milliseconds()), uint16(h.cfg.SendLatency.Milliseconds())}
	b = e.append(append(b, 0, extHSReq, 0, hsExtSize/4))
	if h.crypto != nil {
		b = append(append(b, 0, extKMReq, 0, byte(len(h.km)/4)), h.km...)
	}
	if s := h.cfg.StreamID; s != "" {
		id := make([]byte, (len(s)+3)/4*4)
		copy(id, s)
		swapWords(id)
		b = append(append(b, 0, extStreamID, 0, byte(len(id)/4)), id...)
	}
	return b
}

// errRogue is about a listener that does not keep to the protocol.
var errRogue = errors.New("srt: malformed answer to the handshake")

func (h *call) onConclusion(hs handshake, b []byte) (bool, error) {
	switch {
	case hs.typ >= hsRejection && hs.typ < 1<<31:
		return false, Rejection(hs.typ - hsRejection)
	case hs.typ != hsConclusion:
		return false, nil // a repeated induction
	case hs.version != 5 || hs.mtu < minMTU || hs.flow == 0 || hs.socket == 0:
		return false, errRogue
	}
	a := &conclusion{handshake: hs, streamID: h.cfg.StreamID, km: h.km}
	a.mtu = min(hs.mtu, uint32(h.cfg.MTU))
	var km []byte
	for len(b) >= 4 {
		typ, n := binary.BigEndian.Uint16(b), int(binary.BigEndian.Uint16(b[2:]))*4
		b = b[4:]
		if n > len(b) {
			return false, errRogue
		}
		switch typ {
		case extHSRsp:
			a.ext, a.hasExt = parseHSExt(b[:n])
		case extKMRsp:
			km = b[:n]
		}
		b = b[n:]
	}
	switch {
	case !a.hasExt:
		return false, errRogue
	case a.ext.flags&flagStream != 0:
		return false, RejectMessageAPI
	case h.crypto != nil && !bytes.Equal(km, h.km):
		return false, RejectBadSecret
	}
	h.answer = a
	return true, nil
}

// begin makes the first key, for both directions, and the message that tells the listener.
func (c *cryptoState) begin(keyLen int) ([]byte, error) {
	key := make([]byte, keyLen)
	rand.Read(key)
	var k kek
	rand.Read(k.salt[:])
	var err error
	if k.key, err = pbkdf2.Key(sha1.New, c.passphrase, k.salt[8:], kekRounds, keyLen); err != nil {
		return nil, err
	}
	wrap, err := wrapKey(k.key, key)
	if err != nil {
		return nil, err
	}
	s := newSEK(key, k.salt[:])
	c.keyLen, c.current = keyLen, keyEven
	c.receive[0], c.send[0] = s, s
	c.receiveKEK, c.sendKEK = k, k
	m := keyMaterial{keys: keyEven, keyLen: keyLen, salt: k.salt[:], wrap: wrap}
	return m.append(nil), nil
}
