//go:build e2e && linux

package record

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/org/mtx/router/media"
)

// After a crash every segment is decoded without a complaint, but for its last
// part.
func TestKilledRecordingsPlay(t *testing.T) {
	t.Parallel()
	needs(t, "ffmpeg", "ffprobe")
	file := filepath.Join(t.TempDir(), "in.ts")
	tool(t, "ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25", "-f", "lavfi", "-i", "sine=sample_rate=48000",
		"-c:v", "libx264", "-preset", "veryfast", "-g", "25", "-bf", "2", "-c:a", "aac", "-t", "5", "-f", "mpegts", file)
	seed := time.Now().UnixNano()
	rnd := rand.New(rand.NewPCG(uint64(seed), 0))
	t.Logf("seed %d", seed)
	for i := range 6 {
		list, _ := killRecorder(t, []Format{FMP4, MPEGTS}[i%2], file, rnd)
		if len(list) == 0 {
			t.Error("no segments")
		}
		for k, g := range list[max(0, len(list)-3):] {
			_, errs := tool(t, "ffmpeg", "-v", "error", "-i", g.Name, "-f", "null", "-")
			if errs != "" && k < min(len(list), 3)-1 {
				t.Errorf("ffmpeg says: %s", errs)
			}
			if s := probe(t, g.Name); len(s) != 2 || s[0].frames == 0 {
				t.Errorf("%s: %+v", g.Name, s)
			}
		}
	}
}

// A file system is full and gets space again.
func TestSmallFileSystem(t *testing.T) {
	t.Parallel()
	needs(t, "ffmpeg")
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skip("file systems cannot be mounted here:", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	var log logged
	st := newStudio(t, Sink{
		Pattern: filepath.Join(dir, "%path-%s-%f"), PartDuration: 200 * time.Millisecond, SegmentDuration: 2 * time.Second,
	}, []media.Track{{Codec: &media.H264{}}}, log.logger())
	n := 0
	second := func() {
		for range gop {
			st.write(0, picture(n, 5000))
			n++
		}
		time.Sleep(20 * time.Millisecond) // the disk has its own pace
	}
	for st.sink.State.Stats().DroppedParts == 0 {
		second()
	}
	for range 5 {
		second()
	}
	if free, err := (Local{}).Free(dir); err != nil || free > 300_000 {
		t.Errorf("%d bytes are free, %v", free, err)
	}
	for _, g := range st.segments()[:4] {
		if err := os.Remove(g.Name); err != nil {
			t.Fatal(err)
		}
	}
	written := st.sink.State.Stats().Parts
	for range 4 {
		second()
	}
	list := st.stop()
	if s := st.sink.State.Stats(); s.Parts < written+10 {
		t.Errorf("recording does not go on: %+v", s)
	}
	if c := log.count("parts are dropped"); c != 1 {
		t.Errorf("logged %d times", c)
	}
	for _, g := range list {
		parseFile(t, g.Name)
	}
}
