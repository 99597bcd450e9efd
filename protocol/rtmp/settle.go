package rtmp

import (
	"context"
	"time"

	"github.com/org/mtx/protocol/bridge/rtmpbridge"
)

const (
	// settleTime bounds how long a reader waits for the first frame of audio that tells
	// whether its track is carried.
	settleTime = time.Second
	// settlePeriod is how often that is looked at.
	settlePeriod = 10 * time.Millisecond
)

// settle waits until it is known which tracks are carried: what a reader is told first
// cannot be taken back. It is an error if there is none.
func (f *fan) settle(ctx context.Context) error {
	state := func() (undecided, some bool) {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.enc.Undecided(), f.enc.CarriesAny()
	}
	undecided, some := state()
	if undecided {
		ctx, cancel := context.WithTimeout(ctx, settleTime)
		defer cancel()
		t := time.NewTicker(settlePeriod)
		defer t.Stop()
		for undecided && ctx.Err() == nil {
			select {
			case <-ctx.Done():
			case <-f.stream.Done():
				return f.stream.Err()
			case <-t.C:
				undecided, some = state()
			}
		}
	}
	if !some {
		return rtmpbridge.ErrNotCarried
	}
	return ctx.Err()
}
