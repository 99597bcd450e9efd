package routertest

import (
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/org/mtx/router"
)

// Eventually polls until cond is true, and fails the test if it does not
// become true. what completes the sentence "not reached: ...".
func Eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("not reached: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// WaitReady waits until a path has a stream, and returns it.
func WaitReady(t testing.TB, r *router.Router, path string) *router.Stream {
	t.Helper()
	ready := make(chan struct{}, 1)
	remove := r.Observe(router.Hooks{PathReady: func(e router.PathEvent) func() {
		if e.Path == path {
			select {
			case ready <- struct{}{}:
			default:
			}
		}
		return nil
	}})
	defer remove()
	expired := time.After(patience)
	for {
		if p, ok := r.Path(path); ok {
			if s := p.Stream(); s != nil {
				return s
			}
		}
		select {
		case <-ready:
		case <-expired:
			t.Fatalf("path %q does not become ready", path)
		}
	}
}

// WaitReaders waits until a path has n readers.
func WaitReaders(t testing.TB, r *router.Router, path string, n int) {
	t.Helper()
	Eventually(t, fmt.Sprintf("%d readers of %q", n, path), func() bool {
		p, ok := r.Path(path)
		return ok && len(p.Info().Readers) == n
	})
}

// Events are the hooks of a router that were called, in order, as text:
//
//	created PATH         removed PATH
//	ready PATH           notReady PATH
//	online PATH          offline PATH
//	attached PATH        detached PATH
//	opened KIND ID       closed KIND ID
//	segment FILE         completed FILE
//	applied
type Events struct {
	mu   sync.Mutex
	list []string
}

// Record collects the events of a router, from what exists already.
func Record(t testing.TB, r *router.Router) *Events {
	t.Helper()
	e := &Events{}
	t.Cleanup(r.Observe(e.Hooks()))
	return e
}

// Hooks are what to give to the router; [Record] does.
func (e *Events) Hooks() router.Hooks {
	pair := func(begin, end, what string) func() {
		e.add(begin + " " + what)
		return func() { e.add(end + " " + what) }
	}
	return router.Hooks{
		PathCreated:      func(v router.PathEvent) func() { return pair("created", "removed", v.Path) },
		PathReady:        func(v router.PathEvent) func() { return pair("ready", "notReady", v.Path) },
		PathOnline:       func(v router.PathEvent) func() { return pair("online", "offline", v.Path) },
		ReaderAttached:   func(v router.PathEvent) func() { return pair("attached", "detached", v.Path) },
		SessionOpened:    func(v router.SessionEvent) func() { return pair("opened", "closed", v.Kind+" "+v.ID) },
		SegmentCreated:   func(v router.SegmentEvent) { e.add("segment " + v.File) },
		SegmentCompleted: func(v router.SegmentEvent) { e.add("completed " + v.File) },
		ConfigApplied:    func(router.Changes) { e.add("applied") },
	}
}

func (e *Events) add(s string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = append(e.list, s)
}

// List returns a copy of the events up to now.
func (e *Events) List() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.list)
}

// Count returns how many times an event occurred.
func (e *Events) Count(event string) int {
	n := 0
	for _, s := range e.List() {
		if s == event {
			n++
		}
	}
	return n
}

// Wait waits until an event has occurred at least n times.
func (e *Events) Wait(t testing.TB, event string, n int) {
	t.Helper()
	Eventually(t, fmt.Sprintf("event %q, %d times", event, n), func() bool { return e.Count(event) >= n })
}

// FreeAddr returns a TCP address of this machine that nobody listens on.
func FreeAddr(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	return ln.Addr().String()
}
