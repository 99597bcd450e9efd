package rpicam

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/routertest"
)

// logged collects what is logged.
type logged struct {
	mu    sync.Mutex
	buf   bytes.Buffer
	grown chan struct{}
}

func newLogged() *logged { return &logged{grown: make(chan struct{}, 1)} }

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case l.grown <- struct{}{}:
	default:
	}
	return l.buf.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// wait waits until what was logged satisfies a condition.
func (l *logged) wait(t testing.TB, ok func(string) bool) {
	t.Helper()
	end := time.After(patience)
	for !ok(l.String()) {
		select {
		case <-l.grown:
		case <-end:
			t.Fatal("it was not logged")
		}
	}
}

// pull runs a router with a camera.
func pull(t testing.TB, s router.Source) (*router.Router, *logged) {
	t.Helper()
	l := newLogged()
	r := routertest.New(t, router.Config{
		Paths:            []router.PathConfig{{Name: "cam", Source: s}},
		SourceRetryPause: 10 * time.Millisecond,
	}, router.WithLogger(slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))))
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log:\n%.4000s", l.String())
		}
	})
	return r, l
}

// machine is a camera on a machine that has such an encoder, wherever the test
// runs.
type machine struct {
	Source
	encoder encoder
}

func (m machine) Run(ctx context.Context, run *router.SourceRun) error {
	return m.run(ctx, run, m.encoder, stampFile)
}
