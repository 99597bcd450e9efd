package router

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/org/mtx/router/media"
)

const (
	defaultAuthPause = 4 * time.Second

	// pauses after an Accept that failed
	minAcceptPause = 5 * time.Millisecond
	maxAcceptPause = time.Second
)

// Host is the face that a router shows to a running [Protocol]. It is a
// concrete type so that it can grow without breaking anybody.
type Host struct {
	r         *Router
	proto     string
	log       *slog.Logger
	ready     chan struct{}
	readyOnce sync.Once
	addrs     []net.Addr
	updates   chan Protocol
}

// Log returns the logger of the protocol.
func (h *Host) Log() *slog.Logger { return h.log }

// Router gives the control API and metrics the whole router. Media protocols
// do not need it.
func (h *Host) Router() *Router { return h.r }

// Updates delivers new values to a [HotProtocol]; only the last one is kept.
func (h *Host) Updates() <-chan Protocol { return h.updates }

// Ready tells the router that the protocol accepts clients at these addresses.
func (h *Host) Ready(addrs ...net.Addr) {
	h.readyOnce.Do(func() {
		h.addrs = addrs
		close(h.ready)
	})
}

// Authorize resolves the path, asks the [Authenticator], and returns a grant:
// the only way for a client to publish or read. With wrong credentials the
// answer comes after a pause, which delays nobody but the caller.
//
// Errors are [*PathError] values that wrap [ErrInvalidName], [ErrPathNotFound]
// or an [*AuthError].
func (h *Host) Authorize(ctx context.Context, req *AccessRequest) (*Grant, error) {
	q := *req
	q.Protocol = h.proto
	return h.r.authorize(ctx, &q)
}

// Listen opens a TCP listener that is handed over, with the connections that
// wait in it, to the protocol that takes the place of this one when the
// configuration changes and the address does not.
func (h *Host) Listen(network, addr string) (net.Listener, error) {
	ln, err := h.r.listeners.listen(network, addr)
	if err != nil || h.r.wrapConn == nil {
		return ln, err
	}
	return wrappingListener{ln, h}, nil
}

// Packets returns the tap of [WithPackets], or nil. A protocol shows it the
// datagrams of its UDP sockets.
func (h *Host) Packets() PacketTap {
	if h.r.packets == nil {
		return nil
	}
	return &guardedTap{PacketTap: h.r.packets, log: h.log}
}

// ServeListener is the accept loop that most TCP protocols need: it calls Ready,
// runs handle in a goroutine per connection, and when ctx is done closes the
// listener and the connections, and waits for the handlers. A panic of handle
// ends its connection only. Running out of file descriptors is waited out.
//
// The error of handle is logged as the reason why the connection is over; nil
// means that handle has told it.
func (h *Host) ServeListener(ctx context.Context, ln net.Listener, handle func(context.Context, net.Conn) error) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	parent := ctx
	ctx, cancel := context.WithCancel(parent)
	defer cancel()
	defer func() { _ = ln.Close() }() // also waits for the one below
	defer context.AfterFunc(ctx, func() { _ = ln.Close() })()
	h.Ready(ln.Addr())
	var pause time.Duration
	for {
		conn, err := ln.Accept()
		switch {
		case err == nil:
			pause = 0
			wg.Go(func() { h.serveConn(ctx, conn, handle) })
		case parent.Err() != nil:
			return nil
		case isTemporary(err):
			pause = min(max(2*pause, minAcceptPause), maxAcceptPause)
			h.log.Warn("cannot accept a connection, will try again", keyError, err, keyPause, pause)
			sleep(ctx, pause)
		default:
			return err
		}
	}
}

func (h *Host) serveConn(ctx context.Context, conn net.Conn, handle func(context.Context, net.Conn) error) {
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if err := protect(h.log, func() error { return handle(ctx, conn) }); err != nil {
		h.log.Info("connection closed", keyRemote, conn.RemoteAddr(), keyReason, err)
	}
}

// isTemporary tells the errors of Accept that go away, such as too many open
// files, in the manner of net/http.
func isTemporary(err error) bool {
	ne, ok := errors.AsType[net.Error](err)
	return ok && ne.Temporary() //nolint:staticcheck // deprecated, but nothing else tells
}

func (r *Router) authorize(ctx context.Context, req *AccessRequest) (*Grant, error) {
	g := &Grant{r: r, req: *req}
	if req.Action == ActionPublish || req.Action == ActionRead {
		if err := g.resolve(); err != nil {
			return nil, err
		}
	}
	if req.Known != nil {
		g.id = *req.Known
		return g, nil
	}
	cfg := r.cfg.Load()
	if cfg.Auth == nil {
		return g, nil
	}
	guards := (req.HasCredentials() || req.Verify != nil) && req.Addr.IsValid() && cfg.AuthPause >= 0
	if guards {
		if err := r.attempts.enter(ctx, req.Addr); err != nil {
			return nil, &PathError{"authorize", req.Path, &AuthError{Err: err}}
		}
	}
	err := protect(r.log, func() (err error) {
		g.id, err = cfg.Auth.Authenticate(ctx, req)
		return err
	})
	if err == nil {
		if guards {
			r.attempts.succeeded(req.Addr)
		}
		return g, nil
	}
	var ae *AuthError
	switch {
	case !errors.As(err, &ae):
		ae = &AuthError{Err: err}
	case ae == nil: // it is in err as a nil pointer, which is not a nil error
		ae = &AuthError{}
	}
	pause := authPause(cfg.AuthPause)
	if guards {
		if ae.AskCredentials {
			pause = 0 // no credentials were looked at
		}
		r.attempts.failed(req.Addr, pause)
	}
	if !ae.AskCredentials {
		sleep(ctx, pause)
	}
	return nil, &PathError{"authorize", req.Path, ae}
}

// authPause is how long the answer to wrong credentials takes.
func authPause(limit time.Duration) time.Duration {
	switch {
	case limit < 0:
		return 0
	case limit == 0:
		limit = defaultAuthPause
	}
	return rand.N(limit)
}

// Grant is permission for one action on one path, bound to the configuration
// that was in force when it was given: using it after an incompatible reload
// fails with [ErrConfigChanged].
type Grant struct {
	r      *Router
	conf   *PathConfig
	groups []string
	req    AccessRequest
	id     Identity
}

func (g *Grant) resolve() error {
	if err := ValidatePathName(g.req.Path); err != nil {
		return &PathError{"open", g.req.Path, fmt.Errorf("%w: %w", ErrInvalidName, err)}
	}
	g.conf, g.groups = g.r.cfg.Load().match(g.req.Path)
	if g.conf == nil {
		return &PathError{"open", g.req.Path, ErrPathNotFound}
	}
	return nil
}

// Identity tells who was authenticated.
func (g *Grant) Identity() Identity { return g.id }

// Path returns the name of the path.
func (g *Grant) Path() string { return g.req.Path }

// Config returns the configuration of the path, e.g. for [Extra].
func (g *Grant) Config() *PathConfig { return g.conf }

// PublishOptions are options of a publication.
type PublishOptions struct {
	// Peer tells operators who publishes.
	Peer Peer

	// TakeOver is for sources with several origins: the publication of the same
	// source that is under way goes on until the first key frame of this one, then
	// ends with [ErrReplaced]. It needs a stream that can be continued, see
	// [PathConfig]; otherwise the other one is replaced at once.
	TakeOver bool

	// Depacketizers turn RTP packets into payloads, one for each track. Needed
	// by publishers that write units without payloads.
	Depacketizers []media.Depacketizer

	// RequestKeyFrame makes the publisher send a key frame soon. Optional: for
	// publishers that can be asked. It is called on a goroutine of its own, which it
	// may hold up, never concurrently, and at most twice a second; a call may come
	// shortly after the end of the publication.
	RequestKeyFrame func()
}

// ReadOptions are options of reading.
type ReadOptions struct {
	// Peer tells operators who reads.
	Peer Peer

	// Shared is for readers that stand for many clients, such as a muxer of HLS:
	// the limits of the client that happened to be the first are not theirs.
	Shared bool

	// Subscription selects what is received; not used by Attach.
	Subscription SubscribeOptions
}

// Publish starts publishing. The grant must be for [ActionPublish].
func (g *Grant) Publish(ctx context.Context, tracks []media.Track, o PublishOptions) (*Publisher, error) {
	var pub *Publisher
	err := g.with(ActionPublish, func(p *Path) (err error) {
		pub, err = p.publish(ctx, tracks, o, g, "")
		return err
	})
	return pub, err
}

// Wait waits until the path has a stream, starting an on-demand source if
// needed, and returns it without becoming a reader. The error may be a
// [*RedirectError].
func (g *Grant) Wait(ctx context.Context) (*Stream, error) {
	var s *Stream
	err := g.with(ActionRead, func(p *Path) (err error) {
		s, err = p.waitStream(ctx, g.req.Query)
		return err
	})
	return s, err
}

// Attach waits until the path has a stream, starting an on-demand source if
// needed, and becomes one of its readers: it counts for on-demand sources and
// for MaxReaders. The caller receives the stream in its own way, usually by one
// [Tap] for all its readers. The error may be a [*RedirectError].
func (g *Grant) Attach(ctx context.Context, o ReadOptions) (*Attachment, error) {
	a, err := g.attach(ctx, o)
	if err == nil {
		g.limitReader(a, o, nil)
	}
	return a, err
}

func (g *Grant) attach(ctx context.Context, o ReadOptions) (*Attachment, error) {
	var a *Attachment
	err := g.with(ActionRead, func(p *Path) (err error) {
		a, err = p.attach(ctx, g.req.Query, o.Peer)
		return err
	})
	return a, err
}

// limitReader enforces the limits of a reader. leave is called if it has no session
// that can be closed.
func (g *Grant) limitReader(a *Attachment, o ReadOptions, leave func()) {
	if !o.Shared {
		a.limit = g.enforce(&limit{peer: o.Peer, stream: a.stream, in: &a.stream.in, leave: leave})
	}
}

// Read is Attach with a subscription of its own. If the client has no session (see
// [Host.AddSession]) the subscription is closed when the client must leave.
func (g *Grant) Read(ctx context.Context, o ReadOptions) (*Reader, error) {
	a, err := g.attach(ctx, o)
	if err != nil {
		return nil, err
	}
	sub, err := a.Stream().Subscribe(o.Subscription)
	if err != nil {
		a.Close()
		return nil, &PathError{"read", g.req.Path, err}
	}
	g.limitReader(a, o, sub.Close)
	return &Reader{Subscription: sub, a: a}, nil
}

// with finds or creates the live path and calls f, again if the path went away
// in between.
func (g *Grant) with(want Action, f func(*Path) error) error {
	if g.req.Action != want {
		return &PathError{string(want), g.req.Path, ErrWrongAction}
	}
	for {
		p, err := g.r.livePath(g)
		if err != nil {
			return err
		}
		err = f(p)
		g.r.collect(p)
		if !errors.Is(err, errGone) {
			return err
		}
	}
}
