package router

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/org/mtx/router/media"
)

// standbyLinger is how long the stream of a standby goes on that nobody reads,
// on a path that exists only because somebody asked for it.
const standbyLinger = 10 * time.Second

// availability is what is known about the stream of a path.
type availability struct {
	since time.Time
	peer  Peer // who made it; zero: the standby
	query string
	obs   observation
}

func (p *Publisher) bytes() *atomic.Uint64 {
	if p.w != nil {
		return &p.w.in
	}
	return &p.stream.in
}

// availableLocked gives the path a stream.
func (p *Path) availableLocked(s *Stream, tracks []media.Track, peer Peer, query string) {
	s.setGOPCache(p.conf.GOPCache)
	p.stream = s
	p.avail = &availability{since: time.Now(), peer: peer, query: query}
	p.log.Info("stream is available", keyPeer, peer.Type, keyTracks, codecNames(tracks))
	ev := PathEvent{Path: p.name, Groups: p.groups, Config: p.conf, Peer: peer, Query: query}
	p.avail.obs.begin(p.events, &p.r.tasks, *p.r.hooks.Load(), func(h *Hooks) func() { return h.pathReady(ev) })
	p.syncSinksLocked()
	p.notifyLocked()
}

// endStreamLocked ends the stream; nobody publishes it anymore.
func (p *Path) endStreamLocked(err error) {
	s := p.stream
	p.stream = nil
	p.stopHoldLocked()
	s.close(err)
	p.avail.obs.end(p.events, &p.r.tasks)
	p.avail = nil
	p.syncSinksLocked()
	p.log.Info("stream is not available anymore", keyReason, err)
	p.notifyLocked()
}

// endAllLocked ends the publication and the stream, if there are any.
func (p *Path) endAllLocked(err error) {
	switch {
	case p.pub != nil:
		p.endLocked(err, true)
	case p.stream != nil:
		p.endStreamLocked(err)
	}
}

// holdLocked ends the stream after a time, unless somebody comes back.
func (p *Path) holdLocked(d time.Duration) {
	p.stopHoldLocked()
	var t *time.Timer
	t = time.AfterFunc(d, func() {
		p.mu.Lock()
		if p.hold == t {
			p.hold = nil
			if p.stream != nil && p.pub == nil && (p.conf.Standby == nil || p.unwantedLocked()) {
				p.endStreamLocked(ErrStreamClosed)
			}
		}
		p.mu.Unlock()
		p.r.collect(p)
	})
	p.hold = t
}

// lingerLocked ends the stream of a standby later, if nobody asks for it.
func (p *Path) lingerLocked() {
	if p.stream != nil && p.hold == nil && p.unwantedLocked() {
		p.holdLocked(standbyLinger)
	}
}

func (p *Path) stopHoldLocked() {
	if p.hold != nil {
		p.hold.Stop()
		p.hold = nil
	}
}

// unwantedLocked tells whether nobody asks for the stream of a standby, on a path that
// exists only because somebody did.
func (p *Path) unwantedLocked() bool {
	return !p.closed && isDynamic(p.conf.Name) && p.conf.Standby != nil && p.pub == nil && p.src == nil &&
		len(p.readers) == 0 && p.waiting == 0
}

// openStandbyLocked makes the stream of a path with a standby available.
func (p *Path) openStandbyLocked(queue int) {
	if p.conf.Standby == nil || p.stream != nil || p.closed {
		return
	}
	tracks := p.conf.Standby.Tracks()
	p.availableLocked(newSplicedStream(tracks, queue, p.conf.UseAbsoluteTimestamp), tracks, Peer{}, "")
	p.playStandbyLocked()
}

// playStandbyLocked starts the standby, unless it is at work.
func (p *Path) playStandbyLocked() {
	s, standby := p.stream, p.conf.Standby
	if s.hasStandby() {
		return
	}
	ctx, cancel := context.WithCancel(p.r.ctx)
	tracks := standby.Tracks()
	to, _ := fit(tracks, tracks)
	w := s.join(tracks, to, nil, nil, cancel)
	prev, done := p.standbyDone, make(chan struct{})
	started := p.r.tasks.start(func() {
		defer close(done)
		defer cancel()
		if prev != nil {
			<-prev
		}
		p.runStandby(ctx, standby, s, w)
	})
	if !started {
		s.leave(w)
		return
	}
	p.standbyDone = done
}

// runStandby plays a standby until ctx is done.
func (p *Path) runStandby(ctx context.Context, standby Standby, s *Stream, w *writer) {
	write := func(track int, u *media.Unit) {
		if _, err := s.writeFrom(w, track, u); err != nil {
			p.log.Error("panic", keyError, err, keyStack, string(err.Stack))
		}
	}
	for ctx.Err() == nil {
		err := protect(p.log, func() error { return standby.Play(ctx, write) })
		if ctx.Err() != nil || !pauseAfter(ctx, p.log.With(keySource, "standby"), err, p.r.retryPause(), nil) {
			return
		}
		s.restart(w)
	}
}
