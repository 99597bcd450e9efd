package router

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pion/rtp"

	"github.com/org/mtx/router/media"
)

// DefaultGOPCacheBytes is a bound for [GOPCache] that suits most streams: ten
// seconds of 13 Mbit/s.
const DefaultGOPCacheBytes = 16 << 20

// MaxGOPCacheAge is how old the key frame may be that a new reader begins with. Of a
// stream that stalls, or that has key frames hardly ever, readers get what comes next:
// who does not catch up would be behind by all of that time.
const MaxGOPCacheAge = 30 * time.Second

// minGOPCacheBytes is the least bound that can hold a picture.
const minGOPCacheBytes = 64 << 10

// GOPCache keeps the last group of pictures of a stream: all units of all tracks
// since the last key frame of the first video track. New readers begin with it, and
// see a picture at once instead of after the next key frame. Streams without video
// have nothing to keep, and what is older than [MaxGOPCacheAge] is not given anymore.
//
// Time stamps stay those of the stream: players that do not catch up stay behind
// by what they were given, which is why there is no cache unless it is asked for.
type GOPCache struct {
	// MaxBytes bounds what is kept of a stream, bytes. A group of pictures that is
	// larger is not kept. Zero: there is no cache.
	MaxBytes int
}

func (c GOPCache) validate() error {
	if c.MaxBytes != 0 && c.MaxBytes < minGOPCacheBytes {
		return fmt.Errorf("GOP cache of %d bytes: must be zero or at least %d", c.MaxBytes, minGOPCacheBytes)
	}
	return nil
}

// gopCache holds units as they were written. They are shared with everybody, not
// copied. Guarded by Stream.mu.
type gopCache struct {
	max  int // bytes
	lead int // the first video track

	units   []cachedUnit
	bytes   int
	keyed   bool      // there is a key frame
	came    time.Time // when it did
	key     int       // index of its first unit
	current int       // index of the first unit of the current picture
	before  int       // index of the first unit of the picture before it
	cut     bool      // the rest of the current picture is not kept
}

// cachedUnit is a unit, or a part of one.
type cachedUnit struct {
	track  int
	unit   *media.Unit
	goesOn bool // with the access unit of the one before
}

// weight is what a unit counts for, bytes: its media and roughly what is around it.
func (c cachedUnit) weight() int {
	const unit, packet = 128, 160
	return c.unit.Size() + unit + packet*len(c.unit.RTP)
}

// add keeps a unit.
func (c *gopCache) add(track int, u *media.Unit, goesOn bool) {
	if track == c.lead {
		if !goesOn {
			c.before, c.current, c.cut = c.current, len(c.units), false
			if !c.keyed {
				c.trim(c.before)
			}
		}
		if u.RandomAccess && !c.cut && !(c.keyed && c.key == c.current) {
			c.trim(c.before)
			c.keyed, c.key, c.came = true, c.current, time.Now()
		}
		if c.stale() {
			c.clear()
		}
	}
	if c.cut || len(c.units) == 0 && track != c.lead {
		return
	}
	e := cachedUnit{track, u, goesOn}
	c.units = append(c.units, e)
	if c.bytes += e.weight(); c.bytes > c.max {
		c.clear()
	}
}

// clear forgets all units, and what follows up to the next key frame.
func (c *gopCache) clear() {
	clear(c.units)
	c.units, c.bytes = c.units[:0], 0
	c.keyed, c.key, c.current, c.before, c.cut = false, 0, 0, 0, true
}

// trim forgets the first units.
func (c *gopCache) trim(n int) {
	for _, e := range c.units[:n] {
		c.bytes -= e.weight()
	}
	c.units = slices.Delete(c.units, 0, n)
	c.key, c.current, c.before = max(c.key-n, 0), c.current-n, c.before-n
}

// stale tells whether nobody gets the key frame anymore.
func (c *gopCache) stale() bool { return c.keyed && time.Since(c.came) > MaxGOPCacheAge }

// backlog returns the units since the key frame; with those of the picture before
// it, if earlier is set.
func (c *gopCache) backlog(earlier bool) []cachedUnit {
	switch {
	case c == nil || !c.keyed || c.stale():
		return nil
	case earlier:
		return c.units
	}
	return c.units[c.key:]
}

// setGOPCache turns the cache on or off, or changes its bound.
func (s *Stream) setGOPCache(conf GOPCache) {
	s.mu.Lock()
	defer s.mu.Unlock()
	lead := slices.IndexFunc(*s.tracks.Load(), func(t media.Track) bool { return t.Codec.Kind() == media.Video })
	switch {
	case s.closed || conf.MaxBytes <= 0 || lead < 0:
		s.gop = nil
		s.gopBytes.Store(0)
		return
	case s.gop == nil:
		s.gop = &gopCache{lead: lead, cut: true}
	}
	s.gop.max = conf.MaxBytes
	s.gopBytes.Store(int64(conf.MaxBytes))
}

// GOPCacheBytes tells how much of the stream is kept for new readers, at most:
// [GOPCache.MaxBytes], or zero if nothing is. It can change at any time.
func (s *Stream) GOPCacheBytes() int { return int(s.gopBytes.Load()) }

// replay calls f for a backlog as consumers take it, and returns per track whether
// they have the start of the access unit that is going on. s.mu is held.
func (s *Stream) replay(list []cachedUnit, rtp bool, f func(c cachedUnit)) (begun []bool) {
	begun = make([]bool, len(s.middle))
	fresh, ok := s.renew(rtp)
	if len(list) == 0 || !ok {
		return begun
	}
	for _, c := range list {
		if !c.goesOn {
			begun[c.track] = true
		} else if !begun[c.track] {
			continue // its start was too early
		}
		if rtp || c.unit.Payload != nil {
			f(c)
		} else {
			s.unpack(fresh[c.track], c, func(u *media.Unit) { f(cachedUnit{c.track, u, false}) })
		}
	}
	if !rtp {
		s.catchUp(list, begun)
	}
	return begun
}

// renew makes depacketizers for a backlog, as those of the stream are in the
// middle of something. It fails if one cannot be made.
func (s *Stream) renew(rtp bool) (fresh []media.Depacketizer, ok bool) {
	fresh = make([]media.Depacketizer, len(s.middle))
	if rtp {
		return fresh, true
	}
	for i, d := range s.origins {
		if d == nil || i >= len(fresh) {
			continue
		}
		r, ok := d.(media.Renewer)
		if !ok {
			return nil, false
		}
		fresh[i] = r.Renew()
	}
	return fresh, true
}

// unpack turns a unit of RTP packets into units with payloads.
func (s *Stream) unpack(d media.Depacketizer, c cachedUnit, f func(u *media.Unit)) {
	if d == nil {
		return
	}
	for _, pkt := range c.unit.RTP {
		payload, err := depacketizeSafely(d, pkt)
		if err != nil || payload == nil {
			continue // errors were counted, or would be of the one before
		}
		codec, key := media.Scan((*s.tracks.Load())[c.track].Codec, payload)
		s.setCodecLocked(c.track, codec)
		f(&media.Unit{PTS: c.unit.PTS, NTP: c.unit.NTP, RandomAccess: key, Payload: payload})
	}
}

// catchUp makes the depacketizers of the stream go on in the middle of access
// units, of which nobody has wanted payloads until now.
func (s *Stream) catchUp(list []cachedUnit, begun []bool) {
	for track, going := range s.middle {
		d := s.Depacketizer(track)
		if !going || !begun[track] || s.feeding[track] || d == nil {
			continue
		}
		s.feeding[track] = true
		first := 0
		for i, c := range list {
			if c.track == track && !c.goesOn {
				first = i
			}
		}
		for _, c := range list[first:] {
			if c.track != track {
				continue
			}
			for _, pkt := range c.unit.RTP {
				_, _ = depacketizeSafely(d, pkt)
			}
		}
	}
}

var errDepacketizerPanic = errors.New("the depacketizer panicked")

// depacketizeSafely turns a panic, which is the publisher's, into an error: the
// goroutine is one of a reader.
func depacketizeSafely(d media.Depacketizer, pkt *rtp.Packet) (payload [][]byte, err error) {
	defer func() {
		if recover() != nil {
			payload, err = nil, errDepacketizerPanic
		}
	}()
	return d.Depacketize(pkt)
}

// replayTo gives a new tap its backlog. s.mu is held.
func (s *Stream) replayTo(t *Tap) {
	list := s.gop.backlog(t.opts.Earlier)
	begun := s.replay(list, t.opts.RTP, func(c cachedUnit) { t.f(c.track, c.unit) })
	for i := range t.cut {
		t.cut[i] = t.cut[i] && !begun[i]
	}
}

// Replay calls each for the units that the path keeps for new readers, see
// [GOPCache], in the form that the tap takes, and then done. Meanwhile nothing
// else passes, so that a reader that done adds misses nothing and gets nothing
// twice. Neither function may call methods of the stream that change it, or of its
// taps.
func (t *Tap) Replay(each func(track int, u *media.Unit), done func()) {
	s := t.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	if !t.closed {
		s.replay(s.gop.backlog(t.opts.Earlier), t.opts.RTP, func(c cachedUnit) { each(c.track, c.unit) })
	}
	done()
}
