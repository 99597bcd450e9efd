package media

import (
	"bytes"
	"strings"
	"testing"
)

func TestScanSamples(t *testing.T) {
	t.Parallel()
	for _, s := range samples() {
		t.Run(s.file, func(t *testing.T) {
			t.Parallel()
			units := s.units(t)
			codec := s.codec
			var got strings.Builder

			for i, u := range units {
				before := codec
				var random bool
				codec, random = Scan(codec, u)
				if random {
					got.WriteByte('K')
				} else {
					got.WriteByte('_')
				}
				if i > 0 && codec != before {
					t.Errorf("unit %d made a new codec from the same parameters", i)
				}
			}
			if want := "K__K_"; got.String() != want {
				t.Errorf("random access %q, want %q", got.String(), want)
			}

			switch s.codec.(type) {
			case *VP8, *MPEG1Video:
				if codec != s.codec {
					t.Error("codec without parameters was replaced")
				}
			default:
				if codec == s.codec {
					t.Error("parameters were not found")
				}
			}
		})
	}
}

// Parameters of a codec must stay what they are when the buffers of the unit
// they came from are reused.
func TestScanCopies(t *testing.T) {
	t.Parallel()
	for _, s := range samples() {
		t.Run(s.file, func(t *testing.T) {
			t.Parallel()
			first := s.units(t)[0]
			got, _ := Scan(s.codec, first)
			want, _ := Scan(s.codec, s.units(t)[0])
			for _, e := range first {
				clear(e)
			}
			if !Equal(got, want) {
				t.Error("codec shares memory with the unit")
			}
			if s.codec != got && Equal(s.codec, got) {
				t.Error("codec that was given was modified")
			}
		})
	}
}

func TestScanAlways(t *testing.T) {
	t.Parallel()
	codecs := []Codec{
		&MJPEG{}, &Opus{}, &Vorbis{}, &MPEG4Audio{}, &MPEG4AudioLATM{}, &MPEG1Audio{}, &AC3{}, &FLAC{},
		&Speex{}, &G726{}, &G722{}, &G711{}, &LPCM{}, &KLV{}, &MPEGTS{}, &Generic{Media: Video},
	}
	for _, c := range codecs {
		for _, payload := range [][][]byte{nil, {}, {nil}, {{}, {1, 2}}} {
			if got, random := Scan(c, payload); got != c || !random {
				t.Errorf("%s: Scan(%v) = %v, %v", c.Name(), payload, got, random)
			}
		}
	}
}

func TestScanNothing(t *testing.T) {
	t.Parallel()
	codecs := []Codec{&H264{}, &H265{}, &AV1{}, &VP9{}, &VP8{}, &MPEG4Video{}, &MPEG1Video{}}
	payloads := map[string][][]byte{
		"nil":     nil,
		"empty":   {},
		"holes":   {nil, {}, nil},
		"short":   {{0x67}, {0x42}, {0x0A}, {0x81}},
		"noise":   {bytes.Repeat([]byte{0xFF}, 100)},
		"no type": {nil, {0xFF, 0xFF, 0xFF, 0xFF, 0xFF}},
	}
	for _, c := range codecs {
		for name, p := range payloads {
			if got, random := Scan(c, p); got != c || random {
				t.Errorf("%s: Scan of %s = %v, %v", c.Name(), name, got, random)
			}
		}
	}
}

// withParameters returns the codec of a sample and its first unit.
func withParameters(t *testing.T, file string) (Codec, [][]byte) {
	t.Helper()
	s := sampleByName(t, file)
	u := s.units(t)[0]
	c, _ := Scan(s.codec, u)
	return c, u
}

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

func TestScanH265(t *testing.T) {
	t.Parallel()
	c, _ := withParameters(t, "h265.h265")
	base := c.(*H265)
	nalu := func(typ, layer byte) []byte { return []byte{typ<<1 | layer>>5, layer<<3 | 1, 0xAF, 0x00} }

	for typ := range byte(64) {
		_, random := Scan(base, [][]byte{nalu(typ, 0)})
		if want := typ >= 16 && typ <= 23; random != want {
			t.Errorf("type %d: random access %v, want %v", typ, random, want)
		}
		if _, random := Scan(base, [][]byte{nalu(typ, 1), nalu(typ, 32)}); random {
			t.Errorf("type %d: random access in an upper layer", typ)
		}
	}

	upper := func(set []byte) []byte {
		b := bytes.Clone(set)
		b[1] |= 1 << 3
		b[len(b)-1] ^= 0x10
		return b
	}
	vps := bytes.Clone(base.VPS)
	vps[len(vps)-1] ^= 0x10
	pps := bytes.Clone(base.PPS)
	pps[len(pps)-1] ^= 0x10
	huge := append(bytes.Clone(base.VPS), make([]byte, maxParameterSet)...)

	cases := []struct {
		name string
		unit [][]byte
		want *H265 // nil: the codec stays
	}{
		{"same", [][]byte{base.VPS, base.SPS, base.PPS}, nil},
		{"upper layer", [][]byte{upper(base.VPS), upper(base.SPS), upper(base.PPS)}, nil},
		{"new VPS", [][]byte{vps}, &H265{VPS: vps, SPS: base.SPS, PPS: base.PPS}},
		{"new PPS", [][]byte{pps}, &H265{VPS: base.VPS, SPS: base.SPS, PPS: pps}},
		{"huge VPS", [][]byte{huge}, nil},
		{"broken SPS", [][]byte{vps, base.SPS[:12], pps}, nil},
		{"broken PPS", [][]byte{{34 << 1, 1, 0x80}}, nil},
		{"headers only", [][]byte{{32 << 1, 1}, {33 << 1, 1}, {34 << 1, 1}, {33 << 1}}, nil},
	}
	for _, ca := range cases {
		got, _ := Scan(base, ca.unit)
		if ca.want == nil && got != Codec(base) {
			t.Errorf("%s: codec changed to %x", ca.name, got)
		}
		if ca.want != nil && !Equal(got, ca.want) {
			t.Errorf("%s: codec = %x, want %x", ca.name, got, ca.want)
		}
	}
}

func TestScanAV1(t *testing.T) {
	t.Parallel()
	c, first := withParameters(t, "av1.ivf")
	base := c.(*AV1)
	body := base.SequenceHeader[1:]
	sized := append([]byte{0x0A, byte(len(body))}, body...)
	extended := append([]byte{0x0E, 0x00, byte(len(body))}, body...)
	wrongSize := append([]byte{0x0A, byte(len(body) + 1)}, body...)
	still := []byte{0x08, 0x18, 0x00, 0x00} // reduced_still_picture_header
	const (
		shownKey, hiddenKey, inter, existing = 0b00010000, 0b00000000, 0b00110000, 0b10000000
	)
	frame := func(header byte) []byte { return []byte{0x30, header, 0x00} }

	cases := []struct {
		name   string
		unit   [][]byte
		random bool
	}{
		{"first of the sample", first, true},
		{"key frame", [][]byte{base.SequenceHeader, frame(shownKey)}, true},
		{"size fields", [][]byte{sized, {0x32, 0x02, shownKey, 0x00}}, true},
		{"extension", [][]byte{extended, {0x34, 0x00, shownKey}}, true},
		{"separate frame header", [][]byte{base.SequenceHeader, {0x18, shownKey}, {0x20, 0xFF}}, true},
		{"upper layer depends on key frame", [][]byte{base.SequenceHeader, frame(shownKey), frame(inter)}, true},
		{"no sequence header", [][]byte{frame(shownKey)}, false},
		{"no frame", [][]byte{base.SequenceHeader}, false},
		{"inter frame", [][]byte{base.SequenceHeader, frame(inter)}, false},
		{"hidden key frame", [][]byte{base.SequenceHeader, frame(hiddenKey)}, false},
		{"existing frame", [][]byte{base.SequenceHeader, frame(existing)}, false},
		{"wrong size", [][]byte{wrongSize, frame(shownKey)}, false},
		{"endless size", [][]byte{{0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}, frame(shownKey)}, false},
		{"still picture", [][]byte{still, frame(0xFF)}, true},
		{"forbidden bit", [][]byte{{0x88, 0x00}, frame(shownKey)}, false},
	}
	for _, ca := range cases {
		got, random := Scan(base, ca.unit)
		if random != ca.random {
			t.Errorf("%s: random access %v, want %v", ca.name, random, ca.random)
		}
		if got != Codec(base) {
			t.Errorf("%s: codec changed to %x", ca.name, got)
		}
	}

	for name, obu := range map[string][]byte{"sized": sized, "extended": extended} {
		got, _ := Scan(&AV1{}, [][]byte{obu})
		if !Equal(got, base) {
			t.Errorf("%s: stored as %x, want %x", name, got, base)
		}
		// Out-of-band headers keep their size field and are still the same.
		if name == "sized" {
			have := &AV1{SequenceHeader: obu}
			if got, _ := Scan(have, first); got != Codec(have) {
				t.Errorf("%s: codec replaced because of the size field", name)
			}
		}
	}

	none := &AV1{}
	huge := append(bytes.Clone(base.SequenceHeader), make([]byte, maxParameterSet)...)
	if got, _ := Scan(none, [][]byte{huge}); got != Codec(none) {
		t.Error("huge sequence header was stored")
	}
}

func TestScanVP9(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name   string
		frame  []byte
		want   VP9
		random bool
	}{
		{"profile 0", []byte{0x82, 0x49, 0x83, 0x42, 0x00, 0x77, 0xF0, 0x32, 0x34}, VP9{1920, 804, 0}, true},
		{"profile 0, bt709", []byte{0x82, 0x49, 0x83, 0x42, 0x40, 0xEF, 0xF0, 0x86, 0xF4}, VP9{3840, 2160, 0}, true},
		{"cut off", []byte{0x82, 0x49, 0x83, 0x42, 0x00, 0x77, 0xF0, 0x32}, VP9{}, false},
		{"wrong sync code", []byte{0x82, 0x49, 0x83, 0x43, 0x00, 0x77, 0xF0, 0x32, 0x34}, VP9{}, false},
		{"inter frame", []byte{0x86, 0x49, 0x83, 0x42, 0x00, 0x77, 0xF0, 0x32, 0x34}, VP9{}, false},
		{"existing frame", []byte{0x8A}, VP9{}, false},
		{"no marker", []byte{0x42, 0x49, 0x83, 0x42, 0x00, 0x77, 0xF0, 0x32, 0x34}, VP9{}, false},
		// Written bit by bit: marker 10, profile bits, reserved, shown key
		// frame 0010, sync code, color configuration, 64x48.
		{"profile 1, 4:4:4", vp9Header("10" + "10" + "0010" + vp9Sync + "010" + "0" + "000"), VP9{64, 48, 1}, true},
		{"profile 1, RGB", vp9Header("10" + "10" + "0010" + vp9Sync + "111" + "0"), VP9{64, 48, 1}, true},
		{"profile 2, 10 bit", vp9Header("10" + "01" + "0010" + vp9Sync + "0" + "010" + "0"), VP9{64, 48, 2}, true},
		{"profile 3, 12 bit", vp9Header("10" + "11" + "0" + "0010" + vp9Sync + "1" + "010" + "0" + "000"), VP9{64, 48, 3}, true},
		{"profile 4", vp9Header("10" + "11" + "1" + "0010" + vp9Sync + "1" + "010" + "0" + "000"), VP9{}, false},
	}
	for _, ca := range cases {
		got, random := Scan(&VP9{}, [][]byte{nil, ca.frame})
		if random != ca.random || *got.(*VP9) != ca.want {
			t.Errorf("%s: Scan = %+v, %v, want %+v, %v", ca.name, got, random, ca.want, ca.random)
		}
	}
}

const vp9Sync = "01001001" + "10000011" + "01000010"

// vp9Header returns the bits followed by the size 64x48.
func vp9Header(bits string) []byte {
	bits += "0000000000111111" + "0000000000101111"
	out := make([]byte, (len(bits)+7)/8)
	for i, b := range bits {
		if b == '1' {
			out[i/8] |= 0x80 >> (i % 8)
		}
	}
	return out
}

func TestScanMPEG4Video(t *testing.T) {
	t.Parallel()
	c, first := withParameters(t, "mpeg4.m4v")
	base := c.(*MPEG4Video)
	with := func(parts ...[]byte) [][]byte { return [][]byte{bytes.Join(parts, nil)} }
	var (
		gov    = []byte{0, 0, 1, 0xB3, 0x00, 0x10, 0x07}
		iVOP   = []byte{0, 0, 1, 0xB6, 0x11}
		pVOP   = []byte{0, 0, 1, 0xB6, 0x51}
		config = append(bytes.Clone(base.Config), 0, 0, 1, 0xB2, 'x')
		huge   = append(bytes.Clone(config), bytes.Repeat([]byte{'x'}, maxParameterSet)...)
		noVOL  = []byte{0, 0, 1, 0xB0, 0x01, 0, 0, 1, 0xB5, 0x89}
	)
	cases := []struct {
		name   string
		unit   [][]byte
		config []byte // nil: the codec stays
		random bool
	}{
		{"first of the sample", first, nil, true},
		{"group", with(gov, iVOP), nil, true},
		{"intra", with(iVOP), nil, true},
		{"inter", with(pVOP), nil, false},
		{"config, inter", with(config, pVOP), config, false},
		{"config, group", with(config, gov, iVOP), config, true},
		{"config, intra", with(config, iVOP), config, true},
		{"config alone", with(config), config, false},
		{"config in an element of its own", [][]byte{config, iVOP}, config, true},
		{"huge config", with(huge, iVOP), nil, false},
		{"config without layer", with(noVOL, iVOP), nil, true},
		{"config ends with half a start code", with(config, []byte{0, 0, 1}), nil, false},
		{"start code cut off", with([]byte{0, 0, 1}), nil, false},
		{"VOP cut off", with([]byte{0, 0, 1, 0xB6}), nil, false},
		{"no start code", with([]byte{1, 2, 3}, iVOP), nil, false},
	}
	for _, ca := range cases {
		got, random := Scan(base, ca.unit)
		if random != ca.random {
			t.Errorf("%s: random access %v, want %v", ca.name, random, ca.random)
		}
		if ca.config == nil && got != Codec(base) {
			t.Errorf("%s: codec changed", ca.name)
		}
		if ca.config != nil && !Equal(got, &MPEG4Video{Config: ca.config}) {
			t.Errorf("%s: config = %x, want %x", ca.name, got, ca.config)
		}
	}
}

func TestScanMPEG1Video(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name  string
		frame []byte
		want  bool
	}{
		{"sequence header", []byte{0, 0, 1, 0xB3, 0x04}, true},
		{"group", []byte{0, 0, 1, 0xB8, 0x00}, true},
		{"zero bytes in front", []byte{0, 0, 0, 0, 1, 0xB3}, true},
		{"group behind user data", []byte{0, 0, 1, 0xB2, 'x', 0, 0, 1, 0xB8}, true},
		{"picture", []byte{0, 0, 1, 0x00, 0x00}, false},
		{"next group behind the picture", []byte{0, 0, 1, 0x00, 0x00, 0, 0, 1, 0xB8, 0x00}, false},
		{"cut off", []byte{0, 0, 1}, false},
	}
	for _, ca := range cases {
		if _, got := Scan(&MPEG1Video{}, [][]byte{ca.frame}); got != ca.want {
			t.Errorf("%s: random access %v, want %v", ca.name, got, ca.want)
		}
	}
}
