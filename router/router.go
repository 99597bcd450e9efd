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
// They are taken in this order: Router.applying, Router.mu, Path.mu, Stream.mu.
// Whatever can block (authentication, sources, sinks, hooks, protocols) runs
// outside of all of them but applying, which only other calls of Apply wait for,
// and these give up when their context or the router ends. Taps run under
// Stream.mu. The small methods of plugin values (Name, Type, Equal, CanUpdate,
// RedirectURL) may be called under any of them: they must not call the router.
package router

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/org/mtx/router/media"
)

const defaultRetryPause = 5 * time.Second

// Router is a media router. [New] makes one: the zero value is of no use.
type Router struct {
	log       *slog.Logger
	hooks     atomic.Pointer[[]*Hooks]
	cfg       atomic.Pointer[compiled] // what readers of the configuration see
	ctx       context.Context
	cancel    context.CancelCauseFunc
	tasks     tasks
	events    queue // of sessions and of the router
	listeners listeners
	attempts  attempts
	wrapConn  func(protocol string, c net.Conn) net.Conn // nil: none
	packets   PacketTap                                  // nil: none

	applying gate // one Start, Apply or Close at a time
	started  bool // guarded by applying

	mu       sync.Mutex
	closed   bool
	running  map[string]*running // changed under applying only
	paths    map[string]*Path
	ending   map[string]*Path // removed, but their sources or hooks are still at work
	sessions map[Session]*sessionEntry
}

// New validates the configuration. It opens nothing.
func New(cfg Config, opts ...Option) (*Router, error) {
	c, err := compile(&cfg)
	if err != nil {
		return nil, err
	}
	r := &Router{
		log:      slog.New(slog.DiscardHandler),
		applying: make(gate, 1),
		running:  map[string]*running{},
		paths:    map[string]*Path{},
		ending:   map[string]*Path{},
		sessions: map[Session]*sessionEntry{},
	}
	r.cfg.Store(c)
	r.hooks.Store(&[]*Hooks{})
	r.ctx, r.cancel = context.WithCancelCause(context.Background())
	for _, o := range opts {
		o(r)
	}
	r.tasks.log = r.log
	return r, nil
}

// Start returns once every protocol accepts clients, or after undoing
// everything if one cannot: then the router is closed, and another one must be made
// to try again. ctx bounds the start, not the life of the router, which
// [Router.Close] ends. A protocol that is never ready holds it up until ctx is done.
func (r *Router) Start(ctx context.Context) error {
	if err := r.applying.lock(ctx, r.ctx.Done()); err != nil {
		return err
	}
	defer r.applying.unlock()
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
	r.syncPaths(cfg)
	return nil
}

// Run starts the router and blocks until ctx is done, which is not an error, or
// until a protocol fails. Nothing is left running when it returns.
func (r *Router) Run(ctx context.Context) error {
	if err := r.Start(ctx); err != nil {
		if ctx.Err() != nil && errors.Is(err, context.Cause(ctx)) {
			return nil // before everything had started
		}
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

// Close stops everything and waits for protocols, sources, sinks and hooks, none of
// which can therefore call it. It is idempotent. The error is always nil; the result makes Router an
// io.Closer.
func (r *Router) Close() error {
	r.cancel(ErrClosed)
	r.applying <- struct{}{}
	defer r.applying.unlock()
	r.closeLocked()
	return nil
}

// closeLocked stops protocols first, so that their clients leave paths that
// still exist.
func (r *Router) closeLocked() {
	r.cancel(ErrClosed)
	for _, n := range r.Protocols() {
		r.stopProtocol(n)
	}
	r.mu.Lock()
	again := r.closed
	r.closed = true
	paths := slices.Collect(maps.Values(r.paths))
	for _, p := range paths {
		p.close(ErrClosed)
	}
	clear(r.paths)
	r.mu.Unlock()
	for _, p := range paths {
		p.wait()
	}
	rest := make(chan struct{})
	go func() {
		defer close(rest)
		r.tasks.wait()
	}()
	await(r.log.With(keyWhat, "hooks"), rest)
	if !again {
		r.closeAuth(r.cfg.Load().Auth)
	}
}

// Config returns a copy of the configuration in force.
func (r *Router) Config() Config { return r.cfg.Load().clone() }

// Done is closed when the router ends: because a protocol failed, or because of
// Close. Programs that use Start in place of Run wait for it.
func (r *Router) Done() <-chan struct{} { return r.ctx.Done() }

// Err tells why the router ended: the error of a protocol, or [ErrClosed]. It is
// nil until Done is closed.
func (r *Router) Err() error { return context.Cause(r.ctx) }

// Publish lets the embedding program publish, without authentication. At most
// one PublishOptions may be given; it is needed to publish RTP.
func (r *Router) Publish(ctx context.Context, path string, tracks []media.Track, opts ...PublishOptions) (*Publisher, error) {
	g, err := r.trust(ActionPublish, path)
	if err != nil {
		return nil, err
	}
	var o PublishOptions
	if len(opts) > 0 {
		o = opts[0]
	}
	if o.Peer.Type == "" {
		o.Peer.Type = "program"
	}
	return g.Publish(ctx, tracks, o)
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
