package mpegtsbridge

import (
	"errors"
	"fmt"
)

// Bounds of what is held of packets that are not complete, in bytes.
const (
	maxPES     = 8 << 20  // of one elementary stream: a key frame of 8K video fits
	maxPending = 16 << 20 // of all of them
)

var (
	errLost     = errors.New("transport packets were lost")
	errTooLarge = fmt.Errorf("a packet of an elementary stream is larger than %d bytes", maxPES)
	errPES      = errors.New("invalid packet of an elementary stream")
	errCut      = errors.New("a packet of an elementary stream is incomplete")
)

// pes puts the packets of an elementary stream together, ISO 13818-1 section
// 2.4.3.6.
type pes struct {
	continuity
	buf    []byte
	size   int  // of the whole packet; zero if only the next one tells the end
	active bool // buf is the beginning of a packet
}

// pesPacket is what is used of a packet.
type pesPacket struct {
	hasPTS bool
	pts    int64 // 33 bits, 90 kHz
	data   []byte
}

// push calls f for each packet that p completes. budget is how many bytes may
// still be held. What is dropped is reported.
func (s *pes) push(p packet, budget int, f func(pesPacket), damaged func(error)) {
	lost, repeated := s.check(p)
	if repeated {
		return
	}
	if lost && s.active {
		damaged(errLost)
		s.drop()
	}
	if p.start {
		s.flush(f, damaged)
		s.begin(p.payload, damaged)
	} else if s.active {
		s.buf = append(s.buf, p.payload...)
	}
	if s.active && s.size > 0 && len(s.buf) >= s.size {
		s.flush(f, damaged)
	}
	if s.active && (len(s.buf) > maxPES || len(p.payload) > budget) {
		damaged(errTooLarge)
		s.drop()
	}
}

func (s *pes) begin(b []byte, damaged func(error)) {
	if len(b) < 6 || b[0] != 0 || b[1] != 0 || b[2] != 1 {
		damaged(errPES)
		return
	}
	s.active = true
	s.size = 0
	// The last packet is a guess for the size of this one.
	room := max(cap(s.buf)/2, len(b))
	if n := int(b[4])<<8 | int(b[5]); n > 0 {
		s.size = 6 + n
		room = s.size + packetSize
	}
	s.buf = append(make([]byte, 0, room), b...)
}

// flush ends the packet. Its data belongs to f.
func (s *pes) flush(f func(pesPacket), damaged func(error)) {
	if !s.active {
		return
	}
	b := s.buf
	if s.size > 0 {
		if len(b) < s.size {
			damaged(errCut)
			s.drop()
			return
		}
		b = b[:s.size]
	}
	// buf keeps its capacity as the guess for the next one, but is not reused
	s.active, s.buf = false, s.buf[:0:len(s.buf)]
	p, err := parsePES(b)
	if err != nil {
		damaged(err)
		return
	}
	f(p)
}

func (s *pes) drop() { s.active, s.buf = false, nil }

// held returns how many bytes wait.
func (s *pes) held() int {
	if !s.active {
		return 0
	}
	return len(s.buf)
}

// parsePES reads the header of a complete packet. Scrambled ones are invalid.
func parsePES(b []byte) (pesPacket, error) {
	switch b[3] { // stream ids without the optional header, table 2-22
	case 0xbc, 0xbe, 0xbf, 0xf0, 0xf1, 0xf2, 0xf8, 0xff:
		return pesPacket{}, errPES
	}
	if len(b) < 9 || b[6]&0xf0 != 0x80 || 9+int(b[8]) > len(b) {
		return pesPacket{}, errPES
	}
	p := pesPacket{data: b[9+int(b[8]):]}
	if b[7]&0x80 != 0 {
		if b[8] < 5 {
			return pesPacket{}, errPES
		}
		p.hasPTS = true
		p.pts = int64(b[9]>>1&0x07)<<30 | int64(b[10])<<22 | int64(b[11]>>1)<<15 | int64(b[12])<<7 | int64(b[13]>>1)
	}
	return p, nil
}
