package routertest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
)

// Parameter sets of an H264 stream of 1920x1080, baseline profile.
const (
	sampleSPS = "\x67\x42\xc0\x28\xd9\x00\x78\x02\x27\xe5\x84\x00\x00\x03\x00\x04\x00\x00\x03\x00\xf0\x3c\x60\xc9\x20"
	samplePPS = "\x68\x08"
)

// samplesPerKey is the distance of key frames in units of the sample video.
const samplesPerKey = 30

// SampleTracks are tracks that most plugins can carry: H264 video and stereo
// Opus audio.
func SampleTracks() []media.Track {
	return []media.Track{{Codec: &media.H264{}}, {Codec: &media.Opus{ChannelCount: 2}}}
}

// SampleUnit returns unit number n of a track of [SampleTracks]: 30 access units
// of video per second, of which every 30th, from the first one, is a key frame,
// or 50 audio packets per second.
func SampleUnit(track, n int) *media.Unit {
	if track != 0 {
		return &media.Unit{PTS: int64(n) * 960, Payload: [][]byte{{0xfc, 0xff, 0xfe, byte(n)}}}
	}
	u := &media.Unit{PTS: int64(n) * 3000}
	if n%samplesPerKey == 0 {
		u.Payload = [][]byte{[]byte(sampleSPS), []byte(samplePPS), {0x65, 0x88, 0x84, 0x00, byte(n)}}
	} else {
		u.Payload = [][]byte{{0x41, 0x9a, 0x24, 0x00, byte(n)}}
	}
	return u
}

// Feed publishes what unit returns, 50 times a second for each track, until the end
// of the test or until stop is called.
func Feed(t testing.TB, r *router.Router, path string, tracks []media.Track, unit func(track, n int) *media.Unit) (stop func()) {
	t.Helper()
	pub, err := r.Publish(context.Background(), path, tracks)
	if err != nil {
		t.Fatal(err)
	}
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		defer pub.Close()
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for n := 0; ; n++ {
			for i := range tracks {
				pub.Write(i, unit(i, n))
			}
			select {
			case <-tick.C:
			case <-quit:
				return
			case <-pub.Done():
				return
			}
		}
	}()
	stop = sync.OnceFunc(func() { close(quit); <-done })
	t.Cleanup(stop)
	return stop
}
