//go:build e2e

package playback

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/org/mtx/record"
)

// Every codec of MPEG-TS is played to the last picture, as it is in the file.
func TestFFmpegSeesEveryCodec(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"H264":         {"-c:v", "libx264", "-preset", "veryfast", "-g", "25", "-bf", "3"},
		"H265":         {"-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error:keyint=25:bframes=3"},
		"MPEG-4 Video": {"-c:v", "mpeg4", "-g", "25"},
		"MPEG-2 Video": {"-c:v", "mpeg2video", "-g", "25", "-bf", "2"},
		"Opus":         {"-c:a", "libopus"},
		"AAC":          {"-c:a", "aac"},
		"AAC in LATM":  {"-c:a", "aac", "-mpegts_flags", "latm"},
		"MP3":          {"-c:a", "libmp3lame"},
		"AC-3":         {"-c:a", "ac3"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := pattern(t, t.TempDir(), record.MPEGTS)
			g := newRig(t, Server{Recordings: []Recording{{Name: "cam", Pattern: p}}}, nil)
			file := p.Name("cam", filmStart)
			if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
				t.Fatal(err)
			}
			in := "testsrc2=size=320x240:rate=25"
			if args[0] == "-c:a" {
				in = "sine=frequency=440:sample_rate=48000"
			}
			run(t, "ffmpeg", append(append([]string{"-loglevel", "error", "-f", "lavfi", "-i", in, "-t", "4"}, args...), "-f", "mpegts", file)...)
			want := frameHashes(t, file)
			if len(want) < 100 {
				t.Fatalf("%d frames in the file", len(want))
			}
			for _, format := range []string{"fmp4", "mp4"} {
				got := frameHashes(t, g.url+part("cam", filmStart, 10*time.Second, format))
				if len(got) != len(want) {
					t.Errorf("%s: %d frames, want %d", format, len(got), len(want))
					continue
				}
				for i := range got {
					if args[0] == "-c:v" && got[i] != want[i] {
						t.Errorf("%s: frame %d is %s, want %s", format, i, got[i], want[i])
						break
					}
				}
			}
		})
	}
}

// frameHashes decodes a file.
func frameHashes(t *testing.T, u string) (out []string) {
	t.Helper()
	for line := range strings.Lines(run(t, "ffmpeg", "-nostdin", "-loglevel", "error", "-i", u, "-map", "0", "-fps_mode", "passthrough", "-f", "framehash", "-hash", "md5", "-")) {
		if f := strings.Split(line, ","); !strings.HasPrefix(line, "#") && len(f) > 5 {
			out = append(out, strings.TrimSpace(f[len(f)-1]))
		}
	}
	return out
}
