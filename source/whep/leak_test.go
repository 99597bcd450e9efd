package whep_test

import (
	"context"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/pprof"
	"sync/atomic"
	"testing"
	"time"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/routertest"
	"github.com/org/mtx/source/internal/pulltest"
	srcwhep "github.com/org/mtx/source/whep"
)

// attempts counts runs.
type attempts struct {
	srcwhep.Source
	n *atomic.Int64
}

func (a attempts) Run(ctx context.Context, run *router.SourceRun) error {
	defer a.n.Add(1)
	return a.Source.Run(ctx, run)
}

// sockets counts open files of the process; zero where they cannot be counted.
func sockets() int {
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(list)
}

// Sources that fail for hours leave nothing behind: 200 attempts, of all kinds.
// It is not parallel because it counts goroutines and files.
func TestFailuresLeaveNothing(t *testing.T) {
	silent := (&standIn{t: t, mute: true}).start()
	lost := (&standIn{t: t, edit: unreachable}).start()
	broken := (&standIn{t: t, edit: func(string) string { return "v=0\r\nm=video 9 X 1\r\n" }}).start()
	missing := hostile(t, http.NotFound)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := "whep://" + ln.Addr().String()
	_ = ln.Close()

	var done atomic.Int64
	run := func(each, all int64) {
		var paths []router.PathConfig
		var counts []*atomic.Int64
		for i, url := range []string{silent.url, lost.url, broken.url, missing, gone} {
			n := &atomic.Int64{}
			counts = append(counts, n)
			paths = append(paths, router.PathConfig{Name: string(rune('a' + i)), Source: attempts{srcwhep.Source{
				URL: url + "/cam/whep", HandshakeTimeout: 400 * time.Millisecond, TrackGatherTimeout: 20 * time.Millisecond,
			}, n}})
		}
		r := routertest.New(t, router.Config{Paths: paths, SourceRetryPause: 5 * time.Millisecond})
		routertest.Eventually(t, "attempts", func() bool {
			sum := int64(0)
			for _, n := range counts {
				if sum += n.Load(); n.Load() < each {
					return false
				}
			}
			return sum >= all
		})
		_ = r.Close()
		for _, n := range counts {
			done.Add(n.Load())
		}
	}
	run(2, 10) // what stays for good is there now
	silent.closePeers()
	lost.closePeers()
	broken.closePeers()
	goroutines, files := runtime.NumGoroutine(), sockets()
	done.Store(0)
	run(8, 200)
	silent.closePeers()
	lost.closePeers()
	broken.closePeers()
	if n := done.Load(); n < 200 {
		t.Errorf("%d attempts, want 200", n)
	}
	const slack = 4 // of HTTP servers
	clean := func() bool { return runtime.NumGoroutine() <= goroutines+slack && sockets() <= files+slack }
	for deadline := time.Now().Add(pulltest.Patience); !clean(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			_ = pprof.Lookup("goroutine").WriteTo(os.Stderr, 1)
			t.Fatalf("left after %d attempts: %d goroutines, before %d; %d files, before %d",
				done.Load(), runtime.NumGoroutine(), goroutines, sockets(), files)
		}
	}
	t.Logf("%d attempts: goroutines %d -> %d, files %d -> %d", done.Load(), goroutines, runtime.NumGoroutine(), files, sockets())
}
