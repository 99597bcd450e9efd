package mpegtsbridge

// Table ids, ISO 13818-1 table 2-31.
const (
	tablePAT = 0x00
	tablePMT = 0x02
)

// maxSection is the size of the largest section, section 2.4.4.10.
const maxSection = 3 + 4093

// sections puts the sections of a PID together.
type sections struct {
	continuity
	buf    []byte
	active bool // buf is the beginning of a section
}

// push calls f for each section that the packet completes. The section is valid
// during the call.
func (s *sections) push(p packet, f func(section []byte)) {
	lost, repeated := s.check(p)
	if repeated {
		return
	}
	if lost {
		s.active = false
	}
	data := p.payload
	if p.start {
		pointer := int(data[0])
		if 1+pointer > len(data) {
			s.active = false
			return
		}
		if s.active {
			s.buf = append(s.buf, data[1:1+pointer]...)
			s.cut(f)
		}
		data = data[1+pointer:]
		s.buf, s.active = s.buf[:0], true
	}
	if s.active {
		s.buf = append(s.buf, data...)
		s.cut(f)
	}
}

// cut takes complete sections from the front. Stuffing (0xff) fills the rest of a
// packet.
func (s *sections) cut(f func(section []byte)) {
	for s.active && len(s.buf) >= 3 {
		n := 3 + int(s.buf[1]&0x0f)<<8 + int(s.buf[2])
		if s.buf[0] == 0xff || n > maxSection {
			s.active = false
			break
		}
		if len(s.buf) < n {
			break
		}
		// those that are not in force yet (current_next_indicator) come again when they are
		if section := s.buf[:n]; n >= 12 && section[1]&0x80 != 0 && section[5]&0x01 != 0 && crc32(section) == 0 {
			f(section)
		}
		s.buf = s.buf[:copy(s.buf, s.buf[n:])]
	}
}

// crc32 is that of ISO 13818-1 annex A. Over a section with its own checksum it
// is zero.
func crc32(b []byte) uint32 {
	crc := ^uint32(0)
	for _, v := range b {
		crc ^= uint32(v) << 24
		for range 8 {
			if crc&(1<<31) != 0 {
				crc = crc<<1 ^ 0x04c11db7
			} else {
				crc <<= 1
			}
		}
	}
	return crc
}

// program is an entry of a PAT.
type program struct {
	number uint16 // 0: none
	pid    uint16 // of its PMT
}

// parsePAT returns a program, section 2.4.4.3: the one that is preferred if the
// section has it, otherwise the first one. A section that may be one of several
// says nothing about programs that it does not have.
func parsePAT(section []byte, preferred uint16) (first program, ok bool) {
	if section[0] != tablePAT {
		return program{}, false
	}
	for b := section[8 : len(section)-4]; len(b) >= 4; b = b[4:] {
		p := program{uint16(b[0])<<8 | uint16(b[1]), (uint16(b[2])<<8 | uint16(b[3])) & 0x1fff}
		switch {
		case p.number == 0, p.pid == 0: // the number 0 is that of the network
		case p.number == preferred:
			return p, true
		case first.number == 0:
			first = p
		}
	}
	several := section[7] > 0 // last_section_number
	return first, first.number != 0 && (preferred == 0 || !several)
}

// elementary is an elementary stream in a PMT.
type elementary struct {
	pid         uint16
	streamType  uint8
	descriptors []byte
}

// parsePMT returns the elementary streams of a program, section 2.4.4.8. They
// are valid as long as the section. Programs may share the PID of their tables.
func parsePMT(section []byte, number uint16) (streams []elementary, ok bool) {
	if section[0] != tablePMT || len(section) < 16 || uint16(section[3])<<8|uint16(section[4]) != number {
		return nil, false
	}
	b := section[10 : len(section)-4]
	take := func() []byte { // what a 12 bit length announces
		n := int(b[0]&0x0f)<<8 | int(b[1])
		if n > len(b)-2 {
			n = len(b) - 2
		}
		v := b[2 : 2+n]
		b = b[2+n:]
		return v
	}
	take() // program_info
	for len(b) >= 5 {
		e := elementary{pid: uint16(b[1]&0x1f)<<8 | uint16(b[2]), streamType: b[0]}
		b = b[3:]
		e.descriptors = take()
		streams = append(streams, e)
	}
	return streams, true
}

// descriptor returns the content of the first descriptor with a tag, section 2.6.
func (e *elementary) descriptor(tag uint8) ([]byte, bool) {
	for b := e.descriptors; len(b) >= 2; {
		n := int(b[1])
		if n > len(b)-2 {
			break
		}
		if b[0] == tag {
			return b[2 : 2+n], true
		}
		b = b[2+n:]
	}
	return nil, false
}
