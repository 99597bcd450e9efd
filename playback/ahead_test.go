package playback

import (
	"bytes"
	"log/slog"
	"os"
	"reflect"
	"sync/atomic"
	"testing"
	"time"

	"github.com/org/mtx/record"
)

// slowFile is a disk that takes its time, but answers many at once.
type slowFile struct {
	*os.File

	delay     time.Duration
	now, most atomic.Int64 // reads at once
}

func (f *slowFile) ReadAt(p []byte, off int64) (int, error) {
	n := f.now.Add(1)
	defer f.now.Add(-1)
	for m := f.most.Load(); n > m && !f.most.CompareAndSwap(m, n); m = f.most.Load() {
	}
	time.Sleep(f.delay)
	return f.File.ReadAt(p, off)
}

// A slow disk is asked for many headers at once, and what is found is the same.
func TestReadingAhead(t *testing.T) {
	t.Parallel()
	p := pattern(t, t.TempDir(), record.FMP4)
	hour(t, p, "cam")
	lib := newLibrary(nil, slog.New(slog.DiscardHandler))
	found, _, err := lib.find(t.Context(), p, "cam", filmStart, time.Time{})
	if err != nil || len(found) != 1 {
		t.Fatalf("%d segments, %v", len(found), err)
	}
	f, err := os.Open(found[0].Name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	var indexes [2]*index
	for i, delay := range []time.Duration{0, 100 * time.Microsecond} {
		slow := &slowFile{File: f, delay: delay}
		if indexes[i], err = buildIndex(t.Context(), slow, found[0].Size); err != nil {
			t.Fatal(err)
		}
		if most := slow.most.Load(); delay > 0 && most < 3 {
			t.Errorf("%d reads at once", most)
		}
		if n := slow.now.Load(); n != 0 {
			t.Errorf("%d reads go on", n)
		}
	}
	if !reflect.DeepEqual(indexes[0], indexes[1]) || indexes[0].end < time.Hour {
		t.Errorf("the indexes differ, or end at %v", indexes[0].end)
	}
}

func TestFindFragment(t *testing.T) {
	t.Parallel()
	moof := []byte("\x00\x00\x00\x20moof\x00\x00\x00\x10mfhd")
	for _, at := range []int{0, 1, 1000, copySize - 20, copySize - 16, copySize - 9, copySize - 1, copySize, 3*copySize + 5} {
		b := bytes.Repeat([]byte("moof"), copySize)
		copy(b[at:], moof)
		if got := findFragment(t.Context(), bytes.NewReader(b), 0, int64(len(b))); got != int64(at) {
			t.Errorf("%d, want %d", got, at)
		}
		if got := findFragment(t.Context(), bytes.NewReader(b), int64(at)+1, int64(len(b))); got != -1 {
			t.Errorf("behind %d there is one at %d", at, got)
		}
	}
}
