package router_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
	"github.com/org/mtx/router/routertest"
)

// TestStress does everything at the same time for a second, for the race
// detector; nothing may hang, and nothing may be left.
func TestStress(t *testing.T) {
	t.Parallel()
	sink := &routertest.Sink{}
	source := &routertest.Source{}
	standby := &routertest.Standby{PlayFunc: func(ctx context.Context, write func(int, *media.Unit)) error {
		for n := 0; ctx.Err() == nil; n++ {
			write(n%2, routertest.SampleUnit(n%2, n))
			time.Sleep(time.Millisecond)
		}
		return nil
	}}
	base := func(i int) router.Config {
		c := config(
			router.PathConfig{Name: "cam", Override: i%2 == 0, MaxReaders: i % 3, Sinks: []router.Sink{sink}},
			router.PathConfig{Name: "demand", Source: source, OnDemand: router.OnDemand{Enabled: i%4 != 0, StartTimeout: time.Second}},
			router.PathConfig{Name: "~^x(.)$", Extras: []any{i % 5}},
			router.PathConfig{Name: "always", Standby: standby, Override: i%2 == 0, Sinks: []router.Sink{sink}},
			router.PathConfig{Name: "~^z(.)$", Standby: standby, Extras: []any{i % 5}},
			router.PathConfig{Name: "grace", PublisherGrace: time.Duration(i%2) * time.Millisecond, Override: true},
		)
		if i%2 == 0 { // so that there is one to remove, whoever comes first
			c.Paths = append(c.Paths, router.PathConfig{Name: "y"})
		}
		return c
	}
	r, h := startHost(t, base(0))
	withProtocols := func(c router.Config) router.Config {
		c.Protocols = r.Config().Protocols
		return c
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	counts := map[string]*atomic.Int64{}
	var wg sync.WaitGroup
	loop := func(what string, f func(i int) error) {
		n := &atomic.Int64{}
		counts[what] = n
		for range 2 {
			wg.Go(func() {
				for i := 0; ctx.Err() == nil; i++ {
					if f(i) == nil {
						n.Add(1)
					}
				}
			})
		}
	}
	names := []string{"cam", "demand", "x1", "x2", "y", "always", "z1", "grace"}
	loop("publish", func(i int) error {
		pub, err := r.Publish(ctx, names[i%len(names)], routertest.SampleTracks())
		if err != nil {
			return err
		}
		defer pub.Close()
		for n := range 50 {
			pub.Write(n%2, routertest.SampleUnit(n%2, n))
		}
		return nil
	})
	loop("read", func(i int) error {
		rctx, cancel := context.WithTimeout(ctx, 5*time.Millisecond)
		defer cancel()
		rd, err := r.Read(rctx, names[i%len(names)], router.SubscribeOptions{QueueSize: 4})
		if err != nil {
			return err
		}
		defer rd.Close()
		tap := rd.Stream().Tap(router.TapOptions{RTP: i%2 == 0}, func(int, *media.Unit) {})
		defer tap.Close()
		for err == nil {
			_, _, err = rd.Next(rctx)
		}
		return nil
	})
	loop("authorize", func(i int) error {
		g, err := h.Authorize(ctx, &router.AccessRequest{Action: router.ActionPublish, Path: names[i%len(names)]})
		if err != nil {
			return err
		}
		pub, err := g.Publish(ctx, text(), router.PublishOptions{})
		if err == nil {
			pub.Close()
		}
		return nil
	})
	loop("apply", func(i int) error { _, err := r.Apply(ctx, withProtocols(base(i))); return err })
	loop("add", func(i int) error { return r.AddPath(ctx, router.PathConfig{Name: "y", MaxReaders: i % 7}) })
	loop("remove", func(int) error { return r.RemovePath(ctx, "y") })
	loop("observe", func(int) error {
		r.Observe((&routertest.Events{}).Hooks())()
		time.Sleep(time.Millisecond) // or hooks pile up
		return nil
	})
	loop("sessions", func(i int) error {
		remove := h.AddSession(newSession("k", fmt.Sprint(i), 0))
		defer remove()
		return r.Kick("k", fmt.Sprint(i))
	})
	loop("list", func(int) error {
		for range r.Paths() {
		}
		for range r.Sessions("") {
		}
		return nil
	})
	wg.Wait()
	for what, n := range counts {
		if n.Load() == 0 {
			t.Errorf("%s: never succeeded", what)
		}
	}
}
