package mpegtsbridge

import (
	"errors"
	"fmt"
)

// Fields of a transport packet, ISO 13818-1 section 2.4.3.2.
const (
	packetSize = 188
	syncByte   = 0x47
)

var errDamagedPacket = errors.New("damaged transport packet")

// packets finds transport packets in a stream of bytes.
type packets struct {
	buf     []byte // not yet taken
	pos     int    // in buf
	locked  bool   // packets start where they are expected
	damaged func(error)
}

// add appends input.
func (s *packets) add(p []byte) {
	s.buf = append(s.buf[:copy(s.buf, s.buf[s.pos:])], p...)
	s.pos = 0
}

// next returns the next packet, or nil if more input is needed. last tells that
// there is no more input. The result is valid until the next call of add.
func (s *packets) next(last bool) []byte {
	if s.locked {
		s.locked = len(s.buf) == s.pos || s.buf[s.pos] == syncByte
	}
	if !s.locked {
		s.lock(last)
	}
	if !s.locked || len(s.buf)-s.pos < packetSize {
		return nil
	}
	pkt := s.buf[s.pos : s.pos+packetSize]
	s.pos += packetSize
	return pkt
}

// lock moves to the start of a packet: a sync byte which is followed by another
// one, a packet later.
func (s *packets) lock(last bool) {
	skipped := 0
	for !s.locked {
		left := s.buf[s.pos:]
		if len(left) < packetSize || !last && len(left) == packetSize {
			break
		}
		s.locked = left[0] == syncByte && (len(left) == packetSize || left[packetSize] == syncByte)
		if !s.locked {
			s.pos++
			skipped++
		}
	}
	if skipped > 0 {
		s.damaged(fmt.Errorf("%d bytes that are no transport packet", skipped))
	}
}

// packet is what is used of a transport packet.
type packet struct {
	pid     uint16
	start   bool  // payload_unit_start_indicator
	jump    bool  // discontinuity_indicator
	counter uint8 // continuity_counter
	payload []byte
}

// parsePacket reads the header of a packet. Packets without payload, of which
// the null packets are some, have a payload of nil.
func parsePacket(b []byte) (packet, error) {
	p := packet{
		pid:     uint16(b[1]&0x1f)<<8 | uint16(b[2]),
		start:   b[1]&0x40 != 0,
		counter: b[3] & 0x0f,
	}
	if b[3]&0x10 == 0 || p.pid == 0x1fff {
		return p, nil
	}
	if b[1]&0x80 != 0 || b[3]&0xc0 != 0 { // transport_error_indicator, scrambled
		return packet{}, errDamagedPacket
	}
	payload := b[4:]
	if b[3]&0x20 != 0 {
		n := int(b[4])
		if n > packetSize-4-2 {
			return packet{}, errDamagedPacket
		}
		p.jump = n > 0 && b[5]&0x80 != 0
		payload = b[5+n:]
	}
	p.payload = payload
	return p, nil
}

// continuity follows the continuity counter of a PID, section 2.4.3.3.
type continuity struct {
	last uint8
	seen bool
}

// check tells whether packets were lost before p, and whether p is a repetition
// of the last packet.
func (c *continuity) check(p packet) (lost, repeated bool) {
	if c.seen && !p.jump {
		repeated = p.counter == c.last
		lost = !repeated && p.counter != (c.last+1)&0x0f
	}
	c.last, c.seen = p.counter, true
	return lost, repeated
}
