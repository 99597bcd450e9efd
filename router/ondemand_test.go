package router_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/routertest"
)

func onDemand(closeAfter time.Duration) router.OnDemand {
	return router.OnDemand{Enabled: true, StartTimeout: patience, CloseAfter: closeAfter}
}

// counted is a source that counts its runs, and checks that they do not overlap.
func counted(t *testing.T, runs, active *atomic.Int64) *routertest.Source {
	return &routertest.Source{RunFunc: func(ctx context.Context, run *router.SourceRun) error {
		runs.Add(1)
		if n := active.Add(1); n != 1 {
			t.Errorf("%d runs at the same time", n)
		}
		defer active.Add(-1)
		pub, err := run.Publish(ctx, text(), router.PublishOptions{})
		if err != nil {
			return err
		}
		defer pub.Close()
		<-ctx.Done()
		time.Sleep(time.Millisecond) // a device that needs a moment to close
		return nil
	}}
}

func TestOnDemand(t *testing.T) {
	t.Parallel()
	var runs, active atomic.Int64
	r := start(t, router.PathConfig{Name: "cam", Source: counted(t, &runs, &active), OnDemand: onDemand(0)})
	if runs.Load() != 0 || isReady(r, "cam") {
		t.Error("the source runs without readers")
	}
	a := read(t, r, "cam")
	b := read(t, r, "cam")
	a.Close()
	if !isReady(r, "cam") || runs.Load() != 1 {
		t.Errorf("ready: %v, runs: %d", isReady(r, "cam"), runs.Load())
	}
	b.Close()
	routertest.Eventually(t, "the source is stopped", func() bool { return active.Load() == 0 })
	read(t, r, "cam")
	if runs.Load() != 2 {
		t.Errorf("%d runs, want 2", runs.Load())
	}
}

func TestOnDemandCloseAfter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var runs, active atomic.Int64
		const after = 10 * time.Second
		r := start(t, router.PathConfig{Name: "~^cam.*$", Source: counted(t, &runs, &active), OnDemand: onDemand(after)})
		read(t, r, "cam1").Close()
		second := read(t, r, "cam1") // keeps it running
		time.Sleep(2 * after)
		if active.Load() != 1 || runs.Load() != 1 {
			t.Fatalf("with a reader that came in time: %d runs, %d active", runs.Load(), active.Load())
		}
		left := time.Now()
		second.Close()
		routertest.Eventually(t, "the source is stopped", func() bool { return active.Load() == 0 })
		if d := time.Since(left); d < after || d > after+100*time.Millisecond {
			t.Errorf("stopped %v after the last reader, want %v", d, after)
		}
		routertest.Eventually(t, "the path is forgotten", func() bool { return !live(r, "cam1") })
	})
}

func TestOnDemandStartTimeout(t *testing.T) {
	t.Parallel()
	silent := plainSource{}
	r := start(t, router.PathConfig{Name: "~.", Source: silent, OnDemand: router.OnDemand{Enabled: true, StartTimeout: 20 * time.Millisecond}})
	_, err := r.Read(t.Context(), "cam", router.SubscribeOptions{})
	wantErr(t, err, router.ErrStartTimeout)
	var pe *router.PathError
	if !errors.As(err, &pe) || pe.Path != "cam" {
		t.Errorf("got %#v", err)
	}
	routertest.Eventually(t, "the path is forgotten", func() bool { return !live(r, "cam") })
}

func TestOnDemandReaderGivesUp(t *testing.T) {
	t.Parallel()
	r := start(t, router.PathConfig{Name: "~.", Source: plainSource{}, OnDemand: onDemand(0)})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err := r.Read(ctx, "cam", router.SubscribeOptions{})
	wantErr(t, err, context.DeadlineExceeded)
	routertest.Eventually(t, "the path is forgotten", func() bool { return !live(r, "cam") })
}

// A source that fails at first is tried again while the reader waits.
func TestOnDemandSourceFails(t *testing.T) {
	t.Parallel()
	var tries atomic.Int64
	source := &routertest.Source{RunFunc: func(ctx context.Context, run *router.SourceRun) error {
		if tries.Add(1) < 3 {
			return errors.New("no camera yet")
		}
		return new(routertest.Source).Run(ctx, run)
	}}
	r := start(t, router.PathConfig{Name: "cam", Source: source, OnDemand: onDemand(0)})
	read(t, r, "cam")
	if tries.Load() != 3 {
		t.Errorf("%d tries", tries.Load())
	}
}

// A static source is restarted however it ends, and its stream ends with it.
func TestSourceRestarts(t *testing.T) {
	t.Parallel()
	ends := []error{errors.New("lost"), nil, router.ErrStreamClosed, router.ErrReplaced, context.Canceled}
	var n atomic.Int64
	last := make(chan struct{})
	source := &routertest.Source{RunFunc: func(ctx context.Context, run *router.SourceRun) error {
		i := int(n.Add(1)) - 1
		if _, err := run.Publish(ctx, text(), router.PublishOptions{}); err != nil {
			t.Errorf("run %d: %v", i, err) // the stream of the previous run is still there
		}
		if i < len(ends) {
			return ends[i]
		}
		close(last)
		<-ctx.Done()
		return nil
	}}
	r := start(t, router.PathConfig{Name: "cam", Source: source})
	wantDone(t, last)
	if !isReady(r, "cam") {
		t.Error("the path is not ready")
	}
}

func TestOnDemandSwitchedOnAndOff(t *testing.T) {
	t.Parallel()
	var runs, active atomic.Int64
	src := counted(t, &runs, &active)
	r := start(t, router.PathConfig{Name: "cam", Source: src})
	routertest.WaitReady(t, r, "cam")
	apply(t, r, config(router.PathConfig{Name: "cam", Source: src, OnDemand: onDemand(0)}))
	routertest.Eventually(t, "the source is stopped", func() bool { return active.Load() == 0 })
	apply(t, r, config(router.PathConfig{Name: "cam", Source: src}))
	routertest.WaitReady(t, r, "cam")
	apply(t, r, config(router.PathConfig{Name: "cam"}))
	if active.Load() != 0 {
		t.Error("the source runs although it was removed")
	}
	if runs.Load() != 2 {
		t.Errorf("%d runs, want 2", runs.Load())
	}
}

// Runs of a source for the same path never overlap, however fast paths come and go.
func TestSourceRunsNeverOverlap(t *testing.T) {
	t.Parallel()
	var runs, active atomic.Int64
	src := counted(t, &runs, &active)
	r := start(t, router.PathConfig{Name: "~^cam$", Source: src, OnDemand: onDemand(0)})
	for i := range 20 {
		read(t, r, "cam").Close()
		if i%5 == 0 { // the path is made again, with another configuration
			apply(t, r, config(router.PathConfig{Name: "~^cam$", Source: src, OnDemand: onDemand(0), Extras: []any{i}}))
		}
		if i%7 == 0 {
			if err := r.RemovePath(t.Context(), "~^cam$"); err != nil {
				t.Fatal(err)
			}
			apply(t, r, config(router.PathConfig{Name: "~^cam$", Source: src, OnDemand: onDemand(0)}))
		}
	}
	if runs.Load() < 5 {
		t.Errorf("only %d runs", runs.Load())
	}
}

// inviter makes the program publish.
type inviter struct{ routertest.Source }

func (*inviter) Invites() {}

func TestOnDemandInviter(t *testing.T) {
	t.Parallel()
	invited, dismissed := make(chan struct{}, 10), make(chan struct{}, 10)
	src := &inviter{}
	src.RunFunc = func(ctx context.Context, _ *router.SourceRun) error {
		invited <- struct{}{}
		<-ctx.Done()
		dismissed <- struct{}{}
		return nil
	}
	r := start(t, router.PathConfig{Name: "cam", Source: src, OnDemand: onDemand(0)})
	published := make(chan *router.Publisher, 1)
	go func() {
		<-invited
		pub, err := r.Publish(context.Background(), "cam", text())
		if err != nil {
			t.Error(err)
		}
		published <- pub
	}()
	rd := read(t, r, "cam")
	pub := receive(t, published)
	pub.Write(0, message("hello"))
	wantNext(t, rd, "hello")
	rd.Close()
	receive(t, dismissed)
	if pub.Err() != nil {
		t.Errorf("the invited publisher was disconnected: %v", pub.Err())
	}
	pub.Close()
}

// Readers that wait are woken when the path is removed or the router closed.
func TestWaitingReadersAreWoken(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		end  func(*router.Router)
		want error
	}{
		"removed": {func(r *router.Router) { _ = r.RemovePath(context.Background(), "cam") }, router.ErrConfigChanged},
		"closed":  {func(r *router.Router) { _ = r.Close() }, router.ErrClosed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			running := make(chan struct{})
			src := &routertest.Source{RunFunc: func(ctx context.Context, _ *router.SourceRun) error {
				close(running)
				<-ctx.Done()
				return nil
			}}
			r := start(t, router.PathConfig{Name: "cam", Source: src, OnDemand: onDemand(time.Hour)})
			got := make(chan error, 1)
			go func() {
				_, err := r.Read(context.Background(), "cam", router.SubscribeOptions{})
				got <- err
			}()
			wantDone(t, running)
			c.end(r)
			wantErr(t, receive(t, got), c.want)
		})
	}
}

// A source that nobody reads ends in time, whatever else is changed meanwhile.
func TestOnDemandCloseAfterApply(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var runs, active atomic.Int64
		const after = 200 * time.Millisecond
		r := start(t, router.PathConfig{Name: "cam", Source: counted(t, &runs, &active), OnDemand: onDemand(after)})
		read(t, r, "cam").Close()
		left := time.Now()
		for n := 0; active.Load() > 0; n++ {
			if time.Since(left) > 2*after {
				t.Fatal("the source goes on")
			}
			if err := r.AddPath(t.Context(), router.PathConfig{Name: "other", MaxReaders: n % 3}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(after / 20)
		}
	})
}
