package routertest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/pion/rtp"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
)

const sinkPath = "conformance"

// watchedSink tells when runs of a sink begin and how they end.
type watchedSink struct {
	router.Sink
	begins chan struct{}
	ends   chan error
}

func (s *watchedSink) Run(ctx context.Context, run *router.SinkRun) error {
	s.begins <- struct{}{}
	return runWatched(func() error { return s.Sink.Run(ctx, run) }, s.ends)
}

// TestSink is the conformance suite of sinks. newSink returns equal values, which
// work (what they connect to is there). It checks that
//
//   - equal values are equal for the router
//   - Run returns at the end of the stream: nil, or an error that is
//     [router.ErrStreamClosed]
//   - Run returns soon after its context is done, while the stream goes on
//   - units without payload, empty ones, nonsense, and tracks of unknown codecs do
//     not make it panic, and never block the publisher
//   - a stream with no track that it knows does not make it panic
//   - no goroutine is left
func TestSink(t *testing.T, newSink func() router.Sink) {
	t.Run("equal", func(t *testing.T) {
		a := router.Config{Paths: []router.PathConfig{{Name: sinkPath, Sinks: []router.Sink{newSink()}}}}
		b := router.Config{Paths: []router.PathConfig{{Name: sinkPath, Sinks: []router.Sink{newSink()}}}}
		if ch := router.Diff(&a, &b); !ch.Empty() {
			t.Errorf("values with the same content differ: %+v", ch)
		}
	})
	t.Run("end of stream", func(t *testing.T) {
		_, pub, sink := startSink(t, newSink(), SampleTracks())
		for i := range 2 * samplesPerKey {
			pub.Write(0, SampleUnit(0, i))
			pub.Write(1, SampleUnit(1, i))
		}
		pub.Close()
		if err := waitEnd(t, sink); err != nil && !errors.Is(err, router.ErrStreamClosed) {
			t.Errorf("at the end of the stream, Run returned: %v", err)
		}
	})
	t.Run("context", func(t *testing.T) {
		r, pub, sink := startSink(t, newSink(), SampleTracks())
		pub.Write(0, SampleUnit(0, 0))
		within(t, "removal of the sink", func() {
			if err := r.AddPath(t.Context(), router.PathConfig{Name: sinkPath}); err != nil {
				t.Error(err)
			}
		})
		if err := waitEnd(t, sink); isPanic(err) {
			t.Errorf("Run: %v", err)
		}
		if pub.Err() != nil {
			t.Errorf("the stream ended with its sink: %v", pub.Err())
		}
	})
	t.Run("nonsense", func(t *testing.T) {
		generic := media.Track{Codec: &media.Generic{RTPMap: "unknown/1000", Rate: 1000}}
		tracks := append(SampleTracks(), generic, media.Track{Codec: &media.KLV{}})
		_, pub, sink := startSink(t, newSink(), tracks)
		writeNonsense(t, pub)
		pub.Close()
		if err := waitEnd(t, sink); isPanic(err) {
			t.Errorf("Run: %v", err)
		}
	})
	t.Run("no known track", func(t *testing.T) {
		_, pub, sink := startSink(t, newSink(), []media.Track{{Codec: &media.Generic{RTPMap: "unknown/1000", Rate: 1000}}})
		pub.Write(0, &media.Unit{Payload: [][]byte{{1, 2, 3}}})
		pub.Close()
		if err := waitEnd(t, sink); isPanic(err) {
			t.Errorf("Run: %v", err)
		}
	})
}

// startSink runs a sink on a stream of the program.
func startSink(t *testing.T, s router.Sink, tracks []media.Track) (*router.Router, *router.Publisher, *watchedSink) {
	t.Helper()
	w := &watchedSink{s, make(chan struct{}, 1000), make(chan error, 1000)}
	r := New(t, router.Config{
		Paths:            []router.PathConfig{{Name: sinkPath, Sinks: []router.Sink{w}}},
		SourceRetryPause: time.Hour,
	})
	pub, err := r.Publish(t.Context(), sinkPath, tracks)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pub.Close)
	select {
	case <-w.begins:
	case <-time.After(patience):
		t.Fatal("the sink was not started")
	}
	return r, pub, w
}

func waitEnd(t *testing.T, s *watchedSink) error {
	t.Helper()
	select {
	case err := <-s.ends:
		return err
	case <-time.After(patience):
		t.Fatal("Run does not return")
		return nil
	}
}

// writeNonsense writes what a sink must survive, and checks that it does not
// hold up the publisher.
func writeNonsense(t *testing.T, pub *router.Publisher) {
	t.Helper()
	start := time.Now()
	for i := range 1000 {
		for track := range 4 {
			pub.Write(track, &media.Unit{PTS: int64(i)})
			pub.Write(track, &media.Unit{PTS: -int64(i) * 1e6, Payload: [][]byte{}})
			pub.Write(track, &media.Unit{PTS: int64(i), Payload: [][]byte{nil, {}}})
			pub.Write(track, &media.Unit{PTS: 1 << 62, Payload: [][]byte{{byte(i)}, {0x65}, {0x67}, {0x67, byte(i), 0xff}}})
			pub.Write(track, &media.Unit{PTS: int64(i), RTP: []*rtp.Packet{{Payload: []byte{byte(i)}}}, More: i%2 == 0})
			pub.Write(track, SampleUnit(track, i))
		}
		pub.Write(99, SampleUnit(0, i))
		pub.Write(-1, SampleUnit(0, i))
	}
	if d := time.Since(start); d > patience {
		t.Errorf("the sink holds up the publisher: 26,000 units took %v", d)
	}
}
