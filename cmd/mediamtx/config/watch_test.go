package config

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// startWatch watches a file and returns where calls arrive.
func startWatch(t *testing.T, file string, interval time.Duration) <-chan time.Time {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	calls := make(chan time.Time, 100)
	done := make(chan error, 1)
	go func() {
		done <- watch(ctx, file, slog.New(slog.DiscardHandler), func() { calls <- time.Now() }, interval)
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Watch: %v", err)
		}
	})
	expectCall(t, calls, "the beginning")
	return calls
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func expectCall(t *testing.T, calls <-chan time.Time, what string) time.Time {
	t.Helper()
	select {
	case at := <-calls:
		return at
	case <-time.After(10 * time.Second):
		t.Fatalf("no call after %s", what)
		return time.Time{}
	}
}

func TestWatchRewriteAndRename(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "mediamtx.yml")
	write(t, file, "a")
	calls := startWatch(t, file, time.Millisecond)

	write(t, file, "rewritten in place")
	expectCall(t, calls, "a rewrite")

	for _, text := range []string{"first replacement", "second replacement"} {
		write(t, file+".tmp", text)
		if err := os.Rename(file+".tmp", file); err != nil {
			t.Fatal(err)
		}
		expectCall(t, calls, "a rename")
	}

	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	write(t, file, "created again")
	expectCall(t, calls, "a removal and a new file")

	// A change of another file is none of ours; the next call is that of ours.
	write(t, filepath.Join(dir, "other.yml"), "x")
	select {
	case <-calls:
		t.Error("called for another file")
	case <-time.After(4 * settleTime):
	}
}

// Kubernetes mounts a file as link -> ..data/file, ..data -> ..1, and replaces
// ..data.
func TestWatchSymlinks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	link := func(to, name string) {
		t.Helper()
		tmp := filepath.Join(dir, "tmp")
		if err := os.Symlink(to, tmp); err != nil {
			t.Skipf("symbolic links cannot be made here: %v", err)
		}
		if err := os.Rename(tmp, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, v := range []string{"..1", "..2", "..3"} {
		if err := os.Mkdir(filepath.Join(dir, v), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, v, "mediamtx.yml"), v)
	}
	link("..1", "..data")
	link(filepath.Join("..data", "mediamtx.yml"), "mediamtx.yml")
	calls := startWatch(t, filepath.Join(dir, "mediamtx.yml"), time.Millisecond)
	for _, v := range []string{"..2", "..3"} {
		link(v, "..data")
		expectCall(t, calls, "a move of the link to "+v)
	}
	write(t, filepath.Join(dir, "..3", "mediamtx.yml"), "written behind the link")
	expectCall(t, calls, "a rewrite behind the link")
}

func TestWatchJoinsChanges(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "mediamtx.yml")
	write(t, file, "a")
	const interval = 400 * time.Millisecond
	calls := startWatch(t, file, interval)
	write(t, file, "one")
	first := expectCall(t, calls, "a change")
	for i := range 20 {
		write(t, file, "two"+string(rune('a'+i)))
	}
	second := expectCall(t, calls, "more changes")
	if d := second.Sub(first); d < interval-50*time.Millisecond {
		t.Errorf("two calls within %v", d)
	}
	select {
	case <-calls:
		t.Error("called more than once for changes made at once")
	case <-time.After(2 * interval):
	}
}

func TestWatchMissingFolder(t *testing.T) {
	t.Parallel()
	err := Watch(t.Context(), filepath.Join(t.TempDir(), "none", "x.yml"), slog.New(slog.DiscardHandler), func() {})
	if err == nil {
		t.Error("a folder that does not exist was watched")
	}
}
