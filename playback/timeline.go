package playback

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/org/mtx/record"
)

// maxGap is the longest silence between two segments that are played as one.
const maxGap = time.Second

// timeline is a part of what was recorded: from a time on, for a duration.
// Segments that follow each other are joined.
type timeline struct {
	lib      *library
	start    time.Time
	duration time.Duration
	segments []record.Segment // the first one is open
	first    *segment
	tracks   []track
}

var errNoRecording = errors.New("nothing was recorded at this time")

// newTimeline finds the beginning. If nothing was recorded at the start, but
// before the end, the timeline begins there.
func newTimeline(ctx context.Context, l *library, found []record.Segment, start time.Time, d time.Duration) (*timeline, error) {
	for i, g := range found {
		s, err := l.open(ctx, g)
		if err != nil {
			if isGone(ctx, err) {
				return nil, err
			}
			continue
		}
		if !s.end().After(start) || i+1 < len(found) && replaced(ctx, l, s, found[i+1], start) {
			s.close()
			continue
		}
		t := &timeline{lib: l, start: start, duration: d, segments: found[i:], first: s, tracks: s.list()}
		if s.Start.After(start) {
			t.start, t.duration = s.Start, d-s.Start.Sub(start)
		}
		if t.duration <= 0 {
			s.close()
			break
		}
		return t, nil
	}
	return nil, errNoRecording
}

// replaced tells whether the next segment, with which s cannot be joined, has begun when
// the timeline starts.
func replaced(ctx context.Context, l *library, s *segment, next record.Segment, start time.Time) bool {
	if next.Start.After(start) {
		return false
	}
	n, err := l.open(ctx, next)
	if err != nil {
		return false
	}
	defer n.close()
	return !n.Start.After(start) && n.end().After(start) && !sameTracks(n.list(), s.list())
}

func (t *timeline) close() { t.first.close() }

// each opens one segment after the other, as far as they belong together.
func (t *timeline) each(ctx context.Context, f func(*segment) error) error {
	if err := f(t.first); err != nil {
		return err
	}
	end := t.first.end()
	beyond := func(start time.Time) bool { return start.Sub(end) > maxGap || start.Sub(t.start) >= t.duration }
	for _, g := range t.segments[1:] {
		if beyond(earliest(g)) {
			return nil
		}
		s, err := t.lib.open(ctx, g)
		if err != nil {
			if isGone(ctx, err) {
				return err
			}
			continue // without it, there may be a gap
		}
		if beyond(s.Start) || !sameTracks(s.list(), t.tracks) {
			s.close()
			return nil
		}
		err = f(s)
		if s.end().After(end) {
			end = s.end()
		}
		s.close()
		if err != nil {
			return err
		}
	}
	return nil
}

// length returns how long the timeline really is.
func (t *timeline) length(ctx context.Context) (time.Duration, error) {
	var end time.Time
	err := t.each(ctx, func(s *segment) error {
		if s.end().After(end) {
			end = s.end()
		}
		return nil
	})
	return min(end.Sub(t.start), t.duration), err
}

// errStop ends a walk.
var errStop = errors.New("stop")

// walk calls f for the samples, with decoding times that count from the start of
// the timeline, in ticks. Those of what is needed to decode the beginning are
// negative. They never go backwards.
func (t *timeline) walk(ctx context.Context, f func(src io.ReaderAt, chunks []chunk) error) error {
	c := clipper{tracks: t.tracks, end: t.duration, state: make([]clipped, len(t.tracks))}
	err := t.each(ctx, func(s *segment) error {
		offset := s.Start.Sub(t.start)
		c.move(offset)
		return s.walk(ctx, max(0, -offset), func(chunks []chunk) error {
			if out := c.clip(chunks); len(out) > 0 {
				if err := f(s.file, out); err != nil {
					return err
				}
			}
			if c.done() {
				return errStop
			}
			return nil
		})
	})
	if errors.Is(err, errStop) {
		return nil
	}
	return err
}

// clipper cuts off what is before the start and after the end.
type clipper struct {
	tracks []track
	end    time.Duration
	state  []clipped
	fresh  bool // nothing of this segment was seen
	late   bool
}

// clipped is the state of a track.
type clipped struct {
	begun, seen, over bool
	shift             int64 // ticks
	latest            int64 // decoding time of the last sample
	last              int64 // and after it
	// late is decoded before the end and shown after it. It is only needed if
	// something that follows is shown before the end.
	late []chunk
}

// move begins a segment that is at an offset to the start.
func (c *clipper) move(offset time.Duration) {
	for i := range c.state {
		c.state[i].shift = c.tracks[i].ticks(offset)
		c.state[i].late = nil // no picture is shown before the key frame that follows
	}
	c.fresh = true
}

// clip leaves out chunks that are empty afterwards.
func (c *clipper) clip(chunks []chunk) []chunk {
	if c.fresh {
		c.fresh = false
		c.separate(chunks)
	}
	var out []chunk
	for i := range chunks {
		ch := chunks[i]
		st := &c.state[ch.track]
		ch.dts += st.shift
		if !c.head(&ch, st) {
			continue
		}
		if st.begun { // tracks may overlap where others do not
			ch.dts = max(ch.dts, st.latest+1)
		}
		late := st.late
		c.tail(&ch, st)
		st.begun = st.begun || len(st.late) > 0
		if len(ch.samples) == 0 {
			continue
		}
		_, d := ch.size()
		st.last = ch.dts + d
		st.latest = st.last - int64(ch.samples[len(ch.samples)-1].duration)
		st.begun, st.seen = true, true
		out = append(append(out, late...), ch)
	}
	return out
}

// maxOverlap is the longest overlap of two segments that is left to single
// tracks: sound and picture stay together.
const maxOverlap = 40 * time.Millisecond

// separate moves a segment that begins long before the last one has ended, because
// a clock was set. If only the last sample does not end in front of it, that sample is cut
// short: it lasts longer than until the next one is decoded if others are shown after it.
func (c *clipper) separate(chunks []chunk) {
	var push time.Duration
	for i := range chunks {
		ch := &chunks[i]
		if st := &c.state[ch.track]; st.begun && ch.dts+st.shift <= st.latest {
			push = max(push, c.tracks[ch.track].time(st.last-ch.dts-st.shift))
		}
	}
	if push <= maxOverlap {
		return // audio frames do not end where pictures do
	}
	for i := range c.state {
		c.state[i].shift += c.tracks[i].ticks(push)
	}
}

// head removes what is not needed at the start. It is false if nothing is left.
func (c *clipper) head(ch *chunk, st *clipped) bool {
	if st.begun {
		return true
	}
	begin, dts := -1, ch.dts
	for i, s := range ch.samples {
		pts := dts + int64(s.offset)
		dts += int64(s.duration)
		if !s.sync {
			continue
		}
		if begin >= 0 && pts > 0 {
			break
		}
		if c.tracks[ch.track].video || pts+int64(s.duration) > 0 {
			begin = i
		}
	}
	if begin < 0 {
		return false
	}
	ch.skip(begin)
	return true
}

// tail removes what is after the end, except for what is decoded before something
// that is not.
func (c *clipper) tail(ch *chunk, st *clipped) {
	t := &c.tracks[ch.track]
	end := t.ticks(c.end)
	keep, before, dts := 0, 0, ch.dts
	for i, s := range ch.samples {
		if dts+int64(s.offset) < end {
			keep = i + 1
		}
		if dts < end {
			before = i + 1
		}
		dts += int64(s.duration)
	}
	if keep > 0 {
		st.late = nil
	}
	if before < len(ch.samples) {
		st.over = true
	} else if keep < before {
		rest := *ch
		rest.skip(keep)
		rest.samples, rest.data = slices.Clone(rest.samples), bytes.Clone(rest.data)
		st.late = append(st.late, rest)
	}
	if ch.dts > end+t.ticks(patience) {
		c.late = true
	}
	ch.samples = ch.samples[:keep]
}

// patience is how far after the end a track that has no sample there is waited
// for.
const patience = 10 * time.Second

// done tells whether nothing more will come.
func (c *clipper) done() bool {
	some, all := false, true
	for i := range c.state {
		st := &c.state[i]
		some = some || st.over
		all = all && (st.over || !st.seen)
	}
	return some && all || c.late
}
