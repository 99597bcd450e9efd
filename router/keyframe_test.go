package router_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
	"github.com/org/mtx/router/routertest"
)

// askable publishes a track of video whose publisher counts requests.
func askable(t *testing.T, ask func()) *router.Publisher {
	t.Helper()
	r := start(t, router.PathConfig{Name: "cam"})
	pub, err := r.Publish(t.Context(), "cam", []media.Track{{Codec: &media.H264{}}}, router.PublishOptions{RequestKeyFrame: ask})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pub.Close)
	return pub
}

func TestKeyFrameRequestsAreThrottled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int64
		s := askable(t, func() { n.Add(1) }).Stream()
		began := time.Now()
		s.RequestKeyFrame()
		routertest.Eventually(t, "the first request is sent", func() bool { return n.Load() == 1 })
		for range 1000 { // joined to one that comes later
			s.RequestKeyFrame()
		}
		routertest.Eventually(t, "the second request is sent", func() bool { return n.Load() == 2 })
		if d := time.Since(began); d < 500*time.Millisecond {
			t.Errorf("the second request came after %v", d)
		}
	})
}

func TestSubscriptionsAskForKeyFrames(t *testing.T) {
	t.Parallel()
	var n atomic.Int64
	s := askable(t, func() { n.Add(1) }).Stream()
	if n.Load() != 0 {
		t.Error("a request without readers")
	}
	if _, err := s.Subscribe(router.SubscribeOptions{}); err != nil {
		t.Fatal(err)
	}
	routertest.Eventually(t, "the publisher is asked", func() bool { return n.Load() == 1 })
}

func TestKeyFrameRequestsEndWithTheStream(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int64
		pub := askable(t, func() { n.Add(1) })
		pub.Stream().RequestKeyFrame()
		routertest.Eventually(t, "the publisher is asked", func() bool { return n.Load() == 1 })
		pub.Stream().RequestKeyFrame() // waits
		pub.Close()
		pub.Stream().RequestKeyFrame()
		time.Sleep(600 * time.Millisecond) // longer than the pause
		if n.Load() != 1 {
			t.Errorf("%d requests", n.Load())
		}
	})
}

// A publisher that cannot be asked, and one that panics.
func TestKeyFrameRequestsAreOptional(t *testing.T) {
	t.Parallel()
	askable(t, nil).Stream().RequestKeyFrame()
	var n atomic.Int64
	s := askable(t, func() { n.Add(1); panic("bug") }).Stream()
	for i := range int64(2) {
		s.RequestKeyFrame()
		routertest.Eventually(t, "the publisher is asked", func() bool { return n.Load() > i })
	}
}

// A request may get lost: without a key frame it is sent again.
func TestKeyFrameRequestsAreRepeated(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int64
		asked := make(chan struct{}, 8)
		pub := askable(t, func() { n.Add(1); asked <- struct{}{} })
		began := time.Now()
		pub.Stream().RequestKeyFrame()
		<-asked
		pub.Write(0, routertest.SampleUnit(0, 1)) // no key frame
		<-asked
		if d := time.Since(began); d < time.Second {
			t.Errorf("the request was repeated after %v", d)
		}
		pub.Write(0, routertest.SampleUnit(0, 0))
		time.Sleep(1200 * time.Millisecond) // longer than the patience
		if n.Load() != 2 {
			t.Errorf("%d requests", n.Load())
		}
	})
}
