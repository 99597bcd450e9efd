package mpegtsbridge

// appendPackets cuts a packet of an elementary stream into transport packets
// (ISO 13818-1 section 2.4.3.2). The clock and the random access indicator go
// into the first one.
func (s *outStream) append(dst, pes []byte, ref reference, random bool) []byte {
	for first := true; len(pes) > 0; first = false {
		field := -1 // length of the adaptation field; -1: there is none
		if first && (random || ref.set) {
			field = 1
			if ref.set {
				field += 6
			}
		}
		room := packetSize - 4
		if field >= 0 {
			room -= 1 + field
		}
		if short := room - len(pes); short > 0 {
			field += short // the length byte counts, if it is new
			room = len(pes)
		}
		dst = s.appendHeader(dst, first, field, true)
		if field >= 0 {
			dst = appendField(dst, field, first && random, ref, first)
		}
		dst = append(dst, pes[:room]...)
		pes = pes[room:]
	}
	return dst
}

// appendClock adds a packet that holds only the clock.
func (s *outStream) appendClock(dst []byte, v int64) []byte {
	const field = packetSize - 5
	dst = s.appendHeader(dst, false, field, false)
	return appendField(dst, field, false, reference{set: true, value: v}, true)
}

// appendHeader adds the four bytes in front of every packet. The counter stands
// still in packets without payload.
func (s *outStream) appendHeader(dst []byte, start bool, field int, payload bool) []byte {
	b1 := byte(s.pid>>8) & 0x1f
	if start {
		b1 |= 0x40
	}
	control := byte(0)
	if field >= 0 {
		control |= 0x20
	}
	if payload {
		control |= 0x10
	}
	b3 := control | s.counter&0x0f
	if payload {
		s.counter++
	} else {
		b3 = control | (s.counter-1)&0x0f
	}
	return append(dst, syncByte, b1, byte(s.pid), b3)
}

// appendField adds an adaptation field of a length, section 2.4.3.4.
func appendField(dst []byte, length int, random bool, ref reference, first bool) []byte {
	dst = append(dst, byte(length))
	if length == 0 {
		return dst
	}
	end := len(dst) + length
	flags := byte(0)
	if random {
		flags |= 0x40
	}
	if first && ref.set {
		flags |= 0x10
		if ref.jump {
			flags |= 0x80
		}
	}
	dst = append(dst, flags)
	if first && ref.set {
		v := ref.value & (1<<33 - 1) // its extension, of 27 MHz, stays zero
		dst = append(dst, byte(v>>25), byte(v>>17), byte(v>>9), byte(v>>1), byte(v<<7)|0x7e, 0)
	}
	for len(dst) < end {
		dst = append(dst, 0xff)
	}
	return dst
}

// Stream ids, table 2-22.
const (
	idPrivate  = 0xbd
	idAudio    = 0xc0
	idVideo    = 0xe0
	idMetadata = 0xfc
)

// pesHeader is the size of the largest header, bytes.
const pesHeader = 19

// appendPESHeader adds the header of a packet of an elementary stream, section
// 2.4.3.6, with room for its length.
func appendPESHeader(dst []byte, id byte, pts, dts int64) []byte {
	dst = append(dst, 0, 0, 1, id, 0, 0, 0x84) // data_alignment_indicator: a unit begins here
	if pts == dts {
		return appendTime(append(dst, 0x80, 5), 0x20, pts)
	}
	return appendTime(appendTime(append(dst, 0xc0, 10), 0x30, pts), 0x10, dts)
}

func appendTime(dst []byte, prefix byte, v int64) []byte {
	return append(dst, prefix|byte(v>>29)&0x0e|1, byte(v>>22), byte(v>>14)|1, byte(v>>7), byte(v<<1)|1)
}

// setPESLength fills in the length, so that a receiver need not wait for the
// next packet. Only video may leave it open.
func setPESLength(pes []byte, video bool) error {
	n := len(pes) - 6
	switch {
	case n <= 0xffff:
		pes[4], pes[5] = byte(n>>8), byte(n)
	case !video:
		return errUnitSize
	}
	return nil
}
