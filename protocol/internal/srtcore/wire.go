package srtcore

import "encoding/binary"

// Sizes in bytes.
const (
	headerSize = 16
	mtu        = 1500 // the largest one that is agreed on
	udpIPv4    = 28   // headers of UDP and IPv4, which the MTU includes whatever the version of IP is
	maxPayload = mtu - udpIPv4 - headerSize
	minPayload = 188 // an MPEG-TS packet
	minMTU     = minPayload + udpIPv4 + headerSize
	maxControl = maxPayload // of a control packet, without its header
)

// Types of control packets, section 3.2 of draft-sharabayko-srt-01.
const (
	ctrlHandshake = 0x0000
	ctrlKeepAlive = 0x0001
	ctrlACK       = 0x0002
	ctrlNAK       = 0x0003
	ctrlShutdown  = 0x0005
	ctrlACKACK    = 0x0006
	ctrlDropReq   = 0x0007
	ctrlUser      = 0x7fff
)

// Fields of the second word of a data packet's header.
const (
	solo       = 3 << 30 // first and last packet of its message
	flagRexmit = 1 << 26
	keyShift   = 27
	keyMask    = 3 << keyShift
	maxMsgNo   = 1<<26 - 1
)

const maxSeq = 1<<31 - 1

// seq is a sequence number of 31 bits that wraps.
type seq uint32

func (s seq) add(n int) seq { return (s + seq(n)) & maxSeq }

// from returns how far s is ahead of o; negative if it is behind.
func (s seq) from(o seq) int { return int(int32((s-o)<<1) >> 1) }

// putData writes the header of a data packet.
func putData(b []byte, s seq, flags, ts, dest uint32) {
	_ = b[15]
	binary.BigEndian.PutUint32(b, uint32(s))
	binary.BigEndian.PutUint32(b[4:], flags)
	binary.BigEndian.PutUint32(b[8:], ts)
	binary.BigEndian.PutUint32(b[12:], dest)
}

// putControl writes the header of a control packet.
func putControl(b []byte, typ, subtype uint16, info, ts, dest uint32) {
	_ = b[15]
	binary.BigEndian.PutUint16(b, 0x8000|typ)
	binary.BigEndian.PutUint16(b[2:], subtype)
	binary.BigEndian.PutUint32(b[4:], info)
	binary.BigEndian.PutUint32(b[8:], ts)
	binary.BigEndian.PutUint32(b[12:], dest)
}

// header is one of a packet that was received.
type header struct {
	control bool
	typ     uint16 // of a control packet
	subtype uint16
	seq     seq    // of a data packet
	info    uint32 // second word
	ts      uint32 // microseconds of the peer's clock
	dest    uint32 // socket id
}

// parseHeader splits a datagram of at least 16 bytes.
func parseHeader(b []byte) (h header, payload []byte) {
	_ = b[15]
	w := binary.BigEndian.Uint32(b)
	if w&(1<<31) != 0 {
		h.control = true
		h.typ = uint16(w>>16) & 0x7fff
		h.subtype = uint16(w)
	} else {
		h.seq = seq(w)
	}
	h.info = binary.BigEndian.Uint32(b[4:])
	h.ts = binary.BigEndian.Uint32(b[8:])
	h.dest = binary.BigEndian.Uint32(b[12:])
	return h, b[headerSize:]
}

// ackInfo is what an acknowledgement says; a light one has the sequence number only.
type ackInfo struct {
	next     seq // the first packet that was not received
	full     bool
	rtt      uint32 // microseconds
	rttVar   uint32
	window   uint32 // packets that the peer has room for
	capacity uint32 // of the link, packets per second
}

const (
	lightACKSize = 4
	smallACKSize = 16
	fullACKSize  = 28
)

// parseACK reads the payload of an acknowledgement (section 3.2.4). It may come in shorter forms.
func parseACK(b []byte) (a ackInfo, ok bool) {
	if len(b) < lightACKSize {
		return a, false
	}
	w := binary.BigEndian.Uint32(b)
	if w > maxSeq {
		return a, false
	}
	a.next = seq(w)
	if len(b) >= smallACKSize {
		a.full = true
		a.rtt = binary.BigEndian.Uint32(b[4:])
		a.rttVar = binary.BigEndian.Uint32(b[8:])
		a.window = binary.BigEndian.Uint32(b[12:])
	}
	if len(b) >= fullACKSize {
		a.capacity = binary.BigEndian.Uint32(b[20:])
	}
	return a, true
}

// nextLoss takes a range off a loss list (appendix A). A range that ends before it begins is left to the caller.
func nextLoss(b []byte) (lo, hi seq, rest []byte, ok bool) {
	if len(b) < 4 {
		return 0, 0, nil, false
	}
	w := binary.BigEndian.Uint32(b)
	if w <= maxSeq {
		return seq(w), seq(w), b[4:], true
	}
	if len(b) < 8 {
		return 0, 0, nil, false
	}
	end := binary.BigEndian.Uint32(b[4:])
	if end > maxSeq {
		return 0, 0, nil, false
	}
	return seq(w & maxSeq), seq(end), b[8:], true
}

// appendLoss adds a range to a loss list.
func appendLoss(b []byte, lo, hi seq) []byte {
	if lo == hi {
		return binary.BigEndian.AppendUint32(b, uint32(lo))
	}
	b = binary.BigEndian.AppendUint32(b, uint32(lo)|1<<31)
	return binary.BigEndian.AppendUint32(b, uint32(hi))
}
