package router_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
	"github.com/org/mtx/router/routertest"
)

// tracked is a sink that reports beginnings and ends of its runs.
func tracked(label string, events chan<- string) *routertest.Sink {
	s := &routertest.Sink{Label: label}
	plain := &routertest.Sink{}
	s.RunFunc = func(ctx context.Context, run *router.SinkRun) error {
		events <- label + " runs"
		defer func() { events <- label + " ends" }()
		return plain.Run(ctx, run)
	}
	return s
}

func wantEvent(t *testing.T, events <-chan string, want string) {
	t.Helper()
	if got := receive(t, events); got != want {
		t.Fatalf("got %q, want %q", got, want)
	}
}

func TestSinksAreChangedOneByOne(t *testing.T) {
	t.Parallel()
	events := make(chan string, 100)
	a, b, c := tracked("a", events), tracked("b", events), tracked("c", events)
	path := func(s ...router.Sink) router.Config { return config(router.PathConfig{Name: "cam", Sinks: s}) }
	r := routertest.New(t, path(a))
	pub := publish(t, r, "cam")
	wantEvent(t, events, "a runs")
	apply(t, r, path(b, a))
	wantEvent(t, events, "b runs")
	apply(t, r, path(c, b))
	wantEvent(t, events, "a ends")
	wantEvent(t, events, "c runs") // after a has ended: they may want the same file
	pub.Close()
	got := map[string]bool{receive(t, events): true, receive(t, events): true}
	if !got["b ends"] || !got["c ends"] {
		t.Errorf("events: %v", got)
	}
	select {
	case e := <-events:
		t.Errorf("unexpected: %q", e)
	default:
	}
}

func TestSinkIsRestarted(t *testing.T) {
	t.Parallel()
	var n atomic.Int64
	last := make(chan struct{})
	sink := &routertest.Sink{RunFunc: func(ctx context.Context, _ *router.SinkRun) error {
		switch n.Add(1) {
		case 1:
			return errors.New("disk full")
		case 2:
			panic("bug")
		case 3:
			return nil
		case 4:
			return router.ErrStreamClosed // of another stream
		}
		close(last)
		<-ctx.Done()
		return nil
	}}
	r := start(t, router.PathConfig{Name: "cam", Sinks: []router.Sink{sink}})
	publish(t, r, "cam")
	wantDone(t, last)
	if !isReady(r, "cam") {
		t.Error("a sink that fails ended the stream")
	}
}

// A snapshot of a path tells how its sinks are doing.
func TestSinkStates(t *testing.T) {
	t.Parallel()
	running := make(chan struct{})
	good := &routertest.Sink{Label: "good", RunFunc: func(ctx context.Context, _ *router.SinkRun) error {
		close(running)
		<-ctx.Done()
		return nil
	}}
	bad := &routertest.Sink{Label: "bad", RunFunc: func(context.Context, *router.SinkRun) error { return errors.New("no") }}
	c := config(router.PathConfig{Name: "cam", Sinks: []router.Sink{good, bad}})
	c.SourceRetryPause = time.Hour
	r := routertest.New(t, c)
	states := func() string {
		p, _ := r.Path("cam")
		return fmt.Sprint(p.Info().Sinks)
	}
	if s := states(); s != "[{good idle} {bad idle}]" {
		t.Error(s)
	}
	pub := publish(t, r, "cam")
	wantDone(t, running)
	routertest.Eventually(t, "states of the sinks", func() bool { return states() == "[{good running} {bad failed}]" })
	pub.Close()
	routertest.Eventually(t, "end of the sinks", func() bool { return states() == "[{good idle} {bad idle}]" })
}

// A sink reads what is queued after the end of the stream.
func TestSinkDrains(t *testing.T) {
	t.Parallel()
	const n = 100
	begin, end := make(chan struct{}), make(chan int, 1)
	sink := &routertest.Sink{RunFunc: func(ctx context.Context, run *router.SinkRun) error {
		sub, err := run.Stream.Subscribe(router.SubscribeOptions{})
		if err != nil {
			return err
		}
		defer sub.Close()
		begin <- struct{}{}
		<-begin
		for i := 0; ; i++ {
			if _, _, err := sub.Next(ctx); err != nil {
				end <- i
				return err
			}
		}
	}}
	r := start(t, router.PathConfig{Name: "~cam", Sinks: []router.Sink{sink}})
	events := routertest.Record(t, r)
	pub := publish(t, r, "cam")
	receive(t, begin)
	for i := range n {
		pub.Write(0, message(fmt.Sprint(i)))
	}
	pub.Close()
	if !live(r, "cam") {
		t.Error("the path is gone before its sinks")
	}
	begin <- struct{}{}
	if got := receive(t, end); got != n {
		t.Errorf("the sink got %d units of %d", got, n)
	}
	events.Wait(t, "removed cam", 1)
}

// A sink that waits for its restart does not outlive the stream.
func TestFailedSinkEndsWithStream(t *testing.T) {
	t.Parallel()
	failed := make(chan struct{}, 1)
	sink := &routertest.Sink{RunFunc: func(context.Context, *router.SinkRun) error {
		failed <- struct{}{}
		return errors.New("disk full")
	}}
	cfg := config(router.PathConfig{Name: "~cam", Sinks: []router.Sink{sink}})
	cfg.SourceRetryPause = time.Hour
	r := routertest.New(t, cfg)
	pub := publish(t, r, "cam")
	receive(t, failed)
	pub.Close()
	routertest.Eventually(t, "the path is forgotten", func() bool { return !live(r, "cam") })
}

// RemovePath and changes wait for sinks that are stopped, also for those that
// still drain a stream that is over.
func TestRemovedPathStopsSinks(t *testing.T) {
	t.Parallel()
	var active atomic.Int64
	running := make(chan struct{}, 10)
	sink := &routertest.Sink{RunFunc: func(ctx context.Context, _ *router.SinkRun) error {
		active.Add(1)
		defer active.Add(-1)
		running <- struct{}{}
		<-ctx.Done()
		time.Sleep(5 * time.Millisecond) // closing a file
		return nil
	}}
	r := start(t, router.PathConfig{Name: "cam", Sinks: []router.Sink{sink}})
	pub := publish(t, r, "cam")
	receive(t, running)
	pub.Close()
	publish(t, r, "cam")
	receive(t, running)
	if err := r.RemovePath(t.Context(), "cam"); err != nil {
		t.Fatal(err)
	}
	if n := active.Load(); n != 0 {
		t.Errorf("%d sinks of a removed path run", n)
	}
}

func TestSinkWithSlowReaderNeverBlocks(t *testing.T) {
	t.Parallel()
	sink := &routertest.Sink{RunFunc: func(ctx context.Context, run *router.SinkRun) error {
		sub, err := run.Stream.Subscribe(router.SubscribeOptions{QueueSize: 1})
		if err != nil {
			return err
		}
		defer sub.Close()
		<-ctx.Done()
		return nil
	}}
	r := start(t, router.PathConfig{Name: "cam", Sinks: []router.Sink{sink}})
	pub := publish(t, r, "cam")
	routertest.Eventually(t, "units are dropped", func() bool {
		pub.Write(0, &media.Unit{Payload: [][]byte{{1}}})
		p, _ := r.Path("cam")
		return p.Info().Dropped > 10
	})
}
