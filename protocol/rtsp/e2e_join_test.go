//go:build e2e

package rtsp_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/org/mtx/protocol/internal/e2e"
	"github.com/org/mtx/protocol/rtsp"
)

// joinCases are codecs and what FFmpeg says before the first key frame, which is
// nothing, but for the picture of H264 that it needs to find the times of the
// reordered ones.
var joinCases = []struct{ name, encode, says string }{
	{"H264", "-c:v libx264 -preset ultrafast -bf 0 -sc_threshold 0", ""},
	{"H264 reordered", "-c:v libx264 -preset ultrafast -bf 2 -b_strategy 0 -sc_threshold 0", "eference picture missing|issing reference picture|co located POCs unavailable"},
	{"H265", "-c:v libx265 -preset ultrafast -x265-params min-keyint=25:scenecut=0:bframes=2:open-gop=0:log-level=none", ""},
	{"VP8", "-c:v libvpx -deadline realtime -cpu-used 8 -keyint_min 75", ""},
	{"VP9", "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -keyint_min 75", ""},
}

// Who joins in the middle of a group of pictures sees the next key frame first, and
// nothing damaged.
func TestE2EJoin(t *testing.T) {
	t.Parallel()
	e2e.Needs(t, "ffmpeg")
	const gop = 3 * pictureRate
	for _, c := range joinCases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			file := encodedFile(t, picturesInput, slices.Concat(strings.Fields(c.encode), []string{"-g", itoa(gop), "-pix_fmt", "yuv420p"})...)
			source := decodeFile(t, file)
			s := serve(t, &rtsp.Server{})
			s.publishFile(t, file, "cam", "tcp")
			videoOf(t, s.startVideo(t, "cam", "-rtsp_transport", "tcp")) // the others come late
			var readers []*e2e.Program
			for _, out := range unicast {
				readers = append(readers, s.startVideo(t, "cam", "-rtsp_transport", out))
			}
			for i, out := range unicast {
				got := videoOf(t, readers[i])
				if at := source.index(got[0].hash); at <= 0 || at%gop != 0 {
					t.Errorf("%s: the first picture is number %d, which is no key frame", out, at)
				}
				if good := checkPictures(t, source, got); good != len(got) {
					t.Errorf("%s: %d of %d pictures are right", out, good, len(got))
				}
				checkDecoder(t, out, readers[i], c.says)
			}
		})
	}
}

// checkDecoder fails if a decoder complains, but for what is expected.
func checkDecoder(t *testing.T, who string, p *e2e.Program, expected string) {
	t.Helper()
	for line := range strings.Lines(p.Stderr.String()) {
		decoder := false
		for _, name := range []string{"[h264 ", "[hevc ", "[vp8 ", "[vp9 ", "[libvpx"} {
			decoder = decoder || strings.HasPrefix(line, name)
		}
		known := expected != "" && slices.ContainsFunc(strings.Split(expected, "|"), func(s string) bool { return strings.Contains(line, s) })
		if decoder && !known {
			t.Errorf("%s: FFmpeg says %q", who, strings.TrimSpace(line))
		}
	}
}

// What FFmpeg reads, with reordered pictures, it can write to any container.
func TestE2EJoinCopy(t *testing.T) {
	t.Parallel()
	e2e.Needs(t, "ffmpeg")
	for _, c := range joinCases[1:3] {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			file := encodedFile(t, picturesInput, slices.Concat(strings.Fields(c.encode), []string{"-g", "25", "-pix_fmt", "yuv420p"})...)
			s := serve(t, &rtsp.Server{})
			s.publishFile(t, file, "cam", "tcp")
			var programs []*e2e.Program
			for _, ext := range []string{"ts", "mkv", "mp4"} {
				programs = append(programs, e2e.Launch(t, "ffmpeg", ffmpeg("-rtsp_transport", "tcp", "-i", s.url("cam"), "-t", "2", "-c", "copy",
					filepath.Join(t.TempDir(), "copy."+ext))...))
			}
			for _, p := range programs {
				p.Wait(t)
			}
		})
	}
}
