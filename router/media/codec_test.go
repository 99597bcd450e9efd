package media

import (
	"testing"

	"github.com/pion/rtp"
)

// Names are part of the Control API; clock rates of the timestamps of units.
func TestCodecs(t *testing.T) {
	t.Parallel()
	cases := []struct {
		codec Codec
		name  string
		kind  string
		rate  int
	}{
		{&AV1{}, "AV1", "video", 90000},
		{&VP9{}, "VP9", "video", 90000},
		{&VP8{}, "VP8", "video", 90000},
		{&H265{}, "H265", "video", 90000},
		{&H264{}, "H264", "video", 90000},
		{&MPEG4Video{}, "MPEG-4 Video", "video", 90000},
		{&MPEG1Video{}, "MPEG-1/2 Video", "video", 90000},
		{&MJPEG{}, "M-JPEG", "video", 90000},
		{&Opus{ChannelCount: 2}, "Opus", "audio", 48000},
		{&Vorbis{SampleRate: 44100}, "Vorbis", "audio", 44100},
		{&MPEG4Audio{Config: aac(44100, 2)}, "MPEG-4 Audio", "audio", 44100},
		{&MPEG4Audio{}, "MPEG-4 Audio", "audio", 0},
		{&MPEG4AudioLATM{Rate: 48000}, "MPEG-4 Audio LATM", "audio", 48000},
		{&MPEG1Audio{}, "MPEG-1/2 Audio", "audio", 90000},
		{&AC3{SampleRate: 48000}, "AC3", "audio", 48000},
		{&FLAC{SampleRate: 96000}, "FLAC", "audio", 96000},
		{&Speex{SampleRate: 16000}, "Speex", "audio", 16000},
		{&G726{BitRate: 32}, "G726", "audio", 8000},
		{&G722{}, "G722", "audio", 8000},
		{&G711{SampleRate: 8000}, "G711", "audio", 8000},
		{&LPCM{SampleRate: 48000}, "LPCM", "audio", 48000},
		{&KLV{}, "KLV", "data", 90000},
		{&MPEGTS{}, "MPEG-TS", "data", 90000},
		{&Generic{Media: Audio, Rate: 32000}, "Generic", "audio", 32000},
		{&Generic{}, "Generic", "unknown", 0},
	}
	for _, ca := range cases {
		if got := ca.codec.Name(); got != ca.name {
			t.Errorf("%T: name %q, want %q", ca.codec, got, ca.name)
		}
		if got := ca.codec.Kind().String(); got != ca.kind {
			t.Errorf("%s: kind %q, want %q", ca.name, got, ca.kind)
		}
		if got := ca.codec.ClockRate(); got != ca.rate {
			t.Errorf("%s: clock rate %d, want %d", ca.name, got, ca.rate)
		}
	}
}

func TestUnitSize(t *testing.T) {
	t.Parallel()
	pkt := &rtp.Packet{Header: rtp.Header{Version: 2}, Payload: make([]byte, 100)}
	cases := []struct {
		name string
		unit Unit
		want int
	}{
		{"nothing", Unit{}, 0},
		{"payload", Unit{Payload: [][]byte{{1, 2}, nil, {3}}}, 3},
		{"packets", Unit{RTP: []*rtp.Packet{pkt, pkt}}, 2 * (12 + 100)},
		{"both", Unit{Payload: [][]byte{{1, 2}}, RTP: []*rtp.Packet{pkt}}, 2},
	}
	for _, ca := range cases {
		if got := ca.unit.Size(); got != ca.want {
			t.Errorf("%s: %d, want %d", ca.name, got, ca.want)
		}
	}
}
