package standby

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/mp4/codecs"

	"github.com/org/mtx/router/media"
)

// withEdits is a file of two tracks, of video with key frames every second and of audio,
// with these edit lists. A list of nothing stands for none.
func withEdits(t testing.TB, video, audio []byte) []byte {
	t.Helper()
	data := bytes.Clone(plain(t))
	for _, list := range [][]byte{video, audio} {
		// the list of each track is replaced: first in size, then all sizes around it
		i := bytes.Index(data, []byte("elst"))
		if list == nil {
			copy(data[i:], "free")
			continue
		}
		data = resize(data, i-4, append([]byte("elsT"), list...))
	}
	return bytes.ReplaceAll(data, []byte("elsT"), []byte("elst"))
}

// resize replaces the box at a position, and corrects the sizes of those around it, and
// the positions of media behind it.
func resize(data []byte, pos int, body []byte) []byte {
	old := int(data[pos])<<24 | int(data[pos+1])<<16 | int(data[pos+2])<<8 | int(data[pos+3])
	next := append(u32(uint32(len(body)+4)), body...)
	grown := len(next) - old
	out := append(append(bytes.Clone(data[:pos]), next...), data[pos+old:]...)
	add := func(at int) {
		v := int(out[at])<<24 | int(out[at+1])<<16 | int(out[at+2])<<8 | int(out[at+3])
		copy(out[at:], u32(uint32(v+grown)))
	}
	trak := 0
	for at := range pos {
		if bytes.HasPrefix(out[at:], []byte("trak")) {
			trak = at
		}
	}
	add(bytes.LastIndex(out[:pos], []byte("edts")) - 4)
	add(trak - 4)
	add(bytes.Index(out, []byte("moov")) - 4)
	mdat := bytes.Index(out, []byte("mdat"))
	for at := 0; ; at++ {
		i := bytes.Index(out[at:], []byte("stco"))
		if i < 0 || mdat < at+i {
			return out
		}
		at += i
		n := int(out[at+11])
		n |= int(out[at+10]) << 8
		for k := range n {
			add(at + 12 + 4*k)
		}
	}
}

// elst is the body of an edit list: duration in ms (the time scale of the movie),
// start in units of the track, speed.
func elst(list ...[3]int64) []byte {
	b := append(u32(0), u32(uint32(len(list)))...)
	for _, e := range list {
		b = append(b, u32(uint32(e[0]))...)
		b = append(b, u32(uint32(int32(e[1])))...)
		b = append(b, u32(uint32(e[2]))...)
	}
	return b
}

const normal = 1 << 16 // speed

func TestEdits(t *testing.T) {
	t.Parallel()
	// 50 pictures of 40 ms that begin 80 ms after their decoding time; 90 frames of audio of 21.3 ms
	for name, ca := range map[string]struct {
		video, audio   []byte
		pictures       int
		sounds         int
		video0, audio0 int64 // first time stamps
		period         time.Duration
	}{
		"none":            {nil, nil, 50, 90, 0, 0, 2 * time.Second},
		"of reordering":   {elst([3]int64{2000, 1024, normal}), nil, 50, 90, 0, 0, 2 * time.Second},
		"priming":         {nil, elst([3]int64{0, 1024, normal}), 50, 89, 0, 0, 2 * time.Second},
		"part of a frame": {nil, elst([3]int64{0, 1536, normal}), 50, 89, 960, 0, 2 * time.Second},
		"end of audio":    {nil, elst([3]int64{1000, 0, normal}), 50, 47, 0, 0, 2 * time.Second},
		"pause":           {nil, elst([3]int64{500, -1, normal}, [3]int64{1000, 0, normal}), 50, 47, 0, 24000, 2 * time.Second},
		"key frame":       {elst([3]int64{0, 12800 + 1024, normal}), elst([3]int64{0, 48000, normal}), 25, 44, 1680, 0, time.Second},
		// the second second, but for its first picture: it is shown, 40 ms early, and audio begins later
		"within a group": {elst([3]int64{0, 12800 + 1024 + 512, normal}), elst([3]int64{0, 49920, normal}), 25, 42, 0, 1152, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := parse(withEdits(t, ca.video, ca.audio))
			if err != nil {
				t.Fatal(err)
			}
			v, a := s.tracks[0].samples, s.tracks[1].samples
			if len(v) != ca.pictures || len(a) != ca.sounds {
				t.Errorf("%d pictures and %d sounds, want %d and %d", len(v), len(a), ca.pictures, ca.sounds)
			}
			if v[0].pts != ca.video0 || a[0].pts != ca.audio0 {
				t.Errorf("video begins at %d and audio at %d, want %d and %d", v[0].pts, a[0].pts, ca.video0, ca.audio0)
			}
			if (s.period - ca.period).Abs() > time.Millisecond {
				t.Errorf("period %v, want %v", s.period, ca.period)
			}
		})
	}
}

// A file that was cut in the order of decoding: the next round begins after the last picture.
func TestPeriodCoversTheLastPicture(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		shown []int64 // in the order of decoding, in pictures
		want  int64
	}{
		"in order":       {[]int64{0, 1, 2, 3}, 4},
		"whole":          {[]int64{2, 5, 3, 4}, 4},
		"without two":    {[]int64{2, 5, 3, 4, 8}, 7},
		"far beyond":     {[]int64{0, 1, 2, 1000}, 4},
		"without a list": {[]int64{0, 3, 1, 2, 6}, 7},
	} {
		l := loader{scale: 25, codec: &media.H264{}}
		var list []timed
		for i, n := range c.shown {
			list = append(list, timed{dts: int64(i), pts: n, duration: 1, key: i == 0})
		}
		s, err := l.place(list, nil)
		if want := time.Duration(c.want) * 40 * time.Millisecond; err != nil || s.end-s.begin != want {
			t.Errorf("%s: %v to %v, %v, want %v", name, s.begin, s.end, err, want)
		}
	}
}

func TestEditsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		list []byte
		want string
	}{
		"two parts":      {elst([3]int64{100, 0, normal}, [3]int64{100, 1024, normal}), "track 1: H264: its edit list has more than a pause and one part at normal speed"},
		"three":          {elst([3]int64{100, -1, normal}, [3]int64{100, 0, normal}, [3]int64{100, 0, normal}), "track 1: H264: its edit list has more than"},
		"half the speed": {elst([3]int64{100, 0, normal / 2}), "track 1: H264: its edit list has more than"},
		"pause only":     {elst([3]int64{100, -1, normal}), "track 1: H264: its edit list has more than"},
		"negative":       {elst([3]int64{100, -5, normal}), "track 1: H264: its edit list has more than"},
		"long":           {elst([3]int64{math.MaxUint32, 0, normal}), "track 1: H264: its edit list is longer than a day"},
		"late":           {elst([3]int64{0, math.MaxInt32, normal}), "track 1: H264: its edit list is longer than a day"},
		"2^32 entries":   {append(u32(0), u32(math.MaxUint32)...), "track 1: H264: the file is truncated"},
	} {
		_, err := parse(withEdits(t, c.list, nil))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
	}
	late := presentation(t, &codecs.Opus{ChannelCount: 1}, 48000, 10, 960, []byte{0xf8, 0xff, 0xfe})
	i := bytes.Index(late, []byte("elst"))
	copy(late[i+4+8+4:], u32(48000))
	if _, err := parse(late); err == nil || !strings.Contains(err.Error(), "track 1: Opus: its edit list leaves nothing of it") {
		t.Errorf("got %v", err)
	}
}
