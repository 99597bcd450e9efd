package media

import (
	"bytes"
	"testing"
)

func TestScanH264Sets(t *testing.T) {
	t.Parallel()
	c, _ := withParameters(t, "h264_idr.h264")
	base := c.(*H264)
	other, _ := withParameters(t, "h264_open.h264")
	high := other.(*H264)
	if Equal(base, high) {
		t.Fatal("samples do not differ")
	}

	var (
		pps1   = []byte{0x68, 0x53, 0x88, 0x80} // pic_parameter_set_id 1
		ppsNew = []byte{0x68, 0xCE, 0x3C, 0x81} // pic_parameter_set_id 0
		huge   = append(bytes.Clone(base.SPS), make([]byte, maxParameterSet)...)
		broken = base.SPS[:6]
		idr    = []byte{0x65, 0x88}
	)
	cases := []struct {
		name string
		unit [][]byte
		want *H264 // nil: the codec stays
	}{
		{"same", [][]byte{base.SPS, base.PPS, idr}, nil},
		{"both new", [][]byte{high.SPS, high.PPS, idr}, high},
		{"new SPS only", [][]byte{high.SPS}, &H264{SPS: high.SPS, PPS: base.PPS}},
		{"new PPS only", [][]byte{ppsNew}, &H264{SPS: base.SPS, PPS: ppsNew}},
		{"new PPS with same SPS", [][]byte{base.SPS, ppsNew}, &H264{SPS: base.SPS, PPS: ppsNew}},
		{"additional PPS", [][]byte{base.SPS, base.PPS, pps1, idr}, nil},
		{"additional PPS alone", [][]byte{pps1}, nil},
		{"other PPS with other SPS", [][]byte{high.SPS, pps1}, &H264{SPS: high.SPS, PPS: pps1}},
		{"PPS replaced in the unit", [][]byte{base.PPS, ppsNew}, &H264{SPS: base.SPS, PPS: ppsNew}},
		{"huge SPS", [][]byte{huge}, nil},
		{"broken SPS", [][]byte{broken, ppsNew}, nil},
		{"forbidden bit", [][]byte{append([]byte{0xE7}, high.SPS[1:]...)}, nil},
		{"header only", [][]byte{{0x67}, {0x68}}, nil},
	}
	for _, ca := range cases {
		t.Run(ca.name, func(t *testing.T) {
			t.Parallel()
			got, _ := Scan(base, ca.unit)
			if ca.want == nil {
				if got != Codec(base) {
					t.Errorf("codec changed to %x", got)
				}
				return
			}
			if !Equal(got, ca.want) {
				t.Errorf("codec = %x, want %x", got, ca.want)
			}
		})
	}
}

func TestScanH264RandomAccess(t *testing.T) {
	t.Parallel()
	c, _ := withParameters(t, "h264_idr.h264")
	sps := c.(*H264).SPS
	var (
		recovery  = []byte{0x06, 0x06, 0x01, 0xC4, 0x80}
		timing    = []byte{0x06, 0x01, 0x01, 0x00, 0x80}
		twoInOne  = []byte{0x06, 0x05, 0x03, 0x01, 0x02, 0x03, 0x06, 0x01, 0xC4, 0x80}
		escaped   = []byte{0x06, 0x05, 0x04, 0x00, 0x00, 0x03, 0x00, 0x01, 0x06, 0x01, 0xC4, 0x80}
		insideMsg = []byte{0x06, 0x05, 0x03, 0x06, 0x01, 0xC4, 0x80}
		longType  = []byte{0x06, 0xFF, 0x06, 0x01, 0xC4, 0x80}
		endless   = []byte{0x06, 0xFF, 0xFF, 0xFF}
	)
	slice := func(header byte) []byte { return []byte{0x41, header, 0x00} }
	const (
		i2, i7, si4, si9, p0, p5, b6 = 0b10110000, 0b10001000, 0b10010100, 0b10001010, 0b11000000, 0b10011000, 0b10011100
		second                       = 0b01010110 // first_mb_in_slice 1, slice_type 2
	)
	cases := []struct {
		name string
		unit [][]byte
		want bool
	}{
		{"IDR", [][]byte{{0x65, 0x88}}, true},
		{"IDR behind empty elements", [][]byte{nil, {}, {0x65, 0x88}}, true},
		{"IDR, forbidden bit", [][]byte{{0xE5, 0x88}}, false},
		{"I", [][]byte{sps, recovery, slice(i2)}, true},
		{"only I", [][]byte{sps, recovery, slice(i7)}, true},
		{"SI", [][]byte{sps, recovery, slice(si4)}, true},
		{"only SI", [][]byte{sps, recovery, slice(si9)}, true},
		{"I, then second field P", [][]byte{sps, recovery, slice(i2), slice(p0)}, true},
		{"P", [][]byte{sps, recovery, slice(p0)}, false},
		{"only P", [][]byte{sps, recovery, slice(p5)}, false},
		{"only B", [][]byte{sps, recovery, slice(b6)}, false},
		{"later slice I", [][]byte{sps, recovery, slice(p0), slice(second)}, false},
		{"no SPS", [][]byte{recovery, slice(i7)}, false},
		{"no SEI", [][]byte{sps, slice(i7)}, false},
		{"other SEI", [][]byte{sps, timing, slice(i7)}, false},
		{"two SEI NALUs", [][]byte{sps, timing, recovery, slice(i7)}, true},
		{"second message", [][]byte{sps, twoInOne, slice(i7)}, true},
		{"behind emulation prevention", [][]byte{sps, escaped, slice(i7)}, true},
		{"bytes of another message", [][]byte{sps, insideMsg, slice(i7)}, false},
		{"type 261", [][]byte{sps, longType, slice(i7)}, false},
		{"endless type", [][]byte{sps, endless, slice(i7)}, false},
	}
	for _, ca := range cases {
		if _, got := Scan(c, ca.unit); got != ca.want {
			t.Errorf("%s: random access %v, want %v", ca.name, got, ca.want)
		}
	}
}
