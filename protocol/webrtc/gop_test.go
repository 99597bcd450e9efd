package webrtc

import (
	"bytes"
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

// Viewers begin with the last key frame and get all that came since, and what comes
// later, once.
func TestGOPCache(t *testing.T) {
	t.Parallel()
	g := newRig(t, Server{}, nil, router.PathConfig{Name: "cam", GOPCache: router.GOPCache{MaxBytes: router.DefaultGOPCacheBytes}})
	pub, err := g.Publish(t.Context(), "cam", routertest.SampleTracks())
	if err != nil {
		t.Fatal(err)
	}
	defer pub.Close()
	const first, last = 30, 58
	for n := first - 2; n <= last; n++ {
		pub.Write(0, bigUnit(n))
		pub.Write(1, routertest.SampleUnit(1, n))
	}
	var viewers []*client
	for i := range 2 { // the second one comes to a group that exists
		began := time.Now()
		c := g.whep("/cam")
		viewers = append(viewers, c)
		connected := time.Now()
		routertest.Eventually(t, "the first packets come", func() bool { return c.first.Load() != nil })
		t.Logf("viewer %d: POST to the key frame %v, of which after the connection %v", i+1, time.Since(began), time.Since(connected))
		if p := *c.first.Load(); p[0]&0x1f != 24 && p[0]&0x1f != 7 { // STAP-A, or SPS
			t.Errorf("does not begin with parameters: %x", p[:4])
		}
		routertest.Eventually(t, "all pictures come", func() bool { return c.markers.Load() >= last+1-first })
	}
	pub.Write(0, bigUnit(last+1))
	for _, c := range viewers {
		routertest.Eventually(t, "the next picture comes", func() bool { return c.markers.Load() == last+2-first })
		if c.audio.Load() == 0 {
			t.Error("no audio")
		}
	}
}
