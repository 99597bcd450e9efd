package router

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/org/mtx/router/media"
)

// Publisher is the right to write to a path.
type Publisher struct {
	path   *Path
	stream *Stream
	peer   Peer
	query  string
	since  time.Time
	limit  *limit      // nil: none
	obs    observation // guarded by Path.mu
}

// Write sends a unit of a track. It never blocks for readers. It fills in NTP
// and RandomAccess; from then on the unit, and what it points to, must not be
// modified. A unit that was read elsewhere is immutable already: write a copy of
// its struct. After the end of the publication Write does nothing.
//
// A panic of a tap or of a depacketizer ends the publication with a
// [*PanicError].
func (p *Publisher) Write(track int, u *media.Unit) {
	if err := p.stream.write(track, u); err != nil {
		p.path.log.Error("panic", keyError, err, keyStack, string(err.Stack))
		p.path.unpublish(p, err)
		p.path.r.collect(p.path)
	}
}

// SetCodec replaces the parameters of the codec of a track, which later readers
// see. Needed only by publishers of RTP: with payloads, the stream finds
// parameters by itself. A codec of another type is ignored.
func (p *Publisher) SetCodec(track int, c media.Codec) { p.stream.setCodec(track, c) }

// Stream returns the stream that is being published.
func (p *Publisher) Stream() *Stream { return p.stream }

// Done is closed when the publication is over: the publisher was replaced, its
// path was removed, or Close was called.
func (p *Publisher) Done() <-chan struct{} { return p.stream.done }

// Err tells why the publication is over; nil until Done is closed.
func (p *Publisher) Err() error { return p.stream.Err() }

// Close ends the publication. It is idempotent.
func (p *Publisher) Close() {
	p.path.unpublish(p, ErrStreamClosed)
	p.path.r.collect(p.path)
}

// errGone makes a caller look up the path again.
var errGone = errors.New("path is gone")

// publish starts a publication by a client with a grant, or, if g is nil, by the
// source of the path, which was started by a reader with that query.
func (p *Path) publish(ctx context.Context, tracks []media.Track, o PublishOptions, g *Grant, query string) (*Publisher, error) {
	fromSource := g == nil
	if g != nil {
		query = g.req.Query
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	fail := func(err error) (*Publisher, error) { return nil, &PathError{"publish", p.name, err} }
	if len(tracks) == 0 {
		return fail(ErrNoTracks)
	}
	for i := range tracks {
		if tracks[i].Codec == nil || tracks[i].Codec.ClockRate() <= 0 {
			return fail(errors.New("a track has no codec, or a codec without clock rate"))
		}
	}
	queue := p.r.queueSize()

	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed && fromSource:
		return fail(ErrClosed)
	case p.closed:
		return nil, errGone
	case !fromSource && p.conf.Source != nil && !invites(p.conf.Source):
		return fail(ErrNotPublishable)
	case p.pub != nil && !p.conf.Override:
		return fail(ErrAlreadyPublishing)
	case p.pub != nil:
		p.endLocked(ErrReplaced)
	}
	pub := &Publisher{
		path:   p,
		stream: newStream(tracks, slices.Clone(o.Depacketizers), queue, p.conf.UseAbsoluteTimestamp),
		peer:   o.Peer,
		query:  query,
		since:  time.Now(),
	}
	if ask := o.RequestKeyFrame; ask != nil {
		pub.stream.keys.init(tracks, func() {
			_ = protect(p.log, func() error { ask(); return nil }) // which logs a panic
		})
	}
	if g != nil {
		pub.limit = g.enforce(o.Peer, pub.stream, func(reason error) { p.unpublish(pub, reason) })
	}
	p.pub = pub
	p.log.Info("stream is available", keyPeer, o.Peer.Type, keyTracks, codecNames(tracks))
	ev := PathEvent{Path: p.name, Groups: p.groups, Config: p.conf, Peer: pub.peer, Query: query}
	pub.obs.begin(p.events, &p.r.tasks, *p.r.hooks.Load(), func(h *Hooks) func() { return h.pathReady(ev) })
	p.syncSinksLocked()
	p.notifyLocked()
	return pub, nil
}

func (p *Path) unpublish(pub *Publisher, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pub == pub {
		p.endLocked(err)
	}
}

// endLocked ends the current publication.
func (p *Path) endLocked(err error) {
	pub := p.pub
	p.pub = nil
	pub.limit.stop()
	pub.stream.close(err)
	pub.obs.end(p.events, &p.r.tasks)
	p.syncSinksLocked()
	p.log.Info("stream is not available anymore", keyReason, err)
	p.notifyLocked()
}

func codecNames(tracks []media.Track) []string {
	names := make([]string, len(tracks))
	for i := range tracks {
		names[i] = tracks[i].Codec.Name()
	}
	return names
}

func invites(s Source) bool {
	_, ok := s.(Inviter)
	return ok
}
