package record

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/org/mtx/router/routertest"
)

// diary is a store that notes what happens to its files.
type diary struct {
	Local

	mu   sync.Mutex
	note []string
}

func (d *diary) add(what string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.note = append(d.note, what)
}

func (d *diary) Create(name string) (File, error) {
	f, err := d.Local.Create(name)
	if err != nil {
		return nil, err
	}
	d.add("create")
	return &diaryFile{File: f, d: d}, nil
}

type diaryFile struct {
	File

	d *diary
}

func (f *diaryFile) Write(p []byte) (int, error) {
	f.d.add("write")
	return f.File.Write(p)
}

func (f *diaryFile) Sync() error {
	err := f.File.Sync()
	f.d.add("sync")
	return err
}

func (f *diaryFile) Publish() error {
	f.d.add("publish")
	return f.File.Publish()
}

func (f *diaryFile) Close() error {
	f.d.add("close")
	return f.File.Close()
}

// A loss of power costs the part that is being written: each one is safe before
// the next one begins, and a file has no name before its first one is.
func TestEachPartIsSafe(t *testing.T) {
	t.Parallel()
	for _, format := range []Format{FMP4, MPEGTS} {
		d := &diary{}
		st := newStudio(t, Sink{Format: format, SegmentDuration: 2 * time.Second, Store: d}, avTracks())
		st.play(0, 4*time.Second)
		st.stop()
		segment := []string{"create", "write", "sync", "publish", "write", "sync", "close"}
		// a segment of MPEG-TS may begin with what came in front of its key frame
		if want := slices.Concat(segment, segment); !slices.Equal(merged(d.note), want) {
			t.Errorf("%s: %v", format, d.note)
		}
	}
}

// merged counts chunks of a part that are written one after another once.
func merged(notes []string) []string {
	return slices.CompactFunc(slices.Clone(notes), func(a, b string) bool { return a == "write" && b == "write" })
}

// Somebody removes the file that is being written, and its folder: the next one
// begins soon.
func TestRemovedWhileWritten(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("files that are open cannot be removed on Windows")
	}
	var log logged
	st := newStudio(t, Sink{PartDuration: 200 * time.Millisecond}, avTracks(), log.logger())
	st.play(0, 2*time.Second)
	st.settle(func(s Stats) bool { return s.Parts >= 9 })
	list := st.segments()
	if len(list) != 1 {
		t.Fatalf("%d segments", len(list))
	}
	if err := os.RemoveAll(filepath.Dir(list[0].Name)); err != nil {
		t.Fatal(err)
	}
	st.play(2*time.Second, time.Second)
	st.settle(func(s Stats) bool { return s.DroppedParts > 0 && s.OpenSegments == 0 })
	st.play(3*time.Second, 3*time.Second)
	after := st.stop()
	if len(after) != 1 || after[0].Start.Sub(epoch) > 3*time.Second+time.Millisecond {
		t.Fatalf("segments %+v", after)
	}
	parseFile(t, after[0].Name)
	if log.count("the file was removed") != 1 || log.count("recording goes on") != 1 {
		t.Errorf("log: %s", log.buf.String())
	}
}

// The cleaner deletes segments and nothing else, wherever names and links lead.
func TestCleanerLeavesOtherThings(t *testing.T) {
	t.Parallel()
	dir, outside := t.TempDir(), t.TempDir()
	p := mustPattern(t, filepath.Join(dir, "%path", "%s"), FMP4)
	at := func(n int64) string { return p.Name("cam", time.Unix(n, 0)) }
	writeFile(t, Local{}, at(1), "old")
	notes := filepath.Join(dir, "cam", "notes.txt")
	writeFile(t, Local{}, notes, "not a segment")
	secret := filepath.Join(outside, "5.mp4")
	writeFile(t, Local{}, secret, "looks like a segment, but is elsewhere")
	makeFIFO(t, at(2))
	if err := os.Mkdir(at(3), 0o700); err != nil {
		t.Fatal(err)
	}
	links := errors.Join(os.Symlink(secret, at(4)), os.Symlink(outside, filepath.Join(dir, "linked")))
	if links != nil {
		t.Log("no symbolic links here:", links)
	}
	c := &Cleaner{Policies: []Policy{{Path: "all_others", Pattern: p.String(), DeleteAfter: time.Second, MaxSize: 1}}, MaxSize: 1}
	done := make(chan error, 1)
	go func() { done <- c.Clean(t.Context(), time.Now().Add(time.Hour), (&logged{}).logger()) }()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the cleaner hangs")
	}
	if _, err := os.Lstat(at(1)); err == nil {
		t.Error("the segment is still there")
	}
	left := []string{notes, secret, at(3)}
	if links == nil {
		left = append(left, at(4), filepath.Join(dir, "linked"))
	}
	for _, name := range left {
		if _, err := os.Lstat(name); err != nil {
			t.Error(err)
		}
	}
}

// void is a store that keeps nothing.
type void struct{ Local }

func (*void) Create(string) (File, error) { return voidFile{io.Discard}, nil }

type voidFile struct{ io.Writer }

func (voidFile) Sync() error          { return nil }
func (voidFile) Publish() error       { return nil }
func (voidFile) Truncate(int64) error { return nil }
func (voidFile) Close() error         { return nil }

// heap returns what is in use.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // pools give up what they hold in two steps
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// lengthen records streams from one time to another, in a segment that goes on, and
// returns when the recorder has followed.
func lengthen(t testing.TB, st *studio, from, to time.Duration) {
	t.Helper()
	for at := from; at < to; {
		d := min(10*time.Second, to-at)
		st.play(at, d)
		at += d
		routertest.Eventually(t, "the parts are written", func() bool {
			return st.sink.State.Stats().Parts >= uint64(at/DefaultPartDuration)-2
		})
	}
}

// BenchmarkLength records a stream of one minute, one hour and ten hours, in one
// segment: what is in memory then, beside what was before, does not depend on it.
func BenchmarkLength(b *testing.B) {
	for _, f := range []Format{FMP4, MPEGTS} {
		for _, d := range []time.Duration{time.Minute, time.Hour, 10 * time.Hour} {
			b.Run(fmt.Sprint(f, " ", strings.TrimSuffix(d.String(), "0s")), func(b *testing.B) {
				for range b.N {
					st := newStudio(b, Sink{Format: f, Pattern: "x/%path/%s", SegmentDuration: 100 * time.Hour, Store: &void{}}, avTracks())
					before := heap()
					lengthen(b, st, 0, d)
					b.ReportMetric(float64(heap()-before)/1024, "KB")
					if s := st.sink.State.Stats(); s.Segments != 1 || s.DroppedParts+s.DroppedUnits > 0 {
						b.Errorf("stats %+v", s)
					}
				}
			})
		}
	}
}

// What a recorder holds in memory does not grow with the length of a segment.
func TestLengthNeedsNoMemory(t *testing.T) {
	for _, f := range []Format{FMP4, MPEGTS} {
		t.Run(string(f), func(t *testing.T) {
			st := newStudio(t, Sink{Format: f, Pattern: "x/%path/%s", SegmentDuration: time.Hour, Store: &void{}}, avTracks())
			lengthen(t, st, 0, time.Minute)
			before, written := heap(), st.sink.State.Stats().Bytes
			lengthen(t, st, time.Minute, 41*time.Minute)
			written = st.sink.State.Stats().Bytes - written
			// units and parts may be on their way at both times
			if grown := heap() - before; grown > 1<<20 || written < 8<<20 {
				t.Errorf("%d bytes more after %d bytes were written", grown, written)
			}
		})
	}
}
