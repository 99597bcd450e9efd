//go:build e2e

package record

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/av1"

	"github.com/org/mtx/protocol/bridge/mpegtsbridge"
	"github.com/org/mtx/router/media"
)

// Every codec, in every container that carries it, is decoded to the last
// picture without a complaint.
func TestEveryCodecPlays(t *testing.T) {
	t.Parallel()
	needs(t, "ffmpeg", "ffprobe")
	x264 := []string{"-c:v", "libx264", "-preset", "veryfast", "-g", "25", "-bf", "3"}
	for _, c := range []struct {
		name   string
		args   []string
		format string // of ffmpeg
		codec  media.Codec
		both   bool // also in MPEG-TS
	}{
		{"H264", x264, "mpegts", nil, true},
		{"H265", []string{"-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error:keyint=25:bframes=3"}, "mpegts", nil, true},
		{"AV1", []string{"-c:v", "libaom-av1", "-cpu-used", "8", "-usage", "realtime", "-g", "25"}, "ivf", &media.AV1{}, false},
		{"VP9", []string{"-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-g", "25"}, "ivf", &media.VP9{}, false},
		{"MPEG-4 Video", []string{"-c:v", "mpeg4", "-g", "25"}, "mpegts", nil, true},
		{"MPEG-2 Video", []string{"-c:v", "mpeg2video", "-g", "25", "-bf", "2"}, "mpegts", nil, true},
		{"MPEG-1 Video", []string{"-c:v", "mpeg1video", "-g", "25", "-bf", "2"}, "mpegts", nil, true},
		{"M-JPEG", []string{"-c:v", "mjpeg", "-q:v", "5", "-pix_fmt", "yuvj420p"}, "image2pipe", &media.MJPEG{}, false},
		{"Opus", []string{"-c:a", "libopus"}, "mpegts", nil, true},
		{"AAC", []string{"-c:a", "aac"}, "mpegts", nil, true},
		{"AAC in LATM", []string{"-c:a", "aac", "-mpegts_flags", "latm"}, "mpegts", nil, true},
		{"mono Opus", []string{"-c:a", "libopus", "-ac", "1"}, "mpegts", nil, true},
		{"MP3", []string{"-c:a", "libmp3lame"}, "mpegts", nil, true},
		{"MP2", []string{"-c:a", "mp2"}, "mpegts", nil, true},
		{"AC-3", []string{"-c:a", "ac3"}, "mpegts", nil, true},
		{"PCMU", []string{"-c:a", "pcm_mulaw", "-ar", "8000", "-ac", "1"}, "mulaw", &media.G711{MULaw: true, SampleRate: 8000, ChannelCount: 1}, false},
		{"PCMA", []string{"-c:a", "pcm_alaw", "-ar", "16000", "-ac", "2"}, "alaw", &media.G711{SampleRate: 16000, ChannelCount: 2}, false},
		{"LPCM 16", []string{"-c:a", "pcm_s16be", "-ar", "48000", "-ac", "2"}, "s16be", &media.LPCM{BitDepth: 16, SampleRate: 48000, ChannelCount: 2}, false},
		{"PCMA mono", []string{"-c:a", "pcm_alaw", "-ar", "8000", "-ac", "1"}, "alaw", &media.G711{SampleRate: 8000, ChannelCount: 1}, false},
		{"LPCM 24", []string{"-c:a", "pcm_s24be", "-ar", "44100", "-ac", "2"}, "s24be", &media.LPCM{BitDepth: 24, SampleRate: 44100, ChannelCount: 2}, false},
		{"H264 and AAC", append([]string{"-c:a", "aac"}, x264...), "mpegts", nil, true},
	} {
		for _, f := range []Format{FMP4, MPEGTS} {
			if f == MPEGTS && !c.both {
				continue
			}
			t.Run(c.name+" in "+string(f), func(t *testing.T) {
				t.Parallel()
				checkPlays(t, f, generate(t, c.args, c.format, c.codec))
			})
		}
	}
}

// material is a stream of five seconds.
type material struct {
	tracks []media.Track
	units  []materialUnit
}

func generate(t *testing.T, args []string, format string, c media.Codec) *material {
	t.Helper()
	file := filepath.Join(t.TempDir(), "in")
	all := []string{"-v", "error"}
	has := func(s string) bool { return bytes.Contains([]byte(joinArgs(args)), []byte(s)) }
	if has("-c:v") {
		all = append(all, "-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25")
	}
	if has("-c:a") {
		all = append(all, "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000")
	}
	all = append(all, args...)
	tool(t, "ffmpeg", append(all, "-t", "5", "-f", format, file)...)
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	m := &material{}
	switch format {
	case "mpegts":
		m.demux(t, b)
	case "ivf":
		m.ivf(t, b, c)
	case "image2pipe":
		m.pictures(b, c)
	default:
		m.samples(b, c)
	}
	return m
}

func joinArgs(args []string) (s string) {
	for _, a := range args {
		s += a + " "
	}
	return s
}

func (m *material) add(track int, pts int64, payload ...[]byte) {
	m.units = append(m.units, materialUnit{track, &media.Unit{PTS: pts, Payload: payload}})
}

func (m *material) demux(t *testing.T, b []byte) {
	t.Helper()
	d := mpegtsbridge.NewDemuxer(mpegtsbridge.DemuxerOptions{Tracks: func(tracks []media.Track) (func(int, *media.Unit), error) {
		m.tracks = tracks
		return func(track int, u *media.Unit) { m.units = append(m.units, materialUnit{track, u}) }, nil
	}})
	if _, err := d.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

func (m *material) ivf(t *testing.T, b []byte, c media.Codec) {
	t.Helper()
	m.tracks = []media.Track{{Codec: c}}
	for n, b := 0, b[32:]; len(b) > 12; n++ {
		size := binary.LittleEndian.Uint32(b)
		frame := b[12 : 12+size]
		b = b[12+size:]
		if _, ok := c.(*media.AV1); !ok {
			m.add(0, int64(n)*3600, frame)
			continue
		}
		var tu av1.Bitstream
		if err := tu.Unmarshal(frame); err != nil {
			t.Fatal(err)
		}
		m.add(0, int64(n)*3600, tu...)
	}
}

func (m *material) pictures(b []byte, c media.Codec) {
	m.tracks = []media.Track{{Codec: c}}
	for n := 0; len(b) > 0; n++ {
		end := bytes.Index(b, []byte{0xff, 0xd9}) + 2
		m.add(0, int64(n)*3600, b[:end])
		b = b[end:]
	}
}

// samples splits audio into units of 20 ms.
func (m *material) samples(b []byte, c media.Codec) {
	m.tracks = []media.Track{{Codec: c}}
	rate, frame := c.ClockRate(), 1
	switch c := c.(type) {
	case *media.LPCM:
		frame = c.BitDepth / 8 * c.ChannelCount
	case *media.G711:
		frame = c.ChannelCount
	}
	for n := 0; len(b) > 0; n += rate / 50 {
		size := min(len(b), rate/50*frame)
		m.add(0, int64(n), b[:size])
		b = b[size:]
	}
}

func checkPlays(t *testing.T, f Format, m *material) {
	t.Helper()
	st := newStudio(t, Sink{Format: f}, m.tracks)
	for _, u := range m.units {
		st.write(u.track, u.unit)
	}
	list := st.stop()
	if len(list) != 1 {
		t.Fatalf("%d segments", len(list))
	}
	if s := st.sink.State.Stats(); s.DroppedUnits > 3 { // sound in front of the first picture
		t.Errorf("%d units found no place", s.DroppedUnits)
	}
	name := list[0].Name
	streams := probe(t, name)
	if len(streams) != len(m.tracks) {
		t.Fatalf("%d streams: %+v", len(streams), streams)
	}
	for i, s := range streams {
		if m.tracks[i].Codec.Kind() == media.Video && s.frames != 125 {
			t.Errorf("%d pictures, want 125", s.frames)
		}
		if e := s.end - s.start - materialDuration; e > 100*time.Millisecond || e < -200*time.Millisecond {
			t.Errorf("stream %d lasts from %v to %v", i, s.start, s.end)
		}
		if m.tracks[i].Codec.Kind() == media.Video && f == FMP4 && (s.width != 320 || s.height != 240) {
			t.Errorf("size %dx%d", s.width, s.height)
		}
	}
	out, errs := tool(t, "ffmpeg", "-v", "error", "-i", name, "-f", "null", "-")
	if out+errs != "" {
		t.Errorf("ffmpeg says: %s", out+errs)
	}
}

type probed struct {
	codec         string
	width, height int
	frames        int // decoded
	start, end    time.Duration
}

func probe(t *testing.T, name string) []probed {
	t.Helper()
	out, _ := tool(t, "ffprobe", "-v", "error", "-count_frames", "-show_streams", "-show_packets", "-of", "json", name)
	var v struct {
		Streams []struct {
			Codec  string `json:"codec_name"`
			Width  int    `json:"width"`
			Height int    `json:"height"`
			Frames string `json:"nb_read_frames"`
		} `json:"streams"`
		Packets []struct {
			Stream   int    `json:"stream_index"`
			PTS      string `json:"pts_time"`
			Duration string `json:"duration_time"`
		} `json:"packets"`
	}
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		t.Fatal(err)
	}
	seconds := func(s string) time.Duration {
		f, _ := strconv.ParseFloat(s, 64)
		return time.Duration(f * float64(time.Second))
	}
	list := make([]probed, len(v.Streams))
	for i, s := range v.Streams {
		list[i] = probed{codec: s.Codec, width: s.Width, height: s.Height, start: time.Hour}
		list[i].frames, _ = strconv.Atoi(s.Frames)
	}
	for _, p := range v.Packets {
		s := &list[p.Stream]
		s.start = min(s.start, seconds(p.PTS))
		s.end = max(s.end, seconds(p.PTS)+seconds(p.Duration))
	}
	return list
}
