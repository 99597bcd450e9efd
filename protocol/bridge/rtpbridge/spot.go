package rtpbridge

import (
	"bytes"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/av1"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4video"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/vp9"
	"github.com/pion/rtp/codecs"

	"github.com/org/mtx/router/media"
)

// maxParameterSize is the size beyond which parameter sets are ignored.
const maxParameterSize = 4096

// spotter looks into RTP payloads without unpacking them: does a random access
// point start here, which parameters travel in-band?
//
// What it finds refers to packets until take copies it. Of several parameter
// sets of the same type in one access unit the first counts, so that streams
// with two picture parameter sets do not change back and forth.
type spotter struct {
	codec media.Codec

	vps, sps, pps []byte // H264, H265
	sequence      []byte // AV1
	config        []byte // MPEG-4 video
	frame         vp9.Header
	frameFound    bool
}

// begin starts an access unit.
func (s *spotter) begin() {
	*s = spotter{codec: s.codec}
}

// packet looks at a payload, which is not empty. first tells whether it is the
// first of its access unit. It returns whether decoding can start here.
func (s *spotter) packet(payload []byte, first bool) bool {
	switch s.codec.(type) {
	case *media.H264:
		return s.h264(payload)
	case *media.H265:
		return s.h265(payload)
	case *media.AV1:
		return s.av1(payload)
	case *media.VP8:
		return spotVP8(payload)
	case *media.VP9:
		return s.vp9(payload)
	case *media.MPEG4Video:
		return first && s.mpeg4Video(payload)
	case *media.MPEG1Video:
		return first && spotMPEG1Video(payload)
	}
	return first
}

// take returns the codec with the parameters found since begin, and whether it
// differs from the one before.
func (s *spotter) take() (codec media.Codec, isNew bool) {
	// It may run on a timer, where a panic of a parameter set parser would end the
	// program.
	defer func() {
		if recover() != nil {
			s.begin()
			codec, isNew = s.codec, false
		}
	}()

	var next media.Codec
	switch c := s.codec.(type) {
	case *media.H264:
		next = s.takeH264(c)
	case *media.H265:
		next = s.takeH265(c)
	case *media.AV1:
		if changed(s.sequence, c.SequenceHeader) {
			next = &media.AV1{SequenceHeader: bytes.Clone(s.sequence)}
		}
	case *media.VP9:
		if s.frameFound {
			n := &media.VP9{Width: s.frame.Width(), Height: s.frame.Height(), Profile: int(s.frame.Profile)}
			if *n != *c {
				next = n
			}
		}
	case *media.MPEG4Video:
		if changed(s.config, c.Config) && validMPEG4Config(s.config) {
			next = &media.MPEG4Video{Config: bytes.Clone(s.config)}
		}
	}
	if next == nil {
		return s.codec, false
	}
	s.codec = next
	return next, true
}

// changed tells whether a parameter set was found that differs from the one
// before.
func changed(found, before []byte) bool {
	return len(found) > 0 && len(found) <= maxParameterSize && !bytes.Equal(found, before)
}

func (s *spotter) takeH264(c *media.H264) media.Codec {
	if !changed(s.sps, c.SPS) && !changed(s.pps, c.PPS) {
		return nil
	}
	next := *c
	if changed(s.sps, c.SPS) {
		if sps := new(h264.SPS); sps.Unmarshal(s.sps) == nil {
			next.SPS = bytes.Clone(s.sps)
		}
	}
	if changed(s.pps, c.PPS) {
		next.PPS = bytes.Clone(s.pps)
	}
	if bytes.Equal(next.SPS, c.SPS) && bytes.Equal(next.PPS, c.PPS) {
		return nil
	}
	return &next
}

func (s *spotter) takeH265(c *media.H265) media.Codec {
	if !changed(s.vps, c.VPS) && !changed(s.sps, c.SPS) && !changed(s.pps, c.PPS) {
		return nil
	}
	next := *c
	if changed(s.vps, c.VPS) {
		next.VPS = bytes.Clone(s.vps)
	}
	if changed(s.sps, c.SPS) {
		if sps := new(h265.SPS); sps.Unmarshal(s.sps) == nil {
			next.SPS = bytes.Clone(s.sps)
		}
	}
	if changed(s.pps, c.PPS) {
		if pps := new(h265.PPS); pps.Unmarshal(s.pps) == nil {
			next.PPS = bytes.Clone(s.pps)
		}
	}
	if bytes.Equal(next.VPS, c.VPS) && bytes.Equal(next.SPS, c.SPS) && bytes.Equal(next.PPS, c.PPS) {
		return nil
	}
	return &next
}

// h264 reads single NALUs, STAP-A and the start of FU-A, RFC 6184 section 5.2.
func (s *spotter) h264(b []byte) (key bool) {
	switch h264.NALUType(b[0] & 0x1F) {
	case h264.NALUTypeFUA:
		return len(b) >= 2 && b[1]&0x80 != 0 && h264.NALUType(b[1]&0x1F) == h264.NALUTypeIDR

	case h264.NALUTypeSTAPA:
		for b = b[1:]; ; {
			nalu, rest, ok := aggregated(b)
			if !ok {
				return key
			}
			key = s.h264NALU(nalu) || key
			b = rest
		}
	}
	return s.h264NALU(b)
}

func (s *spotter) h264NALU(nalu []byte) (key bool) {
	switch h264.NALUType(nalu[0] & 0x1F) {
	case h264.NALUTypeIDR:
		return true
	case h264.NALUTypeSPS:
		keepFirst(&s.sps, nalu)
	case h264.NALUTypePPS:
		keepFirst(&s.pps, nalu)
	}
	return false
}

// h265 reads single NALUs, aggregation packets and the start of fragmentation
// units, RFC 7798 section 4.4.
func (s *spotter) h265(b []byte) (key bool) {
	if len(b) < 2 {
		return false
	}
	switch h265.NALUType(b[0] >> 1 & 0x3F) {
	case h265.NALUType_FragmentationUnit:
		return len(b) >= 3 && b[2]&0x80 != 0 && h265Key(h265.NALUType(b[2]&0x3F))

	case h265.NALUType_AggregationUnit:
		for b = b[2:]; ; {
			nalu, rest, ok := aggregated(b)
			if !ok {
				return key
			}
			key = s.h265NALU(nalu) || key
			b = rest
		}
	}
	return s.h265NALU(b)
}

func (s *spotter) h265NALU(nalu []byte) (key bool) {
	typ := h265.NALUType(nalu[0] >> 1 & 0x3F)
	switch typ {
	case h265.NALUType_VPS_NUT:
		keepFirst(&s.vps, nalu)
	case h265.NALUType_SPS_NUT:
		keepFirst(&s.sps, nalu)
	case h265.NALUType_PPS_NUT:
		keepFirst(&s.pps, nalu)
	}
	return h265Key(typ)
}

// h265Key tells whether a picture is an IRAP picture, from BLA to CRA (H.265
// table 7-1).
func h265Key(typ h265.NALUType) bool {
	return typ >= h265.NALUType_BLA_W_LP && typ <= h265.NALUType_CRA_NUT
}

// aggregated cuts off the next NALU of an aggregate: 16 bits of size, and data.
func aggregated(b []byte) (nalu, rest []byte, ok bool) {
	if len(b) < 3 {
		return nil, nil, false
	}
	n := int(b[0])<<8 | int(b[1])
	if n == 0 || n > len(b)-2 {
		return nil, nil, false
	}
	return b[2 : 2+n], b[2+n:], true
}

func keepFirst(dst *[]byte, b []byte) {
	if *dst == nil {
		*dst = b
	}
}

// av1 reads the aggregation header and the OBUs, RTP Payload Format For AV1
// sections 4.4 and 4.5.
func (s *spotter) av1(b []byte) (key bool) {
	continued, continues, count := b[0]&0x80 != 0, b[0]&0x40 != 0, int(b[0]>>4&0x03)
	key = b[0]&0x08 != 0 // N: first packet of a coded video sequence
	b = b[1:]

	for i := 1; len(b) > 0; i++ {
		var obu []byte
		if count == 0 || i < count {
			var size av1.LEB128
			n, err := size.Unmarshal(b)
			if err != nil || size == 0 || uint64(size) > uint64(len(b)-n) {
				return key
			}
			obu, b = b[n:n+int(size)], b[n+int(size):]
		} else {
			obu, b = b, nil
		}

		if (i == 1 && continued) || av1.OBUType(obu[0]>>3&0x0F) != av1.OBUTypeSequenceHeader {
			continue
		}
		key = true
		if len(b) > 0 || !continues {
			if obu[0]&obuHasSize != 0 {
				obu = withoutSize(obu)
			}
			keepFirst(&s.sequence, obu)
		}
	}
	return key
}

// spotVP8 finds the first packet of a key frame: start of partition 0 (RFC 7741
// section 4.2) and the frame header (RFC 6386 section 9.1).
func spotVP8(b []byte) bool {
	if b[0]&0x17 != 0x10 { // S = 1, PID = 0
		return false
	}
	var pkt codecs.VP8Packet
	frame, err := pkt.Unmarshal(b)
	return err == nil && len(frame) > 0 && frame[0]&1 == 0
}

// vp9 finds the first packet of a key frame: begin of a frame (B), no
// inter-picture prediction (P), lowest spatial layer; RFC 9628 section 4.2.
func (s *spotter) vp9(b []byte) bool {
	if b[0]&0x48 != 0x08 {
		return false
	}
	var pkt codecs.VP9Packet
	frame, err := pkt.Unmarshal(b)
	if err != nil || (pkt.L && pkt.SID != 0) {
		return false
	}
	var h vp9.Header
	if h.Unmarshal(frame) != nil || h.ShowExistingFrame || h.NonKeyFrame {
		return false
	}
	if !s.frameFound {
		s.frame, s.frameFound = h, true
	}
	return true
}

// mpeg4Video reads start codes up to the first VOP, ISO 14496-2 section 6.2.
func (s *spotter) mpeg4Video(b []byte) bool {
	head := b
	for pos := 0; ; {
		i := bytes.Index(b[pos:], []byte{0, 0, 1})
		if i < 0 || pos+i+4 > len(b) {
			s.mpeg4Config(head)
			return false
		}
		pos += i
		switch mpeg4video.StartCode(b[pos+3]) {
		case mpeg4video.GroupOfVOPStartCode:
			head = head[:min(pos, len(head))]
		case mpeg4video.VOPStartCode:
			s.mpeg4Config(head[:min(pos, len(head))])
			return pos+4 < len(b) && b[pos+4]>>6 == 0 // vop_coding_type I
		}
		pos += 4
	}
}

func (s *spotter) mpeg4Config(head []byte) {
	if bytes.HasPrefix(head, []byte{0, 0, 1, byte(mpeg4video.VisualObjectSequenceStartCode)}) {
		keepFirst(&s.config, head)
	}
}

// validMPEG4Config keeps a configuration that ends inside of a start code from
// the library, which would panic.
func validMPEG4Config(b []byte) bool {
	return !bytes.HasSuffix(b, []byte{0, 0, 1}) && mpeg4video.IsValidConfig(b) == nil
}

// spotMPEG1Video looks for a sequence header behind the header of RFC 2250
// section 3.4.
func spotMPEG1Video(b []byte) bool {
	return len(b) > 4 && bytes.Contains(b[4:], []byte{0, 0, 1, 0xB3})
}
