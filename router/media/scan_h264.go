package media

import (
	"bytes"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
)

// Where the identifier of a parameter set begins, in bytes: behind the NALU
// header and, in the SPS, behind profile, constraints and level.
const (
	h264SPSIDOffset = 4
	h264PPSIDOffset = 1
)

func scanH264(c *H264, au [][]byte) (*H264, bool) {
	var sps, pps []byte
	var idr, intra bool

	for _, nalu := range au {
		if len(nalu) < 2 || nalu[0]&0x80 != 0 { // forbidden_zero_bit
			continue
		}
		switch h264.NALUType(nalu[0] & 0x1F) {
		case h264.NALUTypeIDR:
			idr = true
		case h264.NALUTypeNonIDR:
			intra = intra || startsIntraPicture(nalu)
		case h264.NALUTypeSPS:
			sps = pickSet(sps, nalu, h264SPSIDOffset)
		case h264.NALUTypePPS:
			pps = pickSet(pps, nalu, h264PPSIDOffset)
		}
	}

	random := idr || (intra && sps != nil && hasRecoveryPoint(au))
	if sps == nil && pps == nil {
		return c, random
	}
	return updateH264(c, sps, pps), random
}

// updateH264 returns c with the parameter sets of a unit, either may be nil.
func updateH264(c *H264, sps, pps []byte) *H264 {
	// A PPS that arrives alone and has another identifier is an additional one.
	// Storing it would make the codec change back and forth.
	if sps == nil && len(c.PPS) != 0 && !sameSetID(c.PPS, pps, h264PPSIDOffset) {
		return c
	}
	newSPS := sps != nil && !bytes.Equal(sps, c.SPS)
	newPPS := pps != nil && !bytes.Equal(pps, c.PPS)
	if !newSPS && !newPPS {
		return c
	}

	n := &H264{SPS: c.SPS, PPS: c.PPS}
	if newSPS {
		// The PPS of an unusable SPS is of no use either.
		if parseH264SPS(sps) == nil {
			return c
		}
		n.SPS = bytes.Clone(sps)
	}
	if newPPS {
		n.PPS = bytes.Clone(pps)
	}
	return n
}

// pickSet chooses between parameter sets of the same type in one access unit:
// the first identifier is the one that matters, and a later set with the same
// identifier replaces an earlier one. Sets that are too large are not chosen.
func pickSet(cur, nalu []byte, idOffset int) []byte {
	if len(nalu) > maxParameterSet || len(nalu) <= idOffset {
		return cur
	}
	if cur != nil && !sameSetID(cur, nalu, idOffset) {
		return cur
	}
	return nalu
}

// sameSetID tells whether two parameter sets have the same identifier, that is
// an ue(v) at the given byte.
func sameSetID(a, b []byte, offset int) bool {
	if len(a) <= offset || len(b) <= offset {
		return false
	}
	ra, rb := bitReader{buf: a[offset:]}, bitReader{buf: b[offset:]}
	return ra.ue() == rb.ue()
}

// parseH264SPS returns the parsed SPS, or nil if it is not usable.
func parseH264SPS(buf []byte) *h264.SPS {
	var sps h264.SPS
	if len(buf) > maxParameterSet || sps.Unmarshal(buf) != nil {
		return nil
	}
	if sps.ChromaFormatIdc > 3 || !plausible(sps.Width(), sps.Height()) {
		return nil
	}
	return &sps
}

// startsIntraPicture tells whether a slice is the first one of its picture and
// has type I or SI. Both fields (first_mb_in_slice, slice_type; H.264 section
// 7.3.3) then fit into the first byte of the slice header.
func startsIntraPicture(nalu []byte) bool {
	b := nalu[1]
	if b&0x80 == 0 { // first_mb_in_slice is not zero
		return false
	}
	switch {
	case b>>4 == 0b1011: // slice_type 2: I
		return true
	case b>>2 == 0b100101: // slice_type 4: SI
		return true
	case b == 0b10001000, b == 0b10001010: // slice_type 7, 9: only I, only SI
		return true
	}
	return false
}

// hasRecoveryPoint tells whether one of the SEI NALUs holds a recovery point.
func hasRecoveryPoint(au [][]byte) bool {
	for _, nalu := range au {
		if len(nalu) >= 2 && h264.NALUType(nalu[0]&0x1F) == h264.NALUTypeSEI &&
			seiHas(clamp(nalu[1:], maxParameterSet), seiRecoveryPoint) {
			return true
		}
	}
	return false
}

// seiRecoveryPoint is the payloadType of H.264 section D.1.8.
const seiRecoveryPoint = 6

// seiHas walks over the messages of an SEI NALU, without its header, in search
// of a payload type (H.264 section 7.3.2.3.1).
func seiHas(buf []byte, payloadType int) bool {
	r := rbspReader{buf: buf}
	for {
		typ, ok := r.ff()
		if !ok {
			return false
		}
		size, ok := r.ff()
		if !ok {
			return false
		}
		if typ == payloadType {
			return true
		}
		for range size {
			if _, ok := r.next(); !ok {
				return false
			}
		}
	}
}

// rbspReader reads the bytes of a NALU without its emulation prevention bytes.
type rbspReader struct {
	buf   []byte
	zeros int // zero bytes in a row
}

func (r *rbspReader) next() (byte, bool) {
	if r.zeros >= 2 && len(r.buf) != 0 && r.buf[0] == 3 {
		r.buf = r.buf[1:]
		r.zeros = 0
	}
	if len(r.buf) == 0 {
		return 0, false
	}
	b := r.buf[0]
	r.buf = r.buf[1:]
	if b == 0 {
		r.zeros++
	} else {
		r.zeros = 0
	}
	return b, true
}

// ff reads a number in the notation of SEI headers: as long as bytes are 0xFF,
// they are added up with the next one.
func (r *rbspReader) ff() (int, bool) {
	n := 0
	for {
		b, ok := r.next()
		if !ok {
			return 0, false
		}
		n += int(b)
		if b != 0xFF {
			return n, true
		}
	}
}
