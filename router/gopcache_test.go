package router_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
	"github.com/org/mtx/router/routertest"
)

var cached = router.GOPCache{MaxBytes: router.DefaultGOPCacheBytes}

func both(pub *router.Publisher, numbers ...int) {
	for _, n := range numbers {
		pub.Write(0, routertest.SampleUnit(0, n))
		pub.Write(1, routertest.SampleUnit(1, n))
	}
}

func TestGOPCacheBacklog(t *testing.T) {
	t.Parallel()
	r := start(t, router.PathConfig{Name: "cam", GOPCache: cached}, router.PathConfig{Name: "off"})
	pub, off := video(t, r, "cam"), video(t, r, "off")
	both(pub, 28, 29)
	early := subscribe(t, pub.Stream(), router.SubscribeOptions{})
	both(pub, 30, 31, 32)
	both(off, 30, 31, 32)
	sub := subscribe(t, pub.Stream(), router.SubscribeOptions{QueueSize: 1}) // the backlog is beside the queue
	live := subscribe(t, pub.Stream(), router.SubscribeOptions{Live: true})
	none := subscribe(t, off.Stream(), router.SubscribeOptions{})
	audio := subscribe(t, pub.Stream(), router.SubscribeOptions{Tracks: []int{1}})
	pub.Write(0, routertest.SampleUnit(0, 33))
	off.Write(0, routertest.SampleUnit(0, 33))
	wantUnits(t, drain(t, early), "0:30", "1:30", "0:31", "1:31", "0:32", "1:32", "0:33")
	wantUnits(t, drain(t, sub), "0:30", "1:30", "0:31", "1:31", "0:32", "1:32", "0:33")
	wantUnits(t, drain(t, audio), "1:30", "1:31", "1:32")
	wantUnits(t, drain(t, live))
	wantUnits(t, drain(t, none))
	both(pub, 60)
	wantUnits(t, drain(t, subscribe(t, pub.Stream(), router.SubscribeOptions{})), "0:60", "1:60")
	if sub.Bytes() == 0 || pub.Stream().GOPCacheBytes() != cached.MaxBytes || off.Stream().GOPCacheBytes() != 0 {
		t.Error("wrong figures")
	}
}

// The picture before the key frame is kept for readers that need one, and only
// for them.
func TestGOPCacheEarlier(t *testing.T) {
	t.Parallel()
	r := start(t, router.PathConfig{Name: "cam", GOPCache: cached})
	pub := video(t, r, "cam")
	both(pub, 27, 28, 29, 30, 31)
	for earlier, want := range map[bool][]string{
		false: {"0:30", "1:30", "0:31", "1:31"},
		true:  {"0:29", "1:29", "0:30", "1:30", "0:31", "1:31"},
	} {
		var got []string
		pub.Stream().Tap(router.TapOptions{Backlog: true, Earlier: earlier}, func(track int, u *media.Unit) {
			last := u.Payload[len(u.Payload)-1]
			got = append(got, fmt.Sprintf("%d:%d", track, last[len(last)-1]))
		}).Close()
		wantUnits(t, got, want...)
	}
}

// A group of pictures that is too large is forgotten, and the next one kept.
func TestGOPCacheBound(t *testing.T) {
	t.Parallel()
	const limit = 64 << 10
	r := start(t, router.PathConfig{Name: "cam", GOPCache: router.GOPCache{MaxBytes: limit}})
	pub := video(t, r, "cam")
	big := func(n, size int) {
		u := routertest.SampleUnit(0, n)
		last := &u.Payload[len(u.Payload)-1]
		*last = append(slices.Grow(slices.Clone((*last)[:4]), size), make([]byte, size)...)
		*last = append(*last, byte(n))
		pub.Write(0, u)
	}
	got := func() []string { return drain(t, subscribe(t, pub.Stream(), router.SubscribeOptions{})) }
	both(pub, 0)
	big(1, limit/2)
	wantUnits(t, got(), "0:0", "1:0", "0:1")
	big(2, limit/2)
	both(pub, 3)
	wantUnits(t, got())
	big(30, limit) // alone too large
	both(pub, 31)
	wantUnits(t, got())
	both(pub, 60, 61)
	wantUnits(t, got(), "0:60", "1:60", "0:61", "1:61")
}

// Nobody is given what is long ago: neither of a stream that stalls, nor of one that
// goes on without a key frame.
func TestGOPCacheAge(t *testing.T) {
	t.Parallel()
	for name, stalls := range map[string]bool{"stalls": true, "goes on": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r, err := router.New(config(router.PathConfig{Name: "cam", GOPCache: cached}))
				if err != nil {
					t.Fatal(err)
				}
				if err := r.Start(t.Context()); err != nil {
					t.Fatal(err)
				}
				defer func() { _ = r.Close() }()
				pub, err := r.Publish(t.Context(), "cam", routertest.SampleTracks())
				if err != nil {
					t.Fatal(err)
				}
				got := func() []string { return drain(t, subscribe(t, pub.Stream(), router.SubscribeOptions{})) }
				both(pub, 0)
				time.Sleep(router.MaxGOPCacheAge)
				wantUnits(t, got(), "0:0", "1:0")
				time.Sleep(time.Nanosecond)
				if !stalls {
					both(pub, 1, 2)
				}
				wantUnits(t, got())
				both(pub, 3)
				wantUnits(t, got())
				both(pub, 30, 31)
				wantUnits(t, got(), "0:30", "1:30", "0:31", "1:31")
			})
		})
	}
}

func TestGOPCacheLiveChange(t *testing.T) {
	t.Parallel()
	off, on := router.PathConfig{Name: "cam"}, router.PathConfig{Name: "cam", GOPCache: cached}
	r := start(t, off)
	pub := video(t, r, "cam")
	got := func() []string { return drain(t, subscribe(t, pub.Stream(), router.SubscribeOptions{})) }
	both(pub, 0)
	if ch := apply(t, r, config(on)); !slices.Equal(ch.PathsUpdated, []string{"cam"}) || len(ch.PathsRestarted) > 0 {
		t.Errorf("changes: %+v", ch)
	}
	both(pub, 1)
	wantUnits(t, got())
	both(pub, 30)
	wantUnits(t, got(), "0:30", "1:30")
	apply(t, r, config(off))
	wantUnits(t, got())
	select {
	case <-pub.Done():
		t.Error("the publisher was disturbed")
	default:
	}
}

func TestGOPCacheNeedsVideo(t *testing.T) {
	t.Parallel()
	r := start(t, router.PathConfig{Name: "cam", GOPCache: cached})
	pub := publish(t, r, "cam")
	pub.Write(0, message("x"))
	wantUnits(t, drain(t, subscribe(t, pub.Stream(), router.SubscribeOptions{})))
	if pub.Stream().GOPCacheBytes() != 0 {
		t.Error("there is a cache")
	}
	cfg := config(router.PathConfig{Name: "x", GOPCache: router.GOPCache{MaxBytes: 1}})
	if cfg.Validate() == nil {
		t.Error("a cache of one byte is accepted")
	}
}

// Payloads are made of cached packets, also in the middle of an access unit.
func TestGOPCacheOfPackets(t *testing.T) {
	t.Parallel()
	for name, fed := range map[string]bool{"depacketizer at work": true, "depacketizer idle": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := config()
			pub, _ := cachedPackets(t, cfg)
			s := pub.Stream()
			if fed {
				defer s.Tap(router.TapOptions{}, func(int, *media.Unit) {}).Close()
			}
			pub.Write(0, part(3, 0, 1, true))
			pub.Write(0, part(4, 2, 3, false))
			pub.Write(0, part(4, 4, 4, true))
			pub.Write(0, part(5, 5, 6, false))
			var packets, payloads log
			defer s.Tap(router.TapOptions{RTP: true, Backlog: true}, packets.add).Close()
			packets.want(t, "4:2-3", "4:4-4", "5:5-6")
			tap := s.Tap(router.TapOptions{Backlog: true}, payloads.add)
			defer tap.Close()
			payloads.want(t, "4=2-4")
			pub.Write(0, part(5, 7, 8, true))
			packets.want(t, "5:7-8")
			payloads.want(t, "5=5-8")
			added := false
			tap.Replay(payloads.add, func() { added = true })
			payloads.want(t, "4=2-4", "5=5-8")
			if !added {
				t.Error("done was not called")
			}
		})
	}
}

// Without a way to make a depacketizer again, payloads begin with what comes next.
func TestGOPCacheWithoutRenew(t *testing.T) {
	t.Parallel()
	_, h := startHost(t, config(router.PathConfig{Name: "cam", GOPCache: cached}))
	g := authorize(t, h, router.AccessRequest{Action: router.ActionPublish, Path: "cam"})
	d := struct{ media.Depacketizer }{&routertest.Depacketizer{}}
	pub, err := g.Publish(t.Context(), []media.Track{{Codec: &media.VP8{}}}, router.PublishOptions{Depacketizers: []media.Depacketizer{d}})
	if err != nil {
		t.Fatal(err)
	}
	defer pub.Close()
	pub.Write(0, part(4, 0, 1, true))
	var payloads log
	defer pub.Stream().Tap(router.TapOptions{Backlog: true}, payloads.add).Close()
	payloads.want(t)
	pub.Write(0, part(5, 2, 3, true))
	payloads.want(t, "5=2-3")
}

func cachedPackets(t testing.TB, cfg router.Config) (*router.Publisher, *routertest.Depacketizer) {
	t.Helper()
	cfg.Paths = []router.PathConfig{{Name: "cam", GOPCache: cached}}
	_, h := startHost(t, cfg)
	d := &routertest.Depacketizer{}
	g := authorize(t, h, router.AccessRequest{Action: router.ActionPublish, Path: "cam"})
	pub, err := g.Publish(t.Context(), []media.Track{{Codec: &media.VP8{}}}, router.PublishOptions{Depacketizers: []media.Depacketizer{d}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pub.Close)
	return pub, d
}

// Readers that come while units are written get all of them once, from a key
// frame on.
func TestGOPCacheNoGap(t *testing.T) {
	t.Parallel()
	r := start(t, router.PathConfig{Name: "cam", GOPCache: cached})
	pub := video(t, r, "cam")
	pub.Write(0, routertest.SampleUnit(0, 0))
	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		for n := 1; ; n++ {
			select {
			case <-stop:
				return
			default:
				pub.Write(0, routertest.SampleUnit(0, n))
			}
		}
	})
	for range 200 {
		next := int64(-1)
		enough := make(chan struct{})
		tap := pub.Stream().Tap(router.TapOptions{Backlog: true}, func(_ int, u *media.Unit) {
			switch {
			case next < 0 && !u.RandomAccess:
				t.Error("does not begin with a key frame")
			case next >= 0 && u.PTS != next:
				t.Errorf("PTS %d, want %d", u.PTS, next)
			}
			if next = u.PTS + 3000; u.RandomAccess {
				select {
				case <-enough:
				default:
					close(enough)
				}
			}
		})
		wantDone(t, enough)
		tap.Close()
	}
	close(stop)
	writer.Wait()
}

// BenchmarkGOPCache writes units with two taps, and tells what the cache costs.
func BenchmarkGOPCache(b *testing.B) {
	for name, conf := range map[string]router.GOPCache{"off": {}, "on": cached} {
		b.Run(name, func(b *testing.B) {
			pub := video(b, start(b, router.PathConfig{Name: "cam", GOPCache: conf}), "cam")
			for range 2 {
				b.Cleanup(pub.Stream().Tap(router.TapOptions{}, func(int, *media.Unit) {}).Close)
			}
			units := make([]*media.Unit, 60)
			for n := range units {
				units[n] = routertest.SampleUnit(0, n)
			}
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				pub.Write(0, units[n%len(units)])
			}
		})
	}
}
