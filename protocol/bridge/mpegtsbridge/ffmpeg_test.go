package mpegtsbridge

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/org/mtx/router/media"
)

// Streams of another muxer, one second long.
func TestFFmpeg(t *testing.T) {
	t.Parallel()
	ffmpeg, err := exec.LookPath("ffmpeg")
	if err != nil {
		t.Skip("ffmpeg is not installed")
	}
	for _, ca := range []struct {
		name  string
		args  string
		want  []string // codecs
		units []int    // elements of payloads, or units of video
	}{
		{"h264 and aac", "-c:v libx264 -bf 2 -g 10 -c:a aac", []string{"H264", "MPEG-4 Audio"}, []int{25, 48}},
		{"h265 and ac-3", "-c:v libx265 -x265-params log-level=none -c:a ac3", []string{"H265", "AC3"}, []int{25, 32}},
		{"mpeg-2 video and mp2", "-c:v mpeg2video -c:a mp2", []string{"MPEG-1/2 Video", "MPEG-1/2 Audio"}, []int{25, 42}},
		{"mpeg-1 video and mp3", "-c:v mpeg1video -c:a libmp3lame", []string{"MPEG-1/2 Video", "MPEG-1/2 Audio"}, []int{25, 42}},
		{"mpeg-4 video and opus", "-c:v mpeg4 -c:a libopus", []string{"MPEG-4 Video", "Opus"}, []int{25, 51}},
		{"latm", "-an -vn -map 1:a -c:a aac -mpegts_flags latm", nil, nil},
	} {
		t.Run(ca.name, func(t *testing.T) {
			t.Parallel()
			args := "-hide_banner -loglevel error -f lavfi -i testsrc2=size=320x240:rate=25 -f lavfi -i sine=sample_rate=48000 -pix_fmt yuv420p -t 1 "
			if ca.want == nil {
				args = strings.Replace(args, "-f lavfi -i testsrc2=size=320x240:rate=25 -f lavfi -i sine", "-f lavfi -i sine", 1)
				ca.args = strings.Replace(ca.args, "-an -vn -map 1:a ", "", 1)
				ca.want, ca.units = []string{"MPEG-4 Audio"}, []int{48}
			}
			stream, err := exec.Command(ffmpeg, strings.Fields(args+ca.args+" -f mpegts -")...).Output()
			if err != nil {
				t.Fatal(err)
			}
			got := demux(t, stream, 1316)
			if len(got.tracks) != len(ca.want) {
				t.Fatalf("tracks: %v, damaged: %v", got.tracks, got.damaged)
			}
			for i, name := range ca.want {
				codec := got.tracks[i].Codec
				if codec.Name() != name {
					t.Errorf("track %d: %s, want %s", i, codec.Name(), name)
				}
				n := len(got.units[i])
				if codec.Kind() == media.Audio {
					n = 0
					for _, u := range got.units[i] {
						n += len(u.Payload)
					}
				}
				if n < ca.units[i]-2 || n > ca.units[i]+2 {
					t.Errorf("%s: %d, want %d", name, n, ca.units[i])
				}
				first, last := got.units[i][0].PTS, got.units[i][len(got.units[i])-1].PTS
				if d := media.Duration(last-first, codec.ClockRate()).Seconds(); d < 0.5 || d > 1.2 {
					t.Errorf("%s: from %d to %d: %v s", name, first, last, d)
				}
				if d := media.Duration(first, codec.ClockRate()).Seconds(); d < -0.3 || d > 0.3 {
					t.Errorf("%s starts at %v s", name, d)
				}
			}
			if len(got.damaged) != 0 {
				t.Errorf("damaged: %v", got.damaged)
			}
		})
	}
}
