package datagram

import (
	"log/slog"
	"sync"
	"time"
)

// faultPeriod is the shortest time between two warnings.
const faultPeriod = 5 * time.Second

// Counter takes the number of faults. A router.Stream is one.
type Counter interface {
	AddInboundErrors(n uint64)
}

// Faults counts what was lost or cannot be used, and logs it now and then. Its
// methods may be called concurrently.
type Faults struct {
	log *slog.Logger

	mu        sync.Mutex
	counter   Counter // nil: not known yet
	early     uint64  // counted before
	lostSum   uint64  // since the last warning
	badSum    uint64
	lastError error
	lastTime  time.Time
}

// NewFaults returns a Faults that warns through log, once in some seconds.
func NewFaults(log *slog.Logger) *Faults { return &Faults{log: log} }

// Attach makes c count all faults, those of the past included.
func (f *Faults) Attach(c Counter) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.counter = c
	c.AddInboundErrors(f.early)
	f.early = 0
}

// Lost counts packets that did not arrive.
func (f *Faults) Lost(n uint64) {
	if n == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lostSum += n
	f.count(n)
}

// Invalid counts something that cannot be used.
func (f *Faults) Invalid(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.badSum++
	f.lastError = err
	f.count(1)
}

// Flush logs what was not logged yet. Call it at the end.
func (f *Faults) Flush() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.lostSum+f.badSum > 0 {
		f.warn()
	}
}

func (f *Faults) count(n uint64) {
	if f.counter != nil {
		f.counter.AddInboundErrors(n)
	} else {
		f.early += n
	}
	if time.Since(f.lastTime) >= faultPeriod {
		f.warn()
	}
}

func (f *Faults) warn() {
	args := []any{"lost", f.lostSum, "invalid", f.badSum}
	if f.lastError != nil {
		args = append(args, "last", f.lastError.Error())
	}
	f.log.Warn("data are lost or invalid", args...)
	f.lostSum, f.badSum, f.lastError = 0, 0, nil
	f.lastTime = time.Now()
}
