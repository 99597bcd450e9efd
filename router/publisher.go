package router

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/org/mtx/router/media"
)

// Publisher is the right to write to a path.
type Publisher struct {
	path    *Path
	stream  *Stream
	w       *writer // of a spliced stream; nil: the stream is its own
	peer    Peer
	query   string
	limit   *limit      // nil: none
	waits   atomic.Bool // for its first key frame, to make its stream that of the path; not if there is w
	started chan struct{}
	done    chan struct{}

	// guarded by Path.mu
	err    error
	online time.Time // when the stream began to take its units; zero: not yet
	obs    observation
}

// Write sends a unit of a track. It never blocks for readers. It fills in NTP
// and RandomAccess; from then on the unit, and what it points to, must not be
// modified. A unit that was read elsewhere is immutable already: write a copy of
// its struct. After the end of the publication Write does nothing.
//
// A panic of a tap or of a depacketizer ends the publication with a
// [*PanicError].
func (p *Publisher) Write(track int, u *media.Unit) {
	var took bool
	var err *PanicError
	if p.w == nil {
		err = p.stream.write(track, u)
		took = p.waits.Load() && p.stream.begins(track, u) && p.waits.CompareAndSwap(true, false)
	} else {
		took, err = p.stream.writeFrom(p.w, track, u)
	}
	if took {
		p.path.tookOver(p)
	}
	if err != nil {
		p.path.log.Error("panic", keyError, err, keyStack, string(err.Stack))
		p.path.unpublish(p, err)
		p.path.r.collect(p.path)
	}
}

// SetCodec replaces the parameters of the codec of a track, which later readers
// see. Needed only by publishers of RTP: with payloads, the stream finds
// parameters by itself. A codec of another type, or nil, is ignored.
func (p *Publisher) SetCodec(track int, c media.Codec) {
	if isNil(c) {
		return
	}
	if p.w == nil {
		p.stream.setCodec(track, c)
		return
	}
	p.stream.setWriterCodec(p.w, track, c)
}

// Stream returns the stream that is being published. On a path with a [Standby]
// or a PublisherGrace it may be older than the publication, and its tracks may be
// in another order.
func (p *Publisher) Stream() *Stream { return p.stream }

// Bytes returns how many bytes of media were written.
func (p *Publisher) Bytes() uint64 { return p.bytes().Load() }

// Started is closed when the stream begins to take units of the publisher: at
// once, or, if it continues a stream, with its first key frame.
func (p *Publisher) Started() <-chan struct{} { return p.started }

// Done is closed when the publication is over: the publisher was replaced, its
// path was removed, or Close was called.
func (p *Publisher) Done() <-chan struct{} { return p.done }

// Err tells why the publication is over; nil until Done is closed.
func (p *Publisher) Err() error {
	p.path.mu.Lock()
	defer p.path.mu.Unlock()
	return p.err
}

// Close ends the publication. It is idempotent.
func (p *Publisher) Close() {
	p.path.unpublish(p, ErrStreamClosed)
	p.path.r.collect(p.path)
}

// errGone makes a caller look up the path again.
var errGone = errors.New("path is gone")

// checkTracks tells why nobody can publish these tracks.
func checkTracks(tracks []media.Track) error {
	if len(tracks) == 0 {
		return ErrNoTracks
	}
	for i := range tracks {
		if isNil(tracks[i].Codec) || tracks[i].Codec.ClockRate() <= 0 {
			return errors.New("a track has no codec, or a codec without clock rate")
		}
	}
	return nil
}

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
	if err := checkTracks(tracks); err != nil {
		return fail(err)
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
	}
	takeOver := fromSource && o.TakeOver
	if p.pub != nil && !p.conf.Override && !takeOver {
		return fail(ErrAlreadyPublishing)
	}
	p.openStandbyLocked(queue)
	var to []int // nil: the tracks do not fit a stream that could go on
	if p.stream != nil && p.stream.splice != nil {
		var fits bool
		if to, fits = fit(p.stream.Tracks(), tracks); !fits && p.conf.Standby != nil {
			return fail(&TracksError{tracks, p.stream.Tracks()})
		}
	}
	pub := &Publisher{path: p, peer: o.Peer, query: query, started: make(chan struct{}), done: make(chan struct{})}
	p.dropNextLocked(ErrReplaced)
	if takeOver && p.pub != nil {
		p.lineUpLocked(pub, tracks, to, &o, queue)
		return pub, nil
	}
	switch {
	case p.pub != nil:
		p.endLocked(ErrReplaced, to == nil)
	case p.stream != nil && to == nil:
		p.endStreamLocked(ErrReplaced)
	}
	p.stopHoldLocked()
	p.pub = pub
	if p.stream == nil {
		p.availableLocked(p.newStream(tracks, &o, queue), tracks, o.Peer, query)
		to, _ = fit(tracks, tracks)
	}
	pub.stream = p.stream
	p.joinLocked(pub, tracks, to, &o, g)
	if pub.w == nil {
		p.onlineLocked(pub)
	}
	return pub, nil
}

// lineUpLocked makes a publication of the source the next one of the path: the present
// one goes on until it begins, see tookOver. If the tracks do not fit (to is nil), it
// gets a stream of its own.
func (p *Path) lineUpLocked(pub *Publisher, tracks []media.Track, to []int, o *PublishOptions, queue int) {
	p.next, pub.stream = pub, p.stream
	if to == nil {
		pub.stream = p.newStream(tracks, o, queue)
		pub.stream.setGOPCache(p.conf.GOPCache) // or nobody sees its first key frame
		pub.stream.RequestKeyFrame()
		to, _ = fit(tracks, tracks)
	}
	p.joinLocked(pub, tracks, to, o, nil)
	pub.waits.Store(pub.w == nil)
}

// newStream makes the stream of a publisher.
func (p *Path) newStream(tracks []media.Track, o *PublishOptions, queue int) *Stream {
	if p.conf.PublisherGrace > 0 && canSplice(tracks) {
		return newSplicedStream(tracks, queue, p.conf.UseAbsoluteTimestamp)
	}
	s := newStream(tracks, slices.Clone(o.Depacketizers), queue, p.conf.UseAbsoluteTimestamp)
	if o.RequestKeyFrame != nil {
		s.keys.init(tracks, p.protected(o.RequestKeyFrame))
	}
	return s
}

// protected returns f, which logs a panic of its own.
func (p *Path) protected(f func()) func() {
	return func() { _ = protect(p.log, func() error { f(); return nil }) }
}

// joinLocked connects a publisher with its stream.
func (p *Path) joinLocked(pub *Publisher, tracks []media.Track, to []int, o *PublishOptions, g *Grant) {
	if pub.stream.splice != nil {
		var ask func()
		if o.RequestKeyFrame != nil {
			ask = p.protected(o.RequestKeyFrame)
		}
		pub.w = pub.stream.join(tracks, to, slices.Clone(o.Depacketizers), ask, nil)
		pub.stream.RequestKeyFrame()
		p.log.Info("publisher joins the stream", keyPeer, o.Peer.Type, keyTracks, codecNames(tracks))
	}
	if g != nil {
		pub.limit = g.enforce(&limit{
			peer: o.Peer, stream: pub.stream, in: pub.bytes(),
			end: func(reason error) { p.unpublish(pub, reason) },
		})
	}
}

// tookOver is called when the stream began to take the units of a publisher.
func (p *Path) tookOver(pub *Publisher) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.next == pub {
		p.next = nil
		if p.pub != nil {
			p.finishLocked(p.pub, ErrReplaced)
		}
		p.pub = pub
		p.changeStreamLocked(ErrReplaced)
	}
	if p.pub == pub {
		p.onlineLocked(pub)
	}
}

// changeStreamLocked makes the stream of the publisher that of the path: readers of the
// one before are told that it is over, as theirs has other tracks.
func (p *Path) changeStreamLocked(reason error) {
	if pub := p.pub; pub.stream != p.stream {
		p.endStreamLocked(reason)
		p.availableLocked(pub.stream, pub.stream.Tracks(), pub.peer, pub.query)
	}
}

// onlineLocked tells that the units of a publisher go to readers.
func (p *Path) onlineLocked(pub *Publisher) {
	pub.online = time.Now()
	close(pub.started)
	if pub.w != nil {
		p.log.Info("stream is online", keyPeer, pub.peer.Type)
	}
	ev := PathEvent{Path: p.name, Groups: p.groups, Config: p.conf, Peer: pub.peer, Query: pub.query}
	pub.obs.begin(p.events, &p.r.tasks, *p.r.hooks.Load(), func(h *Hooks) func() { return h.pathOnline(ev) })
	p.notifyLocked()
}

func (p *Path) unpublish(pub *Publisher, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch pub {
	case p.pub:
		p.endLocked(err, false)
	case p.next:
		p.dropNextLocked(err)
		if w := p.pub.w; w != nil && p.pub.stream.left(w) {
			p.endLocked(ErrReplaced, false) // it took over, and nobody had been told
		}
	}
}

// endLocked ends the current publication, and the stream with it, unless the
// path goes on without a publisher. It always ends a stream that no other can continue.
func (p *Path) endLocked(err error, always bool) {
	p.finishLocked(p.pub, err)
	if always {
		p.dropNextLocked(err)
	}
	p.pub, p.next = p.next, nil
	switch {
	case !always && !p.closed && p.conf.Standby != nil:
		p.playStandbyLocked()
	case !always && p.pub != nil: // it comes with its first key frame
		p.changeStreamLocked(err)
	case !always && p.stream.splice != nil && p.conf.PublisherGrace > 0 && (p.src != nil || !p.conf.OnDemand.Enabled):
		p.log.Info("publisher left, the stream waits for another one", keyPause, p.conf.PublisherGrace, keyReason, err)
		p.holdLocked(p.conf.PublisherGrace)
	default:
		p.endStreamLocked(err)
	}
	p.notifyLocked()
}

// finishLocked ends a publication, not the stream.
func (p *Path) finishLocked(pub *Publisher, err error) {
	pub.limit.stop()
	if pub.w != nil {
		pub.stream.leave(pub.w)
		if !pub.online.IsZero() {
			p.log.Info("stream is not online anymore", keyReason, err)
		}
	}
	pub.err = err
	close(pub.done)
	pub.obs.end(p.events, &p.r.tasks)
}

// dropNextLocked ends a publication that has not taken over yet, if there is one.
func (p *Path) dropNextLocked(err error) {
	if pub := p.next; pub != nil {
		p.next = nil
		p.finishLocked(pub, err)
		if pub.stream != p.stream {
			pub.stream.close(err)
		}
	}
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
