package routertest

import (
	"bytes"
	"context"
	"fmt"
	"runtime/pprof"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/org/mtx/router"
)

// patience bounds every wait. It is long because machines that run tests are
// slow; nothing waits that long unless the test fails.
const patience = 20 * time.Second

// New starts a router and closes it at the end of the test, then checks that no
// goroutine is left, as [CheckLeaks] does.
func New(t testing.TB, cfg router.Config, opts ...router.Option) *router.Router {
	t.Helper()
	CheckLeaks(t)
	r, err := router.New(cfg, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

// label marks goroutines with the test that they belong to.
const label = "routertest"

// CheckLeaks fails the test if, at its end, goroutines are left which the test
// started, directly or not, after the call of CheckLeaks. What other tests do
// meanwhile does not matter, so tests may run in parallel. Register what stops
// those goroutines with t.Cleanup after CheckLeaks, or stop them before the test
// returns.
func CheckLeaks(t testing.TB) {
	t.Helper()
	checkLeaks(t, patience)
}

func checkLeaks(t testing.TB, patience time.Duration) {
	t.Helper()
	name := fmt.Sprintf("%s %d", t.Name(), time.Now().UnixNano()) // apart from those of go test -count
	// children of this goroutine inherit its labels
	pprof.SetGoroutineLabels(pprof.WithLabels(context.Background(), pprof.Labels(label, name)))
	t.Cleanup(func() {
		pprof.SetGoroutineLabels(context.Background()) // this goroutine is not a leak
		deadline := time.Now().Add(patience)
		for {
			leaks := goroutines(name)
			if len(leaks) == 0 {
				return
			}
			if time.Now().After(deadline) {
				t.Errorf("goroutines are left:\n%s", strings.Join(leaks, "\n\n"))
				return
			}
			time.Sleep(time.Millisecond)
		}
	})
}

// goroutines returns the stacks of goroutines by their label.
func goroutines(name string) []string {
	var b bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&b, 1); err != nil {
		return []string{err.Error()}
	}
	var out []string
	for stack := range strings.SplitSeq(b.String(), "\n\n") {
		if strings.Contains(stack, fmt.Sprintf("%q:%q", label, name)) && !strings.Contains(stack, "os/signal.loop") {
			out = append(out, stack)
		}
	}
	return out
}

// within fails the test if f takes longer than patience.
func within(t testing.TB, what string, f func()) {
	t.Helper()
	var over atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
		over.Store(true)
	}()
	select {
	case <-done:
		if !over.Load() {
			t.FailNow() // f called FailNow
		}
	case <-time.After(patience):
		t.Fatalf("%s: not done after %v", what, patience)
	}
}
