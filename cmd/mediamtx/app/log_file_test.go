package app

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// A file that was renamed gets what comes until it is noticed, and a new one of
// the old name the rest.
func TestLogFileIsRenamed(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "log")
	l, err := newLogger(nil, logOptions{Destinations: []string{"file"}, File: name})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	log := slog.New(l)
	log.Info("one")
	if err := os.Rename(name, name+".1"); err != nil {
		t.Fatal(err)
	}
	log.Info("two")
	l.mu.Lock()
	l.outputs[0].(*fileOutput).looked = time.Now().Add(-renamePeriod)
	l.mu.Unlock()
	log.Info("three")
	if old, now := read(t, name+".1"), read(t, name); strings.Count(old, "\n") != 2 || !strings.Contains(now, "three") {
		t.Errorf("%q %q", old, now)
	}
	// as long as there can be no new one, the old one is used
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(name, 0o700); err != nil {
		t.Fatal(err)
	}
	if l.Reopen() == nil {
		t.Error("a folder was opened as a file")
	}
	log.Info("four")
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if err := l.Reopen(); err != nil {
		t.Fatal(err)
	}
	log.Info("five")
	if s := read(t, name); strings.Contains(s, "four") || !strings.Contains(s, "five") {
		t.Errorf("%q", s)
	}
}

func TestReopenOnSignal(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "log")
	hangup := make(chan os.Signal)
	in := start(t, localServer+noServers+"logDestinations: [stdout, file]\nlogFile: "+name+"\n", Options{Reopen: hangup})
	if err := os.Rename(name, name+".1"); err != nil {
		t.Fatal(err)
	}
	hangup <- syscall.SIGHUP
	until(t, "another file", in.out, func() bool { _, err := os.Stat(name); return err == nil })
	in.stop()
	if s := read(t, name); !strings.Contains(s, "shutting down") || strings.Contains(s, "listening") {
		t.Errorf("%q", s)
	}
	if s := read(t, name+".1"); !strings.Contains(s, "listening") {
		t.Errorf("%q", s)
	}
}
