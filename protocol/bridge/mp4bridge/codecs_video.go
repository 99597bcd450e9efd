package mp4bridge

import (
	"bytes"
	"encoding/binary"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/vp9"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mp4/codecs"

	"github.com/org/mtx/protocol/bridge/internal/gaps"
	"github.com/org/mtx/router/media"
)

// h26xConverter is for H264 and H265. Parameter sets are stored once, in the
// description of the track; the same ones in the stream are left out, and so are
// access unit delimiters.
type h26xConverter struct {
	codec media.Codec
	sets  [][]byte
	out   codecs.Codec
	au    [][]byte
	order decodingOrder
}

func newH26x(c media.Codec) *h26xConverter {
	return &h26xConverter{order: newDecodingOrder(c)}
}

func (k *h26xConverter) Params() codecs.Codec { return k.out }

func (k *h26xConverter) Convert(dst []Sample, u *media.Unit, c media.Codec) []Sample {
	if c != k.codec {
		k.setCodec(c)
	}
	au := k.au[:0]
	minSize := 1
	if _, ok := c.(*media.H265); ok {
		minSize = 2
	}
	for _, n := range u.Payload {
		if len(n) >= minSize {
			au = append(au, n)
		}
	}
	if len(au) == 0 {
		return dst
	}
	dts := k.order.decodedAt(au, u.PTS, u.RandomAccess, k.sets)
	kept := au[:0]
	for _, n := range au {
		if !k.redundant(n, minSize) {
			kept = append(kept, n)
		}
	}
	k.au = kept
	if len(kept) == 0 {
		return dst
	}
	return append(dst, Sample{DTS: dts, PTS: u.PTS, Sync: u.RandomAccess, Data: kept})
}

func (k *h26xConverter) setCodec(c media.Codec) {
	k.codec, k.out, k.sets = c, nil, nil
	switch c := c.(type) {
	case *media.H264:
		if len(c.SPS) > 0 && len(c.PPS) > 0 {
			k.out, k.sets = &codecs.H264{SPS: c.SPS, PPS: c.PPS}, [][]byte{c.SPS, c.PPS}
		}
	case *media.H265:
		if len(c.VPS) > 0 && len(c.SPS) > 0 && len(c.PPS) > 0 {
			k.out, k.sets = &codecs.H265{VPS: c.VPS, SPS: c.SPS, PPS: c.PPS}, [][]byte{c.VPS, c.SPS, c.PPS}
		}
	}
	k.order.reset()
}

func (k *h26xConverter) redundant(n []byte, minSize int) bool {
	if minSize == 1 && h264.NALUType(n[0]&0x1f) == h264.NALUTypeAccessUnitDelimiter ||
		minSize == 2 && h265.NALUType(n[0]>>1&0x3f) == h265.NALUType_AUD_NUT {
		return true
	}
	for _, s := range k.sets {
		if bytes.Equal(s, n) {
			return true
		}
	}
	return false
}

// append puts the size in front of each NALU (ISO 14496-15).
func (k *h26xConverter) Append(dst []byte, data [][]byte) []byte {
	for _, n := range data {
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(n)))
		dst = append(dst, n...)
	}
	return dst
}

// decodingOrder finds out when pictures are decoded. It never fails: where
// nothing can be told, they are taken for being in order.
type decodingOrder struct {
	make func() extractor
	impl extractor
	gaps gaps.Closer
}

type extractor interface {
	Extract(au [][]byte, pts int64) (int64, error)
}

func newDecodingOrder(c media.Codec) decodingOrder {
	if _, ok := c.(*media.H265); ok {
		return decodingOrder{make: func() extractor {
			e := &h265.DTSExtractor{}
			e.Initialize()
			return e
		}}
	}
	return decodingOrder{make: func() extractor {
		e := &h264.DTSExtractor{}
		e.Initialize()
		return e
	}}
}

func (d *decodingOrder) reset() { d.impl = nil }

func (d *decodingOrder) decodedAt(au [][]byte, pts int64, key bool, sets [][]byte) int64 {
	shift := d.gaps.Shift(pts, key)
	dts, ok := d.try(au, pts-shift, sets)
	if !ok && key {
		d.impl = nil // time has jumped back
		dts, ok = d.try(au, pts-shift, sets)
	}
	if !ok {
		return pts
	}
	return dts + shift
}

func (d *decodingOrder) try(au [][]byte, pts int64, sets [][]byte) (int64, bool) {
	if d.impl == nil {
		d.impl = d.make()
		au = append(append(make([][]byte, 0, len(sets)+len(au)), sets...), au...)
	}
	dts, err := d.impl.Extract(au, pts)
	return dts, err == nil
}

// av1Converter writes OBUs with sizes and without temporal delimiters (AV1 in
// ISOBMFF section 2.4).
type av1Converter struct {
	codec media.Codec
	out   codecs.Codec
	tu    [][]byte
}

// OBU header (AV1 section 5.3.2).
const (
	obuTypeDelimiter = 2
	obuHasExtension  = 0x04
	obuHasSize       = 0x02
)

func (k *av1Converter) Params() codecs.Codec { return k.out }

func (k *av1Converter) Convert(dst []Sample, u *media.Unit, c media.Codec) []Sample {
	if c != k.codec {
		k.codec, k.out = c, nil
		if a, ok := c.(*media.AV1); ok && len(a.SequenceHeader) > 0 {
			k.out = &codecs.AV1{SequenceHeader: a.SequenceHeader}
		}
	}
	k.tu = k.tu[:0]
	for _, o := range u.Payload {
		if len(o) > 0 && o[0]>>3&0xf != obuTypeDelimiter && (o[0]&obuHasExtension == 0 || len(o) > 1) {
			k.tu = append(k.tu, o)
		}
	}
	if len(k.tu) == 0 {
		return dst
	}
	return append(dst, Sample{DTS: u.PTS, PTS: u.PTS, Sync: u.RandomAccess, Data: k.tu})
}

func (k *av1Converter) Append(dst []byte, data [][]byte) []byte {
	for _, o := range data {
		if o[0]&obuHasSize != 0 {
			dst = append(dst, o...)
			continue
		}
		head := 1
		if o[0]&obuHasExtension != 0 {
			head = 2
		}
		dst = append(dst, o[0]|obuHasSize)
		dst = append(dst, o[1:head]...)
		dst = binary.AppendUvarint(dst, uint64(len(o)-head)) // leb128
		dst = append(dst, o[head:]...)
	}
	return dst
}

// vp9Converter stores frames as they are.
type vp9Converter struct {
	join

	out codecs.Codec
}

func (k *vp9Converter) Params() codecs.Codec { return k.out }

func (k *vp9Converter) Convert(dst []Sample, u *media.Unit, _ media.Codec) []Sample {
	if len(u.Payload) != 1 || len(u.Payload[0]) == 0 {
		return dst
	}
	var h vp9.Header
	if u.RandomAccess && h.Unmarshal(u.Payload[0]) == nil && h.ColorConfig != nil && h.FrameSize != nil {
		d := &codecs.VP9{
			Width: h.Width(), Height: h.Height(), Profile: h.Profile, BitDepth: h.ColorConfig.BitDepth,
			ChromaSubsampling: h.ChromaSubsampling(), ColorRange: h.ColorConfig.ColorRange,
		}
		if k.out == nil || !Equal(k.out, d) {
			k.out = d
		}
	}
	return append(dst, Sample{DTS: u.PTS, PTS: u.PTS, Sync: u.RandomAccess, Data: u.Payload})
}

// mjpegConverter stores pictures as they are.
type mjpegConverter struct {
	join

	out *codecs.MJPEG
}

func (k *mjpegConverter) Params() codecs.Codec {
	if k.out == nil {
		return nil
	}
	return k.out
}

func (k *mjpegConverter) Convert(dst []Sample, u *media.Unit, _ media.Codec) []Sample {
	if len(u.Payload) != 1 || len(u.Payload[0]) == 0 {
		return dst
	}
	w, h, ok := jpegSize(u.Payload[0])
	if !ok {
		return dst
	}
	if k.out == nil || k.out.Width != w || k.out.Height != h {
		k.out = &codecs.MJPEG{Width: w, Height: h}
	}
	return append(dst, Sample{DTS: u.PTS, PTS: u.PTS, Sync: true, Data: u.Payload})
}

// jpegSize finds the size in pixels in the frame header (ITU-T T.81 section
// B.2.2).
func jpegSize(p []byte) (width, height int, ok bool) {
	for at := 2; at+9 <= len(p) && p[at] == 0xff; {
		code := p[at+1]
		if code == 0xff { // a fill byte
			at++
			continue
		}
		size := int(binary.BigEndian.Uint16(p[at+2:]))
		if code >= 0xc0 && code <= 0xcf && code != 0xc4 && code != 0xc8 && code != 0xcc {
			height, width = int(binary.BigEndian.Uint16(p[at+5:])), int(binary.BigEndian.Uint16(p[at+7:]))
			return width, height, width > 0 && height > 0
		}
		if code == 0xda || size < 2 {
			break
		}
		at += 2 + size
	}
	return 0, 0, false
}
