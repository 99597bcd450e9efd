package srt

import (
	"bytes"
	"sync/atomic"
	"testing"
	"time"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
	"github.com/org/mtx/router/routertest"
)

// bigUnit is a sample of 10 KB.
func bigUnit(n int) *media.Unit {
	u := routertest.SampleUnit(0, n)
	last := &u.Payload[len(u.Payload)-1]
	*last = append(bytes.Clone(*last), bytes.Repeat([]byte{byte(n) | 1}, 10000)...)
	return u
}

// A reader begins with the last key frame and gets all that came since, and what
// comes later, once.
func TestGOPCache(t *testing.T) {
	t.Parallel()
	for name, others := range map[string]bool{"first reader": false, "another reader": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := anyPath()
			cfg.Paths[0].GOPCache.MaxBytes = router.DefaultGOPCacheBytes
			g := newRig(t, cfg)
			var asked atomic.Int64
			pub, err := g.r.Publish(t.Context(), "s", routertest.SampleTracks(), router.PublishOptions{RequestKeyFrame: func() { asked.Add(1) }})
			if err != nil {
				t.Fatal(err)
			}
			defer pub.Close()
			if others {
				g.read("read:s", "")
				routertest.WaitReaders(t, g.r, "s", 1)
			}
			const first, last = 30, 58
			for n := first - 2; n <= last; n++ {
				pub.Write(0, bigUnit(n))
				pub.Write(1, routertest.SampleUnit(1, n))
			}
			began := time.Now()
			c := g.read("read:s", "")
			quit, done := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(done)
				tick := time.NewTicker(time.Second / 30)
				defer tick.Stop()
				for n := last + 1; ; n++ {
					select {
					case <-tick.C:
						pub.Write(0, bigUnit(n))
						pub.Write(1, routertest.SampleUnit(1, n))
					case <-quit:
						return
					}
				}
			}()
			defer func() {
				close(quit)
				<-done
			}()
			c.has(0, 1)
			t.Logf("call to the key frame: %v", time.Since(began))
			units := c.has(0, last+10-first)
			c.mu.Lock()
			defer c.mu.Unlock()
			for i, u := range units {
				if i == 0 && len(u.Payload) < 3 {
					t.Error("does not begin with a key frame")
				}
				if i > 0 && u.PTS-units[i-1].PTS != 3000 {
					t.Errorf("unit %d comes %d after the one before", i, u.PTS-units[i-1].PTS)
				}
			}
			if len(c.damaged) > 0 {
				t.Error(c.damaged)
			}
			routertest.Eventually(t, "the publisher is asked for a key frame", func() bool { return asked.Load() > 0 })
		})
	}
}
