package router_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
	"github.com/org/mtx/router/routertest"
)

// video publishes the sample tracks.
func video(t testing.TB, r *router.Router, path string) *router.Publisher {
	t.Helper()
	pub, err := r.Publish(t.Context(), path, routertest.SampleTracks())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pub.Close)
	return pub
}

func subscribe(t testing.TB, s *router.Stream, o router.SubscribeOptions) *router.Subscription {
	t.Helper()
	sub, err := s.Subscribe(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sub.Close)
	return sub
}

// drain takes what is queued, as "track:number".
func drain(t testing.TB, sub *router.Subscription) []string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out []string
	for {
		track, u, err := sub.Next(ctx)
		if err != nil {
			return out
		}
		last := u.Payload[len(u.Payload)-1]
		out = append(out, fmt.Sprintf("%d:%d", track, last[len(last)-1]))
	}
}

func wantUnits(t testing.TB, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got units %v, want %v", got, want)
	}
}

func TestSubscriptionStartsAtKeyFrame(t *testing.T) {
	t.Parallel()
	r := start(t, router.PathConfig{Name: "cam"})
	pub := video(t, r, "cam")
	key := subscribe(t, pub.Stream(), router.SubscribeOptions{})
	anyStart := subscribe(t, pub.Stream(), router.SubscribeOptions{AnyStart: true})
	for _, n := range []int{28, 29, 30, 31} {
		pub.Write(0, routertest.SampleUnit(0, n))
		pub.Write(1, routertest.SampleUnit(1, n))
	}
	wantUnits(t, drain(t, key), "1:28", "1:29", "0:30", "1:30", "0:31", "1:31")
	wantUnits(t, drain(t, anyStart), "0:28", "1:28", "0:29", "1:29", "0:30", "1:30", "0:31", "1:31")
}

func TestSubscriptionDropsWhenFull(t *testing.T) {
	t.Parallel()
	r := start(t, router.PathConfig{Name: "cam"})
	pub := video(t, r, "cam")
	sub := subscribe(t, pub.Stream(), router.SubscribeOptions{QueueSize: 3, Tracks: []int{0}})
	for n := range 6 { // 3 and more do not fit
		pub.Write(0, routertest.SampleUnit(0, n))
	}
	wantUnits(t, drain(t, sub), "0:0", "0:1", "0:2")
	for n := 6; n <= 31; n++ { // up to the next key frame nothing can be decoded
		pub.Write(0, routertest.SampleUnit(0, n))
	}
	wantUnits(t, drain(t, sub), "0:30", "0:31")
	if sub.Dropped() != 1 { // the others were not wanted
		t.Errorf("dropped: %d", sub.Dropped())
	}
	p, _ := r.Path("cam")
	if d := p.Info().Dropped; d != 1 {
		t.Errorf("dropped by the path: %d", d)
	}
}

func TestSubscriptionTracks(t *testing.T) {
	t.Parallel()
	r := start(t, router.PathConfig{Name: "cam"})
	pub := video(t, r, "cam")
	audio := subscribe(t, pub.Stream(), router.SubscribeOptions{Tracks: []int{1}})
	none := subscribe(t, pub.Stream(), router.SubscribeOptions{Tracks: []int{}})
	pub.Write(0, routertest.SampleUnit(0, 0))
	pub.Write(1, routertest.SampleUnit(1, 0))
	pub.Write(2, routertest.SampleUnit(1, 0)) // no such track
	pub.Write(-1, routertest.SampleUnit(1, 0))
	wantUnits(t, drain(t, audio), "1:0")
	wantUnits(t, drain(t, none))
	for _, o := range []router.SubscribeOptions{{Tracks: []int{2}}, {Tracks: []int{-1}}, {QueueSize: -1}, {QueueSize: 1 << 30}} {
		if _, err := pub.Stream().Subscribe(o); err == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
}

func TestSubscriptionEnd(t *testing.T) {
	t.Parallel()
	r := start(t, router.PathConfig{Name: "cam"})
	pub := video(t, r, "cam")
	s := pub.Stream()
	full, closed := subscribe(t, s, router.SubscribeOptions{}), subscribe(t, s, router.SubscribeOptions{})
	for n := range 10 {
		pub.Write(1, routertest.SampleUnit(1, n))
	}
	closed.Close()
	closed.Close()
	pub.Close()
	pub.Write(1, routertest.SampleUnit(1, 99))
	for n := range 10 { // the queue comes before the end
		if _, _, err := full.Next(t.Context()); err != nil {
			t.Fatalf("unit %d: %v", n, err)
		}
	}
	_, _, err := full.Next(t.Context())
	wantErr(t, err, router.ErrStreamClosed)
	wantErr(t, s.Err(), router.ErrStreamClosed)
	late := subscribe(t, s, router.SubscribeOptions{})
	_, _, err = late.Next(t.Context())
	wantErr(t, err, router.ErrStreamClosed)
}

func TestSubscriptionWakes(t *testing.T) {
	t.Parallel()
	r := start(t, router.PathConfig{Name: "cam"})
	pub := video(t, r, "cam")
	checkWake(t, "close", pub, func(s *router.Subscription, _ context.CancelFunc) error {
		s.Close()
		return router.ErrStreamClosed
	})
	checkWake(t, "context", pub, func(_ *router.Subscription, cancel context.CancelFunc) error {
		cancel()
		return context.Canceled
	})
	checkWake(t, "stream", pub, func(*router.Subscription, context.CancelFunc) error {
		pub.Close()
		return router.ErrStreamClosed
	})
}

func checkWake(t *testing.T, name string, pub *router.Publisher, end func(*router.Subscription, context.CancelFunc) error) {
	t.Helper()
	sub := subscribe(t, pub.Stream(), router.SubscribeOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	got := make(chan error, 1)
	go func() {
		_, _, err := sub.Next(ctx)
		got <- err
	}()
	want := end(sub, cancel)
	if err := receive(t, got); err == nil || err != want { //nolint:errorlint // exactly this
		t.Errorf("%s: got %v, want %v", name, err, want)
	}
}

func TestByteCounters(t *testing.T) {
	t.Parallel()
	r := start(t, router.PathConfig{Name: "cam"})
	pub := publish(t, r, "cam")
	a, b := read(t, r, "cam"), read(t, r, "cam")
	pub.Write(0, &media.Unit{Payload: [][]byte{make([]byte, 100), make([]byte, 23)}})
	for _, rd := range []*router.Reader{a, b} {
		if _, _, err := rd.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
		if rd.Bytes() != 123 {
			t.Errorf("a reader took %d bytes", rd.Bytes())
		}
	}
	p, _ := r.Path("cam")
	if i := p.Info(); i.In != 123 || i.Out != 246 {
		t.Errorf("in %d, out %d", i.In, i.Out)
	}
}

// Parameters that travel in the bitstream show up in the tracks.
func TestCodecUpdates(t *testing.T) {
	t.Parallel()
	r := start(t, router.PathConfig{Name: "cam"})
	pub := video(t, r, "cam")
	rd := read(t, r, "cam")
	before := rd.Tracks()
	pub.Write(0, routertest.SampleUnit(0, 0))
	h264 := rd.Tracks()[0].Codec.(*media.H264)
	if len(h264.SPS) == 0 || len(h264.PPS) == 0 {
		t.Errorf("parameter sets were not found in the bitstream: %+v", h264)
	}
	if len(before[0].Codec.(*media.H264).SPS) != 0 {
		t.Error("tracks that were returned before changed")
	}
	pub.Write(0, routertest.SampleUnit(0, 30))
	if rd.Tracks()[0].Codec != media.Codec(h264) {
		t.Error("the same parameters led to another codec")
	}

	next := &media.H264{SPS: []byte{0x67, 1}, PPS: []byte{0x68, 1}}
	pub.SetCodec(0, next)
	if rd.Tracks()[0].Codec != media.Codec(next) {
		t.Error("SetCodec has no effect")
	}
	pub.SetCodec(0, nil)           // ignored,
	pub.SetCodec(0, &media.H265{}) // as readers do not expect another type
	pub.SetCodec(7, next)
	if rd.Tracks()[0].Codec != media.Codec(next) || rd.Tracks()[1].Codec.Name() != "Opus" {
		t.Errorf("tracks: %+v", rd.Tracks())
	}
}

// A program relays from one path to another: it writes copies.
func TestRelay(t *testing.T) {
	t.Parallel()
	r := start(t, router.PathConfig{Name: "all"})
	from, to := publish(t, r, "from"), publish(t, r, "to")
	in, other, out := read(t, r, "from"), read(t, r, "from"), read(t, r, "to")
	from.Write(0, message("hello"))
	_, u, err := in.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ntp := u.NTP
	v := *u
	to.Write(0, &v)
	wantNext(t, out, "hello")
	if _, w, err := other.Next(t.Context()); err != nil || w.NTP != ntp || ntp.IsZero() {
		t.Errorf("the first stream sees a change: %v, %v", w, err)
	}
}
