package record

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func writeFile(t testing.TB, s Store, name, content string) {
	t.Helper()
	f, err := s.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Sync(), f.Publish(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := mustPattern(t, filepath.Join(dir, "%path", "%Y-%m-%d_%H-%M-%S-%f"), FMP4)
	at := func(sec int) time.Time { return time.Date(2024, 1, 1, 12, 0, sec, 5000, time.Local) }
	for _, e := range []struct {
		path string
		sec  int
	}{{"cam", 30}, {"cam", 10}, {"cam/sub", 5}, {"cam", 20}, {"other", 1}} {
		writeFile(t, Local{}, p.Name(e.path, at(e.sec)), "data")
	}
	writeFile(t, Local{}, filepath.Join(dir, "cam", "notes.mp4"), "")
	if err := os.Symlink(p.Name("cam", at(10)), p.Name("cam", at(11))); err != nil {
		t.Log("no symbolic links here:", err)
	}
	if err := os.Mkdir(p.Name("cam", at(12)), 0o700); err != nil {
		t.Fatal(err)
	}
	makeFIFO(t, p.Name("cam", at(13)))

	list, err := Find(t.Context(), nil, p, "cam")
	if err != nil {
		t.Fatal(err)
	}
	var got []int
	for _, g := range list {
		got = append(got, g.Start.Second())
		if g.Path != "cam" || g.Size != 4 || g.Format != FMP4 || g.Modified.IsZero() || g.Start.Nanosecond() != 5000 {
			t.Errorf("segment %+v", g)
		}
	}
	if !slices.Equal(got, []int{10, 20, 30}) {
		t.Errorf("segments %v", got)
	}
	paths, err := Paths(t.Context(), nil, []Pattern{p, p, mustPattern(t, p.String(), MPEGTS)})
	if err != nil || !slices.Equal(paths, []string{"cam", "cam/sub", "other"}) {
		t.Errorf("paths %v, %v", paths, err)
	}
	if list, err := Find(t.Context(), nil, p, "never"); err != nil || len(list) != 0 {
		t.Errorf("a path that was never recorded: %v, %v", list, err)
	}
	if _, err := Find(t.Context(), nil, p, "../x"); err == nil {
		t.Error("a path outside")
	}
	if err := Delete(t.Context(), nil, p, "cam", at(20)); err != nil {
		t.Error(err)
	}
	if err := Delete(t.Context(), nil, p, "cam", at(20)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the second deletion: %v", err)
	}
}

// A pattern that leads nowhere does not hide the recordings of the others.
func TestPathsWhereOnePatternFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	good := mustPattern(t, filepath.Join(dir, "%path", "%s"), FMP4)
	writeFile(t, Local{}, good.Name("a", time.Unix(1, 0)), "")
	file := filepath.Join(dir, "file")
	writeFile(t, Local{}, file, "")
	bad := mustPattern(t, filepath.Join(file, "%path", "%s"), FMP4)
	if paths, err := Paths(t.Context(), nil, []Pattern{bad, good}); err != nil || !slices.Equal(paths, []string{"a"}) {
		t.Errorf("paths %v, %v", paths, err)
	}
	if paths, err := Paths(t.Context(), nil, []Pattern{bad}); err == nil {
		t.Errorf("the only one: paths %v", paths)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if paths, err := Paths(ctx, nil, []Pattern{good}); err == nil {
		t.Errorf("nobody waits: paths %v", paths)
	}
}

func TestFindWithoutPermission(t *testing.T) {
	t.Parallel()
	if os.Getuid() == 0 {
		t.Skip("root may read everything")
	}
	dir := t.TempDir()
	p := mustPattern(t, filepath.Join(dir, "%path", "%s"), FMP4)
	writeFile(t, Local{}, p.Name("a", time.Unix(1, 0)), "")
	writeFile(t, Local{}, p.Name("b", time.Unix(1, 0)), "")
	closed := filepath.Join(dir, "a")
	if err := os.Chmod(closed, 0); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.Chmod(closed, 0o700) }()
	if paths, err := Paths(t.Context(), nil, []Pattern{p}); err != nil || !slices.Equal(paths, []string{"b"}) {
		t.Errorf("paths %v, %v", paths, err)
	}
	if _, err := Find(t.Context(), nil, p, "a"); err == nil {
		t.Error("a folder without permission is empty")
	}
}

func TestLocal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := Local{}
	name := filepath.Join(dir, "a", "b", "c.mp4")
	writeFile(t, s, name, "12345")
	if _, err := s.Create(name); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a file is overwritten: %v", err)
	}
	f, err := s.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := f.Stat(); err != nil || info.Size() != 5 {
		t.Errorf("%v, %v", info, err)
	}
	_ = f.Close()
	fifo := filepath.Join(dir, "a", "fifo")
	makeFIFO(t, fifo)
	for _, bad := range []string{fifo, filepath.Join(dir, "a"), filepath.Join(dir, "none"), os.DevNull} {
		if f, err := s.Open(bad); err == nil {
			_ = f.Close()
			t.Errorf("%s was opened", bad)
		}
	}
	_ = os.Remove(fifo)
	if err := s.Remove(dir, name); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "a")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("empty folders stay")
	}
	if _, err := os.Stat(dir); err != nil {
		t.Error("the root is gone")
	}
	if err := s.Remove(dir, name); err != nil {
		t.Errorf("removed twice: %v", err)
	}
	if n, err := s.Free(filepath.Join(dir, "not", "yet")); err != nil || n == 0 {
		t.Errorf("free space: %d, %v", n, err)
	}
}

func TestTruncatedFileGoesOn(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "f")
	f, err := Local{}.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	_, err1 := f.Write([]byte("12345"))
	if _, err := os.Stat(name); err == nil {
		t.Error("a file is seen before it is published")
	}
	err2 := errors.Join(f.Publish(), f.Truncate(2))
	_, err3 := f.Write([]byte("x"))
	if err := errors.Join(err1, err2, err3, f.Close()); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(name); string(b) != "12x" {
		t.Errorf("%q, %v", b, err)
	}
}
