package media

import (
	"testing"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
)

func aac(rate int, channels uint8) *mpeg4audio.AudioSpecificConfig {
	return &mpeg4audio.AudioSpecificConfig{Type: mpeg4audio.ObjectTypeAACLC, SampleRate: rate, ChannelConfig: channels}
}

func latm(asc *mpeg4audio.AudioSpecificConfig) *mpeg4audio.StreamMuxConfig {
	return &mpeg4audio.StreamMuxConfig{Programs: []*mpeg4audio.StreamMuxConfigProgram{{
		Layers: []*mpeg4audio.StreamMuxConfigLayer{{AudioSpecificConfig: asc}},
	}}}
}

// Each pair of codecs is equal and compatible, compatible only, or neither.
func TestCompare(t *testing.T) {
	t.Parallel()
	yes, no := true, false
	cases := []struct {
		name              string
		a, b              Codec
		equal, compatible bool
	}{
		{"same H264", &H264{SPS: []byte{1}}, &H264{SPS: []byte{1}, PPS: []byte{}}, yes, yes},
		{"other SPS", &H264{SPS: []byte{1}}, &H264{SPS: []byte{2}}, no, yes},
		{"other PPS", &H264{PPS: []byte{1}}, &H264{}, no, yes},
		{"same H265", &H265{VPS: []byte{1}}, &H265{VPS: []byte{1}, SPS: []byte{}}, yes, yes},
		{"other VPS", &H265{VPS: []byte{1}}, &H265{VPS: []byte{2}}, no, yes},
		{"other H265 SPS", &H265{SPS: []byte{1}}, &H265{SPS: []byte{2}}, no, yes},
		{"other H265 PPS", &H265{PPS: []byte{1}}, &H265{PPS: []byte{2}}, no, yes},
		{"same AV1", &AV1{}, &AV1{SequenceHeader: []byte{}}, yes, yes},
		{"other sequence header", &AV1{}, &AV1{SequenceHeader: []byte{1}}, no, yes},
		{"same MPEG-4 video", &MPEG4Video{Config: []byte{}}, &MPEG4Video{}, yes, yes},
		{"other MPEG-4 video", &MPEG4Video{Config: []byte{1}}, &MPEG4Video{}, no, yes},
		{"VP9 size", &VP9{Width: 64, Height: 48}, &VP9{Width: 96, Height: 64}, no, yes},
		{"other codecs", &H264{}, &H265{}, no, no},
		{"no codecs", nil, nil, yes, no},
		{"no codec", &H264{}, nil, no, no},
		{"Opus", &Opus{ChannelCount: 2}, &Opus{ChannelCount: 2}, yes, yes},
		{"Opus channels", &Opus{ChannelCount: 2}, &Opus{ChannelCount: 6}, no, no},
		{"Vorbis configuration", &Vorbis{48000, 2, []byte{1}}, &Vorbis{48000, 2, []byte{2}}, no, yes},
		{"Vorbis channels", &Vorbis{48000, 2, nil}, &Vorbis{48000, 1, nil}, no, no},
		{"AAC", &MPEG4Audio{Config: aac(48000, 2)}, &MPEG4Audio{Config: aac(48000, 2)}, yes, yes},
		{"AAC rate", &MPEG4Audio{Config: aac(48000, 2)}, &MPEG4Audio{Config: aac(44100, 2)}, no, no},
		{"AAC channels", &MPEG4Audio{Config: aac(48000, 2)}, &MPEG4Audio{Config: aac(48000, 1)}, no, no},
		{"AAC unknown", &MPEG4Audio{}, &MPEG4Audio{Config: aac(48000, 1)}, no, no},
		{"LATM", &MPEG4AudioLATM{latm(aac(48000, 2)), 90000}, &MPEG4AudioLATM{latm(aac(48000, 2)), 90000}, yes, yes},
		{"LATM channels", &MPEG4AudioLATM{latm(aac(48000, 2)), 90000}, &MPEG4AudioLATM{latm(aac(48000, 1)), 90000}, no, no},
		{"LATM clock", &MPEG4AudioLATM{nil, 90000}, &MPEG4AudioLATM{nil, 48000}, no, no},
		{"AC-3 channels", &AC3{48000, 2}, &AC3{48000, 6}, no, no},
		{"FLAC stream info", &FLAC{48000, 2, []byte{1}}, &FLAC{48000, 2, nil}, no, yes},
		{"FLAC rate", &FLAC{48000, 2, nil}, &FLAC{96000, 2, nil}, no, no},
		{"Speex rate", &Speex{SampleRate: 8000}, &Speex{SampleRate: 16000}, no, no},
		{"G726 bit rate", &G726{BitRate: 16}, &G726{BitRate: 32}, no, no},
		{"G726 byte order", &G726{BitRate: 16}, &G726{BitRate: 16, BigEndian: true}, no, no},
		{"G711 law", &G711{true, 8000, 1}, &G711{false, 8000, 1}, no, no},
		{"G711 channels", &G711{true, 8000, 1}, &G711{true, 8000, 2}, no, no},
		{"LPCM depth", &LPCM{16, 48000, 2}, &LPCM{24, 48000, 2}, no, no},
		{"generic kind", &Generic{Media: Video, Rate: 90000}, &Generic{Media: Audio, Rate: 90000}, no, no},
		{"generic name", &Generic{RTPMap: "a/90000"}, &Generic{RTPMap: "b/90000"}, no, no},
		{
			"generic parameters", &Generic{RTPMap: "a/90000"},
			&Generic{RTPMap: "a/90000", FMTP: map[string]string{"x": "1"}}, no, yes,
		},
	}
	for _, ca := range cases {
		if got := Equal(ca.a, ca.b); got != ca.equal {
			t.Errorf("%s: Equal = %v, want %v", ca.name, got, ca.equal)
		}
		if got := Equal(ca.b, ca.a); got != ca.equal {
			t.Errorf("%s: Equal the other way round = %v, want %v", ca.name, got, ca.equal)
		}
		if got := Compatible([]Track{{Codec: ca.a}}, []Track{{Codec: ca.b}}); got != ca.compatible {
			t.Errorf("%s: Compatible = %v, want %v", ca.name, got, ca.compatible)
		}
	}
}

func TestCompatibleLists(t *testing.T) {
	t.Parallel()
	video, audio := Track{Codec: &H264{}}, Track{Codec: &Opus{ChannelCount: 2}}
	named := Track{Codec: &H264{SPS: []byte{1}}, Name: "other", Language: "it", Group: 1}
	cases := []struct {
		name string
		a, b []Track
		want bool
	}{
		{"empty", nil, []Track{}, true},
		{"same", []Track{video, audio}, []Track{video, audio}, true},
		{"names differ", []Track{video}, []Track{named}, true},
		{"order differs", []Track{video, audio}, []Track{audio, video}, false},
		{"fewer", []Track{video, audio}, []Track{video}, false},
		{"more", []Track{video}, []Track{video, audio}, false},
	}
	for _, ca := range cases {
		if got := Compatible(ca.a, ca.b); got != ca.want {
			t.Errorf("%s: Compatible = %v, want %v", ca.name, got, ca.want)
		}
	}
}
