package hlsbridge

import (
	"bytes"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/gohlslib/v2"
	"github.com/bluenviron/gohlslib/v2/pkg/codecs"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/flac"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
	"go.uber.org/goleak"

	"github.com/org/mtx/router/media"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func aac(rate int) *media.MPEG4Audio {
	return &media.MPEG4Audio{Config: &mpeg4audio.AudioSpecificConfig{
		Type: mpeg4audio.ObjectTypeAACLC, SampleRate: rate, ChannelConfig: 2,
	}}
}

// latmCodec returns MPEG-4 audio in LATM, and an element of it.
func latmCodec(t testing.TB) (*media.MPEG4AudioLATM, []byte) {
	t.Helper()
	config := &mpeg4audio.StreamMuxConfig{Programs: []*mpeg4audio.StreamMuxConfigProgram{{
		Layers: []*mpeg4audio.StreamMuxConfigLayer{{AudioSpecificConfig: aac(48000).Config, LatmBufferFullness: 255}},
	}}}
	element, err := mpeg4audio.AudioMuxElement{StreamMuxConfig: config, Payloads: [][][][]byte{{{{1, 2, 3}}}}}.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return &media.MPEG4AudioLATM{Config: config, Rate: 48000}, element
}

func flacCodec(t testing.TB) *media.FLAC {
	t.Helper()
	info, err := flac.StreamInfo{
		MinBlockSize: 4096, MaxBlockSize: 4096, SampleRate: 48000, ChannelCount: 2, BitDepth: 16,
	}.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return &media.FLAC{SampleRate: 48000, ChannelCount: 2, StreamInfo: info}
}

func TestLayout(t *testing.T) {
	t.Parallel()
	latm, _ := latmCodec(t)
	all := []media.Codec{
		&media.H264{}, &media.H265{}, &media.AV1{}, &media.VP9{}, &media.VP8{}, &media.MJPEG{}, // 0-5
		aac(48000), &media.Opus{ChannelCount: 2}, flacCodec(t), &media.G711{SampleRate: 8000, ChannelCount: 1}, // 6-9
		&media.KLV{}, &media.MPEG4Audio{}, aac(44100), &media.H264{}, &media.FLAC{SampleRate: 48000}, // 10-14
		latm, &media.MPEG4AudioLATM{Rate: 48000}, &media.MPEG4AudioLATM{Config: latm.Config, Rate: 90000}, // 15-17
	}
	for _, c := range []struct {
		variant Variant
		tracks  []int // of all
		muxers  [][]int
		skipped []int
	}{
		{LowLatency, []int{0, 6}, [][]int{{0, 1}}, nil},
		{LowLatency, []int{6, 0}, [][]int{{1, 0}}, nil},
		{FMP4, []int{6, 7, 8, 12}, [][]int{{0, 1, 2, 3}}, nil},
		{FMP4, []int{0, 6, 1, 2, 3}, [][]int{{0, 1}, {2}, {3}, {4}}, nil},
		{FMP4, []int{4, 5, 9, 10, 11, 14}, nil, []int{0, 1, 2, 3, 4, 5}},
		{FMP4, []int{10, 4, 7}, [][]int{{2}}, []int{0, 1}},
		{MPEGTS, []int{0, 6, 10}, [][]int{{0, 1, 2}}, nil},
		{MPEGTS, []int{0, 15, 16}, [][]int{{0, 1}}, []int{2}},
		{LowLatency, []int{15, 17, 0}, [][]int{{2, 0}}, []int{1}},
		{MPEGTS, []int{1, 7, 8}, nil, []int{0, 1, 2}},
		{MPEGTS, []int{0, 6, 12, 13}, [][]int{{0, 1}, {3, 1}}, []int{2}},
		{MPEGTS, []int{10}, nil, []int{0}},
		{LowLatency, nil, nil, nil},
	} {
		var tracks []media.Track
		for _, i := range c.tracks {
			tracks = append(tracks, media.Track{Codec: all[i]})
		}
		l := NewLayout(tracks, c.variant)
		var got [][]int
		for _, m := range l.Muxers {
			var indexes []int
			for _, t := range m {
				indexes = append(indexes, t.Index)
			}
			got = append(got, indexes)
		}
		if !slices.EqualFunc(got, c.muxers, slices.Equal[[]int]) || !slices.Equal(l.Skipped, c.skipped) {
			t.Errorf("%s %v: got %v, without %v; want %v, without %v", c.variant, c.tracks, got, l.Skipped, c.muxers, c.skipped)
		}
		v, _ := c.variant.Muxer()
		for _, m := range l.Muxers {
			g := &gohlslib.Muxer{Variant: v, Tracks: Tracks(m)}
			if err := g.Start(); err != nil {
				t.Errorf("%s %v: %v", c.variant, c.tracks, err)
				continue
			}
			g.Close()
		}
	}
	if _, ok := Variant("x").Muxer(); ok {
		t.Error("a variant that does not exist")
	}
}

const (
	sps = "\x67\x42\xc0\x28\xd9\x00\x78\x02\x27\xe5\x84\x00\x00\x03\x00\x04\x00\x00\x03\x00\xf0\x3c\x60\xc9\x20"
	pps = "\x68\x08"
)

// av1Header is a sequence header of 1920x804.
var av1Header = []byte{8, 0, 0, 0, 66, 167, 191, 228, 96, 13, 0, 64}

// samplesOf writes units and returns what is in the segments that come out.
func samplesOf(t *testing.T, codec media.Codec, units []*media.Unit) (samples [][]byte) {
	t.Helper()
	l := NewLayout([]media.Track{{Codec: codec}}, FMP4)
	g := &gohlslib.Muxer{
		Variant: gohlslib.MuxerVariantFMP4, Tracks: Tracks(l.Muxers[0]), SegmentMinDuration: time.Second,
		OnEncodeError: func(error) {},
	}
	if err := g.Start(); err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	for _, u := range units {
		if err := l.Muxers[0][0].Write(g, codec, u, 0); err != nil {
			t.Fatalf("%s: %v", codec.Name(), err)
		}
	}
	fetch := func(name string) string {
		w := httptest.NewRecorder()
		g.Handle(w, httptest.NewRequest("GET", "/"+name, nil))
		return w.Body.String()
	}
	list := fetch(strings.Split(codec.Kind().String(), " ")[0] + "1_stream.m3u8")
	for _, name := range regexp.MustCompile(`(?m)^\w+\.mp4$`).FindAllString(list, -1) {
		var parts fmp4.Parts
		if err := parts.Unmarshal([]byte(fetch(name))); err != nil {
			t.Fatal(err)
		}
		for _, p := range parts {
			for _, track := range p.Tracks {
				for _, s := range track.Samples {
					samples = append(samples, s.Payload)
				}
			}
		}
	}
	return samples
}

func TestWrite(t *testing.T) {
	t.Parallel()
	latm, element := latmCodec(t)
	for _, c := range []struct {
		codec media.Codec
		unit  func(n int) [][]byte // 10 a second, each 10th is a key frame
		want  int                  // least bytes of a sample
	}{
		// parameter sets are not in the units
		{&media.H264{SPS: []byte(sps), PPS: []byte(pps)}, func(n int) [][]byte {
			if n%10 == 0 {
				return [][]byte{{}, {0x65, 0x88, 0x84, 0}, nil}
			}
			return [][]byte{{0x41, 0x9a, 0x24, 0}}
		}, 8},
		{&media.AV1{SequenceHeader: av1Header}, func(int) [][]byte { return [][]byte{{0x30, 1, 2, 3}} }, 4},
		{&media.Opus{ChannelCount: 2}, func(int) [][]byte { return [][]byte{{0xfc, 1, 2}, {}} }, 3},
		{aac(48000), func(int) [][]byte { return [][]byte{{1, 2}, nil, {3, 4}} }, 2},
		{latm, func(int) [][]byte { return [][]byte{element, element} }, 3},
		{flacCodec(t), func(int) [][]byte { return [][]byte{{0xff, 0xf8, 0xc9, 0xa8, 0, 1}, {1}} }, 6},
	} {
		var units []*media.Unit
		for n := range 45 {
			units = append(units, &media.Unit{
				PTS: int64(n * c.codec.ClockRate() / 10), NTP: time.Unix(int64(n), 0),
				RandomAccess: n%10 == 0 || c.codec.Kind() == media.Audio, Payload: c.unit(n),
			})
		}
		samples := samplesOf(t, c.codec, units)
		if len(samples) < 20 {
			t.Errorf("%s: %d samples", c.codec.Name(), len(samples))
		}
		for _, s := range samples {
			if len(s) < c.want {
				t.Errorf("%s: a sample of %d bytes", c.codec.Name(), len(s))
			}
		}
	}
}

func TestKeyFrames(t *testing.T) {
	t.Parallel()
	slice, idr := []byte{0x41, 1}, []byte{0x65, 1}
	h264 := &media.H264{SPS: []byte(sps), PPS: []byte(pps)}
	hevc := &media.H265{VPS: []byte{0x40, 1}, SPS: []byte{0x42, 1}, PPS: []byte{0x44, 1}}
	idr265 := []byte{0x26, 1}
	frame := []byte{0x30, 1}
	cases := map[string]struct {
		got, want [][]byte
	}{
		"H264":          {accessUnitH264(h264, &media.Unit{RandomAccess: true, Payload: [][]byte{idr}}), [][]byte{h264.SPS, h264.PPS, idr}},
		"H264 complete": {accessUnitH264(h264, &media.Unit{RandomAccess: true, Payload: [][]byte{h264.SPS, idr}}), [][]byte{h264.SPS, idr}},
		"H264 other":    {accessUnitH264(h264, &media.Unit{Payload: [][]byte{slice, {}}}), [][]byte{slice}},
		"H264 unknown":  {accessUnitH264(&media.H264{}, &media.Unit{RandomAccess: true, Payload: [][]byte{idr}}), [][]byte{idr}},
		"H265":          {accessUnitH265(hevc, &media.Unit{RandomAccess: true, Payload: [][]byte{idr265, {1}}}), [][]byte{hevc.VPS, hevc.SPS, hevc.PPS, idr265}},
		"H265 complete": {accessUnitH265(hevc, &media.Unit{RandomAccess: true, Payload: [][]byte{hevc.SPS, idr265}}), [][]byte{hevc.SPS, idr265}},
		"AV1":           {temporalUnit(&media.AV1{SequenceHeader: av1Header}, &media.Unit{RandomAccess: true, Payload: [][]byte{frame}}), [][]byte{av1Header, frame}},
		"AV1 complete":  {temporalUnit(&media.AV1{SequenceHeader: av1Header}, &media.Unit{RandomAccess: true, Payload: [][]byte{av1Header, frame}}), [][]byte{av1Header, frame}},
		"AV1 other":     {temporalUnit(&media.AV1{SequenceHeader: av1Header}, &media.Unit{Payload: [][]byte{av1Header, frame}}), [][]byte{frame}},
	}
	for name, c := range cases {
		if !slices.EqualFunc(c.got, c.want, bytes.Equal) {
			t.Errorf("%s: got %x, want %x", name, c.got, c.want)
		}
	}
}

func TestFLACBlockSize(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		frame []byte
		want  int
	}{
		{[]byte{0xff, 0xf8, 0x09, 0, 0}, 0},
		{[]byte{0xff, 0xf8, 0x19, 0, 0}, 192},
		{[]byte{0xff, 0xf8, 0x29, 0, 0}, 576},
		{[]byte{0xff, 0xf8, 0x59, 0, 0}, 4608},
		{[]byte{0xff, 0xf8, 0x89, 0, 0}, 256},
		{[]byte{0xff, 0xf8, 0xc9, 0, 0}, 4096},
		{[]byte{0xff, 0xf8, 0xf9, 0, 0}, 32768},
		{[]byte{0xff, 0xf8, 0x69, 0, 0x05, 99}, 100},
		{[]byte{0xff, 0xf8, 0x79, 0, 0x05, 1, 0}, 257},
		{[]byte{0xff, 0xf8, 0x69, 0, 0xc2, 0x80, 9}, 10}, // a number of two bytes
		{[]byte{0xff, 0xf8, 0x79, 0, 0x05}, 0},
	} {
		if got := flacBlockSize(c.frame); got != c.want {
			t.Errorf("%x: %d, want %d", c.frame, got, c.want)
		}
	}
}

func FuzzWrite(f *testing.F) {
	f.Add(uint8(0), []byte{0x65, 1, 2, 3}, true)
	f.Add(uint8(5), []byte{0xff, 0xf8, 0x79, 0, 0xff, 0xff}, false)
	f.Fuzz(func(t *testing.T, which uint8, data []byte, key bool) {
		all := []media.Codec{
			&media.H264{SPS: []byte(sps), PPS: []byte(pps)}, &media.H265{}, &media.AV1{SequenceHeader: av1Header}, &media.VP9{},
			&media.Opus{ChannelCount: 2}, flacCodec(t), aac(48000),
		}
		codec := all[int(which)%len(all)]
		l := NewLayout([]media.Track{{Codec: codec}}, LowLatency)
		g := &gohlslib.Muxer{Variant: gohlslib.MuxerVariantLowLatency, Tracks: Tracks(l.Muxers[0]), OnEncodeError: func(error) {}}
		if err := g.Start(); err != nil {
			t.Fatal(err)
		}
		defer g.Close()
		var payload [][]byte
		for i, p := range bytes.Split(data, []byte{0xfe}) {
			if i < 8 {
				payload = append(payload, p)
			}
		}
		for n := range 5 { // errors are fine
			_ = l.Muxers[0][0].Write(g, codec, &media.Unit{PTS: int64(n) * 90000, NTP: time.Unix(int64(n), 0), RandomAccess: key, Payload: payload}, 0)
		}
	})
}

func TestFromTrack(t *testing.T) {
	t.Parallel()
	info := &flac.StreamInfo{MinBlockSize: 16, MaxBlockSize: 16, SampleRate: 48000, ChannelCount: 2, BitDepth: 16}
	for _, c := range []struct {
		codec codecs.Codec
		want  string
	}{
		{&codecs.H264{SPS: []byte(sps)}, "H264"}, {&codecs.H265{}, "H265"}, {&codecs.AV1{}, "AV1"}, {&codecs.VP9{}, "VP9"},
		{&codecs.Opus{ChannelCount: 2}, "Opus"}, {&codecs.MPEG4Audio{Config: *aac(48000).Config}, "MPEG-4 Audio"},
		{&codecs.FLAC{StreamInfo: info}, "FLAC"}, {&codecs.KLV{}, "KLV"},
		{&codecs.MPEG4Audio{}, ""}, {&codecs.FLAC{}, ""}, {nil, ""},
	} {
		got, ok := FromTrack(&gohlslib.Track{Codec: c.codec, ClockRate: 90000, Name: "n", Language: "l"})
		if ok != (c.want != "") || ok && (got.Codec.Name() != c.want || got.Name != "n" || got.Language != "l") {
			t.Errorf("%T: got %+v, %v", c.codec, got, ok)
		}
	}
	if _, ok := FromTrack(&gohlslib.Track{Codec: &codecs.H264{}}); ok {
		t.Error("no clock rate")
	}
}
