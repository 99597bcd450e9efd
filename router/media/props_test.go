package media

import (
	"encoding/hex"
	"encoding/json"
	"testing"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The JSON is the one of PathTrackCodecProps in the description of the Control
// API. Parameter sets are those of x264, x265, SVT-AV1 and libaom.
func TestProps(t *testing.T) {
	t.Parallel()
	h264SPS := func(s string) Codec { return &H264{SPS: unhex(t, s)} }
	h265SPS := func(s string) Codec { return &H265{SPS: unhex(t, s)} }
	sequence := func(s string) Codec { return &AV1{SequenceHeader: unhex(t, s)} }

	cases := []struct {
		name  string
		codec Codec
		want  string
	}{
		{
			"H264 High", h264SPS("67640029acb403c0113f2e0220000003002000000781e30654"),
			`{"width":1920,"height":1080,"profile":"High","level":"4.1"}`,
		},
		{
			"H264 High 4:2:2", h264SPS("677a0034b6cb403c0113f1380880000003008000001e078c1950"),
			`{"width":1920,"height":1080,"profile":"High 4:2:2","level":"5.2"}`,
		},
		{
			"H264 High 4:4:4", h264SPS("67f40028919680780227e270110000030001000003003c0f1832a0"),
			`{"width":1920,"height":1080,"profile":"High 4:4:4 Predictive","level":"4"}`,
		},
		{
			"H264 Main, interlaced", h264SPS("674d401eeca03c0227ef0110000003001000000303c1f1429960"),
			`{"width":1920,"height":1080,"profile":"Main","level":"3"}`,
		},
		{
			"H265 Main 10", h265SPS("42010122200000030090000003000003007ba003c0801107cad965654a4c2f016808000003000800000300f040"),
			`{"width":1920,"height":1080,"profile":"Main 10","level":"4.1"}`,
		},
		{
			"H265 4:2:2", h265SPS("4201010408000003009d08000003000078b003c0801107c4b6595952930bc05a020000030002000003003c10"),
			`{"width":1920,"height":1080,"profile":"Range Extensions","level":"4"}`,
		},
		{
			"AV1 Main", sequence("0a0b00000042abbfc373efe401"),
			`{"width":1920,"height":1080,"profile":0,"level":8,"tier":0}`,
		},
		{
			"AV1 High", sequence("0a0b2000006aefbfe1bddaf902"),
			`{"width":3840,"height":2160,"profile":1,"level":13,"tier":0}`,
		},
		{
			// The same with seq_tier, the bit behind seq_level_idx, set.
			"AV1 high tier", sequence("0a0b2000006eefbfe1bddaf902"),
			`{"width":3840,"height":2160,"profile":1,"level":13,"tier":1}`,
		},
		{"VP9", &VP9{Width: 64, Height: 48}, `{"profile":0}`},
		{"VP9 of SDP", &VP9{Profile: 2}, `{"profile":2}`},
		{"Opus", &Opus{ChannelCount: 6}, `{"channelCount":6}`},
		{"AAC", &MPEG4Audio{Config: aac(44100, 2)}, `{"sampleRate":44100,"channelCount":2}`},
		{"AAC 7.1", &MPEG4Audio{Config: aac(48000, 7)}, `{"sampleRate":48000,"channelCount":8}`},
		{"LATM", &MPEG4AudioLATM{Config: latm(aac(48000, 1)), Rate: 90000}, `{"sampleRate":48000,"channelCount":1}`},
		{"AC-3", &AC3{SampleRate: 48000, ChannelCount: 6}, `{"sampleRate":48000,"channelCount":6}`},
		{"PCMU", &G711{MULaw: true, SampleRate: 8000, ChannelCount: 1}, `{"muLaw":true,"sampleRate":8000,"channelCount":1}`},
		{"PCMA", &G711{SampleRate: 16000, ChannelCount: 2}, `{"muLaw":false,"sampleRate":16000,"channelCount":2}`},
		{
			"LPCM", &LPCM{BitDepth: 24, SampleRate: 48000, ChannelCount: 2},
			`{"bitDepth":24,"sampleRate":48000,"channelCount":2}`,
		},
	}
	for _, ca := range cases {
		got, err := json.Marshal(Props(ca.codec))
		if err != nil {
			t.Errorf("%s: %v", ca.name, err)
		}
		if string(got) != ca.want {
			t.Errorf("%s: %s, want %s", ca.name, got, ca.want)
		}
	}
}

func TestPropsNone(t *testing.T) {
	t.Parallel()
	codecs := []Codec{
		nil, &AV1{}, &AV1{SequenceHeader: []byte{0x08, 0xFF}}, &VP9{}, &VP8{}, &H265{}, &H265{SPS: []byte{0x42}},
		&H264{}, &H264{SPS: []byte{0x67, 0x42, 0xC0}}, &MPEG4Video{}, &MPEG1Video{}, &MJPEG{}, &Vorbis{},
		&MPEG4Audio{}, &MPEG4AudioLATM{}, &MPEG4AudioLATM{Config: latm(nil)}, &MPEG1Audio{}, &FLAC{}, &Speex{},
		&G726{}, &G722{}, &KLV{}, &MPEGTS{}, &Generic{},
	}
	for _, c := range codecs {
		if got := Props(c); got != nil {
			t.Errorf("Props(%T) = %#v, want nil", c, got)
		}
	}
}

func TestPropsSamples(t *testing.T) {
	t.Parallel()
	want := map[string]string{
		"h264_idr.h264":  `{"width":64,"height":48,"profile":"Baseline","level":"1"}`,
		"h264_open.h264": `{"width":64,"height":48,"profile":"High","level":"1"}`,
		"h265.h265":      `{"width":64,"height":48,"profile":"Main","level":"1"}`,
		"av1.ivf":        `{"width":64,"height":48,"profile":0,"level":0,"tier":0}`,
		"vp9.ivf":        `{"profile":0}`,
		"vp8.ivf":        `null`,
		"mpeg4.m4v":      `null`,
		"mpeg2.m2v":      `null`,
	}
	for _, s := range samples() {
		c, _ := settled(t, s)
		got, err := json.Marshal(Props(c))
		if err != nil || string(got) != want[s.file] {
			t.Errorf("%s: %s, %v, want %s", s.file, got, err, want[s.file])
		}
	}
}

func TestH264Names(t *testing.T) {
	t.Parallel()
	cases := []struct {
		profile, level uint8
		set3           bool
		wantProfile    string
		wantLevel      string
	}{
		{66, 30, false, "Baseline", "3"},
		{66, 11, true, "Baseline", "1b"},
		{66, 11, false, "Baseline", "1.1"},
		{77, 31, false, "Main", "3.1"},
		{88, 21, false, "Extended", "2.1"},
		{100, 9, false, "High", "1b"},
		{100, 11, true, "High", "1.1"},
		{110, 42, false, "High 10", "4.2"},
		{122, 50, false, "High 4:2:2", "5"},
		{244, 62, false, "High 4:4:4 Predictive", "6.2"},
		{44, 10, false, "CAVLC 4:4:4 Intra", "1"},
		{1, 0, false, "1", "0"},
	}
	for _, ca := range cases {
		sps := &h264.SPS{ProfileIdc: ca.profile, LevelIdc: ca.level, ConstraintSet3Flag: ca.set3}
		if got := h264Profile(sps.ProfileIdc); got != ca.wantProfile {
			t.Errorf("profile %d: %q, want %q", ca.profile, got, ca.wantProfile)
		}
		if got := h264Level(sps); got != ca.wantLevel {
			t.Errorf("profile %d level %d: %q, want %q", ca.profile, ca.level, got, ca.wantLevel)
		}
	}
}

func TestH265Names(t *testing.T) {
	t.Parallel()
	for idc, want := range map[uint8]string{30: "1", 63: "2.1", 93: "3.1", 120: "4", 123: "4.1", 186: "6.2"} {
		if got := h265Level(idc); got != want {
			t.Errorf("level %d: %q, want %q", idc, got, want)
		}
	}
	profiles := map[uint8]string{
		1: "Main", 2: "Main 10", 3: "Main Still Picture", 4: "Range Extensions", 9: "Screen Content Coding", 31: "31", 0: "0",
	}
	for idc, want := range profiles {
		if got := h265Profile(&h265.SPS_ProfileTierLevel{GeneralProfileIdc: idc}); got != want {
			t.Errorf("profile %d: %q, want %q", idc, got, want)
		}
	}
	var compatible h265.SPS_ProfileTierLevel
	compatible.GeneralProfileCompatibilityFlag[2] = true
	compatible.GeneralProfileCompatibilityFlag[4] = true
	if got := h265Profile(&compatible); got != "Main 10" {
		t.Errorf("profile from compatibility flags: %q, want Main 10", got)
	}
}
