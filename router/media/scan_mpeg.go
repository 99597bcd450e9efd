package media

import (
	"bytes"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4video"
)

// maxHeaders is how far into an element start codes are searched, in bytes:
// enough for the largest configuration and the start code behind it.
const maxHeaders = maxParameterSet + 8

// nextStartCode returns the position of the next start code, 00 00 01 xx, at or
// behind pos, or -1.
func nextStartCode(buf []byte, pos int) int {
	if pos >= len(buf) {
		return -1
	}
	i := bytes.Index(buf[pos:], []byte{0, 0, 1})
	if i < 0 || pos+i+3 >= len(buf) {
		return -1
	}
	return pos + i
}

func scanMPEG4Video(c *MPEG4Video, payload [][]byte) (*MPEG4Video, bool) {
	random := false
	for _, frame := range payload {
		end, start := mpeg4VideoHeaders(clamp(frame, maxHeaders))
		random = random || start
		if end == 0 || end > maxParameterSet || frame[3] != byte(mpeg4video.VisualObjectSequenceStartCode) {
			continue
		}
		config := frame[:end]
		if !bytes.Equal(config, c.Config) && isMPEG4VideoConfig(config) {
			c = &MPEG4Video{Config: bytes.Clone(config)}
		}
	}
	return c, random
}

// isMPEG4VideoConfig tells whether the configuration has all that decoders need.
func isMPEG4VideoConfig(config []byte) bool {
	// mediacommon 2.9.3 reads past the end of what ends with half a start code.
	return !bytes.HasSuffix(config, []byte{0, 0, 1}) && mpeg4video.IsValidConfig(config) == nil
}

// mpeg4VideoHeaders walks over the headers in front of a VOP. It returns where
// they end, or zero if there are none, and whether decoding can start here.
func mpeg4VideoHeaders(buf []byte) (end int, random bool) {
	pos := nextStartCode(buf, 0)
	if pos != 0 {
		return 0, false
	}
	for pos >= 0 {
		switch mpeg4video.StartCode(buf[pos+3]) {
		case mpeg4video.GroupOfVOPStartCode:
			return pos, true
		case mpeg4video.VOPStartCode:
			// vop_coding_type, two bits, is 0 for intra (ISO 14496-2, 6.3.5).
			return pos, pos+4 < len(buf) && buf[pos+4]>>6 == 0
		}
		pos = nextStartCode(buf, pos+4)
	}
	return len(buf), false
}

// Start codes of ISO 13818-2, table 6-1.
const (
	mpeg1PictureStart   = 0x00
	mpeg1SequenceHeader = 0xB3
	mpeg1GroupStart     = 0xB8
)

// isMPEG1VideoStart tells whether a sequence header or a group of pictures
// precedes the picture.
func isMPEG1VideoStart(payload [][]byte) bool {
	for _, frame := range payload {
		buf := clamp(frame, maxHeaders)
		for pos := nextStartCode(buf, 0); pos >= 0; pos = nextStartCode(buf, pos+4) {
			switch buf[pos+3] {
			case mpeg1SequenceHeader, mpeg1GroupStart:
				return true
			case mpeg1PictureStart:
				return false
			}
		}
	}
	return false
}
