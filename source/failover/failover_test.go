package failover_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
	"github.com/org/mtx/router/routertest"
	"github.com/org/mtx/source/failover"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is what a fake source connects to.
type server struct {
	name    string
	up      atomic.Bool
	silent  atomic.Bool // it is connected, but no media comes
	waits   bool        // when it is down, connecting takes for ever
	tracks  []media.Track
	running atomic.Int64
	tries   atomic.Int64
	swapped bool // audio comes first
}

func newServer(name string, up bool) *server {
	s := &server{name: name, tracks: routertest.SampleTracks()}
	s.up.Store(up)
	return s
}

func (s *server) source() router.Source {
	return &routertest.Source{Label: s.name, RunFunc: func(ctx context.Context, run *router.SourceRun) error {
		s.running.Add(1)
		s.tries.Add(1)
		defer s.running.Add(-1)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		var pub *router.Publisher
		for n := 0; ; n++ {
			switch up := s.up.Load(); {
			case !up && s.waits && pub == nil:
			case !up:
				return errors.New("connection refused")
			case pub == nil:
				var err error
				if pub, err = run.Publish(ctx, s.tracks, router.PublishOptions{}); err != nil {
					return err
				}
				n = -1 // and the first unit comes next
			case !s.silent.Load():
				for track := range s.tracks {
					kind := track
					if s.swapped {
						kind = 1 - track
					}
					pub.Write(track, routertest.SampleUnit(kind, n))
				}
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}}
}

func start(t *testing.T, servers ...*server) *router.Router {
	t.Helper()
	return startWith(t, time.Minute, servers...)
}

func startWith(t *testing.T, grace time.Duration, servers ...*server) *router.Router {
	t.Helper()
	src := &failover.Source{StallTimeout: 200 * time.Millisecond, RetryPause: 20 * time.Millisecond}
	for _, s := range servers {
		src.Sources = append(src.Sources, s.source())
	}
	return routertest.New(t, router.Config{Paths: []router.PathConfig{{Name: "cam", Source: src, PublisherGrace: grace}}})
}

// from waits until the stream comes from a source, and the others do not run.
func from(t *testing.T, r *router.Router, s *server, idle ...*server) {
	t.Helper()
	p, _ := r.Path("cam")
	routertest.Eventually(t, "the stream comes from "+s.name, func() bool {
		i := p.Info()
		return i.Online && i.Source.Type == s.name
	})
	for _, o := range idle {
		routertest.Eventually(t, o.name+" is stopped", func() bool { return o.running.Load() == 0 })
	}
}

// checkReader reads all the time and checks that time stamps grow.
func checkReader(t *testing.T, r *router.Router) (stop func() (units int)) {
	t.Helper()
	routertest.WaitReady(t, r, "cam")
	rd, err := r.Read(t.Context(), "cam", router.SubscribeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan int)
	go func() {
		last := [2]int64{-1, -1}
		n := 0
		for {
			track, u, err := rd.Next(ctx)
			if err != nil {
				if ctx.Err() == nil {
					t.Errorf("the reader was disconnected: %v", rd.Stream().Err())
				}
				result <- n
				return
			}
			if u.PTS <= last[track] {
				t.Errorf("track %d: time stamp %d after %d", track, u.PTS, last[track])
			}
			last[track] = u.PTS
			n++
		}
	}()
	return func() int {
		cancel()
		defer rd.Close()
		return <-result
	}
}

func TestFailover(t *testing.T) {
	t.Parallel()
	a, b, c := newServer("a", true), newServer("b", true), newServer("c", true)
	r := start(t, a, b, c)
	from(t, r, a, b, c)
	stop := checkReader(t, r)
	a.up.Store(false)
	from(t, r, b, c)
	b.up.Store(false)
	from(t, r, c)
	b.up.Store(true)
	from(t, r, b, c)
	a.up.Store(true)
	from(t, r, a, b, c)
	b.up.Store(false)
	a.silent.Store(true) // connected, but stalled
	from(t, r, c)
	a.up.Store(false)
	a.silent.Store(false)
	a.up.Store(true)
	from(t, r, a, b, c)
	if n := stop(); n == 0 {
		t.Error("nothing was read")
	}
}

// A source that waits for ever is passed by, and used when it is there at last.
func TestSourceThatWaits(t *testing.T) {
	t.Parallel()
	a, b := newServer("a", false), newServer("b", true)
	a.waits = true
	r := start(t, a, b)
	from(t, r, b)
	stop := checkReader(t, r)
	a.up.Store(true)
	from(t, r, a, b)
	stop()
}

// Other tracks are another stream, which begins with the first key frame of its source:
// readers of the one before are told that it is over, and not earlier.
func TestOtherTracks(t *testing.T) {
	t.Parallel()
	for name, grace := range map[string]time.Duration{"grace": time.Minute, "no grace": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := newServer("a", true), newServer("b", true)
			b.tracks = b.tracks[:1]
			r := startWith(t, grace, a, b)
			from(t, r, a, b)
			s := routertest.WaitReady(t, r, "cam")
			if len(s.Tracks()) != 2 {
				t.Errorf("%d tracks", len(s.Tracks()))
			}
			a.up.Store(false)
			from(t, r, b)
			<-s.Done()
			stop := checkReader(t, r)
			a.silent.Store(true) // it is back, connected, and stalls again and again
			tries := a.tries.Load()
			a.up.Store(true)
			routertest.Eventually(t, "it was tried again", func() bool { return a.tries.Load() > tries+2 })
			from(t, r, b)
			if n := stop(); n == 0 {
				t.Error("nothing was read")
			}
			s = routertest.WaitReady(t, r, "cam")
			a.silent.Store(false)
			from(t, r, a, b)
			<-s.Done()
			if err := s.Err(); !errors.Is(err, router.ErrReplaced) {
				t.Errorf("the stream is over because of %v", err)
			}
			if n := len(routertest.WaitReady(t, r, "cam").Tracks()); n != 2 {
				t.Errorf("%d tracks", n)
			}
		})
	}
}

// Other parameters of the same codecs are the same stream.
func TestOtherParameters(t *testing.T) {
	t.Parallel()
	a, b := newServer("a", true), newServer("b", true)
	sps := append([]byte(nil), routertest.SampleUnit(0, 0).Payload[0]...)
	b.tracks[0].Codec = &media.H264{SPS: append(sps, 0x80), PPS: []byte{0x68, 9}}
	slices.Reverse(b.tracks) // neither is another order
	b.swapped = true
	r := start(t, a, b)
	from(t, r, a, b)
	stop := checkReader(t, r)
	for range 3 {
		a.up.Store(false)
		from(t, r, b)
		a.up.Store(true)
		from(t, r, a, b)
	}
	stop()
}

func TestPanic(t *testing.T) {
	t.Parallel()
	b := newServer("b", true)
	src := &failover.Source{RetryPause: time.Millisecond, Sources: []router.Source{
		&routertest.Source{Label: "a", RunFunc: func(context.Context, *router.SourceRun) error { panic("bug") }}, b.source(),
	}}
	r := routertest.New(t, router.Config{Paths: []router.PathConfig{{Name: "cam", Source: src}}})
	from(t, r, b)
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for want, s := range map[string]*failover.Source{
		"there are no sources":                          {},
		"source 1 is nil":                               {Sources: []router.Source{nil}},
		"source 2 (command) does not publish by itself": {Sources: []router.Source{&routertest.Source{}, inviter{}}},
		"source 1: bad":                                 {Sources: []router.Source{invalid{}}},
	} {
		if err := s.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if s := (&failover.Source{Sources: []router.Source{inviter{}}}); s.Type() != "command" {
		t.Errorf("type %q", s.Type())
	}
}

type inviter struct{ routertest.Source }

func (inviter) Type() string                                 { return "command" }
func (inviter) Run(context.Context, *router.SourceRun) error { return nil }
func (inviter) Invites()                                     {}

type invalid struct{ inviterless }

type inviterless struct{}

func (inviterless) Type() string                                 { return "x" }
func (inviterless) Run(context.Context, *router.SourceRun) error { return nil }
func (invalid) Validate() error                                  { return errors.New("bad") }

func TestConformance(t *testing.T) {
	up := newServer("a", true)
	src := &failover.Source{Sources: []router.Source{up.source()}, RetryPause: 10 * time.Millisecond}
	routertest.TestSource(t, func() router.Source { return src }, nil)
}
