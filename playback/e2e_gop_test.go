//go:build e2e

package playback

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/org/mtx/record"
	"github.com/org/mtx/router/media"
)

// Transport streams that follow each other play as one, though the groups of pictures of
// each refer to the file before.
func TestOpenGroupsGoOn(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"H264":   {"-c:v", "libx264", "-preset", "veryfast", "-g", "25", "-bf", "3", "-x264-params", "open-gop=1:b-adapt=0:repeat-headers=1"},
		"H265":   {"-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error:keyint=25:bframes=4:b-adapt=0"},
		"MPEG-2": {"-c:v", "mpeg2video", "-g", "12", "-bf", "2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			run(t, "ffmpeg", append(append([]string{"-loglevel", "error", "-f", "lavfi", "-i", "testsrc2=size=160x120:rate=25", "-t", "6"}, args...),
				"-f", "segment", "-segment_time", "2", "-segment_format", "mpegts", filepath.Join(dir, "%d.ts"))...)
			p := pattern(t, t.TempDir(), record.MPEGTS)
			g := newRig(t, Server{Recordings: []Recording{{Name: "cam", Pattern: p}}}, nil)
			files, err := filepath.Glob(filepath.Join(dir, "*.ts"))
			if err != nil || len(files) < 2 {
				t.Fatalf("%v, %v", files, err)
			}
			slices.Sort(files)
			var first int64
			for i, f := range files {
				b, err := os.ReadFile(f)
				if err != nil {
					t.Fatal(err)
				}
				s, err := readTransport(t.Context(), bytes.NewReader(b), int64(len(b)))
				if err != nil {
					t.Fatal(err)
				}
				if i == 0 {
					first = s.first
				}
				name := p.Name("cam", filmStart.Add(media.Duration(s.first-first, tsClock)))
				if err := os.MkdirAll(filepath.Dir(name), 0o750); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(name, b, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			list := g.playlist("/vod/cam/index.m3u8")
			if strings.Contains(list.text, "#EXT-X-DISCONTINUITY\n") {
				t.Errorf("playlist:\n%s", list.text)
			}
			if n := len(frameHashes(t, g.url+"/vod/cam/index.m3u8")); n != 150 {
				t.Errorf("%d pictures of 150", n)
			}
		})
	}
}
