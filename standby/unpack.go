package standby

import (
	"bytes"
	"slices"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/av1"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"

	"github.com/org/mtx/router/media"
)

// unpackFunc turns a frame of a file into the payload of a unit.
type unpackFunc func([]byte) ([][]byte, error)

func unpackWhole(b []byte) ([][]byte, error) { return [][]byte{b}, nil }

// unpackH264 is for H265 too: the framing is the same.
func unpackH264(b []byte) ([][]byte, error) {
	var au h264.AVCC
	err := au.Unmarshal(b)
	return au, err
}

func unpackAV1(b []byte) ([][]byte, error) {
	var tu av1.Bitstream
	if err := tu.Unmarshal(b); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(tu, func(obu []byte) bool {
		return len(obu) == 0 || obu[0]>>3&0xf == 2 // temporal delimiter
	}), nil
}

// withParameterSets puts the parameter sets of the file in front of a key frame
// that has none.
func withParameterSets(c media.Codec, au [][]byte) [][]byte {
	has := func(mask, shift, typ byte) bool {
		return slices.ContainsFunc(au, func(n []byte) bool { return len(n) > 0 && n[0]>>shift&mask == typ })
	}
	switch c := c.(type) {
	case *media.H264:
		if len(c.SPS) > 0 && len(c.PPS) > 0 && !has(0x1f, 0, 7) {
			return append([][]byte{c.SPS, c.PPS}, au...)
		}
	case *media.H265:
		if len(c.VPS) > 0 && len(c.SPS) > 0 && len(c.PPS) > 0 && !has(0x3f, 1, 33) {
			return append([][]byte{c.VPS, c.SPS, c.PPS}, au...)
		}
	case *media.MPEG4Video:
		// one frame is one element, and visual object sequences begin with B0, layers with 20 to 2F
		if start := []byte{0, 0, 1}; len(c.Config) > 0 && len(au) == 1 && len(au[0]) > 3 && bytes.HasPrefix(au[0], start) &&
			au[0][3] != 0xb0 && au[0][3]>>4 != 2 {
			return [][]byte{slices.Concat(c.Config, au[0])}
		}
	}
	return au
}
