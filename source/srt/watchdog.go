package srt

import (
	"sync/atomic"
	"time"
)

// watchdog knows when media came last.
type watchdog struct{ last atomic.Int64 } // nanoseconds since 1970

func (w *watchdog) kick() { w.last.Store(time.Now().UnixNano()) }

func (w *watchdog) silent() time.Duration { return time.Since(time.Unix(0, w.last.Load())) }
