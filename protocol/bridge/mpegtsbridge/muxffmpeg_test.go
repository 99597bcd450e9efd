//go:build e2e

package mpegtsbridge

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// remux takes a stream of ffmpeg apart, puts it together again, and lets ffprobe
// read the result.
func TestMuxerWithFFprobe(t *testing.T) {
	t.Parallel()
	for _, ca := range []struct {
		name string
		args string
		want []string // codecs
	}{
		{"h264 with B-frames and aac", "-c:v libx264 -bf 3 -g 25 -c:a aac", []string{"h264", "aac"}},
		{"interlaced h264 with B-frames", "-c:v libx264 -bf 2 -g 25 -flags +ilme+ildct -c:a aac", []string{"h264", "aac"}},
		{"h264 without B-frames", "-c:v libx264 -bf 0 -c:a libopus", []string{"h264", "opus"}},
		{"h265 with B-frames", "-c:v libx265 -x265-params log-level=none:bframes=4:b-pyramid=1:keyint=25 -c:a ac3", []string{"hevc", "ac3"}},
		{"mpeg-2 video with B-frames", "-c:v mpeg2video -bf 2 -g 12 -c:a mp2", []string{"mpeg2video", "mp2"}},
		{"mpeg-1 video", "-c:v mpeg1video -c:a libmp3lame", []string{"mpeg1video", "mp3"}},
		{"mpeg-4 video with B-frames", "-c:v mpeg4 -bf 2 -g 12 -c:a aac", []string{"mpeg4", "aac"}},
	} {
		t.Run(ca.name, func(t *testing.T) {
			t.Parallel()
			args := "-hide_banner -loglevel error -f lavfi -i testsrc2=size=320x240:rate=25 -f lavfi -i sine=sample_rate=48000 -pix_fmt yuv420p -t 3 "
			stream, err := exec.Command("ffmpeg", strings.Fields(args+ca.args+" -f mpegts -")...).Output()
			if err != nil {
				t.Fatal(err)
			}
			out, frames := remux(t, stream)
			file := filepath.Join(t.TempDir(), "out.ts")
			if err := os.WriteFile(file, out, 0o600); err != nil {
				t.Fatal(err)
			}
			checkProbe(t, file, ca.want, frames)
		})
	}
}

func remux(t *testing.T, stream []byte) (out []byte, frames int) {
	t.Helper()
	got := demux(t, stream, 1316)
	m, err := NewMuxer(MuxerOptions{Tracks: got.tracks})
	if err != nil {
		t.Fatal(err)
	}
	next := make([]int, len(got.units))
	for {
		track := -1 // that with the earliest unit
		for i, n := range next {
			if n == len(got.units[i]) {
				continue
			}
			if track < 0 || seconds(got, i, n) < seconds(got, track, next[track]) {
				track = i
			}
		}
		if track < 0 {
			break
		}
		u := got.units[track][next[track]]
		u.RandomAccess = next[track] == 0
		next[track]++
		if out, _, err = m.Append(out, track, u); err != nil {
			t.Error(err)
		}
	}
	checkPackets(t, out)
	return out, len(got.units[0])
}

func seconds(c *capture, track, n int) float64 {
	return float64(c.units[track][n].PTS) / float64(c.tracks[track].Codec.ClockRate())
}

func checkProbe(t *testing.T, file string, codecs []string, frames int) {
	t.Helper()
	var info struct {
		Streams []struct {
			CodecName  string `json:"codec_name"`
			ReadFrames string `json:"nb_read_frames"`
		}
		Packets []struct {
			StreamIndex int `json:"stream_index"`
			PTS         int64
			DTS         int64
		}
	}
	b, err := exec.Command("ffprobe", "-v", "error", "-of", "json", "-count_frames", "-show_streams", "-show_packets", file).Output()
	if err == nil {
		err = json.Unmarshal(b, &info)
	}
	if err != nil {
		t.Fatal(err)
	}
	if len(info.Streams) != len(codecs) {
		t.Fatalf("%d streams", len(info.Streams))
	}
	for i, s := range info.Streams {
		if s.CodecName != codecs[i] {
			t.Errorf("stream %d is %s, want %s", i, s.CodecName, codecs[i])
		}
	}
	if n, _ := strconv.Atoi(info.Streams[0].ReadFrames); n < frames-3 {
		t.Errorf("%d of %d pictures can be decoded", n, frames)
	}
	last := map[int]int64{}
	for _, p := range info.Packets {
		if l, ok := last[p.StreamIndex]; ok && p.DTS <= l {
			t.Errorf("stream %d: DTS %d after %d", p.StreamIndex, p.DTS, l)
		}
		if p.DTS > p.PTS {
			t.Errorf("stream %d: DTS %d is later than PTS %d", p.StreamIndex, p.DTS, p.PTS)
		}
		last[p.StreamIndex] = p.DTS
	}
	if errs, _ := exec.Command("ffmpeg", "-v", "error", "-i", file, "-f", "null", "-").CombinedOutput(); len(errs) > 0 {
		t.Errorf("ffmpeg: %s", errs)
	}
}
