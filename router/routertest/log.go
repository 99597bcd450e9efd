package routertest

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
)

// Log keeps what is logged, or what a program prints, for tests that look for it.
// The zero value is ready; its methods may be called concurrently.
//
//	var log routertest.Log
//	r := routertest.New(t, cfg, router.WithLogger(log.Logger()))
type Log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write appends to the log.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// Logger returns a logger of lines of text, from level Info on.
func (l *Log) Logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// String returns what the log holds.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// Count returns how many times a text occurs.
func (l *Log) Count(text string) int { return strings.Count(l.String(), text) }

// Take returns what the log holds, and forgets it.
func (l *Log) Take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.buf.Reset()
	return l.buf.String()
}
