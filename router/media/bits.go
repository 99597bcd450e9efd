package media

import (
	"github.com/bluenviron/mediacommon/v2/pkg/bits"
)

// bitReader reads bits, most significant first. Unlike the readers that return
// an error it does not allocate on short input: it returns zeros and remembers
// that it ran out.
type bitReader struct {
	buf   []byte
	pos   int // in bits
	short bool
}

// bits reads an unsigned value of n bits, n <= 32.
func (r *bitReader) bits(n int) uint32 {
	if r.short || len(r.buf)*8-r.pos < n {
		r.short = true
		return 0
	}
	return uint32(bits.ReadBitsUnsafe(r.buf, &r.pos, n))
}

// ue reads an unsigned Exp-Golomb code, ue(v) of H.264 section 9.1. Codes
// longer than 32 bits count as the end of the input.
func (r *bitReader) ue() uint32 {
	zeros := 0
	for r.bits(1) == 0 {
		zeros++
		if r.short || zeros > 31 {
			r.short = true
			return 0
		}
	}
	return 1<<zeros - 1 + r.bits(zeros)
}
