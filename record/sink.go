package record

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/org/mtx/router"
)

var _ router.EarlySink = Sink{}

// Defaults of a [Sink].
const (
	DefaultPartDuration    = time.Second
	DefaultMaxPartSize     = 50 * 1024 * 1024 // bytes
	DefaultSegmentDuration = time.Hour
)

// Limits of a [Sink].
const (
	minPartDuration = 10 * time.Millisecond
	maxPartDuration = time.Hour
	minMaxPartSize  = 1024    // bytes
	maxMaxPartSize  = 1 << 30 // what a part may take; offsets in a part have 31 bits
)

// Sink records a stream. It is a [router.Sink]: a plain value that is part of
// the configuration of a path. See [Sink.Run] for what it does.
type Sink struct {
	// Pattern tells where segments are stored; see [Pattern]. Default
	// [DefaultPattern].
	Pattern string

	// Format of the segments. Default [FMP4].
	Format Format

	// PartDuration is how much is collected in memory before it is written and
	// flushed, and therefore what a crash costs. Default one second. In FMP4, a key
	// frame of the first video track begins a part earlier.
	PartDuration time.Duration

	// MaxPartSize bounds what is collected, in bytes, and as much may wait for the
	// disk. A part that is larger is dropped. Default 50 MiB.
	MaxPartSize int64

	// SegmentDuration is the minimum length of a segment; it ends at the next key
	// frame. Default one hour. If the pattern has no %f, it is a second at least.
	SegmentDuration time.Duration

	// MinFreeSpace is what must stay free where the segments are stored, in bytes:
	// parts that would use it are dropped. The [Cleaner] makes room before that.
	// Zero means that the disk may be filled.
	MinFreeSpace int64

	// Store keeps the segments. Default [Local].
	Store Store

	// State is told what is going on. Optional.
	State *State
}

// Type implements router.Sink.
func (Sink) Type() string { return "recorder" }

// EarlySubscription implements router.EarlySink: the first group of pictures is not lost.
func (Sink) EarlySubscription() router.SubscribeOptions { return router.SubscribeOptions{} }

// Check returns an error if the configuration cannot work.
func (s Sink) Check() error {
	s = s.withDefaults()
	if _, err := ParsePattern(s.Pattern, s.Format); err != nil {
		return err
	}
	switch {
	case s.PartDuration < minPartDuration || s.PartDuration > maxPartDuration:
		return fmt.Errorf("record part duration %v must be between %v and %v", s.PartDuration, minPartDuration, maxPartDuration)
	case s.MaxPartSize < minMaxPartSize || s.MaxPartSize > maxMaxPartSize:
		return fmt.Errorf("record maximum part size %d must be between %d and %d bytes", s.MaxPartSize, minMaxPartSize, maxMaxPartSize)
	case s.SegmentDuration < 0:
		return fmt.Errorf("record segment duration %v must not be negative", s.SegmentDuration)
	case s.MinFreeSpace < 0:
		return fmt.Errorf("record minimum free space %d must not be negative", s.MinFreeSpace)
	}
	return nil
}

func (s Sink) withDefaults() Sink {
	s.Pattern = cmp.Or(s.Pattern, DefaultPattern)
	s.Format = cmp.Or(s.Format, FMP4)
	s.PartDuration = cmp.Or(s.PartDuration, DefaultPartDuration)
	s.MaxPartSize = cmp.Or(s.MaxPartSize, DefaultMaxPartSize)
	s.SegmentDuration = cmp.Or(s.SegmentDuration, DefaultSegmentDuration)
	s.Store = storeOr(s.Store)
	if s.State == nil {
		s.State = &State{}
	}
	return s
}

// Run implements router.Sink. It records until the stream is over or ctx is
// done, and returns when everything is written. Trouble with the store does not
// end it: parts that cannot be written are dropped and counted.
func (s Sink) Run(ctx context.Context, run *router.SinkRun) error {
	if err := s.Check(); err != nil {
		return err
	}
	s = s.withDefaults()
	if !strings.Contains(s.Pattern, "%f") {
		s.SegmentDuration = max(s.SegmentDuration, time.Second) // names tell no more than that
	}
	p, err := ParsePattern(s.Pattern, s.Format)
	if err != nil {
		return err
	}
	if p.Name(run.Path, time.Time{}) == "" {
		return fmt.Errorf("a path with the name %q cannot be recorded", run.Path)
	}
	// what is kept for new readers is stored already if this is not the first run
	// on this stream
	live := !s.State.first(run.Path, p, run.Stream)
	sub := run.Early
	if sub == nil {
		if sub, err = run.Stream.Subscribe(router.SubscribeOptions{Live: live}); err != nil {
			return err
		}
		defer sub.Close()
	}
	s.State.running.Add(1)
	defer s.State.running.Add(-1)
	w := newWriter(s, p, run)
	defer w.close()
	r := newRecorder(s, w, run)
	defer r.finish()
	r.run(ctx, sub)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return router.ErrStreamClosed
}

// run consumes the stream.
func (r *recorder) run(ctx context.Context, sub *router.Subscription) {
	for {
		track, u, err := sub.Next(ctx)
		if err != nil {
			if !errors.Is(err, router.ErrStreamClosed) && ctx.Err() == nil {
				r.log.Error("recording ends", keyError, err)
			}
			return
		}
		r.unit(track, u)
	}
}
