package mp4bridge

import (
	"bytes"
	"testing"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mp4/codecs"

	"github.com/org/mtx/router/media"
)

// Parameter sets of 1920x1080.
var (
	sps = []byte("\x67\x42\xc0\x28\xd9\x00\x78\x02\x27\xe5\x84\x00\x00\x03\x00\x04\x00\x00\x03\x00\xf0\x3c\x60\xc9\x20")
	pps = []byte("\x68\x08")
)

func aacConfig() *mpeg4audio.AudioSpecificConfig {
	return &mpeg4audio.AudioSpecificConfig{Type: mpeg4audio.ObjectTypeAACLC, SampleRate: 48000, ChannelConfig: 2}
}

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
		if _, err := New(c); err != nil {
			t.Errorf("%s: %v", c.Name(), err)
		}
	}
	for _, c := range []media.Codec{
		&media.VP8{}, &media.Vorbis{}, &media.KLV{}, &media.G722{}, &media.Generic{}, &media.Opus{ChannelCount: 6}, &media.FLAC{},
		&media.MPEG4Audio{}, &media.LPCM{BitDepth: 20, SampleRate: 1, ChannelCount: 1}, &media.LPCM{BitDepth: 16}, &media.G711{SampleRate: 1 << 20, ChannelCount: 1},
	} {
		if _, err := New(c); err == nil {
			t.Errorf("%s is carried", c.Name())
		}
	}
}

// MPEG video with B-pictures: decoding times grow and are not later than
// presentation.
func TestAnchorOrder(t *testing.T) {
	t.Parallel()
	var o anchorOrder
	last := int64(-1e9)
	for i, p := range []struct {
		n   int64
		isB bool
	}{{-2, false}, {-1, false}, {0, false}, {3, false}, {1, true}, {2, true}, {6, false}, {4, true}, {5, true}, {9, false}, {7, true}, {8, true}} {
		pts := p.n * 3600
		dts := o.decodedAt(pts, p.isB)
		if dts <= last || dts > pts {
			t.Errorf("picture %d: decoded at %d, shown at %d, the last one at %d", i, dts, pts, last)
		}
		last = dts
	}
	if o.decodedAt(-1e10, false) != -1e10 {
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
	k, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	got := k.Convert(nil, &media.Unit{PTS: 5, Payload: [][]byte{au, au}}, c)
	if len(got) != 2 || got[1].DTS != 5+1024 || !bytes.Equal(got[0].Data[0], []byte{1, 2, 3, 4}) {
		t.Errorf("samples %+v", got)
	}
	if a, ok := k.Params().(*codecs.MPEG4Audio); !ok || a.Config.SampleRate != 48000 {
		t.Errorf("parameters %+v", k.Params())
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

// What a unit becomes, and how its track is described, for each codec.
func TestConverters(t *testing.T) {
	t.Parallel()
	ac3 := append([]byte{0x0b, 0x77, 0, 0, 0x14, 0x40, 0x43, 0xe0, 0x04}, make([]byte, 600)...)
	mp3 := append([]byte{0xff, 0xfb, 0x94, 0x64}, make([]byte, 380)...)
	jpeg := []byte("\xff\xd8\xff\xc0\x00\x0b\x08\x00\xf0\x01\x40\x01\xff\xd9")
	sequence := []byte("\x00\x00\x01\xb3\x14\x00\xf0\x13\xff\xff\xe0\x18")
	mpeg2 := append(bytes.Clone(sequence), "\x00\x00\x01\x00\x00\x08\x00\x00"...)
	temporalUnit := [][]byte{{0x12, 0}, {0x0a, 1}, {0x32, 1, 2}}
	for _, c := range []struct {
		name    string
		codec   media.Codec
		payload [][]byte
		rate    uint32
		samples int
		first   []byte // data of the first one
		dur     int64
		want    codecs.Codec // nil: not yet
	}{
		{"H264", &media.H264{SPS: sps, PPS: pps}, [][]byte{{9, 0xf0}, sps, pps, {0x65, 0x88}}, 90000, 1, []byte{0, 0, 0, 2, 0x65, 0x88}, 0, &codecs.H264{SPS: sps, PPS: pps}},
		{"H264 without parameters", &media.H264{}, [][]byte{{0x65, 0x88}}, 90000, 1, []byte{0, 0, 0, 2, 0x65, 0x88}, 0, nil},
		{"H264, only parameters", &media.H264{SPS: sps, PPS: pps}, [][]byte{sps, pps}, 90000, 0, nil, 0, nil},
		{"AV1", &media.AV1{}, temporalUnit, 90000, 1, []byte{0x0a, 1, 0x32, 1, 2}, 0, nil},
		{"M-JPEG", &media.MJPEG{}, [][]byte{jpeg}, 90000, 1, jpeg, 0, &codecs.MJPEG{Width: 320, Height: 240}},
		{"MPEG-2", &media.MPEG1Video{}, [][]byte{mpeg2}, 90000, 1, mpeg2, 0, &codecs.MPEG1Video{Config: sequence}},
		{"Opus", &media.Opus{ChannelCount: 2}, [][]byte{{0xf8, 1}, {0xf8, 2}}, 48000, 2, []byte{0xf8, 1}, 960, &codecs.Opus{ChannelCount: 2}},
		{"AAC", &media.MPEG4Audio{Config: aacConfig()}, [][]byte{{1}, {2}, {3}}, 48000, 3, []byte{1}, 1024, &codecs.MPEG4Audio{Config: *aacConfig()}},
		{"MP3", &media.MPEG1Audio{}, [][]byte{mp3}, 90000, 1, mp3, 2160, &codecs.MPEG1Audio{SampleRate: 48000, ChannelCount: 2}},
		{"AC-3", &media.AC3{SampleRate: 48000, ChannelCount: 2}, [][]byte{ac3}, 48000, 1, ac3, 1536, nil},
		{"G711", &media.G711{MULaw: true, SampleRate: 8000, ChannelCount: 1}, [][]byte{{0xff, 0xff}}, 8000, 1, []byte{0, 0, 0, 0}, 2, &codecs.LPCM{BitDepth: 16, SampleRate: 8000, ChannelCount: 1}},
		{"LPCM", &media.LPCM{BitDepth: 24, SampleRate: 48000, ChannelCount: 2}, [][]byte{make([]byte, 13)}, 48000, 1, make([]byte, 12), 2, &codecs.LPCM{BitDepth: 24, SampleRate: 48000, ChannelCount: 2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			k, err := New(c.codec)
			if err != nil {
				t.Fatal(err)
			}
			got := k.Convert(nil, &media.Unit{PTS: 7, RandomAccess: true, Payload: c.payload}, c.codec)
			if len(got) != c.samples {
				t.Fatalf("%d samples", len(got))
			}
			if c.samples == 0 {
				return
			}
			if s := got[0]; s.DTS != 7 || s.PTS != 7 || !s.Sync || s.Duration != c.dur || !bytes.Equal(k.Append(nil, s.Data), c.first) {
				t.Errorf("sample %+v", s)
			}
			p := k.Params()
			if c.want != nil && !Equal(p, c.want) {
				t.Errorf("parameters %+v, want %+v", p, c.want)
			}
			if p == nil {
				return
			}
			b, err := MarshalInit([]*fmp4.InitTrack{{ID: 1, TimeScale: c.rate, Codec: p}})
			if err != nil {
				t.Fatal(err)
			}
			var init fmp4.Init
			if err := init.Unmarshal(bytes.NewReader(b)); err != nil {
				t.Fatal(err)
			}
			// what was read is written in the same way
			again, err := MarshalInit([]*fmp4.InitTrack{{ID: 1, TimeScale: c.rate, Codec: init.Tracks[0].Codec}})
			if err != nil || !bytes.Equal(again, b) {
				t.Errorf("the header has %+v, %v", init.Tracks[0].Codec, err)
			}
		})
	}
}

func TestMarshalInitRefuses(t *testing.T) {
	t.Parallel()
	if _, err := MarshalInit([]*fmp4.InitTrack{{ID: 1, TimeScale: 90000, Codec: &codecs.H264{SPS: []byte{0x67}, PPS: pps}}}); err == nil {
		t.Error("parameters without a size are described")
	}
}

// FuzzConvert gives anything to the converters, as a stream would.
func FuzzConvert(f *testing.F) {
	f.Add(uint8(0), []byte("\x67\x42\xc0\x28\xfe\x65\x88"), true, int64(0))
	f.Add(uint8(7), []byte("\xff\xd8\xff\xc0\x00\x0b\x08\x00\xf0\x01\x40\x01"), true, int64(-1))
	f.Add(uint8(12), []byte("\x0b\x77\x00\x00\x00\x40\x00"), false, int64(1))
	f.Add(uint8(6), []byte("\x00\x00\x01\xb3\x01\x02\x00\x00\x01\x00\x01\x02"), true, int64(1))
	f.Fuzz(func(t *testing.T, which uint8, data []byte, key bool, pts int64) {
		all := allCodecs()
		c := all[int(which)%len(all)]
		k, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			u := &media.Unit{PTS: pts/2 + int64(i)*1000, RandomAccess: key, Payload: bytes.Split(data, []byte{0xfe})}
			codec, _ := media.Scan(c, u.Payload)
			for _, s := range k.Convert(nil, u, codec) {
				if s.Duration < 0 {
					t.Errorf("a duration of %d", s.Duration)
				}
				// G711 takes twice its bytes, and what has sizes some more for each piece
				if n := len(k.Append(nil, s.Data)); n == 0 || n > 2*len(data)+16*len(u.Payload) {
					t.Errorf("%d bytes of %d", n, len(data))
				}
			}
			if p := k.Params(); p != nil {
				_, _ = MarshalInit([]*fmp4.InitTrack{{ID: 1, TimeScale: 90000, Codec: p}}) // must not panic
			}
		}
	})
}
