package standby

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/flac"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4/seekablebuffer"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mp4/codecs"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/pmp4"

	"github.com/org/mtx/router/media"
)

// presentation is a plain MP4 file of one track of equal frames.
func presentation(t testing.TB, c codecs.Codec, scale int, n int, duration uint32, frame []byte) []byte {
	t.Helper()
	tr := &pmp4.Track{ID: 1, TimeScale: uint32(scale), Codec: c}
	for range n {
		tr.Samples = append(tr.Samples, &pmp4.Sample{
			Duration: duration, PayloadSize: uint32(len(frame)), GetPayload: func() ([]byte, error) { return frame, nil },
		})
	}
	var b bytes.Buffer
	if err := (pmp4.Presentation{Tracks: []*pmp4.Track{tr}}).Marshal(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// fragment is a fragmented MP4 file of one track of equal frames.
func fragment(t testing.TB, c codecs.Codec, scale int, n int, duration uint32, frame []byte) []byte {
	t.Helper()
	var b seekablebuffer.Buffer
	if err := (&fmp4.Init{Tracks: []*fmp4.InitTrack{{ID: 1, TimeScale: uint32(scale), Codec: c}}}).Marshal(&b); err != nil {
		t.Fatal(err)
	}
	part := fmp4.Part{Tracks: []*fmp4.PartTrack{{ID: 1}}}
	for range n {
		part.Tracks[0].Samples = append(part.Tracks[0].Samples, &fmp4.Sample{Duration: duration, Payload: frame})
	}
	if err := part.Marshal(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// quickTime is a file of one track of uncompressed audio: one chunk of n frames.
func quickTime(typ string, rate, channels, n int, data []byte) []byte {
	u16 := func(v int) []byte { return binary.BigEndian.AppendUint16(nil, uint16(v)) }
	table := func(typ string, v ...uint32) []byte {
		b := make([]byte, 4)
		for _, x := range v {
			b = binary.BigEndian.AppendUint32(b, x)
		}
		return wrap(typ, b)
	}
	head := func(typ string, v ...uint32) []byte { return table(typ, append([]uint32{0, 0}, v...)...) }
	ftyp := wrap("ftyp", []byte("qt  \x00\x00\x02\x00qt  "))
	mdat := wrap("mdat", data)
	entry := slices.Concat(make([]byte, 16), u16(channels), u16(16), make([]byte, 4), u16(rate), u16(0))
	stsd := wrap("stsd", slices.Concat(make([]byte, 4), u32(1), wrap(typ, entry)))
	size := uint32(len(data) / n)
	stbl := wrap("stbl", stsd, table("stts", 1, uint32(n), 1), table("stsc", 1, 1, uint32(n), 1),
		table("stsz", size, uint32(n)), table("stco", 1, uint32(len(ftyp)+8)))
	hdlr := wrap("hdlr", make([]byte, 8), []byte("soun"), make([]byte, 12))
	mdia := wrap("mdia", head("mdhd", uint32(rate), uint32(n)), hdlr, wrap("minf", stbl))
	moov := wrap("moov", head("mvhd", 1000, 1000), wrap("trak", head("tkhd", 1), mdia))
	return slices.Concat(ftyp, mdat, moov)
}

// Codecs of files: what comes out of the frames, and how many there are.
func TestCodecs(t *testing.T) {
	t.Parallel()
	samples := slices.Repeat([]byte{1, 2, 3, 4, 5, 6}, 4000) // 4000 of two channels with 24 bits, 6000 with 16
	info := &flac.StreamInfo{MinBlockSize: 4608, MaxBlockSize: 4608, SampleRate: 48000, ChannelCount: 2, BitDepth: 16}
	infoBytes, err := info.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	l24 := &codecs.LPCM{BitDepth: 24, SampleRate: 48000, ChannelCount: 2}
	l16 := &codecs.LPCM{BitDepth: 16, SampleRate: 8000, ChannelCount: 2, LittleEndian: true}
	mpeg4 := []byte{0, 0, 1, 0xb0, 1, 0, 0, 1, 0x20, 0}
	vop := []byte{0, 0, 1, 0xb6, 0x10, 9}
	mpeg1 := []byte{0, 0, 1, 0xb3, 0x16, 0, 0xf0, 0x15, 0xff, 0xff, 0xe0, 0, 0, 0, 1, 0xb8, 0, 8, 0, 0}
	for name, ca := range map[string]struct {
		file   []byte
		codec  media.Codec
		units  int
		first  []byte // the beginning of the first unit
		length int    // bytes of the first unit
		period time.Duration
	}{
		"LPCM in one piece": {
			presentation(t, l24, 48000, 1, 4000, samples), &media.LPCM{BitDepth: 24, SampleRate: 48000, ChannelCount: 2},
			5, []byte{1, 2, 3, 4}, 960 * 6, time.Second / 12,
		},
		"LPCM sample by sample": {
			presentation(t, l24, 48000, 4000, 1, samples[:6]), &media.LPCM{BitDepth: 24, SampleRate: 48000, ChannelCount: 2},
			5, []byte{1, 2, 3, 4}, 960 * 6, time.Second / 12,
		},
		"little-endian, in fragments": {
			fragment(t, l16, 8000, 10, 800, samples[:3200]), &media.LPCM{BitDepth: 16, SampleRate: 8000, ChannelCount: 2},
			50, []byte{2, 1, 4, 3, 6, 5}, 160 * 4, time.Second,
		},
		"sowt": {quickTime("sowt", 8000, 1, 4000, samples[:8000]), &media.LPCM{BitDepth: 16, SampleRate: 8000, ChannelCount: 1}, 25, []byte{2, 1}, 320, time.Second / 2},
		"twos": {quickTime("twos", 8000, 2, 4000, samples[:16000]), &media.LPCM{BitDepth: 16, SampleRate: 8000, ChannelCount: 2}, 25, []byte{1, 2}, 640, time.Second / 2},
		"ulaw": {quickTime("ulaw", 8000, 1, 8000, samples[:8000]), &media.G711{MULaw: true, SampleRate: 8000, ChannelCount: 1}, 50, []byte{1, 2}, 160, time.Second},
		"alaw": {quickTime("alaw", 8000, 1, 8000, samples[:8000]), &media.G711{SampleRate: 8000, ChannelCount: 1}, 50, []byte{1, 2}, 160, time.Second},
		"FLAC": {
			presentation(t, &codecs.FLAC{StreamInfo: info}, 48000, 10, 4608, []byte{0xff, 0xf8, 1}),
			&media.FLAC{SampleRate: 48000, ChannelCount: 2, StreamInfo: infoBytes}, 10, []byte{0xff, 0xf8, 1}, 3, 960 * time.Millisecond,
		},
		"MPEG-4 video": {
			presentation(t, &codecs.MPEG4Video{Config: mpeg4}, 90000, 2, 3600, vop),
			&media.MPEG4Video{Config: mpeg4}, 2, slices.Concat(mpeg4, vop), len(mpeg4) + len(vop), 80 * time.Millisecond,
		},
		"MPEG-1 video": {
			presentation(t, &codecs.MPEG1Video{Config: mpeg1[:12]}, 90000, 2, 3600, mpeg1), &media.MPEG1Video{}, 2, mpeg1, len(mpeg1), 80 * time.Millisecond,
		},
		"M-JPEG": {
			presentation(t, &codecs.MJPEG{Width: 64, Height: 64}, 90000, 2, 3600, []byte{0xff, 0xd8, 0xff, 0xd9}),
			&media.MJPEG{}, 2, []byte{0xff, 0xd8}, 4, 80 * time.Millisecond,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := parse(ca.file)
			if err != nil {
				t.Fatal(err)
			}
			tr := s.tracks[0]
			if !media.Equal(tr.codec, ca.codec) {
				t.Errorf("codec %+v, want %+v", tr.codec, ca.codec)
			}
			if len(tr.samples) != ca.units || s.period != ca.period {
				t.Errorf("%d units in %v, want %d in %v", len(tr.samples), s.period, ca.units, ca.period)
			}
			first := tr.samples[0].payload[0]
			if !bytes.HasPrefix(first, ca.first) || len(first) != ca.length {
				t.Errorf("the first unit has %d bytes: %x, want %d: %x", len(first), first[:min(len(first), 30)], ca.length, ca.first)
			}
			for i := 1; i < len(tr.samples); i++ {
				if tr.samples[i].pts <= tr.samples[i-1].pts {
					t.Fatalf("time stamp %d after %d", tr.samples[i].pts, tr.samples[i-1].pts)
				}
			}
		})
	}
}

func TestCodecsRefused(t *testing.T) {
	t.Parallel()
	lpcm := &codecs.LPCM{BitDepth: 16, SampleRate: 8000, ChannelCount: 1}
	sowt := quickTime("sowt", 8000, 1, 400, make([]byte, 800))
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"32 bits":        {presentation(t, &codecs.LPCM{BitDepth: 32, SampleRate: 8000, ChannelCount: 1}, 8000, 9, 1, make([]byte, 4)), "track 1: the codec LPCM with 32 bits cannot be used"},
		"E-AC-3":         {presentation(t, &codecs.EAC3{SampleRate: 48000, ChannelCount: 2}, 48000, 9, 1536, make([]byte, 4)), `track 1: the codec "ec-3" cannot be used; accepted are AV1`},
		"odd size":       {fragment(t, lpcm, 8000, 1, 5, make([]byte, 9)), "track 1: LPCM: frame 1 has 9 bytes, and a duration of 5 samples of 2 bytes"},
		"other scale":    {fragment(t, lpcm, 90000, 1, 5, make([]byte, 10)), "track 1: LPCM: its time scale is not its sample rate"},
		"long steps":     {edit(sowt, "stts", 12, u32(2)...), "track 1: LPCM: its time scale is not its sample rate"},
		"2^32 samples":   {edit(sowt, "stsz", 8, u32(1<<32-1)...), "track 1: LPCM: its tables do not agree"},
		"few durations":  {edit(sowt, "stts", 8, u32(399)...), "track 1: LPCM: its tables do not agree"},
		"large chunk":    {edit(edit(edit(sowt, "stsz", 8, u32(1<<32-1)...), "stts", 8, u32(1<<32-1)...), "stsc", 12, u32(1<<32-1)...), "track 1: LPCM: "},
		"large samples":  {edit(sowt, "stsz", 4, u32(1<<32-1)...), "track 1: LPCM: frame 1 has "},
		"no durations":   {edit(sowt, "stts", -4, []byte("free")...), `track 1: LPCM: the box "stts" is missing`},
		"no channels":    {quickTime("ulaw", 8000, 0, 400, make([]byte, 800)), "track 1: channel count 0"},
		"no sample rate": {quickTime("ulaw", 0, 1, 400, make([]byte, 800)), "track 1: its time scale is zero"},
	} {
		_, err := parse(c.data)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
	}
}
