//go:build e2e

package rpicam

import (
	"bytes"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/org/mtx/router/media"
)

// Real video, encoded by FFmpeg in the place of the camera: every picture
// arrives, can be decoded, and has its time.
func TestE2EVideo(t *testing.T) {
	t.Parallel()
	const pictures = 90
	for _, c := range []struct {
		name    string
		src     func(*Source)
		encoder encoder
		format  string // of what arrives, for ffmpeg
		exact   bool   // time stamps
	}{
		{"hardware h264", func(s *Source) { s.Codec = CodecAuto }, encoderHardware, "h264", true},
		{"software h264", func(s *Source) { s.Codec = CodecAuto }, encoderSoftware, "h264", false},
		{"mjpeg", func(s *Source) { s.Codec = CodecMJPEG }, encoderSoftware, "mjpeg", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := behaving(t, "ffmpeg")
			s.Width, s.Height, s.FPS, s.IDRPeriod, s.Bitrate = 640, 360, 30, 15, 1_000_000
			c.src(&s)
			r, _ := pull(t, machine{s, c.encoder})
			units, _ := receive(t, r, pictures)
			for i, u := range units[1:] {
				step := u.PTS - units[i].PTS
				if c.exact && (step < 2990 || step > 3010) || step <= 0 {
					t.Errorf("picture %d comes %d ticks after the one before", i+1, step)
				}
			}
			if d := units[pictures-1].PTS - units[0].PTS; d < 2*90000 || d > 4*90000 {
				t.Errorf("%d pictures took %d ticks", pictures, d)
			}
			if got := decode(t, c.format, units); got != fmt.Sprintf("640x360 %d", pictures) {
				t.Errorf("what was decoded: %s", got)
			}
		})
	}
}

// decode returns the size and the number of the pictures that FFmpeg decodes
// without an error.
func decode(t *testing.T, format string, units []*media.Unit) string {
	t.Helper()
	var stream bytes.Buffer
	for _, u := range units {
		for _, p := range u.Payload {
			if format == "h264" {
				stream.Write(code)
			}
			stream.Write(p)
		}
	}
	cmd := exec.Command("ffprobe", "-v", "error", "-f", format, "-count_frames", "-show_entries", "stream=width,height,nb_read_frames",
		"-of", "csv=p=0:s=x", "-")
	cmd.Stdin = &stream
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil || errs.Len() > 0 {
		t.Fatalf("ffprobe: %v\n%s", err, &errs)
	}
	f := strings.Split(strings.TrimSpace(string(out)), "x")
	if len(f) != 3 {
		t.Fatalf("ffprobe: %s", out)
	}
	return f[0] + "x" + f[1] + " " + f[2]
}
