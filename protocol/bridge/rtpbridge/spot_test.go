package rtpbridge

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"slices"
	"testing"

	"github.com/bluenviron/gortsplib/v5/pkg/format"

	"github.com/org/mtx/router/media"
)

// aggregate joins NALUs as STAP-A and aggregation packets do.
func aggregate(head []byte, nalus ...[]byte) []byte {
	b := bytes.Clone(head)
	for _, nalu := range nalus {
		b = binary.BigEndian.AppendUint16(b, uint16(len(nalu)))
		b = append(b, nalu...)
	}
	return b
}

func TestSpot(t *testing.T) {
	t.Parallel()
	idr := []byte{0x65, 1, 2, 3}
	for _, c := range []struct {
		name     string
		codec    media.Codec
		payloads [][]byte
		key      bool
		want     media.Codec // nil: unchanged
	}{
		{"h264 single", &media.H264{}, [][]byte{h264SPS, h264PPS, idr}, true, &media.H264{SPS: h264SPS, PPS: h264PPS}},
		{"h264 stap", &media.H264{}, [][]byte{aggregate([]byte{24}, h264SPS, h264PPS, idr)}, true, &media.H264{SPS: h264SPS, PPS: h264PPS}},
		{"h264 stap cut off", &media.H264{}, [][]byte{append(aggregate([]byte{24}, h264SPS), 0, 9, 1)}, false, &media.H264{SPS: h264SPS}},
		{"h264 fu start", &media.H264{}, [][]byte{{0x7c, 0x85, 1}}, true, nil},
		{"h264 fu middle", &media.H264{}, [][]byte{{0x7c, 0x05, 1}}, false, nil},
		{"h264 fu not idr", &media.H264{}, [][]byte{{0x7c, 0x81, 1}}, false, nil},
		{"h264 fu short", &media.H264{}, [][]byte{{0x7c}}, false, nil},
		{"h264 frame", &media.H264{}, [][]byte{{0x41, 1}}, false, nil},
		{"h264 same", &media.H264{SPS: h264SPS, PPS: h264PPS}, [][]byte{h264SPS, h264PPS, idr}, true, nil},
		{"h264 new sps", &media.H264{SPS: h264SPS, PPS: h264PPS}, [][]byte{h264SPS2}, false, &media.H264{SPS: h264SPS2, PPS: h264PPS}},
		{"h264 invalid sps", &media.H264{SPS: h264SPS}, [][]byte{{0x67, 1}}, false, nil},
		{"h264 huge pps", &media.H264{}, [][]byte{data([]byte{0x68}, 5000)}, false, nil},
		{"h264 two pps", &media.H264{SPS: h264SPS, PPS: h264PPS}, [][]byte{h264SPS, h264PPS, {0x68, 0x55}}, false, nil},
		{"h265 single", &media.H265{}, [][]byte{h265VPS, h265SPS, h265PPS, {0x26, 1, 2}}, true, &media.H265{VPS: h265VPS, SPS: h265SPS, PPS: h265PPS}},
		{"h265 ap", &media.H265{}, [][]byte{aggregate([]byte{0x60, 1}, h265VPS, h265SPS, h265PPS, []byte{0x2a, 1})}, true, &media.H265{VPS: h265VPS, SPS: h265SPS, PPS: h265PPS}},
		{"h265 fu start", &media.H265{}, [][]byte{{0x62, 1, 0x93, 1}}, true, nil},
		{"h265 fu end", &media.H265{}, [][]byte{{0x62, 1, 0x53, 1}}, false, nil},
		{"h265 invalid", &media.H265{}, [][]byte{{0x42}, {0x42, 1}, {0x44}, {0x62, 1}}, false, nil},
		{"av1 sequence", &media.AV1{}, [][]byte{append([]byte{0x20, byte(len(av1Sequence))}, append(bytes.Clone(av1Sequence), 0x30, 1)...)}, true, &media.AV1{SequenceHeader: av1Sequence}},
		{"av1 sequence with size", &media.AV1{}, [][]byte{append([]byte{0x10, 0x0a, 11}, av1Sequence[1:]...)}, true, &media.AV1{SequenceHeader: av1Sequence}},
		{"av1 new", &media.AV1{}, [][]byte{{0x18, 0x30, 1}}, true, nil},
		{"av1 sequence goes on", &media.AV1{}, [][]byte{append([]byte{0x50}, av1Sequence...)}, true, nil},
		{"av1 continued", &media.AV1{}, [][]byte{append([]byte{0x90}, av1Sequence...)}, false, nil},
		{"av1 frame", &media.AV1{}, [][]byte{{0x10, 0x30, 1}}, false, nil},
		{"av1 bad size", &media.AV1{}, [][]byte{{0x00, 0xff, 0xff}, {0x00}}, false, nil},
		{"vp8 key", &media.VP8{}, [][]byte{{0x10, 0x00}}, true, nil},
		{"vp8 key with picture id", &media.VP8{}, [][]byte{{0x90, 0x80, 0x81, 0x02, 0x00}}, true, nil},
		{"vp8 frame", &media.VP8{}, [][]byte{{0x10, 0x01}}, false, nil},
		{"vp8 middle", &media.VP8{}, [][]byte{{0x00, 0x00}}, false, nil},
		{"vp8 short", &media.VP8{}, [][]byte{{0x10}}, false, nil},
		{"vp9 key", &media.VP9{}, [][]byte{append([]byte{0x0c}, vp9Key...)}, true, &media.VP9{Width: 1920, Height: 804}},
		{"vp9 same", &media.VP9{Width: 1920, Height: 804}, [][]byte{append([]byte{0x0c}, vp9Key...)}, true, nil},
		{"vp9 upper layer", &media.VP9{}, [][]byte{append([]byte{0x2c, 0x02, 0}, vp9Key...)}, false, nil},
		{"vp9 predicted", &media.VP9{}, [][]byte{append([]byte{0x4c}, vp9Key...)}, false, nil},
		{"vp9 short", &media.VP9{}, [][]byte{{0x0c}}, false, nil},
		{"mpeg4 config", &media.MPEG4Video{}, [][]byte{slices.Concat(mpeg4Config, []byte{0, 0, 1, 0xb3, 1, 2, 3, 0, 0, 1, 0xb6, 0x10})}, true, &media.MPEG4Video{Config: mpeg4Config}},
		{"mpeg4 config alone", &media.MPEG4Video{}, [][]byte{mpeg4Config}, false, &media.MPEG4Video{Config: mpeg4Config}},
		{"mpeg4 config cut off", &media.MPEG4Video{}, [][]byte{slices.Concat(mpeg4Config, []byte{0, 0, 1})}, false, nil},
		{"mpeg4 I", &media.MPEG4Video{}, [][]byte{{0, 0, 1, 0xb6, 0x10}}, true, nil},
		{"mpeg4 P", &media.MPEG4Video{}, [][]byte{{0, 0, 1, 0xb6, 0x50}}, false, nil},
		{"mpeg4 short", &media.MPEG4Video{}, [][]byte{{0, 0, 1}}, false, nil},
		{"mpeg4 not first", &media.MPEG4Video{}, [][]byte{{1}, {0, 0, 1, 0xb6, 0x10}}, false, nil},
		{"mpeg1 sequence", &media.MPEG1Video{}, [][]byte{{0, 0, 0x19, 0, 0, 0, 1, 0xb3, 1}}, true, nil},
		{"mpeg1 picture", &media.MPEG1Video{}, [][]byte{{0, 0, 0x1a, 0, 0, 0, 1, 0, 1}}, false, nil},
		{"mjpeg", &media.MJPEG{}, [][]byte{{1}}, true, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := spotter{codec: c.codec}
			s.begin()
			key := false
			for i, payload := range c.payloads {
				key = s.packet(payload, i == 0) || key
			}
			got, changed := s.take()
			if key != c.key {
				t.Errorf("key is %v, want %v", key, c.key)
			}
			if c.want == nil {
				if changed || got != c.codec {
					t.Errorf("codec changed to %+v", got)
				}
				return
			}
			if !changed || !reflect.DeepEqual(got, c.want) {
				t.Errorf("codec is %+v, want %+v", got, c.want)
			}
		})
	}
}

// Update comes before the unit, once, and does not refer to the packet.
func TestUpdate(t *testing.T) {
	t.Parallel()
	c := collect(t, ReceiverOptions{Formats: []format.Format{videoFormat}})
	sps := bytes.Clone(h264SPS)
	for i, payload := range [][]byte{sps, h264PPS, {0x65, 1}} {
		c.Packet(0, packet(uint16(i), 0, i == 2, payload...), zeroTime)
	}
	c.Packet(0, packet(3, 3000, false, h264SPS...), zeroTime)
	c.Packet(0, packet(4, 3000, true, 0x65), zeroTime)
	if len(c.got) != 3 || c.got[0].codec == nil || c.got[1].unit == nil || c.got[2].unit == nil {
		t.Fatalf("wrong order: %+v", c.got)
	}
	clear(sps)
	if codec := c.got[0].codec.(*media.H264); !bytes.Equal(codec.SPS, h264SPS) || !bytes.Equal(codec.PPS, h264PPS) {
		t.Errorf("codec is %+v", codec)
	}
}
