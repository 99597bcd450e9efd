package rtmp_test

import (
	"bytes"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bluenviron/gortmplib"
	"github.com/bluenviron/gortmplib/pkg/codecs"
	"github.com/bluenviron/gortmplib/pkg/message"

	"github.com/org/mtx/protocol/rtmp"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
	"github.com/org/mtx/router/routertest"
)

// largeUnit is a sample of 10 KB. All between two key frames belongs to what a new
// reader gets, however late it joins: there is only one, unlike in other samples.
func largeUnit(n, key int) *media.Unit {
	u := routertest.SampleUnit(0, key)
	if n != key {
		u = routertest.SampleUnit(0, key+1)
		u.PTS = routertest.SampleUnit(0, n).PTS
	}
	last := &u.Payload[len(u.Payload)-1]
	*last = append(bytes.Clone(*last), bytes.Repeat([]byte{byte(n) | 1}, 10000)...)
	return u
}

// cached publishes on a path with the GOP cache, with a reader if others is set.
func cached(t *testing.T, others bool, requested func()) (pub *router.Publisher, addr string) {
	t.Helper()
	r, addr := start(t, &rtmp.Server{}, func(c *router.Config) {
		c.Paths[0].GOPCache.MaxBytes = router.DefaultGOPCacheBytes
	})
	pub, err := r.Publish(t.Context(), "cam", routertest.SampleTracks(), router.PublishOptions{RequestKeyFrame: requested})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pub.Close)
	if others {
		mustDial(t, false, "rtmp://%s/cam", addr)
		routertest.WaitReaders(t, r, "cam", 1)
	}
	return pub, addr
}

// A reader begins with the last key frame and gets all that came since, and what
// comes later, once.
func TestGOPCache(t *testing.T) {
	t.Parallel()
	for name, others := range map[string]bool{"first reader": false, "another reader": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int64
			pub, addr := cached(t, others, func() { asked.Add(1) })
			const first, last = 30, 58
			for n := first - 2; n <= last; n++ {
				pub.Write(0, largeUnit(n, first))
				pub.Write(1, routertest.SampleUnit(1, n))
			}
			rd := &gortmplib.Reader{Conn: mustDial(t, false, "rtmp://%s/cam", addr)}
			const more = 60 // the library looks at two seconds
			for n := last + 1; n <= last+more; n++ {
				pub.Write(0, largeUnit(n, first))
				pub.Write(1, routertest.SampleUnit(1, n))
			}
			if err := rd.Initialize(); err != nil {
				t.Fatal(err)
			}
			var pts []time.Duration
			key := false
			for _, tr := range rd.Tracks() {
				if _, ok := tr.Codec.(*codecs.H264); !ok {
					rd.OnDataOpus(tr, func(time.Duration, []byte) {})
					continue
				}
				rd.OnDataH264(tr, func(at, _ time.Duration, au [][]byte) {
					if nal := au[len(au)-1]; len(nal) > 1000 { // no parameter sets
						key = key || len(pts) == 0 && nal[0]&0x1f == 5
						pts = append(pts, at)
					}
				})
			}
			for len(pts) < last+more+1-first {
				if err := rd.Read(); err != nil {
					t.Fatalf("after %d pictures: %v", len(pts), err)
				}
			}
			for i := range pts {
				if d := pts[i] - pts[max(i-1, 0)] - time.Second/30; i > 0 && d.Abs() > 2*time.Millisecond {
					t.Errorf("picture %d is at %v, the one before at %v", i, pts[i], pts[i-1])
				}
			}
			if !key {
				t.Error("does not begin with a key frame")
			}
			routertest.Eventually(t, "the publisher is asked for a key frame", func() bool { return asked.Load() > 0 })
		})
	}
}

// The configuration that a reader gets first is not later than what is kept for it.
func TestGOPCacheTime(t *testing.T) {
	t.Parallel()
	for name, others := range map[string]bool{"first reader": false, "another reader": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pub, addr := cached(t, others, nil)
			const first, last = 30, 80
			for n := first; n <= last; n++ {
				pub.Write(0, largeUnit(n, first))
			}
			c := mustDial(t, false, "rtmp://%s/cam", addr)
			var at []time.Duration
			for len(at) < 1+last+1-first {
				m, err := c.Read()
				if err != nil {
					t.Fatal(err)
				}
				if v, ok := m.(*message.Video); ok {
					at = append(at, v.DTS)
				}
			}
			if !slices.IsSorted(at) || at[0] != at[1] {
				t.Errorf("time goes back: %v", at)
			}
		})
	}
}
