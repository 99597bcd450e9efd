package standby

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
	"github.com/org/mtx/router/routertest"
)

func aac(rate, channels int) *media.MPEG4Audio {
	return &media.MPEG4Audio{Config: &mpeg4audio.AudioSpecificConfig{
		Type: mpeg4audio.ObjectTypeAACLC, SampleRate: rate, ChannelConfig: uint8(channels),
	}}
}

func builtins() map[string]media.Codec {
	return map[string]media.Codec{
		"AV1": &media.AV1{}, "VP9": &media.VP9{}, "H265": &media.H265{}, "H264": &media.H264{},
		"Opus mono": &media.Opus{ChannelCount: 1}, "Opus": &media.Opus{ChannelCount: 2},
		"AAC mono": aac(44100, 1), "AAC": aac(48000, 2), "AAC 5.1": aac(48000, 6),
		"A-law": &media.G711{SampleRate: 8000, ChannelCount: 1}, "mu-law": &media.G711{MULaw: true, SampleRate: 16000, ChannelCount: 2},
		"LPCM": &media.LPCM{BitDepth: 16, SampleRate: 44100, ChannelCount: 2},
	}
}

// Each built-in segment plays without a seam: time stamps grow evenly, on time.
func TestBuiltins(t *testing.T) {
	t.Parallel()
	for name, c := range builtins() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := New(c)
			if err != nil {
				t.Fatal(err)
			}
			tracks := s.Tracks()
			if len(tracks) != 1 || !media.Compatible(tracks, []media.Track{{Codec: c}}) {
				t.Fatalf("tracks: %+v", tracks)
			}
			if c.Kind() == media.Video && media.Equal(tracks[0].Codec, c) {
				t.Error("the codec has no parameters")
			}
			synctest.Test(t, func(t *testing.T) { checkPlay(t, s) })
		})
	}
}

func checkPlay(t *testing.T, s *Segment) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second+time.Millisecond)
	defer cancel()
	began := time.Now()
	c := s.Tracks()[0].Codec
	var last, step int64
	n, keys := 0, 0
	err := s.Play(ctx, func(_ int, u *media.Unit) {
		if late := time.Since(began) - media.Duration(u.PTS, c.ClockRate()); late < -time.Millisecond || late > time.Millisecond {
			t.Fatalf("unit %d is written %v late", n, late)
		}
		_, key := media.Scan(c, u.Payload)
		switch {
		case n == 0 && !key:
			t.Error("the first unit is not a key frame")
		case n == 1:
			step = u.PTS - last
		case n > 1 && (u.PTS-last < step-1 || u.PTS-last > step+1 || step <= 0):
			t.Fatalf("unit %d: %d ticks after the last one, want %d", n, u.PTS-last, step)
		}
		if key {
			keys++
		}
		last = u.PTS
		n++
	})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if c.Kind() == media.Video && (n != 251 || keys != 11) {
		t.Errorf("%d pictures and %d key frames in 10 s", n, keys)
	}
}

func TestSegmentsAreEqual(t *testing.T) {
	t.Parallel()
	segment := func(c ...media.Codec) *Segment {
		s, err := New(c...)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	a := segment(&media.H264{}, aac(48000, 2))
	if !a.Equal(segment(&media.H264{}, aac(48000, 2))) {
		t.Error("equal segments differ")
	}
	for _, b := range []any{
		segment(&media.H264{}), segment(aac(48000, 2), &media.H264{}), segment(&media.H264{}, aac(48000, 1)),
		segment(&media.H264{}, &media.Opus{ChannelCount: 2}), (*Segment)(nil), 1,
	} {
		if a.Equal(b) {
			t.Errorf("equal to %v", b)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		codec media.Codec
		want  string
	}{
		{nil, "track 1 has no codec"},
		{&media.VP8{}, "track 1 (VP8): there is no built-in segment"},
		{&media.Opus{ChannelCount: 6}, "channel count 6: must be 1 or 2"},
		{&media.MPEG4Audio{}, "the configuration is missing"},
		{aac(48000, 8), "channel configuration 8: must be between 1 and 7"},
		{aac(0, 2), "sample rate 0"},
		{&media.MPEG4Audio{Config: &mpeg4audio.AudioSpecificConfig{Type: 5}}, "object type 5: must be AAC-LC"},
		{&media.G711{SampleRate: 8000}, "channel count 0: must be between 1 and 8"},
		{&media.LPCM{SampleRate: 8000, ChannelCount: 1}, "bit depth 0"},
	} {
		if _, err := New(c.codec); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v, want %s", c.codec, err, c.want)
		}
	}
	if _, err := New(); err == nil {
		t.Error("no tracks are accepted")
	}
}

// ISO 14496-3: SCE or CPE, tag, gains, ics_info, flags, END.
func TestSilentAAC(t *testing.T) {
	t.Parallel()
	for channels, want := range map[int][]byte{
		1: {0, 0, 0, 7},
		2: {0x20, 0, 0, 0, 0, 0, 0x0e},
	} {
		tr, err := silentAAC(aac(48000, channels))
		if err != nil {
			t.Fatal(err)
		}
		if got := tr.samples[0].payload[0]; !reflect.DeepEqual(got, want) {
			t.Errorf("%d channels: %x, want %x", channels, got, want)
		}
	}
}

// In a router, readers get it.
func TestInRouter(t *testing.T) {
	t.Parallel()
	s, err := New(&media.H264{}, &media.G711{SampleRate: 8000, ChannelCount: 1})
	if err != nil {
		t.Fatal(err)
	}
	r := routertest.New(t, router.Config{Paths: []router.PathConfig{{Name: "cam", Standby: s}}})
	rd, err := r.Read(t.Context(), "cam", router.SubscribeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer rd.Close()
	seen := map[int]int{}
	for seen[0] < 3 || seen[1] < 3 {
		track, u, err := rd.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if seen[track] == 0 && !u.RandomAccess {
			t.Errorf("track %d does not begin with a key frame", track)
		}
		seen[track]++
	}
}
