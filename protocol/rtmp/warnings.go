package rtmp

import (
	"log/slog"
	"sync"
	"time"
)

// warnPause is how often something may be logged about what a client sends.
const warnPause = 10 * time.Second

// warnings logs what was passed over at most once in a while, with a count: a
// hostile client must not fill the log.
type warnings struct {
	log *slog.Logger

	mu     sync.Mutex
	count  int
	last   error
	logged time.Time
}

func (w *warnings) add(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.count++
	w.last = err
	if time.Since(w.logged) >= warnPause {
		w.flushLocked()
	}
}

// flush logs what was not logged yet.
func (w *warnings) flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.flushLocked()
}

func (w *warnings) flushLocked() {
	if w.count > 0 {
		w.log.Warn("something was left out", "count", w.count, "last", w.last)
		w.count, w.logged = 0, time.Now()
	}
}
