package srtcore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
)

// handshakeSize is the size of a handshake without header and extensions (section 3.2.1).
const handshakeSize = 48

// Types of handshakes. Numbers from 1000 on are rejections.
const (
	hsInduction  = 1
	hsConclusion = 0xffffffff
	hsRejection  = 1000
)

// Types of handshake extensions, which also are the subtypes of user-defined control packets.
const (
	extHSReq      = 1
	extHSRsp      = 2
	extKMReq      = 3
	extKMRsp      = 4
	extStreamID   = 5
	extCongestion = 6
	extFilter     = 7
	extGroup      = 8
)

// Bits of the extension field, which tell what extensions follow.
const (
	hasHSReq = 1
	hasKMReq = 2
)

// Bits of the flags in the handshake extension (section 3.2.1.1.1).
const (
	flagTSBPDSend   = 1 << 0
	flagTSBPDRecv   = 1 << 1
	flagCrypt       = 1 << 2
	flagTLPktDrop   = 1 << 3
	flagPeriodicNAK = 1 << 4
	flagRexmitBit   = 1 << 5
	flagStream      = 1 << 6

	ourFlags = flagTSBPDSend | flagTSBPDRecv | flagCrypt | flagTLPktDrop | flagPeriodicNAK | flagRexmitBit
)

const (
	ourVersion  = 0x010501 // of libsrt, whose behaviour this is
	minVersion  = 0x010200
	magic       = 0x4a17 // extension field of an induction from us
	dgramSocket = 2      // extension field of version 4
	hsExtSize   = 12
	maxStreamID = 512
)

// handshake is the fixed part of a handshake.
type handshake struct {
	version    uint32
	encryption uint16
	extension  uint16
	isn        seq
	mtu        uint32
	flow       uint32
	typ        uint32
	socket     uint32 // id of the sender's socket
	cookie     uint32
	ip         [16]byte
}

func parseHandshake(b []byte) (h handshake, extensions []byte, ok bool) {
	if len(b) < handshakeSize {
		return h, nil, false
	}
	h.version = binary.BigEndian.Uint32(b)
	h.encryption = binary.BigEndian.Uint16(b[4:])
	h.extension = binary.BigEndian.Uint16(b[6:])
	h.isn = seq(binary.BigEndian.Uint32(b[8:]) & maxSeq)
	h.mtu = binary.BigEndian.Uint32(b[12:])
	h.flow = binary.BigEndian.Uint32(b[16:])
	h.typ = binary.BigEndian.Uint32(b[20:])
	h.socket = binary.BigEndian.Uint32(b[24:])
	h.cookie = binary.BigEndian.Uint32(b[28:])
	h.ip = [16]byte(b[32:])
	return h, b[handshakeSize:], true
}

func (h *handshake) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, h.version)
	b = binary.BigEndian.AppendUint16(b, h.encryption)
	b = binary.BigEndian.AppendUint16(b, h.extension)
	b = binary.BigEndian.AppendUint32(b, uint32(h.isn))
	b = binary.BigEndian.AppendUint32(b, h.mtu)
	b = binary.BigEndian.AppendUint32(b, h.flow)
	b = binary.BigEndian.AppendUint32(b, h.typ)
	b = binary.BigEndian.AppendUint32(b, h.socket)
	b = binary.BigEndian.AppendUint32(b, h.cookie)
	return append(b, h.ip[:]...)
}

// wireIP encodes an address as handshakes have it: 32-bit words with their bytes swapped, IPv4 in the first one.
func wireIP(a netip.Addr) (out [16]byte) {
	if a = a.Unmap(); a.Is4() {
		ip := a.As4()
		copy(out[:], ip[:])
	} else {
		out = a.As16()
	}
	swapWords(out[:])
	return out
}

// swapWords reverses the bytes of each 32-bit word in place; strings and addresses come in that form.
func swapWords(b []byte) {
	for ; len(b) >= 4; b = b[4:] {
		b[0], b[1], b[2], b[3] = b[3], b[2], b[1], b[0]
	}
}

// hsExt is a handshake extension message (section 3.2.1.1). Latencies are in milliseconds.
type hsExt struct {
	version      uint32
	flags        uint32
	receiveDelay uint16
	sendDelay    uint16
}

func parseHSExt(b []byte) (e hsExt, ok bool) {
	if len(b) < hsExtSize {
		return e, false
	}
	e.version = binary.BigEndian.Uint32(b)
	e.flags = binary.BigEndian.Uint32(b[4:])
	e.receiveDelay = binary.BigEndian.Uint16(b[8:])
	e.sendDelay = binary.BigEndian.Uint16(b[10:])
	return e, true
}

func (e *hsExt) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, e.version)
	b = binary.BigEndian.AppendUint32(b, e.flags)
	b = binary.BigEndian.AppendUint16(b, e.receiveDelay)
	return binary.BigEndian.AppendUint16(b, e.sendDelay)
}

// conclusion is the second request of a caller.
type conclusion struct {
	handshake
	ext      hsExt
	hasExt   bool
	km       []byte // key material message, or nil
	streamID string
}

var errTruncated = errors.New("extension is longer than the handshake")

// parseConclusion checks a request. The error says what is wrong with it and has a Rejection.
func parseConclusion(h handshake, b []byte) (*conclusion, error) {
	c := &conclusion{handshake: h}
	if h.mtu < minMTU {
		return nil, refuse(RejectRogue, "MTU %d: must be at least %d", h.mtu, minMTU)
	}
	if h.flow == 0 {
		return nil, refuse(RejectRogue, "flow window 0")
	}
	c.mtu = min(h.mtu, mtu)
	switch h.version {
	case 4:
		if h.extension != dgramSocket {
			return nil, refuse(RejectRogue, "socket type %d: must be %d (datagrams)", h.extension, dgramSocket)
		}
		return c, nil
	case 5:
	default:
		return nil, refuse(RejectVersion, "handshake version %d: must be 4 or 5", h.version)
	}
	if err := c.parseExtensions(b); err != nil {
		return nil, err
	}
	switch {
	case !c.hasExt:
		return nil, refuse(RejectRogue, "no handshake extension")
	case c.ext.version < minVersion:
		return nil, refuse(RejectVersion, "version %#06x: must be at least %#06x", c.ext.version, minVersion)
	case c.ext.flags&flagStream != 0:
		return nil, refuse(RejectMessageAPI, "stream mode: only live mode is served")
	case c.ext.flags&flagRexmitBit == 0 || c.ext.flags&(flagTSBPDSend|flagTSBPDRecv) == 0:
		return nil, refuse(RejectRogue, "flags %#x: timestamp based delivery and the retransmission flag are needed", c.ext.flags)
	}
	return c, nil
}

// parseExtensions walks over the extensions. Up to three stray bytes at the end are ignored, as libsrt does.
func (c *conclusion) parseExtensions(b []byte) error {
	for len(b) >= 4 {
		typ := binary.BigEndian.Uint16(b)
		n := int(binary.BigEndian.Uint16(b[2:])) * 4
		b = b[4:]
		if n > len(b) {
			return refuse(RejectRogue, "%w", errTruncated)
		}
		if err := c.parseExtension(typ, b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

func (c *conclusion) parseExtension(typ uint16, b []byte) error {
	switch typ {
	case extHSReq:
		var ok bool
		if c.ext, ok = parseHSExt(b); !ok {
			return refuse(RejectRogue, "handshake extension of %d bytes", len(b))
		}
		c.hasExt = true
	case extKMReq:
		if _, err := parseKM(b); err != nil {
			return refuse(RejectRogue, "%w", err)
		}
		c.km = bytes.Clone(b)
	case extStreamID:
		if len(b) > maxStreamID {
			return refuse(RejectRogue, "stream id of %d bytes: at most %d are accepted", len(b), maxStreamID)
		}
		c.streamID = parseString(b)
	case extCongestion:
		if s := parseString(b[:min(len(b), 64)]); s != "live" {
			return refuse(RejectCongestion, "congestion control %q: must be \"live\"", s)
		}
	case extFilter:
		return refuse(RejectFilter, "packet filters are not supported")
	case extGroup:
		return refuse(RejectGroup, "groups are not supported")
	}
	return nil
}

// parseString decodes a string, which is padded with zeros.
func parseString(b []byte) string {
	s := bytes.Clone(b)
	swapWords(s)
	return string(bytes.TrimRight(s, "\x00"))
}

// handshakeError is a Rejection with an explanation.
type handshakeError struct {
	code Rejection
	err  error
}

func refuse(code Rejection, format string, args ...any) error {
	return &handshakeError{code, fmt.Errorf("srt: "+format, args...)}
}

func (e *handshakeError) Error() string   { return e.err.Error() }
func (e *handshakeError) Unwrap() []error { return []error{e.code, e.err} }
