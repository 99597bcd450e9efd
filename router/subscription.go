package router

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/org/mtx/router/media"
)

const (
	defaultQueueSize = 512
	maxQueueSize     = 1 << 16
)

// SubscribeOptions selects what a [Subscription] receives.
type SubscribeOptions struct {
	// Tracks are the indexes of the wanted tracks; nil means all.
	Tracks []int

	// RTP asks for units as they come: see [TapOptions].
	RTP bool

	// QueueSize is the number of units that may wait. Zero means that of the
	// router.
	QueueSize int

	// AnyStart also delivers video that comes before the first key frame.
	AnyStart bool

	// Live leaves out what the path keeps for new readers, see [GOPCache]. Otherwise
	// it comes first, beside what the queue holds.
	Live bool
}

type item struct {
	track int
	unit  *media.Unit
}

// Subscription is a bounded queue of units, drained by the goroutine of the
// caller: the router owns no goroutine per reader.
//
// When the queue is full, units are dropped and counted, with the rest of the
// access unit if they are parts of one. On a video track, everything up to the
// next random access point is dropped then, since it could not be decoded.
type Subscription struct {
	stream  *Stream
	opts    SubscribeOptions
	ch      chan item
	wanted  []bool // per track
	waitKey []bool // per track; guarded by Stream.mu
	cut     []bool // per track: the rest of this access unit is not wanted; guarded by Stream.mu
	closed  bool   // guarded by Stream.mu
	done    chan struct{}
	backlog []item       // comes before what is in ch
	taken   atomic.Int64 // how much of it was
	dropped atomic.Uint64
	out     atomic.Uint64
}

// Subscribe opens a subscription, and asks for a key frame. It does not count as
// a reader of the path: use [Grant.Read] for clients.
func (s *Stream) Subscribe(o SubscribeOptions) (*Subscription, error) {
	if o.QueueSize == 0 {
		o.QueueSize = s.queue
	}
	if o.QueueSize < 0 || o.QueueSize > maxQueueSize {
		return nil, fmt.Errorf("queue size %d: must be between 0 and %d", o.QueueSize, maxQueueSize)
	}
	tracks := s.Tracks()
	sub := &Subscription{
		stream:  s,
		opts:    o,
		ch:      make(chan item, o.QueueSize),
		wanted:  make([]bool, len(tracks)),
		waitKey: make([]bool, len(tracks)),
		done:    make(chan struct{}),
	}
	for _, i := range o.Tracks {
		if i < 0 || i >= len(tracks) {
			return nil, fmt.Errorf("track %d: the stream has %d tracks", i, len(tracks))
		}
		sub.wanted[i] = true
	}
	for i := range tracks {
		if o.Tracks == nil {
			sub.wanted[i] = true
		}
		sub.waitKey[i] = !o.AnyStart && tracks[i].Codec.Kind() == media.Video
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	sub.cut = make([]bool, len(tracks))
	var begun []bool
	if list := s.gop.backlog(false); !o.Live && len(list) > 0 {
		lead := s.gop.lead
		wait := sub.waitKey[lead]
		sub.waitKey[lead] = false // it begins with the key frame, which may be told by a later part
		if begun = s.replay(list, o.RTP, sub.keep); !begun[lead] {
			sub.waitKey[lead] = wait
		}
	}
	for i, going := range s.middle {
		if going && (len(begun) == 0 || !begun[i]) {
			sub.cut[i] = true
		}
	}
	s.subs = append(slices.Clip(s.subs), sub)
	if !o.RTP {
		s.payloads++
	}
	s.RequestKeyFrame()
	return sub, nil
}

// takes tells whether a unit is for this subscription. It is called with Stream.mu
// held.
func (s *Subscription) takes(track int, u *media.Unit, goesOn bool) bool {
	if !s.wanted[track] || goesOn && s.cut[track] {
		return false
	}
	s.cut[track] = s.waitKey[track] && !u.RandomAccess
	if s.cut[track] {
		return false
	}
	s.waitKey[track] = false
	return true
}

// keep adds a unit to the backlog.
func (s *Subscription) keep(c cachedUnit) {
	if s.takes(c.track, c.unit, c.goesOn) {
		s.backlog = append(s.backlog, item{c.track, c.unit})
	}
}

// push is called with Stream.mu held.
func (s *Subscription) push(track int, u *media.Unit) {
	if !s.takes(track, u, u.Payload == nil && s.stream.middle[track]) {
		return
	}
	select {
	case s.ch <- item{track, u}:
	default:
		s.dropped.Add(1)
		s.stream.dropped.Add(1)
		s.cut[track] = true
		s.waitKey[track] = (*s.stream.tracks.Load())[track].Codec.Kind() == media.Video
	}
}

// Next waits for the next unit and returns it with the index of its track. What is
// queued comes first, also when ctx is done (who wants to stop at once asks ctx), or
// the stream is over. Then the error is [ErrStreamClosed], or that of ctx.
func (s *Subscription) Next(ctx context.Context) (int, *media.Unit, error) {
	if int(s.taken.Load()) < len(s.backlog) {
		if i := int(s.taken.Add(1)) - 1; i < len(s.backlog) {
			it := s.backlog[i]
			s.backlog[i] = item{}
			return s.take(it)
		}
	}
	select {
	case it := <-s.ch:
		return s.take(it)
	default:
	}
	select {
	case it := <-s.ch:
		return s.take(it)
	case <-s.stream.done:
		select { // written just before the end
		case it := <-s.ch:
			return s.take(it)
		default:
		}
		return 0, nil, ErrStreamClosed
	case <-s.done:
		return 0, nil, ErrStreamClosed
	case <-ctx.Done():
		return 0, nil, ctx.Err()
	}
}

func (s *Subscription) take(it item) (int, *media.Unit, error) {
	n := uint64(it.unit.Size())
	s.out.Add(n)
	s.stream.out.Add(n)
	return it.track, it.unit, nil
}

// Dropped returns how many units were lost because the reader is slow.
func (s *Subscription) Dropped() uint64 { return s.dropped.Load() }

// Bytes returns how many bytes of media were taken.
func (s *Subscription) Bytes() uint64 { return s.out.Load() }

// Close ends the subscription. It is idempotent.
func (s *Subscription) Close() {
	s.stream.mu.Lock()
	defer s.stream.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	close(s.done)
	s.stream.subs = slices.DeleteFunc(slices.Clone(s.stream.subs), func(e *Subscription) bool { return e == s })
	if !s.opts.RTP {
		s.stream.payloads--
	}
}
