package record

import (
	"bytes"
	"testing"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mp4/codecs"

	"github.com/org/mtx/router/media"
)

func allCodecs() []media.Codec {
	return []media.Codec{
		&media.H264{}, &media.H264{SPS: sps, PPS: pps}, &media.H265{}, &media.AV1{}, &media.VP9{}, &media.MPEG4Video{}, &media.MPEG1Video{},
		&media.MJPEG{}, &media.Opus{ChannelCount: 2}, &media.MPEG4Audio{Config: aacConfig()}, &media.MPEG4AudioLATM{Rate: 48000},
		&media.MPEG1Audio{}, &media.AC3{SampleRate: 48000, ChannelCount: 2},
		&media.G711{SampleRate: 8000, ChannelCount: 1}, &media.G711{MULaw: true, SampleRate: 8000, ChannelCount: 2},
		&media.LPCM{BitDepth: 24, SampleRate: 48000, ChannelCount: 2},
	}
}

func TestCodecsThatAreCarried(t *testing.T) {
	t.Parallel()
	for _, c := range allCodecs() {
		if _, err := newConverter(c); err != nil {
			t.Errorf("%s: %v", c.Name(), err)
		}
	}
	for _, c := range []media.Codec{
		&media.VP8{}, &media.Vorbis{}, &media.KLV{}, &media.G722{}, &media.Generic{}, &media.Opus{ChannelCount: 6}, &media.FLAC{},
		&media.MPEG4Audio{}, &media.LPCM{BitDepth: 20, SampleRate: 1, ChannelCount: 1}, &media.LPCM{BitDepth: 16}, &media.G711{SampleRate: 1 << 20, ChannelCount: 1},
	} {
		if _, err := newConverter(c); err == nil {
			t.Errorf("%s is carried", c.Name())
		}
	}
}

// Parameters belong to the unit that brings them, even if the stream has newer
// ones already.
func TestParamsAt(t *testing.T) {
	t.Parallel()
	a, b := &media.H264{SPS: sps, PPS: pps}, &media.H264{SPS: otherSPS, PPS: pps}
	key := func(s ...[]byte) *media.Unit {
		return &media.Unit{RandomAccess: true, Payload: append(s, []byte{0x65, 0x88, 0x84, 0})}
	}
	aac44 := &media.MPEG4Audio{Config: &mpeg4audio.AudioSpecificConfig{Type: 2, SampleRate: 44100, ChannelConfig: 2}}
	for _, c := range []struct {
		name           string
		before, latest media.Codec
		unit           *media.Unit
		want           media.Codec
	}{
		{"nothing new", a, a, key(sps, pps), a},
		{"still the old ones", a, b, key(sps, pps), a},
		{"not at a key frame", a, b, &media.Unit{Payload: [][]byte{{0x41}}}, a},
		{"in-band", a, a, key(otherSPS, pps), b},
		{"from elsewhere", a, b, key(), b},
		{"same content", a, &media.H264{SPS: bytes.Clone(sps), PPS: pps}, key(), a},
		{"audio", avTracks()[1].Codec, aac44, &media.Unit{RandomAccess: true, Payload: [][]byte{{1}}}, aac44},
	} {
		got := paramsAt(c.before, c.latest, c.unit)
		if !media.Equal(got, c.want) {
			t.Errorf("%s: got %+v", c.name, got)
		}
		if c.want == c.before && got != c.before {
			t.Errorf("%s: another value with the same content", c.name)
		}
	}
}

// MPEG video with B-pictures: decoding times grow and are not later than
// presentation, but for the first group, where nobody knows yet.
func TestAnchorOrder(t *testing.T) {
	t.Parallel()
	var o anchorOrder
	last := int64(-1)
	for i, p := range []struct {
		n   int64
		isB bool
	}{{0, false}, {3, false}, {1, true}, {2, true}, {6, false}, {4, true}, {5, true}, {9, false}, {7, true}, {8, true}} {
		pts := p.n * 3600
		dts := o.decodedAt(pts, p.isB)
		if dts <= last || dts > pts && i > 3 {
			t.Errorf("picture %d: decoded at %d, shown at %d, the last one at %d", i, dts, pts, last)
		}
		last = dts
	}
	if o.decodedAt(-1e9, false) != -1e9 {
		t.Error("a jump is not followed")
	}
}

func TestLATM(t *testing.T) {
	t.Parallel()
	conf := &mpeg4audio.StreamMuxConfig{Programs: []*mpeg4audio.StreamMuxConfigProgram{{Layers: []*mpeg4audio.StreamMuxConfigLayer{{
		AudioSpecificConfig: aacConfig(), LatmBufferFullness: 255,
	}}}}}
	au, err := mpeg4audio.AudioMuxElement{StreamMuxConfig: conf, Payloads: [][][][]byte{{{{1, 2, 3, 4}}}}}.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	c := &media.MPEG4AudioLATM{Config: conf, Rate: 48000}
	k, err := newConverter(c)
	if err != nil {
		t.Fatal(err)
	}
	got := k.convert(nil, &media.Unit{PTS: 5, Payload: [][]byte{au, au}}, c)
	if len(got) != 2 || got[1].dts != 5+1024 || !bytes.Equal(got[0].data[0], []byte{1, 2, 3, 4}) {
		t.Errorf("samples %+v", got)
	}
	if a, ok := k.params().(*codecs.MPEG4Audio); !ok || a.Config.SampleRate != 48000 {
		t.Errorf("parameters %+v", k.params())
	}
}

func TestJPEGSize(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   string
		w, h int
	}{
		{"\xff\xd8\xff\xe0\x00\x04ab\xff\xff\xc0\x00\x0b\x08\x00\xf0\x01\x40\x01", 320, 240},
		{"\xff\xd8\xff\xc4\x00\x04ab\xff\xc2\x00\x0b\x08\x00\xf0\x01\x40\x01", 320, 240},
		{"\xff\xd8\xff\xda\x00\x04ab\xff\xc0\x00\x0b\x08\x00\xf0\x01\x40\x01", 0, 0},
		{"\xff\xd8\xff\xc0\x00\x0b\x08\x00\x00\x01\x40\x01", 320, 0},
		{"\xff\xd8\xff\xe0\x00\x00", 0, 0},
		{"", 0, 0},
	} {
		w, h, ok := jpegSize([]byte(c.in))
		if ok && (w != c.w || h != c.h) || ok != (c.w > 0 && c.h > 0) {
			t.Errorf("%x: %dx%d, %v", c.in, w, h, ok)
		}
	}
}

// FuzzUnits gives anything to the converters, as a stream would.
func FuzzUnits(f *testing.F) {
	f.Add(uint8(0), []byte("\x67\x42\xc0\x28\xfe\x65\x88"), true, int64(0))
	f.Add(uint8(7), []byte("\xff\xd8\xff\xc0\x00\x0b\x08\x00\xf0\x01\x40\x01"), true, int64(-1))
	f.Add(uint8(12), []byte("\x0b\x77\x00\x00\x00\x40\x00"), false, int64(1))
	f.Add(uint8(6), []byte("\x00\x00\x01\xb3\x01\x02\x00\x00\x01\x00\x01\x02"), true, int64(1))
	f.Fuzz(func(t *testing.T, which uint8, data []byte, key bool, pts int64) {
		all := allCodecs()
		c := all[int(which)%len(all)]
		w := &writer{sink: Sink{State: &State{}}}
		fr := newFragments([]media.Track{{Codec: c}}, w, (&logged{}).logger())
		for i := range 3 {
			u := &media.Unit{PTS: pts/2 + int64(i)*1000, RandomAccess: key, Payload: bytes.Split(data, []byte{0xfe})}
			codec, _ := media.Scan(c, u.Payload)
			at, ok := fr.prepare(0, u, codec)
			if !ok {
				continue
			}
			if i == 0 || !fr.hasInit {
				fr.begin(0, at)
			}
			fr.commit(0, u)
			chunks, _ := fr.part(epoch, i == 2)
			var b []byte
			for _, c := range chunks {
				b = append(b, c.bytes()...)
			}
			if _, whole := topLevel(b); !whole {
				t.Errorf("a part is damaged: %x", b)
			}
		}
	})
}
