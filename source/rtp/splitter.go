package rtp

import (
	"encoding/binary"
	"errors"
	"slices"
	"time"
)

const (
	// maxPacket is the largest packet that a length field of 16 bits tells.
	maxPacket = 1<<16 - 1
	// maxSenders bounds the SSRCs that a splitter remembers.
	maxSenders = 16
)

var errNoPacket = errors.New("data that do not begin with an RTP packet")

// splitter cuts a stream of bytes into packets. Each has its length in front
// (RFC 4571), or there is nothing between them: then the header of a packet is
// recognized by the SSRC and the sequence number that must follow.
type splitter struct {
	packet  func(b []byte, now time.Time)
	invalid func(error)
	begun   bool
	framed  bool
	buf     []byte     // the beginning of a packet
	senders []follower // at most maxSenders
}

// follower is what the next packet of a sender holds.
type follower struct {
	ssrc uint32
	next uint16 // sequence number
}

func newSplitter(packet func([]byte, time.Time), invalid func(error)) *splitter {
	return &splitter{packet: packet, invalid: invalid}
}

// push takes what was read at once.
func (s *splitter) push(b []byte, now time.Time) {
	if !s.begun {
		// as a length the first byte of a packet would mean more than 32 KB
		s.begun, s.framed = true, b[0]>>6 != 2
	}
	if len(s.buf) > 0 {
		b = append(s.buf, b...)
	}
	rest := s.bare
	if s.framed {
		rest = s.frames
	}
	s.buf = append(s.buf[:0], rest(b, now)...)
}

// frames emits the packets of RFC 4571 and returns what is left.
func (s *splitter) frames(b []byte, now time.Time) []byte {
	for len(b) >= 2 {
		size := int(binary.BigEndian.Uint16(b))
		if len(b) < 2+size {
			break
		}
		if size > 0 {
			s.packet(b[2:2+size], now)
		}
		b = b[2+size:]
	}
	return b
}

// bare emits packets without framing. Writes are not torn apart, so the last
// packet is complete unless the buffer of the reader was too small.
func (s *splitter) bare(b []byte, now time.Time) []byte {
	full := len(b) > maxPacket
	for len(b) > 0 {
		if b[0]>>6 != 2 {
			s.invalid(errNoPacket)
		}
		s.learn(b)
		end := s.boundary(b)
		if end == len(b) && full && len(b) <= maxPacket {
			return b
		}
		if b[0]>>6 == 2 {
			s.packet(b[:end], now)
		}
		b = b[end:]
	}
	return nil
}

// learn remembers the sender of the packet at the start of b.
func (s *splitter) learn(b []byte) {
	if len(b) < rtpHeaderSize || b[0]>>6 != 2 || isRTCP(b) {
		return
	}
	f := follower{binary.BigEndian.Uint32(b[8:]), binary.BigEndian.Uint16(b[2:]) + 1}
	for i := range s.senders {
		if s.senders[i].ssrc == f.ssrc {
			s.senders[i] = f
			return
		}
	}
	if len(s.senders) == maxSenders {
		s.senders = s.senders[:0]
	}
	s.senders = append(s.senders, f)
}

// boundary returns where the second packet of b begins.
func (s *splitter) boundary(b []byte) int {
	if isRTCP(b) { // it tells its length
		return min(4*(int(binary.BigEndian.Uint16(b[2:]))+1), len(b))
	}
	for i := rtcpHeaderSize; i+rtcpHeaderSize <= len(b); i++ {
		if b[i]>>6 == 2 && s.starts(b[i:]) {
			return i
		}
	}
	return len(b)
}

// starts tells whether b begins with a packet of a known sender.
func (s *splitter) starts(b []byte) bool {
	if isRTCP(b) {
		ssrc := binary.BigEndian.Uint32(b[4:])
		return slices.ContainsFunc(s.senders, func(f follower) bool { return f.ssrc == ssrc }) &&
			4*(int(binary.BigEndian.Uint16(b[2:]))+1) <= len(b)
	}
	if len(b) < rtpHeaderSize {
		return false
	}
	f := follower{binary.BigEndian.Uint32(b[8:]), binary.BigEndian.Uint16(b[2:])}
	return slices.Contains(s.senders, f)
}
