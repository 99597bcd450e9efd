package router_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/routertest"
)

func TestHooksInOrder(t *testing.T) {
	t.Parallel()
	e := &routertest.Events{}
	r := routertest.New(t, config(), router.WithHooks(e.Hooks()))
	var want []string
	for range 20 { // the path is made anew each time: its events stay in order
		if err := r.AddPath(t.Context(), router.PathConfig{Name: "cam"}); err != nil {
			t.Fatal(err)
		}
		pub := publish(t, r, "cam")
		rd := read(t, r, "cam")
		pub.Close()
		rd.Close()
		publish(t, r, "cam")
		read(t, r, "cam")
		if err := r.RemovePath(t.Context(), "cam"); err != nil {
			t.Fatal(err)
		}
		want = append(want, "created cam", "ready cam", "online cam", "attached cam", "offline cam", "notReady cam", "detached cam",
			"ready cam", "online cam", "attached cam", "detached cam", "offline cam", "notReady cam", "removed cam")
	}
	e.Wait(t, "removed cam", 20)
	got := slices.DeleteFunc(e.List(), func(s string) bool { return s == "applied" })
	if !slices.Equal(got, want) {
		t.Errorf("events:\n%s\nwant\n%s", strings.Join(got, ", "), strings.Join(want, ", "))
	}
}

// Paths that come and go with their publishers keep their events in order, too.
func TestHooksOfDynamicPathsInOrder(t *testing.T) {
	t.Parallel()
	e := &routertest.Events{}
	slow := router.Hooks{PathCreated: func(router.PathEvent) func() {
		return func() { time.Sleep(time.Millisecond) } // lets the next path overtake, if it can
	}}
	r := routertest.New(t, config(router.PathConfig{Name: "all"}), router.WithHooks(slow), router.WithHooks(e.Hooks()))
	var want []string
	for range 20 {
		publish(t, r, "x").Close()
		want = append(want, "created x", "ready x", "online x", "offline x", "notReady x", "removed x")
	}
	e.Wait(t, "removed x", 20)
	if got := e.List(); !slices.Equal(got, want) {
		t.Errorf("events: %q", got)
	}
}

// Hooks run outside of locks: they may call the router.
func TestHooksCallTheRouter(t *testing.T) {
	t.Parallel()
	var r *router.Router
	started := make(chan struct{})
	called := make(chan string, 100)
	use := func(what string) func() {
		<-started
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := r.AddPath(ctx, router.PathConfig{Name: "by-hook", MaxReaders: len(called)}); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		_, _ = r.Apply(ctx, r.Config())
		if rd, err := r.Read(ctx, "cam", router.SubscribeOptions{}); err == nil {
			rd.Close()
		}
		if p, ok := r.Path("cam"); ok {
			p.Info()
			p.Stream()
		}
		for range r.Paths() {
		}
		for range r.Sessions("") {
		}
		r.Protocols()
		r.ProtocolAddrs("g")
		r.Observe(router.Hooks{})()
		called <- what
		return func() { called <- "end of " + what }
	}
	once := func(what string) func(router.PathEvent) func() {
		first := true // hooks of one path never run at the same time
		return func(e router.PathEvent) func() {
			if !first || e.Path != "cam" {
				return nil
			}
			first = false
			return use(what)
		}
	}
	r = routertest.New(t, config(router.PathConfig{Name: "cam"}), router.WithHooks(router.Hooks{
		PathCreated:    once("created"),
		PathReady:      once("ready"),
		ReaderAttached: once("attached"),
	}))
	close(started)
	pub := publish(t, r, "cam")
	rd := read(t, r, "cam")
	got := []string{receive(t, called), receive(t, called), receive(t, called)}
	rd.Close()
	pub.Close()
	if err := r.RemovePath(t.Context(), "cam"); err != nil {
		t.Fatal(err)
	}
	got = append(got, receive(t, called), receive(t, called), receive(t, called))
	want := []string{"created", "ready", "attached", "end of attached", "end of ready", "end of created"}
	if !slices.Equal(got, want) {
		t.Errorf("calls: %q, want %q", got, want)
	}
}

// A hook that calls Apply does not hold up Close.
func TestCloseWhileHookApplies(t *testing.T) {
	t.Parallel()
	inHook, proceed, outcome := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	r := routertest.New(t, config(router.PathConfig{Name: "cam"}))
	r.Observe(router.Hooks{PathReady: func(router.PathEvent) func() {
		close(inHook)
		<-proceed
		outcome <- r.AddPath(context.Background(), router.PathConfig{Name: "x"})
		return nil
	}})
	publish(t, r, "cam")
	wantDone(t, inHook)
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		_ = r.Close()
	}()
	routertest.Eventually(t, "the router closes", func() bool {
		_, err := r.Read(t.Context(), "cam", router.SubscribeOptions{})
		return err != nil
	})
	close(proceed)
	wantErr(t, receive(t, outcome), router.ErrClosed)
	wantDone(t, closed)
}

func TestObserveLate(t *testing.T) {
	t.Parallel()
	r := start(t, router.PathConfig{Name: "cam"}, router.PathConfig{Name: "idle"})
	publish(t, r, "cam")
	rd := read(t, r, "cam")
	e := &routertest.Events{}
	remove := r.Observe(e.Hooks())
	e.Wait(t, "attached cam", 1)
	e.Wait(t, "created idle", 1)
	read(t, r, "cam")
	e.Wait(t, "attached cam", 2)
	remove()
	read(t, r, "cam") // is not told
	rd.Close()        // began before
	e.Wait(t, "detached cam", 1)
	for event, n := range map[string]int{"created cam": 1, "created idle": 1, "ready cam": 1, "attached cam": 2, "detached cam": 1} {
		if got := e.Count(event); got != n {
			t.Errorf("%q: %d times, want %d", event, got, n)
		}
	}
}

// Whatever happens while hooks are added, everything is seen exactly once.
func TestObserveExactlyOnce(t *testing.T) {
	t.Parallel()
	r := start(t, router.PathConfig{Name: "all"})
	var all []*routertest.Events
	for range 30 {
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range 10 {
				pub, err := r.Publish(context.Background(), "cam", text())
				if err != nil {
					t.Error(err)
					return
				}
				if rd, err := r.Read(context.Background(), "cam", router.SubscribeOptions{}); err == nil {
					rd.Close()
				}
				pub.Close()
			}
		}()
		e := &routertest.Events{}
		r.Observe(e.Hooks())
		all = append(all, e)
		wantDone(t, done)
	}
	_ = r.Close()
	for _, e := range all {
		for _, pair := range [][2]string{{"created cam", "removed cam"}, {"ready cam", "notReady cam"}, {"attached cam", "detached cam"}} {
			open := 0
			for _, v := range e.List() {
				switch v {
				case pair[0]:
					open++
				case pair[1]:
					open--
				}
				if open < 0 || open > 1 {
					t.Fatalf("%q and %q do not alternate", pair[0], pair[1])
				}
			}
			if open != 0 {
				t.Errorf("%q was not undone", pair[0])
			}
		}
	}
}

func TestHookPanic(t *testing.T) {
	t.Parallel()
	e := &routertest.Events{}
	r := routertest.New(t, config(router.PathConfig{Name: "cam"}), router.WithHooks(router.Hooks{
		PathCreated: func(router.PathEvent) func() { return func() { panic("bug") } },
		PathReady:   func(router.PathEvent) func() { panic("bug") },
	}), router.WithHooks(e.Hooks()))
	publish(t, r, "cam")
	if err := r.RemovePath(t.Context(), "cam"); err != nil {
		t.Fatal(err)
	}
	e.Wait(t, "ready cam", 1)
	e.Wait(t, "removed cam", 1)
}

func TestEventContents(t *testing.T) {
	t.Parallel()
	ready, attached := make(chan router.PathEvent, 2), make(chan router.PathEvent, 2)
	hooks := router.Hooks{
		PathReady:      func(e router.PathEvent) func() { ready <- e; return nil },
		ReaderAttached: func(e router.PathEvent) func() { attached <- e; return nil },
	}
	r, h := startHost(t, config(router.PathConfig{Name: "~^(c)am$"}), router.WithHooks(hooks))
	pg := authorize(t, h, router.AccessRequest{Action: router.ActionPublish, Path: "cam", Query: "p=1"})
	pub, err := pg.Publish(t.Context(), text(), router.PublishOptions{Peer: router.Peer{Type: "rtspSession", ID: "1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer pub.Close()
	rg := authorize(t, h, router.AccessRequest{Action: router.ActionRead, Path: "cam", Query: "r=1"})
	rd, err := rg.Read(t.Context(), router.ReadOptions{Peer: router.Peer{Type: "hlsMuxer", ID: "2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer rd.Close()
	defer r.Observe(hooks)() // late ones are told the same
	for range 2 {
		p, a := receive(t, ready), receive(t, attached)
		if p.Path != "cam" || p.Query != "p=1" || p.Peer != (router.Peer{Type: "rtspSession", ID: "1"}) || !slices.Equal(p.Groups, []string{"cam", "c"}) || p.Config.Name != "~^(c)am$" {
			t.Errorf("PathReady: %+v", p)
		}
		if a.Query != "r=1" || a.Peer != (router.Peer{Type: "hlsMuxer", ID: "2"}) {
			t.Errorf("ReaderAttached: %+v", a)
		}
	}
}

func TestSegments(t *testing.T) {
	t.Parallel()
	sink := &routertest.Sink{RunFunc: func(_ context.Context, run *router.SinkRun) error {
		run.EmitSegment("a.mp4", false, 0)
		run.EmitSegment("a.mp4", true, time.Second)
		<-run.Stream.Done()
		return nil
	}}
	r := start(t, router.PathConfig{Name: "cam", Sinks: []router.Sink{sink}})
	e := routertest.Record(t, r)
	publish(t, r, "cam")
	e.Wait(t, "segment a.mp4", 1)
	e.Wait(t, "completed a.mp4", 1)
}
