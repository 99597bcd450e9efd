package router_test

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
	"github.com/org/mtx/router/routertest"
)

// An idle path costs little memory and no goroutine. Not parallel: it measures
// the process.
func TestIdlePathsAreCheap(t *testing.T) {
	const n = 1000
	paths := make([]router.PathConfig, n)
	for i := range paths {
		paths[i].Name = fmt.Sprintf("cam%d", i)
	}
	r := start(t)
	goroutines, before := runtime.NumGoroutine(), heap()
	apply(t, r, config(paths...))
	after := heap()
	if d := (int64(after) - int64(before)) / n; d > 4096 {
		t.Errorf("a path costs %d bytes", d)
	} else {
		t.Logf("a path costs %d bytes", d)
	}
	if d := runtime.NumGoroutine() - goroutines; d > 2 {
		t.Errorf("%d paths cost %d goroutines", n, d)
	}
	runtime.KeepAlive(r)
}

// heap returns the bytes of live objects.
func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// Writing costs no memory, whoever listens. Not parallel: it counts allocations
// of the process.
func TestFanOutDoesNotAllocate(t *testing.T) {
	r := start(t, router.PathConfig{Name: "cam"})
	pub := publish(t, r, "cam")
	pub.Stream().Tap(router.TapOptions{}, func(int, *media.Unit) {})
	subs := make([]*router.Subscription, 100)
	for i := range subs {
		subs[i] = subscribe(t, pub.Stream(), router.SubscribeOptions{})
	}
	u, ctx := message("x"), t.Context()
	allocs := testing.AllocsPerRun(1000, func() {
		pub.Write(0, u)
		for _, s := range subs {
			if _, _, err := s.Next(ctx); err != nil {
				t.Error(err)
			}
		}
	})
	if allocs > 0 {
		t.Errorf("%v allocations per unit", allocs)
	}
}

// What lasts for long does not hold on to hooks that were removed, and to what they
// belong to, such as a server that was restarted.
func TestRemovedHooksAreForgotten(t *testing.T) {
	t.Parallel()
	r, h := startHost(t, config(router.PathConfig{Name: "cam"}))
	defer h.AddSession(newSession("k", "1", 0))()
	publish(t, r, "cam")
	read(t, r, "cam")
	var forgotten atomic.Int64
	for range 3 {
		owner := new([1 << 10]byte)
		runtime.AddCleanup(owner, func(int) { forgotten.Add(1) }, 0)
		seen := make(chan byte, 5)
		see := func(router.PathEvent) func() { seen <- owner[0]; return nil }
		remove := r.Observe(router.Hooks{
			PathCreated: see, PathReady: see, PathOnline: see, ReaderAttached: see,
			SessionOpened: func(router.SessionEvent) func() { return see(router.PathEvent{}) },
		})
		for range cap(seen) {
			receive(t, seen)
		}
		remove()
	}
	routertest.Eventually(t, "the hooks are forgotten", func() bool {
		runtime.GC()
		return forgotten.Load() == 3
	})
}
