package router

import (
	"sync"
	"sync/atomic"
	"time"
)

// bitrateWindow is the time over which bitrates are averaged, so that key frames
// do not count as excess.
const bitrateWindow = 4 * time.Second

// limit enforces what the identity of a client allows, while the client
// publishes or reads a stream. It is a timer, and costs nothing in between.
type limit struct {
	g      *Grant
	peer   Peer
	stream *Stream
	in     *atomic.Uint64 // bytes that count
	end    func(error)    // ends the publication; nil for readers
	leave  func()         // called for clients without a session; may be nil

	mu      sync.Mutex
	timer   *time.Timer
	stopped bool
	since   time.Time
	bytes   uint64 // at that time
}

// enforce completes l and starts it. It returns nil if there is nothing to enforce.
func (g *Grant) enforce(l *limit) *limit {
	if g.id.Expires.IsZero() && g.id.MaxBitrate <= 0 {
		return nil
	}
	l.g, l.since, l.bytes = g, time.Now(), l.in.Load()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.timer = time.AfterFunc(l.next(), l.check)
	return l
}

// next is how long nothing needs to be checked.
func (l *limit) next() time.Duration {
	d := time.Duration(1<<63 - 1)
	if e := l.g.id.Expires; !e.IsZero() {
		d = time.Until(e)
	}
	if l.g.id.MaxBitrate > 0 {
		d = min(d, bitrateWindow)
	}
	return max(d, 0)
}

func (l *limit) check() {
	reason := l.judge()
	if reason == nil {
		return
	}
	l.g.r.log.Info("client is sent away", keyPath, l.g.req.Path, keyPeer, l.peer.Type, "id", l.peer.ID, keyReason, reason)
	if l.end != nil {
		l.end(reason)
	}
	err := protect(l.g.r.log, func() error { return l.g.r.Kick(l.peer.Type, l.peer.ID) })
	if err != nil && l.leave != nil { // it has no session, or one that does not end
		l.leave()
	}
}

// judge tells why the client must leave, or sets the timer again.
func (l *limit) judge() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	bytes := l.in.Load()
	rate := float64(bytes-l.bytes) * 8 / now.Sub(l.since).Seconds()
	switch {
	case l.stopped, isDone(l.stream.done):
		return nil
	case !l.g.id.Expires.IsZero() && !now.Before(l.g.id.Expires):
		return ErrExpired
	case l.g.id.MaxBitrate > 0 && now.Sub(l.since) >= bitrateWindow:
		if rate > float64(l.g.id.MaxBitrate) {
			return ErrTooFast
		}
		l.since, l.bytes = now, bytes
	}
	l.timer.Reset(l.next())
	return nil
}

// stop ends the enforcement. l may be nil.
func (l *limit) stop() {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped = true
	l.timer.Stop()
}
