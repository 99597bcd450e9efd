package rtsp

import (
	"log/slog"
	"sync"
	"time"

	"github.com/org/mtx/router"
)

// faultPeriod is the shortest time between two warnings.
const faultPeriod = 5 * time.Second

// faults counts what was lost or cannot be used, and logs it now and then.
type faults struct {
	log *slog.Logger

	mu        sync.Mutex
	stream    *router.Stream // nil before the publication
	early     uint64         // counted before there was a stream
	lostSum   uint64         // since the last warning
	badSum    uint64
	lastError error
	lastTime  time.Time
}

func newFaults(log *slog.Logger) *faults { return &faults{log: log} }

// attach makes a stream count the faults.
func (f *faults) attach(s *router.Stream) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stream = s
	s.AddInboundErrors(f.early)
	f.early = 0
}

func (f *faults) lost(n uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lostSum += n
	f.count(n)
}

func (f *faults) invalid(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.badSum++
	f.lastError = err
	f.count(1)
}

func (f *faults) count(n uint64) {
	if f.stream != nil {
		f.stream.AddInboundErrors(n)
	} else {
		f.early += n
	}
	if time.Since(f.lastTime) >= faultPeriod {
		f.warn()
	}
}

// flush logs what was not logged yet.
func (f *faults) flush() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.lostSum+f.badSum > 0 {
		f.warn()
	}
}

func (f *faults) warn() {
	args := []any{"lost", f.lostSum, "invalid", f.badSum}
	if f.lastError != nil {
		args = append(args, "last", f.lastError.Error())
	}
	f.log.Warn("packets are lost or invalid", args...)
	f.lostSum, f.badSum, f.lastError = 0, 0, nil
	f.lastTime = time.Now()
}
