package router_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
	"github.com/org/mtx/router/routertest"
)

// origins starts a path whose source has several origins, and returns what one of
// them calls to publish.
func origins(t *testing.T, p router.PathConfig) (r *router.Router, publish func(takeOver bool) *router.Publisher) {
	t.Helper()
	runs := make(chan *router.SourceRun, 1)
	p.Name, p.Override = "cam", true
	p.Source = &routertest.Source{RunFunc: func(ctx context.Context, run *router.SourceRun) error {
		runs <- run
		<-ctx.Done()
		return nil
	}}
	r = start(t, p)
	run := receive(t, runs)
	return r, func(takeOver bool) *router.Publisher {
		t.Helper()
		pub, err := run.Publish(t.Context(), routertest.SampleTracks(), router.PublishOptions{TakeOver: takeOver})
		if err != nil {
			t.Fatal(err)
		}
		return pub
	}
}

// gate is a sink whose type can be made to take long to tell: meanwhile nothing on
// its path can change.
type gate struct {
	routertest.Sink
	shut          atomic.Bool
	entered, open chan struct{}
}

func (g *gate) Type() string {
	if g.shut.CompareAndSwap(true, false) {
		close(g.entered)
		<-g.open
	}
	return "gate"
}

// Two origins that begin at the same time: the one that came later stays.
func TestTakeOverAtTheSameTime(t *testing.T) {
	t.Parallel()
	g := &gate{entered: make(chan struct{}), open: make(chan struct{})}
	r, publish := origins(t, router.PathConfig{PublisherGrace: time.Hour, Sinks: []router.Sink{g}})
	first, second := publish(true), publish(true)
	seen := make(chan byte, 16)
	first.Stream().Tap(router.TapOptions{}, func(_ int, u *media.Unit) {
		e := u.Payload[len(u.Payload)-1]
		seen <- e[len(e)-1]
	})
	path, _ := r.Path("cam")
	g.shut.Store(true)
	done := make(chan struct{}, 3)
	run := func(f func()) { go func() { f(); done <- struct{}{} }() }
	run(func() { path.Info() })
	receive(t, g.entered)
	run(func() { second.Write(0, picture(0, 'B')) })
	if got := receive(t, seen); got != 'B' {
		t.Errorf("got %c", got)
	}
	run(func() { first.Write(0, picture(0, 'A')) })
	select { // it has nothing to say anymore
	case got := <-seen:
		t.Errorf("%c comes from the origin that was replaced", got)
	case <-done:
	case <-time.After(patience):
		t.Error("the origin that was replaced hangs")
	}
	close(g.open)
	wantDone(t, first.Done())
	wantDone(t, second.Started())
	run(func() { second.Write(0, picture(3000, 'C')) })
	for receive(t, seen) != 'C' {
	}
	if second.Err() != nil {
		t.Error(second.Err())
	}
}

// A publication that replaces one with a successor in waiting replaces both.
func TestReplacedWithItsSuccessor(t *testing.T) {
	t.Parallel()
	_, publish := origins(t, router.PathConfig{PublisherGrace: time.Hour})
	first, next := publish(false), publish(true)
	third := publish(false)
	for _, p := range []*router.Publisher{first, next} {
		wantDone(t, p.Done())
		wantErr(t, p.Err(), router.ErrReplaced)
	}
	next.Write(0, picture(0, 'X'))
	third.Write(0, picture(0, 'A'))
	wantDone(t, third.Started())
	if third.Err() != nil {
		t.Error(third.Err())
	}
}

// An origin that leaves at the moment in which it takes over takes the one before with
// it, which was told already to write no more: its source begins again.
func TestTakeOverAndLeave(t *testing.T) {
	t.Parallel()
	g := &gate{entered: make(chan struct{}), open: make(chan struct{})}
	r, publish := origins(t, router.PathConfig{PublisherGrace: time.Hour, Sinks: []router.Sink{g}})
	first, second := publish(true), publish(true)
	seen := make(chan struct{}, 16)
	first.Stream().Tap(router.TapOptions{}, func(int, *media.Unit) { seen <- struct{}{} })
	path, _ := r.Path("cam")
	g.shut.Store(true)
	var wg sync.WaitGroup
	wg.Go(func() { path.Info() })
	receive(t, g.entered)
	wg.Go(second.Close)
	time.Sleep(10 * time.Millisecond) // so that it waits before the other one does; either way is right
	wg.Go(func() { second.Write(0, picture(0, 'B')) })
	receive(t, seen)
	close(g.open)
	wg.Wait()
	wantDone(t, second.Done())
	wantDone(t, first.Done())
	wantErr(t, first.Err(), router.ErrReplaced)
}
