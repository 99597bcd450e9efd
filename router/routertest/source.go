package routertest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/org/mtx/router"
)

const sourcePath = "conformance"

// watchedSource tells how runs of a source end.
type watchedSource struct {
	router.Source
	ends chan error
}

func (s *watchedSource) Run(ctx context.Context, run *router.SourceRun) error {
	err := runWatched(func() error { return s.Source.Run(ctx, run) }, s.ends)
	return err
}

// runWatched reports the error, or the panic, of f.
func runWatched(f func() error, ends chan<- error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &router.PanicError{Value: v}
		}
		ends <- err
	}()
	return f()
}

// TestSource is the conformance suite of sources. newSource returns equal
// values. serve starts what the source connects to and stops it with t.Cleanup;
// nil if it needs nothing. It checks that
//
//   - equal values are equal for the router
//   - without its server, Run neither panics nor outlives its context
//   - with it, the path gets a stream, and units come
//   - Run returns soon after its context is done, and works again
//   - no goroutine is left
func TestSource(t *testing.T, newSource func() router.Source, serve func(t testing.TB)) {
	t.Run("equal", func(t *testing.T) {
		a := router.Config{Paths: []router.PathConfig{{Name: sourcePath, Source: newSource()}}}
		b := router.Config{Paths: []router.PathConfig{{Name: sourcePath, Source: newSource()}}}
		if ch := router.Diff(&a, &b); !ch.Empty() {
			t.Errorf("values with the same content differ: %+v", ch)
		}
	})
	if serve != nil {
		t.Run("without server", func(t *testing.T) {
			src := &watchedSource{newSource(), make(chan error, 1000)}
			r := New(t, sourceConfig(src))
			select {
			case err := <-src.ends:
				if err == nil || isPanic(err) {
					t.Errorf("Run without a server returned %v, want an error", err)
				}
			case <-time.After(time.Second): // it is still trying
			}
			within(t, "stop", func() { _ = r.Close() })
			checkEnds(t, src.ends)
		})
	}
	t.Run("delivers", func(t *testing.T) {
		CheckLeaks(t)
		if serve != nil {
			serve(t)
		}
		src := &watchedSource{newSource(), make(chan error, 1000)}
		r := New(t, sourceConfig(src))
		for range 2 {
			checkDelivery(t, r)
			within(t, "stop", func() {
				if err := r.RemovePath(t.Context(), sourcePath); err != nil {
					t.Error(err)
				}
			})
			if err := r.AddPath(t.Context(), sourceConfig(src).Paths[0]); err != nil {
				t.Fatal(err)
			}
		}
		within(t, "close", func() { _ = r.Close() })
		checkEnds(t, src.ends)
	})
	t.Run("stopped at once", func(t *testing.T) {
		CheckLeaks(t)
		if serve != nil {
			serve(t)
		}
		for i := range 10 {
			stopEarly(t, newSource(), time.Duration(i*i)*20*time.Microsecond)
		}
	})
}

// stopEarly closes a router after a moment, whatever the source is doing then.
func stopEarly(t *testing.T, source router.Source, after time.Duration) {
	t.Helper()
	src := &watchedSource{source, make(chan error, 1000)}
	r, err := router.New(sourceConfig(src))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Add(1)
	time.AfterFunc(after, func() { defer wg.Done(); _ = r.Close() })
	within(t, "stop at once", wg.Wait)
	checkEnds(t, src.ends)
}

func sourceConfig(src router.Source) router.Config {
	return router.Config{
		Paths:            []router.PathConfig{{Name: sourcePath, Source: src}},
		SourceRetryPause: 10 * time.Millisecond,
	}
}

// checkDelivery reads one unit from a source that works.
func checkDelivery(t *testing.T, r *router.Router) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		WaitReady(t, r, sourcePath)
		rd, err := r.Read(ctx, sourcePath, router.SubscribeOptions{AnyStart: true})
		if err != nil {
			continue // it ended again
		}
		_, _, err = rd.Next(ctx)
		rd.Close()
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			t.Fatal("the source publishes, but no unit arrives")
		}
	}
}

// checkEnds looks for panics among the ends of runs.
func checkEnds(t *testing.T, ends <-chan error) {
	t.Helper()
	for {
		select {
		case err := <-ends:
			if isPanic(err) {
				t.Errorf("Run: %v", err)
			}
		default:
			return
		}
	}
}
