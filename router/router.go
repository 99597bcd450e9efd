// Package router routes live media between publishers, sources, readers and
// sinks. It is the core of mtx and imports no protocol: protocols import it.
//
// A [Router] runs a [Config]: the [Protocol] values that serve clients, the
// [Authenticator] that lets them in, and the paths. A path is a name under
// which one stream at a time is available. The stream comes from a client that
// publishes, from a [Source] that the router runs, or from the program itself:
//
//	r, err := router.New(router.Config{
//		Paths: []router.PathConfig{{Name: "cam"}},
//	})
//	...
//	pub, err := r.Publish(ctx, "cam", []media.Track{{Codec: &media.H264{}}})
//	...
//	pub.Write(0, &media.Unit{PTS: pts, Payload: nalus})
//
// and goes to clients that read, to every [Sink] of the path, and to the
// program:
//
//	rd, err := r.Read(ctx, "cam", router.SubscribeOptions{})
//	...
//	track, unit, err := rd.Next(ctx)
//
// [Router.Apply] moves a running router to another configuration with the least
// disturbance: what did not change keeps running, with its clients.
//
// # Locks
//
// They are taken in this order: Router.applyMu, Router.mu, Path.mu, Stream.mu.
// Whatever can block (authentication, sources, sinks, hooks, protocols) runs
// outside of all of them but applyMu, which only other calls of Apply wait for.
// Taps run under Stream.mu.
package router

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/org/mtx/router/media"
)

const defaultRetryPause = 5 * time.Second

// Router is a media router.
type Router struct {
	log       *slog.Logger
	hooks     atomic.Pointer[[]*Hooks]
	cfg       atomic.Pointer[compiled] // what readers of the configuration see
	ctx       context.Context
	cancel    context.CancelCauseFunc
	tasks     tasks
	events    queue // of sessions and of the router
	listeners listeners

	applyMu sync.Mutex
	running map[string]*running // guarded by applyMu
	started bool                // guarded by applyMu

	mu       sync.Mutex
	closed   bool
	paths    map[string]*Path
	sessions map[Session]*sessionEntry
}

// Option injects a dependency of the process. What can be written down and
// reloaded belongs to [Config] instead.
type Option func(*Router)

// WithLogger sets the logger. The default discards everything.
func WithLogger(l *slog.Logger) Option { return func(r *Router) { r.log = l } }

// WithHooks adds observers. It can be given several times.
func WithHooks(h Hooks) Option { return func(r *Router) { r.Observe(h) } }

// New validates the configuration. It opens nothing.
func New(cfg Config, opts ...Option) (*Router, error) {
	c, err := compile(&cfg)
	if err != nil {
		return nil, err
	}
	r := &Router{
		log:      slog.New(slog.DiscardHandler),
		running:  map[string]*running{},
		paths:    map[string]*Path{},
		sessions: map[Session]*sessionEntry{},
	}
	r.cfg.Store(c)
	r.hooks.Store(&[]*Hooks{})
	r.ctx, r.cancel = context.WithCancelCause(context.Background())
	for _, o := range opts {
		o(r)
	}
	return r, nil
}

// Start returns once every protocol accepts clients, or after undoing
// everything if one cannot. ctx bounds the start, not the life of the router,
// which [Router.Close] ends.
func (r *Router) Start(ctx context.Context) error {
	r.applyMu.Lock()
	defer r.applyMu.Unlock()
	if r.ctx.Err() != nil {
		return ErrClosed
	}
	if r.started {
		return errors.New("router is started already")
	}
	cfg := r.cfg.Load()
	for _, p := range cfg.Protocols {
		if err := r.startProtocol(ctx, p); err != nil {
			r.closeLocked()
			return err
		}
	}
	r.started = true
	r.syncPaths(nil, cfg)
	return nil
}

// Run starts the router and blocks until ctx is done, which is not an error, or
// until a protocol fails. Nothing is left running when it returns.
func (r *Router) Run(ctx context.Context) error {
	if err := r.Start(ctx); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
	case <-r.ctx.Done():
	}
	err := context.Cause(r.ctx)
	if errors.Is(err, ErrClosed) {
		err = nil
	}
	return errors.Join(err, r.Close())
}

// Close stops everything and waits. It is idempotent. The error is always nil;
// the result makes Router an io.Closer.
func (r *Router) Close() error {
	r.cancel(ErrClosed)
	r.applyMu.Lock()
	defer r.applyMu.Unlock()
	r.closeLocked()
	return nil
}

// closeLocked stops protocols first, so that their clients leave paths that
// still exist.
func (r *Router) closeLocked() {
	r.cancel(ErrClosed)
	for _, n := range slices.Sorted(maps.Keys(r.running)) {
		r.stopProtocol(n)
	}
	r.mu.Lock()
	r.closed = true
	for _, p := range r.paths {
		p.close(ErrClosed)
	}
	clear(r.paths)
	r.mu.Unlock()
	r.tasks.wait()
}

// Config returns the configuration in force.
func (r *Router) Config() Config { return r.cfg.Load().Config }

// Publish lets the embedding program publish, without authentication.
func (r *Router) Publish(ctx context.Context, path string, tracks []media.Track) (*Publisher, error) {
	g, err := r.trust(ActionPublish, path)
	if err != nil {
		return nil, err
	}
	return g.Publish(ctx, tracks, PublishOptions{Peer: Peer{Type: "program"}})
}

// Read lets the embedding program read, without authentication. It waits for
// on-demand sources. The error may be a [*RedirectError].
func (r *Router) Read(ctx context.Context, path string, o SubscribeOptions) (*Reader, error) {
	g, err := r.trust(ActionRead, path)
	if err != nil {
		return nil, err
	}
	return g.Read(ctx, ReadOptions{Peer: Peer{Type: "program"}, Subscription: o})
}

func (r *Router) trust(a Action, path string) (*Grant, error) {
	g := &Grant{r: r, req: AccessRequest{Action: a, Path: path}}
	return g, g.resolve()
}

func (r *Router) queueSize() int {
	if n := r.cfg.Load().QueueSize; n > 0 {
		return n
	}
	return defaultQueueSize
}

func (r *Router) retryPause() time.Duration {
	if d := r.cfg.Load().SourceRetryPause; d > 0 {
		return d
	}
	return defaultRetryPause
}

// livePath finds or creates the path of a grant, if the grant is still good.
func (r *Router) livePath(g *Grant) (*Path, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || r.ctx.Err() != nil {
		return nil, ErrClosed
	}
	conf, groups := r.cfg.Load().match(g.req.Path)
	if conf == nil || conf != g.conf && !g.conf.canUpdate(conf) {
		return nil, &PathError{"open", g.req.Path, ErrConfigChanged}
	}
	return r.openLocked(g.req.Path, conf, groups, nil), nil
}

// openLocked returns a path, new if needed: then its source starts after prev
// is closed.
func (r *Router) openLocked(name string, conf *PathConfig, groups []string, prev chan struct{}) *Path {
	if p, ok := r.paths[name]; ok {
		return p
	}
	p := &Path{r: r, name: name, groups: groups, conf: conf, log: r.log.With(keyPath, name), srcDone: prev}
	r.paths[name] = p
	ev := PathEvent{Path: name, Groups: groups, Config: conf}
	p.obs.begin(&p.events, &r.tasks, *r.hooks.Load(), func(h *Hooks) func() { return h.pathCreated(ev) })
	return p
}

// collect forgets a path that was made for a client and is not used anymore.
func (r *Router) collect(p *Path) {
	p.mu.Lock()
	unused := p.unusedLocked()
	p.mu.Unlock()
	if !unused {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.unusedLocked() && r.paths[p.name] == p {
		p.closed = true
		delete(r.paths, p.name)
		p.obs.end(&p.events, &r.tasks)
	}
}

// syncPaths makes the live paths those of next. old is nil at the start.
func (r *Router) syncPaths(old, next *compiled) {
	var waits []func()
	defer func() { // without mu: only other calls of Apply wait
		for _, wait := range waits {
			wait()
		}
	}()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	r.cfg.Store(next)
	for name, p := range r.paths {
		if old == nil {
			break
		}
		oc, _ := old.match(name)
		nc, groups := next.match(name)
		switch {
		case nc == nil:
			waits = append(waits, p.close(ErrConfigChanged))
			delete(r.paths, name)
		case oc == nc:
		case oc == nil || !oc.canUpdate(nc) || isDynamic(oc.Name) != isDynamic(nc.Name) && nc.Source != nil:
			waits = append(waits, p.close(ErrConfigChanged))
			delete(r.paths, name)
			if !isDynamic(nc.Name) {
				r.openLocked(name, nc, groups, p.srcDone)
			}
		default:
			p.update(nc)
		}
	}
	for i := range next.Paths {
		c := &next.Paths[i]
		if isDynamic(c.Name) {
			continue
		}
		p := r.openLocked(c.Name, c, nil, nil)
		p.mu.Lock()
		if !c.OnDemand.Enabled {
			p.startSourceLocked("")
		}
		p.mu.Unlock()
	}
}

// running is a protocol that serves.
type running struct {
	proto   Protocol
	host    *Host
	cancel  context.CancelFunc
	stopped chan struct{}
	err     error // set before stopped is closed
}

func (r *Router) startProtocol(ctx context.Context, p Protocol) error {
	pctx, cancel := context.WithCancel(r.ctx)
	h := &Host{
		r: r, proto: p.Name(), log: r.log.With(keyProtocol, p.Name()),
		ready: make(chan struct{}), updates: make(chan Protocol, 1),
	}
	run := &running{proto: p, host: h, cancel: cancel, stopped: make(chan struct{})}
	if !r.tasks.start(func() { r.serve(pctx, run) }) {
		cancel()
		return ErrClosed
	}
	select {
	case <-h.ready:
		r.running[p.Name()] = run
		return nil
	case <-run.stopped:
		cancel()
		return fmt.Errorf("%s: %w", p.Name(), run.err)
	case <-ctx.Done():
		cancel()
		<-run.stopped
		return fmt.Errorf("%s: %w", p.Name(), ctx.Err())
	}
}

// serve runs a protocol. Its end is fatal for the router unless it was asked
// for, or unless the protocol never became ready.
func (r *Router) serve(ctx context.Context, run *running) {
	defer close(run.stopped)
	run.err = protect(run.host.log, func() error { return run.proto.Serve(ctx, run.host) })
	if run.err == nil && ctx.Err() == nil {
		run.err = errors.New("stopped by itself")
	}
	select {
	case <-run.host.ready:
		if ctx.Err() == nil {
			r.cancel(fmt.Errorf("%s: %w", run.proto.Name(), run.err))
		}
	default:
	}
}

func (r *Router) stopProtocol(name string) {
	if run := r.running[name]; run != nil {
		delete(r.running, name)
		run.cancel()
		<-run.stopped
	}
}
