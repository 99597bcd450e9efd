package mpegaudio

import (
	"errors"
	"testing"
)

// Sizes and durations are those that FFmpeg's encoders and demultiplexers have.
func TestParse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		header [4]byte
		want   Header
	}{
		{"MP3, 128 kbit/s", [4]byte{0xff, 0xfb, 0x94, 0x00}, Header{3, 48000, 2, 1152, 384}},
		{"MP3, padded", [4]byte{0xff, 0xfb, 0x92, 0xc0}, Header{3, 44100, 1, 1152, 418}},
		{"MP3 of MPEG-2, 32 kbit/s", [4]byte{0xff, 0xf3, 0x40, 0xc0}, Header{3, 22050, 1, 576, 104}},
		{"MP3 of MPEG-2, padded", [4]byte{0xff, 0xf3, 0x42, 0xc0}, Header{3, 22050, 1, 576, 105}},
		{"MP3 of MPEG-2.5", [4]byte{0xff, 0xe3, 0x18, 0xc0}, Header{3, 8000, 1, 576, 72}},
		{"MP2", [4]byte{0xff, 0xfd, 0xe4, 0xc0}, Header{2, 48000, 1, 1152, 1152}},
		{"MP2 of MPEG-2", [4]byte{0xff, 0xf5, 0x84, 0x00}, Header{2, 24000, 2, 1152, 384}},
		{"layer I", [4]byte{0xff, 0xff, 0xc6, 0x00}, Header{1, 48000, 2, 384, 388}},
	} {
		got, err := Parse(c.header[:])
		if err != nil || got != c.want {
			t.Errorf("%s: %+v, %v, want %+v", c.name, got, err, c.want)
		}
	}
}

func TestParseInvalid(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		b    []byte
		want error
	}{
		{"nothing", nil, errShort},
		{"short", []byte{0xff, 0xfb, 0x94}, errShort},
		{"no sync word", []byte{0xff, 0x1b, 0x94, 0}, errSync},
		{"reserved version", []byte{0xff, 0xeb, 0x94, 0}, errInvalid},
		{"reserved layer", []byte{0xff, 0xf9, 0x94, 0}, errInvalid},
		{"free format", []byte{0xff, 0xfb, 0x04, 0}, errInvalid},
		{"forbidden bit rate", []byte{0xff, 0xfb, 0xf4, 0}, errInvalid},
		{"reserved sample rate", []byte{0xff, 0xfb, 0x9c, 0}, errInvalid},
	} {
		if _, err := Parse(c.b); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte{0xff, 0xfb, 0x94, 0x00})
	f.Add([]byte{0xff, 0xe3, 0x18, 0xc0})
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := Parse(b)
		if err == nil && (h.Size < HeaderSize || h.SampleRate < 8000 || h.SampleCount < 384) {
			t.Errorf("%+v", h)
		}
	})
}
