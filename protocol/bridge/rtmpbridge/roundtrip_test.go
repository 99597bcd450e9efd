package rtmpbridge

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"

	"github.com/org/mtx/router/media"
)

// Every codec arrives as it was sent, as the first and as the second track of its
// kind.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	idr := bytes.Repeat([]byte{0x65, 0x88, 0x84}, 60000) // several chunks
	for _, ca := range []struct {
		name   string
		codec  media.Codec
		first  bool // cannot be a second track
		frames [][][]byte
		ticks  int64 // between frames
	}{
		{"H264", &media.H264{SPS: sps264, PPS: pps264}, false, [][][]byte{{sps264, pps264, idr}, {{0x41, 0x9a, 1}}}, 3600},
		{
			"H265", &media.H265{VPS: vps265, SPS: sps265, PPS: pps265}, false,
			[][][]byte{{vps265, sps265, pps265, {0x26, 1, 0xaf, 9}}, {vps265, sps265, pps265, {0x26, 1, 0xaf, 8}}}, 3600,
		},
		{"AV1", &media.AV1{SequenceHeader: seqAV1}, false, [][][]byte{{seqAV1, {0x30, 0x10, 0x01}}, {seqAV1, {0x30, 0x10, 0x02}}}, 3600},
		{"VP9", &media.VP9{}, false, [][][]byte{{{0x82, 0x49, 0x83, 0x42, 0x00, 0x77, 0xf0, 0x32, 0x34}}, {{0x86, 0x01}}}, 3600},
		{"Opus", &media.Opus{ChannelCount: 2}, false, [][][]byte{{{0xfc, 1, 2}, {0xfc, 3}}, {{0xfc, 4}}}, 960},
		{"multichannel Opus", &media.Opus{ChannelCount: 6}, false, [][][]byte{{{0xfc, 1, 2}}}, 960},
		{"AAC", aac(44100, 2), false, [][][]byte{{{1, 2, 3}, {4, 5, 6}}, {{7, 8, 9}}}, 1024},
		{"MP3", &media.MPEG1Audio{}, false, [][][]byte{{mp3Frame, mp3Frame}, {mp3Frame}}, 2160},
		{"AC-3", &media.AC3{SampleRate: 48000, ChannelCount: 1}, false, [][][]byte{{ac3Frame, ac3Frame}, {ac3Frame}}, 1536},
		{"FLAC", &media.FLAC{SampleRate: 48000, ChannelCount: 2, StreamInfo: flacInfo}, false, [][][]byte{{{0xff, 0xf8, 0xc9, 1}, {0xff, 0xf8, 0xc9, 2}}}, 4096},
		{"PCMA", &media.G711{SampleRate: 8000, ChannelCount: 1}, true, [][][]byte{{{1, 2, 3}}, {{4}}}, 3},
		{"PCMU", &media.G711{MULaw: true, SampleRate: 8000, ChannelCount: 2}, true, [][][]byte{{{1, 2, 3, 4}}, {{4, 5}}}, 2},
		{"LPCM", &media.LPCM{BitDepth: 16, SampleRate: 44100, ChannelCount: 2}, true, [][][]byte{{{1, 2, 3, 4}}, {{5, 6, 7, 8}}}, 1},
		{"LPCM of 8 bits", &media.LPCM{BitDepth: 8, SampleRate: 22050, ChannelCount: 1}, true, [][][]byte{{{1, 2, 0x80}}, {{5}}}, 3},
	} {
		t.Run(ca.name, func(t *testing.T) {
			t.Parallel()
			checkRoundTrip(t, []media.Track{{Codec: ca.codec}}, 0, ca.frames, ca.ticks)
			if ca.first {
				return
			}
			other := media.Codec(aac(48000, 1))
			if ca.codec.Kind() == media.Video {
				other = &media.H264{SPS: sps264, PPS: pps264}
			}
			checkRoundTrip(t, []media.Track{{Codec: other}, {Codec: ca.codec}}, 1, ca.frames, ca.ticks)
		})
	}
}

func checkRoundTrip(t *testing.T, tracks []media.Track, track int, payloads [][][]byte, ticks int64) {
	t.Helper()
	var units []sent
	var want [][]byte
	pts := int64(0)
	video := tracks[track].Codec.Kind() == media.Video
	if track == 1 && video { // otherwise it would be left out
		units = append(units, sent{0, &media.Unit{Payload: [][]byte{sps264, pps264, {0x65, 0x88, 0x84}}}})
	} else if track == 1 {
		units = append(units, sent{0, &media.Unit{Payload: [][]byte{{1}}}})
	}
	for _, p := range payloads {
		units = append(units, sent{track, &media.Unit{PTS: pts, Payload: p}})
		want = append(want, p...)
		if video {
			pts += ticks
		} else {
			pts += ticks * int64(len(p))
		}
	}
	r := pass(t, tracks, units...)
	if len(r.damage) > 0 {
		t.Errorf("damage: %v", r.damage)
	}
	if len(r.tracks) != len(tracks) || !sameCodec(r.tracks[track].Codec, tracks[track].Codec) {
		t.Fatalf("tracks: %+v", r.tracks)
	}
	var got [][]byte
	for i, u := range r.units[track] {
		got = append(got, u.Payload...)
		u.PTS -= r.units[track][0].PTS * int64(min(i, 1)) // H265 begins with its first DTS
		if i == 0 {
			continue
		}
		// precise for audio, in milliseconds for video
		if at := int64(i) * ticks; u.PTS-at > 90 || at-u.PTS > 90 {
			t.Errorf("unit %d has PTS %d, want %d", i, u.PTS, at)
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %d elements, want %d", len(got), len(want))
	}
}

// LATM is left behind: RTMP has MPEG-4 audio in one form only.
func TestLATM(t *testing.T) {
	t.Parallel()
	asc := aac(32000, 2).Config
	conf := &mpeg4audio.StreamMuxConfig{Programs: []*mpeg4audio.StreamMuxConfigProgram{{
		Layers: []*mpeg4audio.StreamMuxConfigLayer{{AudioSpecificConfig: asc, LatmBufferFullness: 255}},
	}}}
	element, err := mpeg4audio.AudioMuxElement{StreamMuxConfig: conf, Payloads: [][][][]byte{{{{1, 2, 3, 4}}}}}.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	r := pass(t, []media.Track{{Codec: &media.MPEG4AudioLATM{Config: conf, Rate: 32000}}},
		sent{0, &media.Unit{Payload: [][]byte{element, element}}}, sent{0, &media.Unit{PTS: 2048, Payload: [][]byte{element}}})
	if len(r.tracks) != 1 || !sameCodec(r.tracks[0].Codec, &media.MPEG4Audio{Config: asc}) {
		t.Fatalf("tracks: %+v", r.tracks)
	}
	if len(r.units[0]) != 3 {
		t.Fatalf("%d units", len(r.units[0]))
	}
	for i, u := range r.units[0] {
		if !reflect.DeepEqual(u.Payload, [][]byte{{1, 2, 3, 4}}) || u.PTS != int64(i)*1024 {
			t.Errorf("unit %d: %+v", i, u)
		}
	}
	if _, err := NewEncoder([]media.Track{{Codec: &media.MPEG4AudioLATM{Rate: 32000}}}); !errors.Is(err, ErrNotCarried) {
		t.Errorf("without configuration: %v", err)
	}
}

func TestNotCarried(t *testing.T) {
	t.Parallel()
	for _, ca := range []struct {
		tracks []media.Track
		reason string // of the last one
	}{
		{[]media.Track{{Codec: &media.H264{}}, {Codec: &media.VP8{}}}, "RTMP cannot carry VP8"},
		{[]media.Track{{Codec: &media.H264{}}, {Codec: &media.KLV{}}}, "RTMP cannot carry KLV"},
		{[]media.Track{{Codec: &media.H264{}}, {Codec: &media.G711{SampleRate: 16000, ChannelCount: 1}}}, "16000 Hz"},
		{[]media.Track{{Codec: aac(8000, 1)}, {Codec: &media.G711{SampleRate: 8000, ChannelCount: 1}}}, "first audio track"},
		{[]media.Track{{Codec: aac(8000, 1)}, {Codec: &media.LPCM{BitDepth: 16, SampleRate: 44100, ChannelCount: 1}}}, "first audio track"},
		{[]media.Track{{Codec: &media.H264{}}, {Codec: &media.LPCM{BitDepth: 24, SampleRate: 44100, ChannelCount: 1}}}, "24 bits"},
		{[]media.Track{{Codec: &media.H264{}}, {Codec: &media.Opus{ChannelCount: 9}}}, "9 channels"},
	} {
		e, err := NewEncoder(ca.tracks)
		if err != nil {
			t.Fatal(err)
		}
		last := len(ca.tracks) - 1
		s := e.Skipped()
		if len(s) != 1 || s[0].Track != last || !strings.Contains(s[0].Reason, ca.reason) || e.Carries(last) || !e.Carries(0) {
			t.Errorf("skipped %+v, want %q", s, ca.reason)
		}
		if b, n, err := e.Append(nil, last, &media.Unit{Payload: [][]byte{{1}}}); len(b) != 0 || n != 0 || err != nil {
			t.Error("a track that is not carried was sent")
		}
	}
	if _, err := NewEncoder([]media.Track{{Codec: &media.VP8{}}}); err != ErrNotCarried { //nolint:errorlint // it is not wrapped
		t.Errorf("a stream of VP8: %v", err)
	}
}

// Layers I and II cannot be told from III before there is a frame.
func TestOtherLayers(t *testing.T) {
	t.Parallel()
	e, err := NewEncoder([]media.Track{{Codec: &media.MPEG1Audio{}}})
	if err != nil {
		t.Fatal(err)
	}
	if !e.Undecided() || !e.CarriesAny() {
		t.Error("it is decided without a frame")
	}
	layer2 := append([]byte{0xff, 0xfd, 0x94, 0x64}, make([]byte, 400)...)
	b, n, err := e.Append(nil, 0, &media.Unit{Payload: [][]byte{layer2}})
	if len(b) != 0 || n != 0 || err == nil || !strings.Contains(err.Error(), "layer 2") {
		t.Errorf("%d bytes, %d messages, %v", len(b), n, err)
	}
	if e.Undecided() || e.CarriesAny() || len(e.Skipped()) != 1 {
		t.Errorf("the track is still there, skipped: %v", e.Skipped())
	}
}

// A frame of another layer among those of layer III is damage.
func TestDamagedLayer(t *testing.T) {
	t.Parallel()
	e, err := NewEncoder([]media.Track{{Codec: &media.MPEG1Audio{}}})
	if err != nil {
		t.Fatal(err)
	}
	layer2 := append([]byte{0xff, 0xfd, 0x94, 0x64}, make([]byte, 400)...)
	for i, frame := range [][]byte{mp3Frame, layer2, mp3Frame} {
		_, n, err := e.Append(nil, 0, &media.Unit{PTS: int64(i) * 2160, Payload: [][]byte{frame}})
		if damaged := i == 1; (err != nil) != damaged || (n == 0) != damaged {
			t.Errorf("frame %d: %d messages, %v", i, n, err)
		}
	}
}

// sameCodec compares AAC by its encoded configuration, which can be written in
// several ways in Go.
func sameCodec(a, b media.Codec) bool {
	x, ok1 := a.(*media.MPEG4Audio)
	y, ok2 := b.(*media.MPEG4Audio)
	if !ok1 || !ok2 {
		return media.Equal(a, b)
	}
	p, _ := x.Config.Marshal()
	q, _ := y.Config.Marshal()
	return bytes.Equal(p, q)
}
