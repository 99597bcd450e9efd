package rtsp

import (
	"slices"
	"strings"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"
	"github.com/pion/rtp"

	"github.com/org/mtx/router/media"
)

// needsPrelude tells whether a client needs something before the key frame.
//
// FFmpeg loses the time stamp of the first picture of H264 and H265 that comes by
// RTP: its parser takes the unknown position in the file for an offset. If that is
// a key frame, and pictures are reordered, it shows it at a wrong time and cannot
// write the stream to MPEG-TS, Matroska or FLV. Other pictures it leaves out.
func needsPrelude(agent string, c media.Codec) bool {
	return strings.HasPrefix(agent, "Lavf") && mayReorder(c)
}

// mayReorder tells whether pictures may be shown in another order than they come.
func mayReorder(c media.Codec) (may bool) {
	defer func() {
		if recover() != nil { // the library does not expect every damage
			may = true
		}
	}()
	switch c := c.(type) {
	case *media.H264:
		var sps h264.SPS
		if sps.Unmarshal(c.SPS) != nil {
			return true
		}
		const noReordering = 2 // pic_order_cnt_type, H.264 section 8.2.1.3
		limited := sps.VUI != nil && sps.VUI.BitstreamRestriction != nil
		return sps.PicOrderCntType != noReordering && !(limited && sps.VUI.BitstreamRestriction.MaxNumReorderFrames == 0)
	case *media.H265:
		var sps h265.SPS
		if sps.Unmarshal(c.SPS) != nil {
			return true
		}
		return slices.ContainsFunc(sps.MaxNumReorderPics, func(n uint32) bool { return n > 0 })
	}
	return false
}

// prelude is what comes before the key frame: of H265 a picture that decoders skip,
// otherwise the picture before.
func (o *opening) prelude() []openingUnit {
	before := o.units[:o.start]
	if _, ok := o.lead.codec.(*media.H265); ok {
		return skippable(before, o.lead.index)
	}
	return slices.Clone(before)
}

// skippable turns a picture of H265 into one packet, with its first slice, that
// takes the place of its last packet and that decoders skip if they begin there: a
// random access skipped leading picture (H.265 section 3.111). It returns nothing
// if the picture is of another kind.
func skippable(units []openingUnit, track int) []openingUnit {
	var slice []byte
	var last rtp.Packet
	for _, u := range units {
		if u.track != track {
			continue
		}
		data := u.data
		for _, n := range u.sizes {
			if last.Unmarshal(data[:n]) != nil {
				return nil
			}
			if slice == nil {
				slice = firstSlice(last.Payload)
			}
			data = data[n:]
		}
	}
	if slice == nil {
		return nil
	}
	const layerBit = 1 // of the identifier of the layer, in the first byte
	slice[0] = slice[0]&layerBit | byte(h265.NALUType_RASL_N)<<1
	last.Marker, last.Payload = true, slice
	b, err := last.Marshal()
	if err != nil {
		return nil
	}
	return []openingUnit{{track: track, data: b, sizes: []int{len(b)}}}
}

// firstSlice returns a copy of the first slice segment of a picture that is no
// random access point, or of its beginning, if it is in a payload of RFC 7798
// section 4.4.
func firstSlice(b []byte) []byte {
	if len(b) < 4 {
		return nil
	}
	switch typ := h265.NALUType(b[0] >> 1 & 0x3F); {
	case typ == h265.NALUType_FragmentationUnit:
		inner := b[2] & 0x3F
		if b[2]&0x80 == 0 { // not its start
			return nil
		}
		return firstSlice(slices.Concat([]byte{b[0]&0x81 | inner<<1, b[1]}, b[3:]))
	case typ == h265.NALUType_AggregationUnit:
		for b = b[2:]; len(b) > 2; {
			n := int(b[0])<<8 | int(b[1])
			if n > len(b)-2 {
				return nil
			}
			if h265.NALUType(b[2]>>1&0x3F) != h265.NALUType_AggregationUnit {
				if s := firstSlice(b[2 : 2+n]); s != nil {
					return s
				}
			}
			b = b[2+n:]
		}
	case typ <= h265.NALUType_RASL_R && b[2]&0x80 != 0: // first_slice_segment_in_pic_flag
		return slices.Clone(b)
	}
	return nil
}
