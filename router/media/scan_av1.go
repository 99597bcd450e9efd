package media

import (
	"bytes"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/av1"
)

// OBU types that carry a frame header (AV1 specification, section 6.2.2).
const (
	obuFrameHeader = 3
	obuFrame       = 6
)

func scanAV1(c *AV1, tu [][]byte) (*AV1, bool) {
	var sequence, frame []byte

	for _, obu := range tu {
		typ, body := splitOBU(obu)
		if len(body) == 0 {
			continue
		}
		switch typ {
		case byte(av1.OBUTypeSequenceHeader):
			sequence = body
		case obuFrameHeader, obuFrame:
			// The first frame tells: those behind it may be upper layers.
			if frame == nil {
				frame = body
			}
		}
	}

	if sequence == nil {
		return c, false
	}
	return updateAV1(c, sequence), isShownKeyFrame(sequence, frame)
}

// updateAV1 returns c with the body of a sequence header OBU.
func updateAV1(c *AV1, sequence []byte) *AV1 {
	if len(sequence) >= maxParameterSet {
		return c
	}
	if _, cur := splitOBU(c.SequenceHeader); bytes.Equal(cur, sequence) {
		return c
	}
	// Stored without size field and extension, whatever it arrived with.
	header := make([]byte, 0, 1+len(sequence))
	header = append(header, byte(av1.OBUTypeSequenceHeader)<<3)
	header = append(header, sequence...)
	if parseAV1SequenceHeader(header) == nil {
		return c
	}
	return &AV1{SequenceHeader: header}
}

// parseAV1SequenceHeader returns the parsed OBU, or nil if it is not usable.
func parseAV1SequenceHeader(obu []byte) *av1.SequenceHeader {
	var h av1.SequenceHeader
	if len(obu) > maxParameterSet || h.Unmarshal(obu) != nil || !plausible(h.Width(), h.Height()) {
		return nil
	}
	return &h
}

// splitOBU returns the type and the body of an OBU (AV1 specification, section
// 5.3). Units have no size fields, but those that RTP senders left in are
// understood. The body of what is not an OBU is empty.
func splitOBU(obu []byte) (typ byte, body []byte) {
	if len(obu) == 0 || obu[0]&0x80 != 0 { // obu_forbidden_bit
		return 0, nil
	}
	hasExtension, hasSize := obu[0]&0x04 != 0, obu[0]&0x02 != 0
	typ = obu[0] >> 3
	body = obu[1:]

	if hasExtension {
		if len(body) == 0 {
			return 0, nil
		}
		body = body[1:]
	}
	if !hasSize {
		return typ, body
	}

	// leb128(), section 4.10.5. Four bytes hold every size that fits a unit.
	size := 0
	for i := 0; i < 4 && i < len(body); i++ {
		size |= int(body[i]&0x7F) << (7 * i)
		if body[i]&0x80 == 0 {
			body = body[i+1:]
			if size > len(body) {
				return 0, nil
			}
			return typ, body[:size]
		}
	}
	return 0, nil
}

// isShownKeyFrame looks at the beginning of a frame header (AV1 specification,
// section 5.9.2): show_existing_frame (1 bit), frame_type (2), show_frame (1).
// Key frames that are not shown yet are references for later, no place to
// start.
func isShownKeyFrame(sequence, frame []byte) bool {
	if len(frame) == 0 {
		return false
	}
	// reduced_still_picture_header: frame headers lack these fields, because
	// every frame is a key frame.
	if sequence[0]&0x08 != 0 {
		return true
	}
	return frame[0]>>4 == 0b0001
}
