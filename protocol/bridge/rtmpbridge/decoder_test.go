package rtmpbridge

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/bluenviron/gortmplib/pkg/amf0"

	"github.com/org/mtx/router/media"
)

func onMetaData(t testing.TB, o any) []byte {
	t.Helper()
	b, err := amf0.Data{"@setDataFrame", "onMetaData", o}.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var (
	avcConfig = append([]byte{0x17, 0, 0, 0, 0}, appendAVCC(nil, &media.H264{SPS: sps264, PPS: pps264})...)
	avcKey    = []byte{0x17, 1, 0, 0, 0, 0, 0, 0, 3, 0x65, 0x88, 0x84}
	aacConfig = []byte{0xaf, 0, 0x11, 0x90}
	aacFrame  = []byte{0xaf, 1, 1, 2, 3}
)

// The stream begins as soon as everything is there that the metadata announces.
func TestBegin(t *testing.T) {
	t.Parallel()
	number := func(key string, v any) amf0.ObjectEntry { return amf0.ObjectEntry{Key: key, Value: v} }
	both := amf0.ECMAArray{number("videocodecid", float64(7)), number("audiocodecid", float64(10))}
	for _, ca := range []struct {
		name   string
		meta   any
		bodies []message
		tracks int // 0: not yet
	}{
		{"all announced", both, []message{{9, 0, avcConfig}, {8, 0, aacConfig}}, 2},
		{"by name", amf0.Object{number("videocodecid", "avc1"), number("audiocodecid", "mp4a")}, []message{{9, 0, avcConfig}, {8, 0, aacConfig}}, 2},
		{"audio is missing", both, []message{{9, 0, avcConfig}, {9, 0, avcKey}}, 0},
		{"audio never comes", both, []message{{9, 0, avcConfig}, {9, 2000, avcKey}}, 1},
		{"video only", amf0.ECMAArray{number("videocodecid", float64(7)), number("audiocodecid", float64(0))}, []message{{9, 0, avcConfig}}, 1},
		{"no metadata", nil, []message{{9, 0, avcConfig}, {8, 0, aacConfig}, {8, 1999, aacFrame}}, 0},
		{"no metadata, later", nil, []message{{9, 5000, avcConfig}, {8, 5000, aacConfig}, {8, 7000, aacFrame}}, 2},
		{"metadata without codecs", amf0.ECMAArray{number("duration", float64(1))}, []message{{9, 0, avcConfig}}, 0},
		{"unexpected track", amf0.ECMAArray{number("videocodecid", float64(7))}, []message{{8, 0, aacFrame}, {9, 0, avcConfig}}, 0},
	} {
		t.Run(ca.name, func(t *testing.T) {
			t.Parallel()
			r, d := newReceived()
			if ca.meta != nil {
				if err := d.Write(TypeDataAMF0, 0, onMetaData(t, ca.meta)); err != nil {
					t.Fatal(err)
				}
			}
			for _, m := range ca.bodies {
				if err := d.Write(m.typ, m.ts, m.body); err != nil {
					t.Fatal(err)
				}
			}
			if len(r.tracks) != ca.tracks {
				t.Errorf("%d tracks, want %d", len(r.tracks), ca.tracks)
			}
		})
	}
}

// Nothing that came during the analysis is lost.
func TestPendingIsDelivered(t *testing.T) {
	t.Parallel()
	r, d := newReceived()
	for _, m := range []message{{9, 0, avcConfig}, {9, 40, avcKey}, {8, 40, aacConfig}, {8, 50, aacFrame}, {9, 2040, avcKey}} {
		if err := d.Write(m.typ, m.ts, m.body); err != nil {
			t.Fatal(err)
		}
	}
	if len(r.units) != 2 || len(r.units[0]) != 2 || len(r.units[1]) != 1 || r.units[0][0].PTS != 3600 {
		t.Fatalf("units: %v", r.units)
	}
	if p := r.units[0][0].Payload; len(p) != 3 || !bytes.Equal(p[0], sps264) {
		t.Error("a key frame has no parameter sets")
	}
}

func TestNoTracks(t *testing.T) {
	t.Parallel()
	_, d := newReceived()
	if err := d.Begin(); !errors.Is(err, ErrNoTracks) {
		t.Errorf("nothing at all: %v", err)
	}
	var err error
	for i := uint32(0); err == nil && i < 100; i++ {
		err = d.Write(TypeVideo, i*100, []byte{0x12, 1, 2, 3}) // Sorenson H.263
	}
	if !errors.Is(err, ErrNoTracks) {
		t.Errorf("a codec that is not known: %v", err)
	}
}

// Memory is bounded while the tracks are looked for, whatever time stamps say.
func TestAnalysisIsBounded(t *testing.T) {
	t.Parallel()
	r, d := newReceived()
	if err := d.Write(TypeVideo, 0, avcConfig); err != nil {
		t.Fatal(err)
	}
	frame := append(append([]byte{}, avcKey[:5]...), make([]byte, 1<<20)...)
	for range 20 {
		if err := d.Write(TypeVideo, 0, frame); err != nil {
			t.Fatal(err)
		}
	}
	if len(r.tracks) != 1 {
		t.Error("the stream did not begin after 20 MB")
	}
}

// Time stamps wrap around after 49 days.
func TestWrap(t *testing.T) {
	t.Parallel()
	r, d := newReceived()
	for _, m := range []message{{9, 0xffffffd8, avcConfig}, {9, 0xffffffd8, avcKey}, {9, 0, avcKey}, {9, 3000, avcKey}} {
		if err := d.Write(m.typ, m.ts, m.body); err != nil {
			t.Fatal(err)
		}
	}
	want := []int64{0, 3600, 3040 * 90}
	for i, u := range r.units[0] {
		if u.PTS != want[i] {
			t.Errorf("unit %d: PTS %d, want %d", i, u.PTS, want[i])
		}
	}
}

// Time stamps of audio are multiples of the duration of frames, and follow jumps.
func TestSmoothAudio(t *testing.T) {
	t.Parallel()
	s := smoother{rate: 44100}
	for i := range int64(10000) {
		got, want := s.take(i*1024*1000/44100, 1024), i*1024
		if got-want > 44 || want-got > 44 {
			t.Fatalf("frame %d: %d, want %d", i, got, want)
		}
		if i > 0 && i < 100 && (got-want > 30 || want-got > 30) {
			t.Errorf("frame %d: %d, want %d", i, got, want)
		}
	}
	if got := s.take(1000000, 1024); got != 44100*1000 {
		t.Errorf("after a jump: %d", got)
	}
}

// All tracks in one message, with one codec or several.
func TestManyTracks(t *testing.T) {
	t.Parallel()
	opus := appendOpusHead(nil, &media.Opus{ChannelCount: 2})
	sized := func(id byte, p []byte) []byte {
		return append([]byte{id, 0, byte(len(p) >> 8), byte(len(p))}, p...)
	}
	b := append([]byte{soundEx<<4 | packetAudioMulti, manyTracks<<4 | packetSequenceStart}, "Opus"...)
	b = append(append(b, sized(0, opus)...), sized(3, opus)...)
	c := []byte{soundEx<<4 | packetAudioMulti, manyTracksManyCodecs<<4 | packetSequenceStart}
	c = append(append(c, "fLaC"...), sized(7, flacInfo)...)
	frames := append([]byte{soundEx<<4 | packetModEx, 0, 9, packetAudioMulti, manyTracks<<4 | packetCodedFrames}, "Opus"...)
	frames = append(append(frames, sized(3, []byte{0xfc, 3})...), sized(0, []byte{0xfc, 1})...)
	r, d := newReceived()
	for _, body := range [][]byte{b, c, frames} {
		if err := d.Write(TypeAudio, 0, body); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Begin(); err != nil {
		t.Fatal(err)
	}
	if len(r.tracks) != 3 || r.tracks[2].Codec.Name() != "FLAC" || len(r.damage) != 0 {
		t.Fatalf("tracks %v, damage %v", r.tracks, r.damage)
	}
	if len(r.units[0]) != 1 || len(r.units[1]) != 1 || r.units[1][0].Payload[0][1] != 3 {
		t.Errorf("units: %v", r.units)
	}
}

func TestAggregate(t *testing.T) {
	t.Parallel()
	var b []byte
	add := func(typ byte, ts uint32, body []byte) {
		b = append(b, typ, 0, byte(len(body)>>8), byte(len(body)), byte(ts>>16), byte(ts>>8), byte(ts), byte(ts>>24), 0, 0, 0)
		b = append(b, body...)
		b = binary.BigEndian.AppendUint32(b, uint32(len(body))+11)
	}
	add(9, 100, avcConfig)
	add(9, 100, avcKey)
	add(9, 140, avcKey)
	r, d := newReceived()
	if err := d.Write(TypeAggregate, 5000, b); err != nil {
		t.Fatal(err)
	}
	if err := d.Begin(); err != nil {
		t.Fatal(err)
	}
	if len(r.units) != 1 || len(r.units[0]) != 2 || r.units[0][1].PTS != 3600 {
		t.Errorf("units: %v", r.units)
	}
}

// What is damaged or unknown is passed over, and said.
func TestDamage(t *testing.T) {
	t.Parallel()
	for _, ca := range []struct {
		name string
		typ  uint8
		body []byte
	}{
		{"lengths", TypeVideo, []byte{0x17, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 1}},
		{"cut off", TypeVideo, []byte{0x17, 1}},
		{"record", TypeVideo, []byte{0x17, 0, 0, 0, 0, 1, 2}},
		{"other codec", TypeVideo, append([]byte{0x80 | frameKey<<4 | packetCodedFramesX}, "vp09\x01"...)},
		{"unknown codec", TypeVideo, []byte{0x12, 1, 0, 0, 0}},
		{"unknown packet", TypeVideo, append([]byte{0x80 | 0x0e}, "avc1\x01"...)},
		{"late track", TypeAudio, aacFrame},
		{"no track id", TypeAudio, append([]byte{soundEx<<4 | packetAudioMulti, 0}, "Opus"...)},
		{"size of a track", TypeVideo, append([]byte{0x80 | packetVideoMulti, manyTracks << 4}, "avc1\x00\xff\xff\xff"...)},
		{"endless modifiers", TypeVideo, []byte{0x80 | packetModEx, 0, 0, packetModEx, 0, 0, packetModEx}},
		{"aggregate", TypeAggregate, []byte{9, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 1}},
	} {
		t.Run(ca.name, func(t *testing.T) {
			t.Parallel()
			r, d := newReceived()
			for _, m := range []message{{9, 0, avcConfig}, {9, 2000, avcKey}, {ca.typ, 2040, ca.body}, {9, 2080, avcKey}} {
				if err := d.Write(m.typ, m.ts, m.body); err != nil {
					t.Fatal(err)
				}
			}
			if len(r.units[0]) != 2 {
				t.Errorf("%d units", len(r.units[0]))
			}
			if len(r.damage) == 0 && ca.name != "no track id" {
				t.Error("it was passed over in silence")
			}
		})
	}
}

// Messages without a body, and ends of sequences, mean nothing.
func TestNothing(t *testing.T) {
	t.Parallel()
	r, d := newReceived()
	for _, m := range []message{
		{9, 0, nil}, {8, 0, nil}, {18, 0, nil}, {15, 0, nil}, {22, 0, nil}, {9, 0, avcConfig}, {9, 2000, avcKey},
		{9, 2001, nil}, {9, 2002, []byte{0x17, 2, 0, 0, 0}}, {9, 2003, []byte{0x57, 0}}, {99, 0, []byte{1}},
	} {
		if err := d.Write(m.typ, m.ts, m.body); err != nil {
			t.Fatal(err)
		}
	}
	if len(r.damage) != 0 || len(r.units[0]) != 1 {
		t.Errorf("damage %v, %d units", r.damage, len(r.units[0]))
	}
}
