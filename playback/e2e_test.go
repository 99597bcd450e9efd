//go:build e2e

package playback

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/org/mtx/record"
)

// These tests need ffmpeg, Chromium, node and npm.

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s\n%s", name, strings.Join(args, " "), err, stderr.String(), out)
	}
	if name == "ffmpeg" && stderr.Len() > 0 {
		t.Errorf("%s %s complains:\n%s", name, strings.Join(args, " "), stderr.String())
	}
	return string(out)
}

// forPlayers makes a file of ffmpeg one that can be cut into byte ranges: one
// without edit lists.
func forPlayers(t *testing.T, name string) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, bytes.ReplaceAll(b, []byte("edts"), []byte("free")), 0o600); err != nil {
		t.Fatal(err)
	}
}

// counted is a stream whose pictures are as bright as their number tells. It is
// stored in segments of a duration, in seconds.
func counted(t *testing.T, g *rig, path string, f record.Format, bframes string, from, seconds int) {
	t.Helper()
	source := fmt.Sprintf("nullsrc=size=64x48:rate=30,geq=lum='20+2*mod(N+%d,100)':cb=128:cr=128", from*30)
	name := g.pattern.Name(path, filmStart.Add(time.Duration(from)*time.Second))
	if err := os.MkdirAll(filepath.Dir(name), 0o750); err != nil {
		t.Fatal(err)
	}
	args := []string{"-y", "-loglevel", "error", "-f", "lavfi", "-i", source, "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000",
		"-t", fmt.Sprint(seconds), "-c:v", "libx264", "-qp", "4", "-g", "60", "-keyint_min", "60", "-sc_threshold", "0", "-bf", bframes,
		"-pix_fmt", "yuv420p", "-c:a", "aac", "-b:a", "64k"}
	if f == record.FMP4 {
		args = append(args, "-f", "mp4", "-movflags", "frag_keyframe+delay_moov+default_base_moof", "-frag_duration", "1000000", name)
	} else {
		args = append(args, "-f", "mpegts", name)
	}
	run(t, "ffmpeg", args...)
}

// numbers decodes a video and reads the numbers of its pictures.
func numbers(t *testing.T, u string, args ...string) (out []int) {
	t.Helper()
	input := append([]string{"-nostdin", "-loglevel", "error"}, args...)
	filter := []string{"-map", "0:v"}
	if i := slices.Index(input, "-filter_complex"); i >= 0 {
		input, filter = slices.Clone(input[:i]), input[i:]
	}
	input = append(append(input, "-i", u), filter...)
	raw := run(t, "ffmpeg", append(input, "-fps_mode", "passthrough", "-enc_time_base", "-1", "-f", "rawvideo", "-pix_fmt", "gray", "-")...)
	const size = 64 * 48
	for i := 0; i+size <= len(raw); i += size {
		sum := 0
		for _, b := range []byte(raw[i : i+size]) {
			sum += int(b)
		}
		// gray has the full range, the picture the limited one
		luma := float64(sum)/size*219/255 + 16
		out = append(out, int(math.Round((luma-20)/2)))
	}
	return out
}

func TestFFmpegSeesTheRightPictures(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		format  record.Format
		bframes string
		bytes   bool
	}{{record.FMP4, "0", false}, {record.FMP4, "2", false}, {record.FMP4, "0", true}, {record.FMP4, "2", true}, {record.MPEGTS, "0", false}} {
		t.Run(fmt.Sprintf("%s, %s B-frames, byte ranges %v", c.format, c.bframes, c.bytes), func(t *testing.T) {
			t.Parallel()
			p := pattern(t, t.TempDir(), c.format)
			g := newRig(t, Server{Recordings: []Recording{{Name: "cam", Pattern: p}}}, nil)
			g.pattern = p
			counted(t, g, "cam", c.format, c.bframes, 0, 6)
			counted(t, g, "cam", c.format, c.bframes, 6, 6)
			if c.bytes {
				forPlayers(t, p.Name("cam", filmStart))
				forPlayers(t, p.Name("cam", filmStart.Add(6*time.Second)))
			}
			lead := 0 // pictures that the first one is shown later: without edit lists, as many as are reordered
			if c.bytes && c.bframes != "0" {
				lead = 2
			}
			for _, frame := range []int{0, 1, 47, 60, 100, 173, 185} {
				start := filmStart.Add(time.Duration(frame+lead) * time.Second / 30)
				for _, format := range []string{"fmp4", "mp4"} {
					var visible []string
					if format == "fmp4" { // ffmpeg knows edit lists of plain files only
						visible = []string{"-copyts", "-filter_complex", "[0:v]select=gte(t\\,0)"}
					}
					got := numbers(t, g.url+part("cam", start, 2*time.Second, format), visible...)
					if len(got) == 0 {
						t.Errorf("%s from %d: no pictures", format, frame)
						continue
					}
					for i, n := range got[:min(len(got), 60)] { // one more may be decoded before it is shown
						if n != (frame+i)%100 {
							t.Errorf("%s from %d: picture %d is number %d: %v", format, frame, i, n, got)
							break
						}
					}
					if len(got) < 60 || len(got) > 61 || len(got) != 60 && (c.bframes == "0" || format == "mp4") {
						t.Errorf("%s from %d: %d pictures, want 60", format, frame, len(got))
					}
				}
			}
			if c.format == record.FMP4 {
				// seeking is for browsers: this ffmpeg reads nothing after a seek in any HLS
				// of fragmented MP4, be it its own
				if list := g.playlist("/vod/cam/index.m3u8"); (list.ranges[0] != "") != c.bytes || len(list.urls) != 4 {
					t.Errorf("byte ranges, want %v:\n%s", c.bytes, list.text)
				}
				steady(t, g.url+"/vod/cam/index.m3u8", 12)
				got := numbers(t, g.url+"/vod/cam/index.m3u8")
				if len(got) != 360 {
					t.Errorf("HLS: %d pictures, want 360", len(got))
				}
				for i, n := range got {
					if n != i%100 {
						t.Errorf("HLS: picture %d is number %d", i, n)
						break
					}
				}
			}
		})
	}
}

// steady verifies that the decoding times of all packets rise, and that every
// picture is there.
func steady(t *testing.T, u string, seconds int) {
	t.Helper()
	out := run(t, "ffmpeg", "-nostdin", "-loglevel", "error", "-i", u, "-map", "0", "-c", "copy", "-f", "framecrc", "-")
	last, count := map[string]int{}, map[string]int{}
	for line := range strings.Lines(out) {
		var stream string
		var dts int
		f := strings.Split(line, ",")
		if strings.HasPrefix(line, "#") || len(f) < 2 {
			continue
		}
		stream = strings.TrimSpace(f[0])
		if _, err := fmt.Sscan(f[1], &dts); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if n, ok := last[stream]; ok && dts <= n && stream == "0" { // ffmpeg makes a frame of audio too many
			t.Errorf("%s: stream %s goes back from %d to %d", u, stream, n, dts)
		}
		last[stream] = dts
		count[stream]++
	}
	if n := count["0"]; n != seconds*30 {
		t.Errorf("%s: %d pictures, want %d", u, n, seconds*30)
	}
}
