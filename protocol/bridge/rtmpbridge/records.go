package rtmpbridge

import (
	"encoding/binary"
	"errors"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/av1"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/flac"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"

	"github.com/org/mtx/router/media"
)

// maxParameterSets bounds how many NALUs of a configuration record are kept.
const maxParameterSets = 32

var errRecord = errors.New("configuration record is damaged")

// cursor reads a record; once it has failed it yields zeroes.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) take(n int) []byte {
	if c.bad || n > len(c.b) {
		c.bad = true
		return make([]byte, n)
	}
	p := c.b[:n]
	c.b = c.b[n:]
	return p
}

func (c *cursor) byte() byte  { return c.take(1)[0] }
func (c *cursor) uint16() int { return int(binary.BigEndian.Uint16(c.take(2))) }

// nalu reads a NALU with its size in front; nil if it is empty or missing.
func (c *cursor) nalu() []byte {
	n := c.uint16()
	if c.bad || n == 0 || n > len(c.b) {
		c.bad = c.bad || n > len(c.b)
		return nil
	}
	return c.take(n)
}

// parseAVCC reads an AVCDecoderConfigurationRecord (ISO 14496-15, section
// 5.3.3.1): all parameter sets, and the size of the lengths of NALUs.
func parseAVCC(b []byte) (sets [][]byte, lengthSize int, err error) {
	c := cursor{b: b}
	c.take(4)
	lengthSize = 1 + int(c.byte()&3)
	for _, mask := range []byte{0x1f, 0xff} {
		for range c.byte() & mask {
			if n := c.nalu(); n != nil && len(sets) < maxParameterSets {
				sets = append(sets, n)
			}
		}
	}
	if c.bad {
		return nil, 0, errRecord
	}
	return sets, lengthSize, nil
}

// appendAVCC makes an AVCDecoderConfigurationRecord. It returns dst if the
// parameters are not known or not valid.
func appendAVCC(dst []byte, c *media.H264) []byte {
	var sps h264.SPS
	if len(c.SPS) < 4 || len(c.PPS) == 0 || len(c.SPS) > 0xffff || len(c.PPS) > 0xffff || sps.Unmarshal(c.SPS) != nil {
		return dst
	}
	dst = append(dst, 1, c.SPS[1], c.SPS[2], c.SPS[3], 0xff, 0xe1)
	dst = appendSized(dst, c.SPS)
	dst = append(dst, 1)
	return appendSized(dst, c.PPS)
}

func appendSized(dst, nalu []byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(nalu)))
	return append(dst, nalu...)
}

// parseHVCC reads an HEVCDecoderConfigurationRecord (section 8.3.3.1).
func parseHVCC(b []byte) (sets [][]byte, lengthSize int, err error) {
	c := cursor{b: b}
	lengthSize = 1 + int(c.take(22)[21]&3)
	for range c.byte() {
		c.byte() // type
		for range c.uint16() {
			n := c.nalu()
			if c.bad {
				return nil, 0, errRecord
			}
			if n != nil && len(sets) < maxParameterSets {
				sets = append(sets, n)
			}
		}
	}
	if c.bad {
		return nil, 0, errRecord
	}
	return sets, lengthSize, nil
}

// appendHVCC makes an HEVCDecoderConfigurationRecord, or returns dst.
func appendHVCC(dst []byte, c *media.H265) []byte {
	var sps h265.SPS
	if len(c.VPS) == 0 || len(c.PPS) == 0 || len(c.VPS) > 0xffff || len(c.SPS) > 0xffff || len(c.PPS) > 0xffff ||
		sps.Unmarshal(c.SPS) != nil {
		return dst
	}
	raw := h264.EmulationPreventionRemove(c.SPS[:min(len(c.SPS), 64)])
	if len(raw) < 15 {
		return dst
	}
	dst = append(dst, 1)
	dst = append(dst, raw[3:15]...) // general profile, compatibility, constraints, level (H.265, section 7.3.3)
	dst = append(dst, 0xf0, 0,      // minimum spatial segmentation: unknown
		0xfc, // parallelism: unknown
		0xfc|byte(sps.ChromaFormatIdc&3),
		0xf8|byte(sps.BitDepthLumaMinus8&7), 0xf8|byte(sps.BitDepthChromaMinus8&7),
		0, 0, // frame rate: unknown
		1<<3|3, // one temporal layer, lengths of 4 bytes
		3)
	for _, n := range []struct {
		typ  h265.NALUType
		nalu []byte
	}{{h265.NALUType_VPS_NUT, c.VPS}, {h265.NALUType_SPS_NUT, c.SPS}, {h265.NALUType_PPS_NUT, c.PPS}} {
		dst = append(dst, 0x80|byte(n.typ), 0, 1)
		dst = appendSized(dst, n.nalu)
	}
	return dst
}

// parseAV1C returns the sequence header in an AV1CodecConfigurationRecord (AV1
// Codec ISO Media File Format Binding, section 2.3.3), if there is one.
func parseAV1C(b []byte) []byte {
	if len(b) <= 4 {
		return nil
	}
	for _, obu := range splitOBUs(b[4:]) {
		if av1.OBUType(obu[0]>>3&0x0f) == av1.OBUTypeSequenceHeader {
			return obu
		}
	}
	return nil
}

// appendAV1C makes an AV1CodecConfigurationRecord, or returns dst.
func appendAV1C(dst []byte, c *media.AV1) []byte {
	var h av1.SequenceHeader
	if len(c.SequenceHeader) == 0 || h.Unmarshal(c.SequenceHeader) != nil {
		return dst
	}
	level, tier := byte(8), byte(0)
	if len(h.SeqLevelIdx) > 0 {
		level = h.SeqLevelIdx[0]
	}
	if len(h.SeqTier) > 0 && h.SeqTier[0] {
		tier = 1
	}
	flags := tier << 7
	for i, set := range []bool{
		h.ColorConfig.HighBitDepth, h.ColorConfig.TwelveBit, h.ColorConfig.MonoChrome,
		h.ColorConfig.SubsamplingX, h.ColorConfig.SubsamplingY,
	} {
		if set {
			flags |= 1 << (6 - i)
		}
	}
	dst = append(dst, 0x81, h.SeqProfile<<5|level&0x1f, flags|byte(h.ColorConfig.ChromaSamplePosition)&3, 0)
	return appendOBU(dst, c.SequenceHeader)
}

// appendOBU appends an OBU with a size field.
func appendOBU(dst, obu []byte) []byte {
	if len(obu) == 0 {
		return dst
	}
	if obu[0]&0x02 != 0 { // it has one
		return append(dst, obu...)
	}
	head := 1
	dst = append(dst, obu[0]|0x02)
	if obu[0]&0x04 != 0 && len(obu) > 1 { // extension
		dst = append(dst, obu[1])
		head = 2
	}
	n := len(obu) - head
	for ; n >= 0x80; n >>= 7 {
		dst = append(dst, byte(n)|0x80)
	}
	dst = append(dst, byte(n))
	return append(dst, obu[head:]...)
}

// splitOBUs cuts a bitstream into OBUs without size fields. What is damaged is
// left out with what follows.
func splitOBUs(b []byte) [][]byte {
	var out [][]byte
	for len(b) > 0 && len(out) < maxOBUs {
		head := 1
		if b[0]&0x04 != 0 {
			head = 2
		}
		if len(b) < head {
			return out
		}
		size, n := len(b)-head, 0
		if b[0]&0x02 != 0 {
			var v av1.LEB128
			k, err := v.Unmarshal(b[head:])
			if err != nil || uint64(v) > uint64(len(b)-head-k) {
				return out
			}
			size, n = int(v), k
		}
		obu := make([]byte, 0, head+size)
		obu = append(obu, b[:head]...)
		obu[0] &^= 0x02
		obu = append(obu, b[head+n:head+n+size]...)
		out = append(out, obu)
		b = b[head+n+size:]
	}
	return out
}

// maxOBUs bounds the OBUs of a temporal unit.
const maxOBUs = 256

// appendVPCC makes a VPCodecConfigurationRecord (VP Codec ISO Media File Format
// Binding).
func appendVPCC(dst []byte, c *media.VP9) []byte {
	depth := byte(8)
	if c.Profile >= 2 {
		depth = 10
	}
	const unspecified = 2
	return append(dst, 1, 0, 0, 0, // version and flags
		byte(c.Profile), 40, // level 4.0
		depth<<4|1<<1, // 4:2:0
		unspecified, unspecified, unspecified, 0, 0)
}

// parseOpusHead returns the number of channels of an identification header (RFC
// 7845, section 5.1); 0 if it is damaged.
func parseOpusHead(b []byte) int {
	if len(b) < 19 || string(b[:8]) != "OpusHead" {
		return 0
	}
	return int(b[9])
}

// opusMappings are the mapping tables of family 1: streams, coupled streams and
// order of channels (section 5.1.1.2), by number of channels.
var opusMappings = [...][]byte{
	3: {2, 1, 0, 2, 1},
	4: {2, 2, 0, 1, 2, 3},
	5: {3, 2, 0, 4, 1, 2, 3},
	6: {4, 2, 0, 4, 1, 2, 3, 5},
	7: {4, 3, 0, 4, 1, 2, 3, 5, 6},
	8: {5, 3, 0, 6, 1, 2, 3, 4, 5, 7},
}

// appendOpusHead makes an identification header, or returns dst.
func appendOpusHead(dst []byte, c *media.Opus) []byte {
	if c.ChannelCount < 1 || c.ChannelCount >= len(opusMappings) {
		return dst
	}
	const preSkip = 312 // samples that decoders need to converge, as libopus has it
	dst = append(dst, "OpusHead\x01"...)
	dst = append(dst, byte(c.ChannelCount))
	dst = binary.LittleEndian.AppendUint16(dst, preSkip)
	dst = binary.LittleEndian.AppendUint32(dst, 48000)
	dst = append(dst, 0, 0) // gain
	if c.ChannelCount <= 2 {
		return append(dst, 0)
	}
	return append(append(dst, 1), opusMappings[c.ChannelCount]...)
}

// parseFLAC reads STREAMINFO, with or without what precedes it in files.
func parseFLAC(b []byte) (*media.FLAC, error) {
	const size = 34
	if len(b) >= 8+size && string(b[:4]) == "fLaC" {
		b = b[8:]
	}
	var info flac.StreamInfo
	if err := info.Unmarshal(b); err != nil || info.SampleRate == 0 {
		return nil, errRecord
	}
	return &media.FLAC{
		SampleRate: int(info.SampleRate), ChannelCount: int(info.ChannelCount), StreamInfo: append([]byte(nil), b[:size]...),
	}, nil
}
