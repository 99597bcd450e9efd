package router_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
	"github.com/org/mtx/router/routertest"
)

// TestModel changes configurations at random while publishers, readers and origins of
// sources come and go, and checks what is promised about the order of events and of
// runs. The seed that it prints repeats the choices, not the timing.
func TestModel(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	m := newModel(t)
	r := routertest.New(t, m.config(rnd), router.WithHooks(m.hooks()))
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for _, do := range []func(context.Context, *router.Router, *rand.Rand) error{
		m.publishOnce, m.publishOnce, m.readOnce, m.readOnce, m.readOnce, m.applyOnce,
	} {
		rnd := rand.New(rand.NewPCG(seed, rnd.Uint64()))
		wg.Go(func() {
			for ctx.Err() == nil {
				if err := do(ctx, r, rnd); err != nil {
					m.fail("%v", err)
				}
			}
		})
	}
	wg.Wait()
	cfg := m.config(rnd)
	cfg.Paths = []router.PathConfig{
		{Name: "a", Source: m.source(9)},
		{Name: "b", Standby: m.standby("b", 9)},
		{Name: "c", Source: m.source(9), OnDemand: router.OnDemand{Enabled: true, CloseAfter: time.Millisecond}},
		{Name: router.AllOthers},
	}
	apply(t, r, cfg)
	routertest.Eventually(t, "only what must run runs", func() bool {
		return m.runs("source a") == 1 && m.runs("source c") == 0 && m.runs("standby b") == 1 && m.total() == 2
	})
	for path, want := range map[string]string{"a": "+created +ready", "b": "+created +ready", "c": "+created", "d1": ""} {
		routertest.Eventually(t, fmt.Sprintf("the events of %s end with %q: %v", path, want, m.state(path)), func() bool {
			state := m.state(path)
			return strings.HasPrefix(state, want) && (want != "" || state == "")
		})
	}
	_ = r.Close()
	if n := m.total(); n != 0 {
		t.Errorf("%d plugins outlive the router", n)
	}
	for _, path := range modelPaths {
		if got := m.state(path); got != "" {
			t.Errorf("path %s: %s has no end", path, got)
		}
	}
}

var modelPaths = []string{"a", "b", "c", "d1", "d2"}

// model is what may happen.
type model struct {
	t      *testing.T
	mu     sync.Mutex
	active map[string]int      // plugins at work
	open   map[string][]string // by path: events that have no end yet
}

func newModel(t *testing.T) *model {
	return &model{t: t, active: map[string]int{}, open: map[string][]string{}}
}

func (m *model) fail(format string, a ...any) { m.t.Errorf(format, a...) }

// enter counts a plugin; alone tells that there must be no other.
func (m *model) enter(what string, alone bool) (leave func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.active[what]++
	if n := m.active[what]; alone && n != 1 {
		m.fail("%s: %d at the same time", what, n)
	}
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.active[what]--
	}
}

func (m *model) runs(what string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.active[what]
}

func (m *model) total() (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, a := range m.active {
		n += a
	}
	return n
}

func (m *model) state(path string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return strings.Join(m.open[path], " ")
}

// hooks check that what begins is inside of what it belongs to, once, and ends.
func (m *model) hooks() router.Hooks {
	event := func(name string, inside ...string) func(router.PathEvent) func() {
		return func(e router.PathEvent) func() {
			m.mu.Lock()
			defer m.mu.Unlock()
			if have := m.open[e.Path]; !slices.Equal(slices.DeleteFunc(slices.Clone(have), isReader), inside) {
				m.fail("path %s: %s comes while there is %v", e.Path, name, have)
			}
			m.open[e.Path] = append(m.open[e.Path], name)
			return func() {
				m.mu.Lock()
				defer m.mu.Unlock()
				have := slices.DeleteFunc(slices.Clone(m.open[e.Path]), isReader)
				if len(have) != len(inside)+1 || have[len(have)-1] != name {
					m.fail("path %s: %s ends while there is %v", e.Path, name, have)
				}
				i := slices.Index(m.open[e.Path], name)
				m.open[e.Path] = slices.Delete(m.open[e.Path], i, i+1)
			}
		}
	}
	return router.Hooks{
		PathCreated: event("+created"),
		PathReady:   event("+ready", "+created"),
		PathOnline:  event("+online", "+created", "+ready"),
		ReaderAttached: func(e router.PathEvent) func() {
			m.mu.Lock()
			defer m.mu.Unlock()
			if !slices.Contains(m.open[e.Path], "+created") {
				m.fail("path %s: a reader comes while there is %v", e.Path, m.open[e.Path])
			}
			m.open[e.Path] = append(m.open[e.Path], "+reader")
			return func() {
				m.mu.Lock()
				defer m.mu.Unlock()
				i := slices.Index(m.open[e.Path], "+reader")
				m.open[e.Path] = slices.Delete(m.open[e.Path], i, i+1)
			}
		},
	}
}

func isReader(e string) bool { return e == "+reader" }

// config is any configuration of the paths.
func (m *model) config(rnd *rand.Rand) router.Config {
	cfg := config()
	cfg.SourceRetryPause = time.Millisecond
	for _, name := range []string{"a", "b", "c", "~^d[0-9]$"} {
		p := router.PathConfig{Name: name, Override: rnd.IntN(2) == 0, MaxReaders: rnd.IntN(4)}
		if rnd.IntN(3) == 0 {
			p.Extras = []any{rnd.IntN(2)}
		}
		if rnd.IntN(2) == 0 {
			p.PublisherGrace = time.Duration(rnd.IntN(4)) * time.Millisecond
		}
		if rnd.IntN(2) == 0 {
			p.GOPCache.MaxBytes = router.DefaultGOPCacheBytes
		}
		for i := range rnd.IntN(3) {
			p.Sinks = append(p.Sinks, m.sink(i))
		}
		switch demand := (router.OnDemand{Enabled: true, StartTimeout: 10 * time.Millisecond, CloseAfter: time.Duration(rnd.IntN(3)) * time.Millisecond}); rnd.IntN(5) {
		case 0:
			continue // it does not exist
		case 1:
			p.Standby = m.standby(name, rnd.IntN(2))
		case 2:
			p.Source, p.OnDemand = m.source(rnd.IntN(2)), demand
		case 3:
			p.Source = m.source(rnd.IntN(2))
			if name[0] == '~' {
				p.OnDemand = demand
			}
		}
		cfg.Paths = append(cfg.Paths, p)
	}
	return cfg
}

// modelPlugin is a source, a standby or a sink. Those with the same fields are equal.
type modelPlugin struct {
	m *model
	n int
}

type (
	modelSource  struct{ modelPlugin }
	modelStandby struct {
		modelPlugin
		path string
	}
	modelSink struct{ modelPlugin }
)

func (m *model) source(n int) router.Source { return modelSource{modelPlugin{m, n}} }
func (m *model) sink(n int) router.Sink     { return modelSink{modelPlugin{m, n}} }

func (m *model) standby(path string, n int) router.Standby {
	return &modelStandby{modelPlugin{m, n}, path}
}

func (p modelPlugin) Type() string { return fmt.Sprint("model", p.n) }

// Equal implements the comparison of plugins.
func (s modelSource) Equal(o any) bool { e, ok := o.(modelSource); return ok && e.n == s.n }

// Equal implements the comparison of plugins.
func (s *modelStandby) Equal(o any) bool { e, ok := o.(*modelStandby); return ok && e.n == s.n }

// Equal implements the comparison of plugins.
func (s modelSink) Equal(o any) bool { e, ok := o.(modelSink); return ok && e.n == s.n }

// Run has two origins that take over from each other; it fails now and then.
func (s modelSource) Run(ctx context.Context, run *router.SourceRun) error {
	defer s.m.enter("source "+run.Path, true)()
	if s.n == 9 { // steady
		return new(routertest.Source).Run(ctx, run)
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithTimeout(ctx, time.Duration(1+rand.IntN(20))*time.Millisecond)
	defer cancel()
	for range 2 {
		wg.Go(func() {
			for ctx.Err() == nil {
				pub, err := run.Publish(ctx, routertest.SampleTracks(), router.PublishOptions{TakeOver: rand.IntN(4) > 0})
				if err != nil {
					rest(ctx, time.Millisecond)
					continue
				}
				s.m.writeSome(ctx, pub, rand.IntN(10))
				pub.Close()
			}
		})
	}
	<-ctx.Done()
	return errors.New("the origin is gone")
}

// Tracks implements router.Standby.
func (s *modelStandby) Tracks() []media.Track { return routertest.SampleTracks() }

// Play does not stop at once.
func (s *modelStandby) Play(ctx context.Context, write func(track int, u *media.Unit)) error {
	defer s.m.enter("standby "+s.path, s.path[0] != '~')()
	for n := 0; ctx.Err() == nil; n++ {
		write(n%2, routertest.SampleUnit(n%2, n))
		time.Sleep(time.Millisecond)
	}
	return nil
}

// Run reads everything.
func (s modelSink) Run(ctx context.Context, run *router.SinkRun) error {
	defer s.m.enter("sink "+run.Path, false)()
	sub, err := run.Stream.Subscribe(router.SubscribeOptions{})
	if err != nil {
		return err
	}
	defer sub.Close()
	for {
		if _, _, err := sub.Next(ctx); err != nil {
			return err
		}
	}
}

func rest(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// writeSome writes units; from the first key frame on, either the stream has them, or
// the publication is over.
func (m *model) writeSome(ctx context.Context, pub *router.Publisher, n int) {
	var sent, seen atomic.Pointer[byte]
	defer pub.Stream().Tap(router.TapOptions{}, func(_ int, u *media.Unit) {
		if e := u.Payload[len(u.Payload)-1]; &e[len(e)-1] == sent.Load() {
			seen.Store(sent.Load())
		}
	}).Close()
	for i := range n {
		if ctx.Err() != nil || pub.Err() != nil {
			return
		}
		u := routertest.SampleUnit(0, i)
		e := u.Payload[len(u.Payload)-1]
		sent.Store(&e[len(e)-1])
		pub.Write(0, u)
		if seen.Load() != sent.Load() {
			select {
			case <-pub.Done():
			case <-time.After(patience):
				m.fail("a publication goes on that nobody sees")
			}
			return
		}
		rest(ctx, time.Duration(rand.IntN(3))*time.Millisecond/4)
	}
}

func (m *model) publishOnce(ctx context.Context, r *router.Router, rnd *rand.Rand) error {
	tracks := routertest.SampleTracks()
	if rnd.IntN(4) == 0 {
		tracks = text()
	}
	pub, err := r.Publish(ctx, modelPaths[rnd.IntN(len(modelPaths))], tracks)
	if err != nil {
		rest(ctx, time.Millisecond)
		return expected(err)
	}
	defer pub.Close()
	if len(tracks) > 1 {
		m.writeSome(ctx, pub, rnd.IntN(20))
	}
	return nil
}

func (m *model) readOnce(ctx context.Context, r *router.Router, rnd *rand.Rand) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(rnd.IntN(20))*time.Millisecond)
	defer cancel()
	rd, err := r.Read(ctx, modelPaths[rnd.IntN(len(modelPaths))], router.SubscribeOptions{QueueSize: 1 + rnd.IntN(8)})
	if err != nil {
		rest(ctx, time.Millisecond)
		return expected(err)
	}
	defer rd.Close()
	for err == nil {
		_, _, err = rd.Next(ctx)
	}
	return expected(err)
}

func (m *model) applyOnce(ctx context.Context, r *router.Router, rnd *rand.Rand) error {
	cfg := m.config(rnd)
	_, err := r.Apply(ctx, cfg)
	rest(ctx, time.Duration(rnd.IntN(10))*time.Millisecond)
	return expected(err)
}

// expected lets errors pass that clients may get at such times.
func expected(err error) error {
	var te *router.TracksError
	for _, e := range []error{
		router.ErrPathNotFound, router.ErrNoStream, router.ErrAlreadyPublishing, router.ErrNotPublishable, router.ErrTooManyReaders,
		router.ErrStartTimeout, router.ErrConfigChanged, router.ErrStreamClosed, context.Canceled, context.DeadlineExceeded,
	} {
		if errors.Is(err, e) {
			return nil
		}
	}
	if errors.As(err, &te) {
		return nil
	}
	return err
}
