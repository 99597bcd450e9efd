// Package failover is a source that is made of others: the first that works is
// used.
//
//	router.PathConfig{
//		Name:           "cam",
//		PublisherGrace: 30 * time.Second, // or readers are disconnected at each change
//		Source: &failover.Source{Sources: []router.Source{
//			&rtsp.Source{URL: "rtsp://10.0.0.7/main"},
//			&rtsp.Source{URL: "rtsp://10.0.0.8/backup"},
//		}},
//	}
//
// When a source fails or stalls, the next one is tried at once, and the ones
// before are tried again and again. As soon as one of them is back, with its
// first key frame, it takes over, and those behind it are stopped. Readers stay
// connected, with continuous time stamps, if the tracks are the same and the path
// has a PublisherGrace or a Standby.
package failover

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
)

const (
	defaultStallTimeout = 10 * time.Second
	defaultRetryPause   = 5 * time.Second
)

var (
	errNotNeeded = errors.New("a source before this one works")
	errStalled   = errors.New("no media arrives")
)

// Source tries several sources, in their order.
type Source struct {
	// Sources by preference. At least one.
	Sources []router.Source

	// StallTimeout is how long a source may deliver nothing. Default 10s.
	StallTimeout time.Duration

	// RetryPause is the time after which a source that failed is tried again.
	// Default 5s.
	RetryPause time.Duration
}

var _ router.Source = (*Source)(nil)

// Type implements [router.Source]: that of the first source. A stream tells the
// type of the one that it comes from.
func (s *Source) Type() string {
	if len(s.Sources) == 0 {
		return "failover"
	}
	return s.Sources[0].Type()
}

// Validate tells what is wrong with the sources.
func (s *Source) Validate() error {
	if len(s.Sources) == 0 {
		return errors.New("there are no sources")
	}
	for i, src := range s.Sources {
		if src == nil {
			return fmt.Errorf("source %d is nil", i+1)
		}
		switch src.(type) {
		case router.Redirector, router.Inviter:
			return fmt.Errorf("source %d (%s) does not publish by itself", i+1, src.Type())
		}
		if v, ok := src.(interface{ Validate() error }); ok {
			if err := v.Validate(); err != nil {
				return fmt.Errorf("source %d: %w", i+1, err)
			}
		}
	}
	return nil
}

// Run implements [router.Source]. It ends with ctx only: sources that fail are
// tried again.
func (s *Source) Run(ctx context.Context, run *router.SourceRun) error {
	if err := s.Validate(); err != nil {
		return err
	}
	g := &group{Source: s, run: run, online: -1, cancels: make([]context.CancelCauseFunc, len(s.Sources)), changed: make(chan struct{})}
	var wg sync.WaitGroup
	for i := range s.Sources {
		wg.Go(func() { g.keep(ctx, i) })
	}
	wg.Wait()
	return ctx.Err()
}

func (s *Source) stallTimeout() time.Duration {
	if s.StallTimeout > 0 {
		return s.StallTimeout
	}
	return defaultStallTimeout
}

func (s *Source) retryPause() time.Duration {
	if s.RetryPause > 0 {
		return s.RetryPause
	}
	return defaultRetryPause
}

// group are the sources at work.
type group struct {
	*Source
	run *router.SourceRun

	mu      sync.Mutex
	level   int // the last source that may run
	online  int // the one that readers see; -1: none
	cancels []context.CancelCauseFunc
	changed chan struct{} // closed at the next change of level
}

// keep runs a source whenever it may.
func (g *group) keep(ctx context.Context, i int) {
	log := g.run.Log.With(slog.String("candidate", g.Sources[i].Type()), slog.Int("number", i+1))
	for g.await(ctx, i) {
		cctx, cancel := context.WithCancelCause(ctx)
		g.mu.Lock()
		g.cancels[i] = cancel
		allowed := i <= g.level
		g.mu.Unlock()
		if allowed {
			err := g.runOne(cctx, i, log)
			if cause := context.Cause(cctx); cause != nil {
				err = cause
			}
			cancel(nil)
			if ctx.Err() != nil {
				return
			}
			switch {
			case errors.Is(err, errNotNeeded):
				log.Info("stopped: a source before this one is back")
				continue
			case errors.Is(err, router.ErrReplaced): // by one before it, which will soon be known
				pause(ctx, g.retryPause())
				continue
			}
			log.Warn("failed, will be tried again", "error", err, "pause", g.retryPause())
			g.down(i)
			pause(ctx, g.retryPause())
		}
		cancel(nil)
	}
}

// await returns true when a source may run, false at the end.
func (g *group) await(ctx context.Context, i int) bool {
	for {
		g.mu.Lock()
		allowed, changed := i <= g.level, g.changed
		g.mu.Unlock()
		if allowed {
			return ctx.Err() == nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

func (g *group) setLevel(level int) {
	level = min(level, len(g.Sources)-1)
	if level != g.level {
		g.level = level
		close(g.changed)
		g.changed = make(chan struct{})
	}
}

// down lets the next source be tried.
func (g *group) down(i int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.online == i {
		g.online = -1
	}
	if g.online < 0 && i == g.level {
		g.setLevel(i + 1)
	}
}

// up stops the sources behind one that works.
func (g *group) up(i int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.online >= 0 && g.online < i {
		return
	}
	g.online = i
	g.setLevel(i)
	for _, cancel := range g.cancels[i+1:] {
		if cancel != nil {
			cancel(errNotNeeded)
		}
	}
}

// runOne runs a source once, until it fails, stalls or is not needed.
func (g *group) runOne(ctx context.Context, i int, log *slog.Logger) (err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	w := &watch{published: make(chan *router.Publisher, 1)}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel(nil)
	wg.Go(func() { g.watch(ctx, i, w, cancel) })
	src := g.Sources[i]
	branch := g.run.Branch(src, log, func(ctx context.Context, tracks []media.Track, o router.PublishOptions) (*router.Publisher, error) {
		g.mu.Lock()
		needed := g.online < 0 || g.online >= i
		g.mu.Unlock()
		if !needed {
			return nil, errNotNeeded
		}
		o.TakeOver = true
		pub, err := g.run.Publish(ctx, tracks, o)
		if err == nil {
			w.set(pub)
		}
		return pub, err
	})
	defer func() {
		if v := recover(); v != nil {
			err = &router.PanicError{Value: v, Stack: debug.Stack()}
			log.Error("panic", "error", err, "stack", string(debug.Stack()))
		}
		w.close()
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
	}()
	return src.Run(ctx, branch)
}

// watch is what is known about a run.
type watch struct {
	published chan *router.Publisher // the last one
	mu        sync.Mutex
	pub       *router.Publisher
}

func (w *watch) set(pub *router.Publisher) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pub = pub
	select {
	case <-w.published:
	default:
	}
	w.published <- pub
}

// close ends a publication that the source forgot.
func (w *watch) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.pub != nil {
		w.pub.Close()
	}
}

// watch notices when a source begins to work and when it stalls.
func (g *group) watch(ctx context.Context, i int, w *watch, cancel context.CancelCauseFunc) {
	limit := g.stallTimeout()
	tick := time.NewTicker(max(limit/8, time.Millisecond))
	defer tick.Stop()
	var pub *router.Publisher
	var started <-chan struct{}
	var bytes uint64
	last, given := time.Now(), false
	for {
		select {
		case <-ctx.Done():
			return
		case pub = <-w.published:
			started, bytes, last = pub.Started(), 0, time.Now()
		case <-started:
			started = nil
			g.up(i)
		case <-tick.C:
			if pub != nil {
				if n := pub.Bytes(); n != bytes {
					bytes, last = n, time.Now()
				}
			}
			switch {
			case time.Since(last) < limit:
			case pub != nil:
				cancel(errStalled)
				return
			case !given: // it goes on trying, or waiting for somebody who sends
				given = true
				g.down(i)
			}
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
