package webrtc

import (
	"net/http"
	"runtime"
	"runtime/debug"
	"sync"
	"testing"

	"github.com/org/mtx/router/routertest"
)

// Viewers that join and leave leave nothing behind.
func TestCrowd(t *testing.T) {
	viewers, rounds := 100, 10
	if raceEnabled { // handshakes cost ten times as much
		viewers, rounds = 20, 3
	}
	g := newRig(t, Server{}, nil)
	g.publish("cam")
	var goroutines, first, last uint64
	for round := range rounds {
		crowd(g, viewers)
		goroutines, last = idle(t, g)
		if round == 0 {
			first = last
		}
	}
	if goroutines > 60 {
		t.Errorf("%d goroutines", goroutines)
	}
	// what stays is not one for each viewer that was there: a peer connection takes
	// some 100 KiB. There is more of the log.
	if grown := int64(last) - int64(first); grown > 1<<20+int64(viewers*(rounds-1))*4<<10 {
		t.Errorf("the heap has grown from %d KiB to %d KiB", first>>10, last>>10)
	}
	t.Logf("%d goroutines, heap %d KiB after the first round, %d KiB at the end", goroutines, first>>10, last>>10)
}

// crowd lets viewers come, a few at a time, and leave in different ways.
func crowd(g *rig, viewers int) {
	var wg sync.WaitGroup
	turn := make(chan struct{}, 8)
	clients := make([]*client, viewers)
	for i := range viewers {
		clients[i] = g.bareClient(false)
		clients[i].receive()
		turn <- struct{}{}
		wg.Go(func() {
			defer func() { <-turn }()
			if status, body, err := clients[i].tryPost("/cam/whep"); status != http.StatusCreated || err != nil {
				g.t.Errorf("%d %s %v", status, body, err)
			}
		})
	}
	wg.Wait()
	routertest.Eventually(g.t, "all viewers have video", func() bool {
		for _, c := range clients {
			if c.markers.Load() == 0 {
				return false
			}
		}
		return true
	})
	for i, c := range clients {
		if i%2 == 0 {
			if res, _, err := g.try(http.MethodDelete, c.location, ""); err != nil || res.StatusCode != http.StatusOK {
				g.t.Errorf("DELETE: %v", err)
			}
		}
		c.close()
	}
	routertest.Eventually(g.t, "all sessions have ended", func() bool { return len(g.sessionsOf("read")) == 0 })
}

// idle returns what is left when nobody is there.
func idle(t *testing.T, g *rig) (goroutines, heap uint64) {
	t.Helper()
	g.http.CloseIdleConnections()
	routertest.Eventually(t, "goroutines have ended", func() bool { return runtime.NumGoroutine() < 60 })
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return uint64(runtime.NumGoroutine()), m.HeapAlloc
}
