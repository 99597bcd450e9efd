package srt

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/org/mtx/router"
)

// watchdog knows when media came last.
type watchdog struct{ last atomic.Int64 } // nanoseconds since 1970

func (w *watchdog) kick() { w.last.Store(time.Now().UnixNano()) }

func (w *watchdog) silent() time.Duration { return time.Since(time.Unix(0, w.last.Load())) }

// faultPeriod is the shortest time between two warnings.
const faultPeriod = 5 * time.Second

// faults counts what cannot be used, and logs it now and then.
type faults struct {
	log *slog.Logger

	mu     sync.Mutex
	stream *router.Stream // nil before the publication
	early  uint64         // counted before there was a stream
	count  uint64         // since the last warning
	last   error
	warned time.Time
}

// attach makes a stream count the faults.
func (f *faults) attach(s *router.Stream) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stream = s
	s.AddInboundErrors(f.early)
}

func (f *faults) add(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count++
	f.last = err
	if f.stream != nil {
		f.stream.AddInboundErrors(1)
	} else {
		f.early++
	}
	if time.Since(f.warned) >= faultPeriod {
		f.warn()
	}
}

// flush logs what was not logged yet.
func (f *faults) flush() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.count > 0 {
		f.warn()
	}
}

func (f *faults) warn() {
	f.log.Warn("media is damaged", "count", f.count, "last", f.last)
	f.count, f.warned = 0, time.Now()
}
