package standby

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4/seekablebuffer"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mp4/codecs"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/pmp4"

	"github.com/org/mtx/router/media"
)

// picture is the first track of the built-in segment of H264.
func picture(t testing.TB) *track {
	t.Helper()
	data, err := segments.ReadFile("segments/h264.mp4")
	if err != nil {
		t.Fatal(err)
	}
	s, err := parse(data)
	if err != nil {
		t.Fatal(err)
	}
	return s.tracks[0]
}

func h264Head(tr *track) *codecs.H264 {
	c := tr.codec.(*media.H264)
	return &codecs.H264{SPS: c.SPS, PPS: c.PPS}
}

// avcc is a sample as a file holds it, without its parameter sets.
func avcc(t testing.TB, au [][]byte) []byte {
	t.Helper()
	var keep h264.AVCC
	for _, n := range au {
		if typ := n[0] & 0x1f; typ != 7 && typ != 8 {
			keep = append(keep, n)
		}
	}
	b, err := keep.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// plain is a plain MP4 file of H264 and AAC.
func plain(t testing.TB) []byte { return plainFrom(t, 0) }

// plainFrom begins with that picture.
func plainFrom(t testing.TB, first int) []byte {
	t.Helper()
	tr := picture(t)
	video := &pmp4.Track{ID: 1, TimeScale: 12800, Codec: h264Head(tr)}
	for i, s := range tr.samples[first : first+50] {
		b := avcc(t, s.payload)
		video.Samples = append(video.Samples, &pmp4.Sample{
			Duration: 512, PTSOffset: 1024, IsNonSyncSample: i%25 != 0, PayloadSize: uint32(len(b)),
			GetPayload: func() ([]byte, error) { return b, nil },
		})
	}
	audio := &pmp4.Track{ID: 2, TimeScale: 48000, Codec: &codecs.MPEG4Audio{Config: mpeg4audio.AudioSpecificConfig{
		Type: mpeg4audio.ObjectTypeAACLC, SampleRate: 48000, ChannelConfig: 2,
	}}}
	for range 90 {
		audio.Samples = append(audio.Samples, &pmp4.Sample{
			Duration: 1024, PayloadSize: 7, GetPayload: func() ([]byte, error) { return []byte{0x20, 0, 0, 0, 0, 0, 0x0e}, nil },
		})
	}
	var b bytes.Buffer
	if err := (pmp4.Presentation{Tracks: []*pmp4.Track{video, audio}}).Marshal(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// fragmented is a fragmented MP4 file of H264 and Opus.
func fragmented(t testing.TB) []byte {
	t.Helper()
	tr := picture(t)
	var b seekablebuffer.Buffer
	init := fmp4.Init{Tracks: []*fmp4.InitTrack{
		{ID: 3, TimeScale: 90000, Codec: h264Head(tr)},
		{ID: 7, TimeScale: 48000, Codec: &codecs.Opus{ChannelCount: 2}},
	}}
	if err := init.Marshal(&b); err != nil {
		t.Fatal(err)
	}
	for n := range uint32(3) {
		part := fmp4.Part{SequenceNumber: n, Tracks: []*fmp4.PartTrack{
			{ID: 3, BaseTime: uint64(n) * 90000}, {ID: 7, BaseTime: uint64(n) * 48000},
		}}
		for i, s := range tr.samples[n*25 : n*25+25] {
			part.Tracks[0].Samples = append(part.Tracks[0].Samples, &fmp4.Sample{Duration: 3600, IsNonSyncSample: i != 0, Payload: avcc(t, s.payload)})
		}
		for range 50 {
			part.Tracks[1].Samples = append(part.Tracks[1].Samples, &fmp4.Sample{Duration: 960, Payload: []byte{0xfc, 0xff, 0xfe}})
		}
		if err := part.Marshal(&b); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

func TestParse(t *testing.T) {
	t.Parallel()
	built := picture(t)
	for name, c := range map[string]struct {
		data   []byte
		frames []int
		period time.Duration
		begin  int64 // of video
	}{
		"plain":      {plain(t), []int{50, 90}, 2 * time.Second, 7200}, // its edit list begins before its first picture
		"fragmented": {fragmented(t), []int{75, 150}, 3 * time.Second, 0},
	} {
		s, err := parse(c.data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(s.tracks) != 2 || s.period != c.period {
			t.Fatalf("%s: %d tracks, %v", name, len(s.tracks), s.period)
		}
		for i, tr := range s.tracks {
			if len(tr.samples) != c.frames[i] {
				t.Errorf("%s: track %d has %d frames", name, i+1, len(tr.samples))
			}
		}
		for i, sm := range s.tracks[0].samples {
			if want := built.samples[i]; sm.pts != want.pts+c.begin || sm.dts != want.dts+c.begin || !bytes.Equal(bytes.Join(sm.payload, nil), bytes.Join(want.payload, nil)) {
				t.Fatalf("%s: frame %d differs", name, i)
			}
		}
	}
}

func TestOpen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name := filepath.Join(dir, "off.mp4")
	if err := os.WriteFile(name, plain(t), 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := Open(name)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Open(name)
	if err != nil || !a.Equal(b) {
		t.Errorf("the same file differs from itself: %v", err)
	}
	large := filepath.Join(dir, "large.mp4")
	f, err := os.Create(large)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if err := f.Truncate(maxFile + 1); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{dir, large, filepath.Join(dir, "none"), os.DevNull} {
		if _, err := Open(bad); err == nil {
			t.Errorf("%s is accepted", bad)
		}
	}
}

// edit replaces what follows the first box of a type, header excluded.
func edit(data []byte, typ string, at int, v ...byte) []byte {
	data = bytes.Clone(data)
	copy(data[bytes.Index(data, []byte(typ))+4+at:], v)
	return data
}

func u32(v uint32) []byte { return binary.BigEndian.AppendUint32(nil, v) }

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	p, f := plain(t), fragmented(t)
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"empty":            {nil, "not an MP4 file"},
		"text":             {[]byte("hello, this is a text\n"), "not an MP4 file"},
		"truncated":        {p[:len(p)/2], "truncated"},
		"no codec":         {edit(p, "avc1", -4, []byte("xxxx")...), `track 1: the codec "xxxx" cannot be read: `},
		"time scale 0":     {edit(p, "mdhd", 12, u32(0)...), "track 1: its time scale is zero"},
		"2^32 frames":      {edit(p, "stsz", 8, u32(1<<32-1)...), "track 1: H264: the file is truncated"},
		"equal frames":     {edit(p, "stsz", 4, append(u32(1), u32(1<<32-1)...)...), "track 1: H264: there are too many frames"},
		"2^32 durations":   {edit(p, "stts", 8, u32(1<<32-1)...), "track 1: H264: its tables do not agree"},
		"long":             {edit(p, "stts", 12, u32(1<<31)...), "track 1: H264: it is longer than a day"},
		"no duration":      {edit(p, "stts", 12, u32(0)...), "track 1: H264: its duration is zero"},
		"outside":          {edit(p, "stco", 8, u32(1<<31)...), "track 1: H264: frame 1 is outside of the file"},
		"chunks":           {edit(p, "stsc", 12, u32(0)...), "track 1: H264: its tables do not agree"},
		"damaged picture":  {edit(p, "mdat", 0, 0xff, 0xff, 0xff), "track 1: H264: frame 1: "},
		"no tables":        {edit(p, "stsz", -4, []byte("free")...), `track 1: H264: the box "stsz" is missing`},
		"no key frame":     {plainFrom(t, 1), "track 1: H264: the first picture is not a key frame"},
		"large frames":     {edit(p, "stsz", 12, u32(1<<31)...), "track 1: H264: its frames are larger than the file"},
		"2^32 in fragment": {edit(f, "trun", 4, u32(1<<32-1)...), "track 1: H264: there are too many frames"},
		"offset":           {edit(f, "trun", 8, u32(1<<31)...), "track 1: H264: the file is truncated"},
		"no frames":        {f[:bytes.Index(f, []byte("moof"))-4], "track 1: H264: there are no frames"},
		"neither":          {bytes.ReplaceAll(bytes.ReplaceAll(p, []byte("vide"), []byte("text")), []byte("soun"), []byte("meta")), "no track of video or audio"},
	} {
		_, err := parse(c.data)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(plain(f))
	f.Add(fragmented(f))
	f.Add(withEdits(f, elst([3]int64{500, -1, normal}, [3]int64{1000, 1024, normal}), elst([3]int64{0, 1024, normal})))
	f.Add(quickTime("ulaw", 8000, 1, 400, make([]byte, 400)))
	f.Add(fragment(f, &codecs.LPCM{BitDepth: 24, SampleRate: 48000, ChannelCount: 2}, 48000, 2, 800, make([]byte, 4800)))
	for _, c := range []string{"av1", "vp9", "h265"} {
		data, err := segments.ReadFile("segments/" + c + ".mp4")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		began := time.Now()
		s, err := parse(data)
		if took := time.Since(began); took > time.Second {
			t.Fatalf("%d bytes took %v", len(data), took)
		}
		if err != nil {
			return
		}
		for _, tr := range s.tracks {
			if len(tr.samples) == 0 || tr.codec == nil || s.period <= 0 {
				t.Fatal("a segment that cannot be played is accepted")
			}
			for i := 1; i < len(tr.samples); i++ {
				if tr.samples[i].dts < tr.samples[i-1].dts {
					t.Fatal("decoding times go back")
				}
			}
		}
	})
}
