package router

import (
	"reflect"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/org/mtx/router/media"
)

// maxClockDrift is how far the time stamps of a publisher may run away from the
// local clock before absolute times are taken from the local clock again.
const maxClockDrift = 5 * time.Second

// Stream is what flows through a path while somebody publishes. It fans units
// out and never waits for anybody.
//
// There are two ways to receive: a [Subscription] is a bounded queue for
// consumers with a pace of their own; a [Tap] is a function that is called on
// the goroutine of the publisher, for protocols that fan out by themselves.
// Neither counts as a reader of the path: see [Grant.Read] and [Grant.Attach].
type Stream struct {
	queue    int  // units per subscription
	absolute bool // keep the absolute times of the publisher
	origins  []media.Depacketizer
	tracks   atomic.Pointer[[]media.Track]
	keys     keyFrames
	splice   *splice // nil: one publisher writes; set before others see the stream

	in, out, inErrors, dropped atomic.Uint64
	gopBytes                   atomic.Int64 // what gop may hold; 0: there is none

	mu       sync.Mutex // serializes writes, and changes of what follows
	subs     []*Subscription
	taps     []*Tap
	payloads int       // how many of subs and taps want payloads
	middle   []bool    // per track: the last unit goes on in the next one
	feeding  []bool    // per track: this access unit is being depacketized
	gop      *gopCache // nil: nothing is kept for new readers
	epoch    time.Time
	begun    bool // something was written
	closed   bool
	err      error
	done     chan struct{}
}

func newStream(tracks []media.Track, origins []media.Depacketizer, queue int, absolute bool) *Stream {
	s := &Stream{
		queue:    queue,
		absolute: absolute,
		origins:  origins,
		middle:   make([]bool, len(tracks)),
		feeding:  make([]bool, len(tracks)),
		done:     make(chan struct{}),
	}
	tracks = slices.Clone(tracks)
	s.tracks.Store(&tracks)
	return s
}

// Tracks returns the current tracks; do not modify them. Their number, order
// and types never change during the life of a stream. Codec parameters may:
// then another slice is returned.
func (s *Stream) Tracks() []media.Track { return *s.tracks.Load() }

// Depacketizer returns what turns the RTP packets of a track into payloads, as
// given by the publisher, or nil if it publishes payloads. Readers of RTP use
// it to learn the RTP format of the packets.
func (s *Stream) Depacketizer(track int) media.Depacketizer {
	if track < 0 || track >= len(s.origins) {
		return nil
	}
	return s.origins[track]
}

// Done is closed when the stream is over.
func (s *Stream) Done() <-chan struct{} { return s.done }

// Err tells why the stream is over: [ErrStreamClosed] if the publisher left,
// [ErrReplaced], [ErrConfigChanged], [ErrClosed]. It is nil until Done is closed.
func (s *Stream) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// AddOutbound counts bytes that a tap delivered to readers. Subscriptions are
// counted by themselves.
func (s *Stream) AddOutbound(bytes uint64) { s.out.Add(bytes) }

// AddInboundErrors counts access units that a publisher lost or could not read.
func (s *Stream) AddInboundErrors(n uint64) { s.inErrors.Add(n) }

// write hands a unit to everybody. It is what Publisher.Write is made of. What
// it returns is the panic of a tap or of a parser: the stream cannot go on.
func (s *Stream) write(track int, u *media.Unit) (failed *PanicError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() {
		if v := recover(); v != nil {
			failed = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	tracks := *s.tracks.Load()
	if s.closed || track < 0 || track >= len(tracks) {
		return nil
	}
	s.in.Add(uint64(u.Size()))
	if u.Payload != nil {
		s.dispatch(track, u)
		return nil
	}
	s.stamp(tracks[track].Codec, u)
	if u.RandomAccess {
		s.keys.came(track)
	}
	s.deliver(track, u, false)
	if !s.middle[track] {
		// decided once per access unit: who comes in the middle gets the next one,
		// and if the last one goes nothing half stays in the depacketizer
		s.feeding[track] = s.payloads > 0
	}
	if s.feeding[track] {
		s.depacketize(track, u)
	}
	s.middle[track] = u.More
	return nil
}

// isNew tells whether nothing was written yet.
func (s *Stream) isNew() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.begun
}

// begins tells whether readers can begin with a unit that was written: with video, it
// is a key frame.
func (s *Stream) begins(track int, u *media.Unit) bool {
	video := func(t media.Track) bool { return t.Codec.Kind() == media.Video }
	tracks := s.Tracks()
	return track >= 0 && track < len(tracks) && (u.RandomAccess && video(tracks[track]) || !slices.ContainsFunc(tracks, video))
}

// dispatch completes a unit that has a payload and delivers it.
func (s *Stream) dispatch(track int, u *media.Unit) {
	c := (*s.tracks.Load())[track].Codec
	s.stamp(c, u)
	codec, key := media.Scan(c, u.Payload)
	u.RandomAccess = key
	s.setCodecLocked(track, codec)
	s.middle[track] = false
	if key {
		s.keys.came(track)
	}
	s.deliver(track, u, true)
}

// deliver calls taps and fills queues. payload tells what u holds: consumers
// that want payloads do not get units without.
func (s *Stream) deliver(track int, u *media.Unit, payload bool) {
	if s.gop != nil {
		s.gop.add(track, u, s.middle[track])
	}
	for _, t := range s.taps {
		if payload || t.opts.RTP && t.takes(track) {
			t.f(track, u)
		}
	}
	for _, sub := range s.subs {
		if payload || sub.opts.RTP {
			sub.push(track, u)
		}
	}
}

// deliverPayload is deliver for payloads made from RTP, which those who took
// the RTP packets must not see again.
func (s *Stream) deliverPayload(track int, u *media.Unit) {
	for _, t := range s.taps {
		if !t.opts.RTP {
			t.f(track, u)
		}
	}
	for _, sub := range s.subs {
		if !sub.opts.RTP {
			sub.push(track, u)
		}
	}
}

func (s *Stream) depacketize(track int, u *media.Unit) {
	d := s.Depacketizer(track)
	if d == nil {
		return
	}
	for _, pkt := range u.RTP {
		payload, err := d.Depacketize(pkt)
		if err != nil {
			s.inErrors.Add(1)
			continue
		}
		if payload == nil {
			continue
		}
		codec, key := media.Scan((*s.tracks.Load())[track].Codec, payload)
		s.setCodecLocked(track, codec)
		s.deliverPayload(track, &media.Unit{PTS: u.PTS, NTP: u.NTP, RandomAccess: key, Payload: payload})
	}
}

// stamp fills in the absolute time.
func (s *Stream) stamp(c media.Codec, u *media.Unit) {
	s.begun = true
	if s.absolute && !u.NTP.IsZero() {
		return
	}
	now := time.Now()
	pts := media.Duration(u.PTS, c.ClockRate())
	u.NTP = s.epoch.Add(pts)
	if d := now.Sub(u.NTP); s.epoch.IsZero() || d > maxClockDrift || d < -maxClockDrift {
		s.epoch = now.Add(-pts)
		u.NTP = now
	}
}

// SetCodec replaces the parameters of a track.
func (s *Stream) setCodec(track int, c media.Codec) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if track >= 0 && track < len(*s.tracks.Load()) {
		s.setCodecLocked(track, c)
	}
}

func (s *Stream) setCodecLocked(track int, c media.Codec) {
	old := *s.tracks.Load()
	if old[track].Codec == c || reflect.TypeOf(old[track].Codec) != reflect.TypeOf(c) {
		return
	}
	next := slices.Clone(old)
	next[track].Codec = c
	s.tracks.Store(&next)
}

// close ends the stream.
func (s *Stream) close(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closed = true
		s.gop = nil
		s.gopBytes.Store(0)
		s.err = err
		close(s.done)
		s.keys.close()
		if s.splice != nil {
			for _, w := range slices.Clone(s.splice.writers) {
				s.leaveLocked(w)
			}
		}
	}
}

// TapOptions selects what a [Tap] receives.
type TapOptions struct {
	// RTP asks for units as they come: units of publishers of RTP hold packets
	// and no payload, and may be parts of an access unit ([media.Unit.More]).
	// Otherwise every unit has a payload.
	RTP bool

	// Backlog begins with what the path keeps for new readers, see [GOPCache]: the
	// function is called for it before Tap returns. Without it, or if there is
	// nothing, the tap begins with what comes next.
	Backlog bool

	// Earlier adds to the backlog what was kept since the start of the picture before
	// the key frame, which cannot be decoded.
	Earlier bool
}

// Tap is a function that receives the units of a stream on the goroutine of its
// publisher.
type Tap struct {
	stream *Stream
	opts   TapOptions
	f      func(track int, u *media.Unit)
	cut    []bool // per track: opened in the middle of an access unit that is still going on
	closed bool
}

// takes tells whether the tap takes the next unit of RTP packets: it begins with
// the start of an access unit.
func (t *Tap) takes(track int) bool {
	if t.cut[track] && t.stream.middle[track] {
		return false
	}
	t.cut[track] = false
	return true
}

// Tap calls f for every unit from now on, on each track from the next start of
// an access unit. f is never called concurrently, must not block, and must not call
// what changes the stream, its path or who reads it: that would wait for f.
func (s *Stream) Tap(o TapOptions, f func(track int, u *media.Unit)) *Tap {
	t := &Tap{stream: s, opts: o, f: f}
	s.mu.Lock()
	defer s.mu.Unlock()
	t.cut = slices.Clone(s.middle)
	if o.Backlog {
		s.replayTo(t)
	}
	s.taps = append(slices.Clip(s.taps), t)
	if !o.RTP {
		s.payloads++
	}
	return t
}

// Close ends the tap: when it returns, the function is not running and will not
// be called again. It is idempotent, and must not be called by the function
// itself.
func (t *Tap) Close() {
	t.stream.mu.Lock()
	defer t.stream.mu.Unlock()
	if t.closed {
		return
	}
	t.closed = true
	t.stream.taps = slices.DeleteFunc(slices.Clone(t.stream.taps), func(e *Tap) bool { return e == t })
	if !t.opts.RTP {
		t.stream.payloads--
	}
}
