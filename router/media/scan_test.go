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

const vp9Sync = "01001001" + "10000011" + "01000010"
