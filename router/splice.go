package router

import (
	"context"
	"reflect"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"github.com/org/mtx/router/media"
)

// splice joins what several writers bring, one after the other, into one stream
// with continuous time stamps. Streams of paths with a [Standby] or with a
// PublisherGrace have one.
//
// A writer takes over with its first key frame of video (with its first unit if
// there is no video); until then the one before goes on. The time line of the
// stream follows the clock of this machine: at a take-over, the first unit of the
// new writer is placed at the present, or after everything that was written, if
// that is later. Units are joined as payloads, so that RTP packets of different
// senders never meet in one stream.
type splice struct {
	began   time.Time // time stamp zero
	last    []int64   // per track: the largest time stamp written; -1: none
	step    []int64   // per track: the distance to the one before
	cur     *writer   // whose units are taken; nil: nobody's
	writers []*writer
}

const (
	// maxStep bounds, in seconds, what counts as the duration of a unit.
	maxStep = 1

	// maxJump is how far the time stamps of a track may leap before the writer is
	// placed at the present again.
	maxJump = 10 * time.Second

	// maxTime bounds time stamps, in seconds: what is larger is damage, and does
	// not fit in a time.Duration.
	maxTime = 1 << 32
)

// writer is one of those who write to a spliced stream. All fields but in are
// guarded by Stream.mu.
type writer struct {
	in      atomic.Uint64 // bytes
	origins []media.Depacketizer
	to      []int // which track of the stream each of its tracks is
	codecs  []media.Codec
	ask     func()             // for a key frame; may be nil
	cancel  context.CancelFunc // of a standby: called when somebody takes over; nil: no standby
	began   []bool             // per track: units are taken
	leading []bool             // per track: pictures may follow that precede the first one
	prev    []int64            // per track: its last time stamp
	offset  time.Duration      // added to its time stamps
	first   []int64            // per track: first time stamp written
	over    bool
}

func newSplicedStream(tracks []media.Track, queue int, absolute bool) *Stream {
	s := newStream(tracks, nil, queue, absolute)
	sp := &splice{began: time.Now(), last: make([]int64, len(tracks)), step: make([]int64, len(tracks))}
	for i := range tracks {
		sp.last[i] = -1
	}
	s.splice = sp
	s.keys.init(tracks, s.askWriters)
	return s
}

// canSplice tells whether a stream can be handled as payloads.
func canSplice(tracks []media.Track) bool {
	return !slices.ContainsFunc(tracks, func(t media.Track) bool {
		_, ok := t.Codec.(*media.Generic)
		return ok
	})
}

// join adds a writer of tracks that fit.
func (s *Stream) join(tracks []media.Track, to []int, origins []media.Depacketizer, ask func(), standby context.CancelFunc) *writer {
	n := len(tracks)
	w := &writer{
		origins: origins, to: to, codecs: make([]media.Codec, n), ask: ask, cancel: standby,
		began: make([]bool, n), leading: make([]bool, n), prev: make([]int64, n), first: make([]int64, n),
	}
	for i := range tracks {
		w.codecs[i] = tracks[i].Codec
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.splice.writers = append(s.splice.writers, w)
	return w
}

// leave ends a writer.
func (s *Stream) leave(w *writer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leaveLocked(w)
}

func (s *Stream) leaveLocked(w *writer) {
	sp := s.splice
	w.over = true
	if w.cancel != nil {
		w.cancel()
	}
	if sp.cur == w {
		sp.cur = nil
	}
	sp.writers = slices.DeleteFunc(sp.writers, func(o *writer) bool { return o == w })
}

// left tells whether a writer has ended.
func (s *Stream) left(w *writer) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return w.over
}

// restart makes a writer whose time stamps begin again take over once more.
func (s *Stream) restart(w *writer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(w.began)
	if s.splice.cur == w {
		s.splice.cur = nil
	}
}

// setWriterCodec is setCodec for spliced streams.
func (s *Stream) setWriterCodec(w *writer, track int, c media.Codec) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if track < 0 || track >= len(w.codecs) || reflect.TypeOf(w.codecs[track]) != reflect.TypeOf(c) {
		return
	}
	w.codecs[track] = c
	if s.splice.cur == w {
		s.setCodecLocked(w.to[track], c)
	}
}

// hasStandby tells whether a standby is at work.
func (s *Stream) hasStandby() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.splice.writers, func(w *writer) bool { return w.cancel != nil })
}

// askWriters asks for a key frame who can be asked.
func (s *Stream) askWriters() {
	s.mu.Lock()
	writers := slices.Clone(s.splice.writers)
	s.mu.Unlock()
	for _, w := range writers {
		if w.ask != nil {
			w.ask()
		}
	}
}

// writeFrom is write for spliced streams. It tells whether the writer took over.
func (s *Stream) writeFrom(w *writer, track int, u *media.Unit) (took bool, failed *PanicError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() {
		if v := recover(); v != nil {
			failed = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	if s.closed || w.over || track < 0 || track >= len(w.to) {
		return false, nil
	}
	if limit := maxTime * int64(w.codecs[track].ClockRate()); u.PTS > limit || u.PTS < -limit {
		s.inErrors.Add(1)
		return false, nil
	}
	size := uint64(u.Size())
	w.in.Add(size)
	if w.cancel == nil {
		s.in.Add(size)
	}
	if u.Payload != nil {
		return s.spliceLocked(w, track, u), nil
	}
	if track >= len(w.origins) || w.origins[track] == nil {
		return false, nil
	}
	for _, pkt := range u.RTP {
		payload, err := w.origins[track].Depacketize(pkt)
		if err != nil {
			s.inErrors.Add(1)
			continue
		}
		if payload != nil {
			took = s.spliceLocked(w, track, &media.Unit{PTS: u.PTS, NTP: u.NTP, Payload: payload}) || took
		}
	}
	return took, nil
}

// spliceLocked hands a payload on, if it is the turn of its writer.
func (s *Stream) spliceLocked(w *writer, track int, u *media.Unit) (took bool) {
	codec, key := media.Scan(w.codecs[track], u.Payload)
	w.codecs[track] = codec
	if s.splice.cur != w {
		if !s.mayTakeOver(w, track, key) {
			return false
		}
		s.takeOver(w, track, u.PTS)
		took = true
	}
	pts, ok := s.place(w, track, u.PTS, key)
	if !ok {
		return took
	}
	payload := u.Payload
	if key {
		payload = withParameterSets(codec, payload)
	}
	to := w.to[track]
	if old := (*s.tracks.Load())[to].Codec; !media.Equal(old, codec) {
		s.setCodecLocked(to, codec)
	}
	s.dispatch(to, &media.Unit{PTS: pts, NTP: u.NTP, Payload: payload})
	return took
}

// mayTakeOver tells whether a writer takes over with this unit.
func (s *Stream) mayTakeOver(w *writer, track int, key bool) bool {
	if w.cancel != nil && s.splice.cur != nil {
		return false // a standby waits until nobody else writes
	}
	hasVideo := slices.ContainsFunc(w.codecs, func(c media.Codec) bool { return c.Kind() == media.Video })
	return !hasVideo || key && w.codecs[track].Kind() == media.Video
}

// takeOver makes a writer the current one, and ends those before: also one that has
// not begun, or both would end each other when they begin at the same time. A standby
// ends nobody.
func (s *Stream) takeOver(w *writer, track int, pts int64) {
	sp := s.splice
	earlier := w.cancel == nil
	for _, o := range slices.Clone(sp.writers) {
		switch {
		case o == w:
			earlier = false
		case earlier || o.cancel != nil:
			s.leaveLocked(o)
		}
	}
	sp.cur = w
	w.offset = s.present() - media.Duration(pts, w.codecs[track].ClockRate())
}

// present is where on the time line a writer begins.
func (s *Stream) present() time.Duration {
	now := time.Since(s.splice.began)
	for i, t := range *s.tracks.Load() {
		rate := t.Codec.ClockRate()
		now = max(now, media.Duration(s.splice.last[i]+s.splice.step[i]+1, rate))
	}
	return now + time.Millisecond // more than is lost by rounding to ticks
}

// place converts a time stamp of a writer to one of the stream. It returns false
// if the unit must be left out.
func (s *Stream) place(w *writer, track int, in int64, key bool) (pts int64, ok bool) {
	sp, to, rate := s.splice, w.to[track], w.codecs[track].ClockRate()
	video := w.codecs[track].Kind() == media.Video
	if !w.began[track] {
		if video && !key {
			return 0, false
		}
	} else if d := media.Duration(in-w.prev[track], rate); w.codecs[track].Kind() != media.Data && (d > maxJump || d < -maxJump) {
		w.offset = s.present() - media.Duration(in, rate)
	}
	pts = in + media.Ticks(w.offset, rate)
	switch {
	case !w.began[track] && pts <= sp.last[to]:
		return 0, false
	case !w.began[track]:
		w.began[track], w.leading[track], w.first[track] = true, video, pts
	case w.leading[track] && pts < w.first[track]:
		return 0, false // it refers to pictures from before the key frame
	case pts > w.first[track]:
		w.leading[track] = false
	}
	w.prev[track] = in
	if d := pts - sp.last[to]; d > 0 {
		if sp.last[to] >= 0 {
			sp.step[to] = min(d, maxStep*int64(rate))
		}
		sp.last[to] = pts
	}
	return pts, true
}

// withParameterSets puts parameter sets that the publisher told outside of its
// bitstream in front of a key frame that has none: decoders know those of
// the writer before.
func withParameterSets(c media.Codec, au [][]byte) [][]byte {
	var sets [][]byte
	var has func(nalu []byte) bool
	switch c := c.(type) {
	case *media.H264:
		sets = [][]byte{c.SPS, c.PPS}
		has = func(n []byte) bool { return n[0]&0x1f == 7 }
	case *media.H265:
		sets = [][]byte{c.VPS, c.SPS, c.PPS}
		has = func(n []byte) bool { return n[0]>>1&0x3f == 33 }
	default:
		return au
	}
	if slices.ContainsFunc(sets, func(b []byte) bool { return len(b) == 0 }) ||
		slices.ContainsFunc(au, func(n []byte) bool { return len(n) > 0 && has(n) }) {
		return au
	}
	return append(sets, au...)
}
