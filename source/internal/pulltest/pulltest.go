// Package pulltest is what the tests of sources have in common: a router that
// pulls, FFmpeg as a sender, and what arrives.
package pulltest

import (
	"bytes"
	"context"
	"log/slog"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
	"github.com/org/mtx/router/routertest"
)

// Patience bounds waits; none lasts that long unless a test fails.
const Patience = 20 * time.Second

// Log collects what is logged.
type Log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write implements io.Writer.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// String is all of it.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// Count tells how often a text is in it.
func (l *Log) Count(s string) int { return strings.Count(l.String(), s) }

// Path is the path that is pulled.
const Path = "cam"

// Run runs a router that pulls a source.
func Run(t testing.TB, src router.Source, edit ...func(*router.PathConfig)) (*router.Router, *Log) {
	t.Helper()
	l := &Log{}
	pc := router.PathConfig{Name: Path, Source: src}
	for _, f := range edit {
		f(&pc)
	}
	r := routertest.New(t, router.Config{
		Paths:            []router.PathConfig{pc},
		SourceRetryPause: 10 * time.Millisecond,
	}, router.WithLogger(slog.New(slog.NewTextHandler(l, nil))))
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log:\n%.3000s", l)
		}
	})
	return r, l
}

// FFmpeg returns the name of the program; without it the test is skipped.
func FFmpeg(t testing.TB) string {
	t.Helper()
	name, err := exec.LookPath("ffmpeg")
	if err != nil {
		t.Skip("ffmpeg is not installed")
	}
	return name
}

// Send runs FFmpeg as a sender in real time, until the end of the test.
func Send(t testing.TB, args string) {
	t.Helper()
	var errs bytes.Buffer
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), FFmpeg(t), strings.Fields("-hide_banner -loglevel error -re "+args)...)
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() && errs.Len() > 0 {
			t.Logf("ffmpeg: %.500s", &errs)
		}
	})
}

// Received is what a subscription got of each track.
type Received struct {
	Tracks []media.Track
	Units  [][]*media.Unit
}

// Names returns the codecs, separated by commas.
func (r Received) Names() string { return Names(r.Tracks) }

// Names returns the codecs of tracks, separated by commas.
func Names(tracks []media.Track) string {
	var out []string
	for _, t := range tracks {
		out = append(out, t.Codec.Name())
	}
	return strings.Join(out, ",")
}

// Read collects units until the first track has n of them.
func Read(t testing.TB, r *router.Router, n int) Received {
	t.Helper()
	s := routertest.WaitReady(t, r, Path)
	sub, err := s.Subscribe(router.SubscribeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	out := Received{s.Tracks(), make([][]*media.Unit, len(s.Tracks()))}
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	for len(out.Units[0]) < n {
		track, u, err := sub.Next(ctx)
		if err != nil {
			t.Fatalf("%d units of the first track: %v", len(out.Units[0]), err)
		}
		out.Units[track] = append(out.Units[track], u)
	}
	return out
}

// SocketPath returns the name of a socket, short enough.
func SocketPath(t testing.TB) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "s")
}
