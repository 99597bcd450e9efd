package router_test

import (
	"context"
	"testing"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
	"github.com/org/mtx/router/routertest"
)

// hotSource publishes its value whenever it changes. A negative one needs a
// restart.
type hotSource struct {
	Value int
	runs  chan<- int
}

func (hotSource) Type() string { return "hot" }

func (hotSource) CanUpdate(next router.Source) bool {
	h, ok := next.(hotSource)
	return ok && h.Value >= 0
}

func (s hotSource) Run(ctx context.Context, run *router.SourceRun) error {
	if s.runs != nil {
		s.runs <- s.Value
	}
	pub, err := run.Publish(ctx, text(), router.PublishOptions{})
	if err != nil {
		return err
	}
	defer pub.Close()
	for {
		select {
		case next := <-run.Updates:
			pub.Write(0, &media.Unit{Payload: [][]byte{{byte(next.(hotSource).Value)}}})
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func TestHotSourceKeepsReaders(t *testing.T) {
	t.Parallel()
	runs := make(chan int, 10)
	r := start(t, router.PathConfig{Name: "cam", Source: hotSource{1, runs}})
	routertest.WaitReady(t, r, "cam")
	rd := read(t, r, "cam")
	ch := apply(t, r, config(router.PathConfig{Name: "cam", Source: hotSource{2, runs}}))
	if len(ch.PathsUpdated) != 1 {
		t.Errorf("changes: %+v", ch)
	}
	wantNext(t, rd, "\x02")
	apply(t, r, config(router.PathConfig{Name: "cam", Source: hotSource{-1, runs}}))
	_, _, err := rd.Next(t.Context())
	wantErr(t, err, router.ErrStreamClosed)
	if a, b := receive(t, runs), receive(t, runs); a != 1 || b != -1 {
		t.Errorf("runs with the values %d and %d, want 1 and -1", a, b)
	}
}

// An update that comes while the source is between two runs is used by the next.
func TestHotSourceUpdatedBetweenRuns(t *testing.T) {
	t.Parallel()
	values, proceed := make(chan int, 10), make(chan struct{})
	r := start(t, router.PathConfig{Name: "cam", Source: &failing{1, values, proceed}})
	if v := receive(t, values); v != 1 {
		t.Fatalf("first run with %d", v)
	}
	apply(t, r, config(router.PathConfig{Name: "cam", Source: &failing{2, values, proceed}}))
	close(proceed)
	if v := receive(t, values); v != 2 {
		t.Errorf("second run with %d", v)
	}
}

type failing struct {
	value   int
	values  chan<- int
	proceed <-chan struct{}
}

func (*failing) Type() string                 { return "failing" }
func (*failing) CanUpdate(router.Source) bool { return true }

func (s *failing) Run(ctx context.Context, run *router.SourceRun) error {
	select {
	case s.values <- s.value:
	default:
	}
	select {
	case <-s.proceed:
	case <-ctx.Done():
	}
	if got := run.Config.Source.(*failing).value; got != s.value {
		panic("the run was given an old configuration")
	}
	return router.ErrStreamClosed // which ends one run, not the source
}
