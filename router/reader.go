package router

import (
	"context"
	"sync"
	"time"

	"github.com/org/mtx/router/media"
)

// Attachment makes a client a reader of a path: it counts for on-demand sources
// and for MaxReaders, and operators see it.
type Attachment struct {
	path   *Path
	stream *Stream
	peer   Peer
	query  string
	limit  *limit // nil: none
	once   sync.Once
	obs    observation // guarded by Path.mu
}

// Stream returns the stream that is being read.
func (a *Attachment) Stream() *Stream { return a.stream }

// Close detaches the reader. It is idempotent.
func (a *Attachment) Close() {
	a.once.Do(func() {
		a.limit.stop()
		a.path.detach(a)
		a.path.r.collect(a.path)
	})
}

// Reader is an [Attachment] with a [Subscription] of its own.
type Reader struct {
	*Subscription
	a *Attachment
}

// Stream returns the stream that is being read.
func (r *Reader) Stream() *Stream { return r.stream }

// Tracks returns the current tracks of the stream.
func (r *Reader) Tracks() []media.Track { return r.stream.Tracks() }

// Close detaches the reader. It is idempotent.
func (r *Reader) Close() {
	r.Subscription.Close()
	r.a.Close()
}

// waitStream returns the stream of the path as soon as there is one.
func (p *Path) waitStream(ctx context.Context, query string) (*Stream, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.waitLocked(ctx, query); err != nil {
		return nil, err
	}
	return p.stream, nil
}

// attach waits for the stream and adds a reader.
func (p *Path) attach(ctx context.Context, query string, peer Peer) (*Attachment, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting++ // until the reader counts, so that the source is not stopped in between
	defer func() {
		p.waiting--
		p.checkIdleLocked()
	}()
	if err := p.waitLocked(ctx, query); err != nil {
		return nil, err
	}
	if p.conf.MaxReaders > 0 && len(p.readers) >= p.conf.MaxReaders {
		return nil, &PathError{"read", p.name, ErrTooManyReaders}
	}
	a := &Attachment{path: p, stream: p.stream, peer: peer, query: query}
	if p.readers == nil {
		p.readers = map[*Attachment]struct{}{}
	}
	p.readers[a] = struct{}{}
	ev := PathEvent{Path: p.name, Groups: p.groups, Config: p.conf, Peer: peer, Query: query}
	a.obs.begin(p.events, &p.r.tasks, *p.r.hooks.Load(), func(h *Hooks) func() { return h.readerAttached(ev) })
	return a, nil
}

// waitLocked returns when there is a stream. It gives the lock up while it waits.
func (p *Path) waitLocked(ctx context.Context, query string) error {
	fail := func(err error) error { return &PathError{"read", p.name, err} }
	p.waiting++
	defer func() {
		p.waiting--
		p.checkIdleLocked()
	}()
	var expired <-chan time.Time
	p.openStandbyLocked(p.r.queueSize())
	for p.stream == nil {
		switch {
		case p.closed:
			return errGone
		case p.redirectLocked() != "":
			return &RedirectError{p.redirectLocked()}
		case !p.conf.OnDemand.Enabled:
			return fail(ErrNoStream)
		}
		p.startSourceLocked(query)
		if expired == nil {
			expired = time.After(p.conf.OnDemand.startTimeout())
		}
		changed := p.changedLocked()
		var err error
		p.mu.Unlock()
		select {
		case <-changed:
		case <-expired:
			err = ErrStartTimeout
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
		p.mu.Lock()
		if err != nil && p.stream == nil {
			if p.conf.Fallback != "" {
				return &RedirectError{p.conf.Fallback}
			}
			return fail(err)
		}
	}
	return nil
}

// redirectLocked tells where readers go when there is no stream here.
func (p *Path) redirectLocked() string {
	if rd, ok := p.conf.Source.(Redirector); ok {
		return rd.RedirectURL()
	}
	if p.conf.OnDemand.Enabled {
		return ""
	}
	return p.conf.Fallback
}

func (p *Path) detach(a *Attachment) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.readers, a)
	a.obs.end(p.events, &p.r.tasks)
	p.checkIdleLocked()
}
