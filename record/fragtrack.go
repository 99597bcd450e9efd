package record

import (
	"log/slog"
	"math"
	"slices"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mp4/codecs"

	"github.com/org/mtx/protocol/bridge/mp4bridge"
	"github.com/org/mtx/router/media"
)

// fragTrack is a track of fragments. Times are ticks of the clock rate, of the
// stream; bytes of samples that are complete are followed by those of the sample
// that waits for its duration.
type fragTrack struct {
	id      int
	kind    media.Kind
	rate    int
	conv    mp4bridge.Converter
	leading bool

	mp4      codecs.Codec // nil while parameters are unknown
	seen     codecs.Codec // of the prepared unit
	bad      error        // why seen cannot be used; logged
	inMoov   bool         // part of the segment
	needKey  bool         // in this segment
	base     int64
	scratch  []mp4bridge.Sample
	prepared []mp4bridge.Sample // of the last unit

	data     []byte
	room     int // bytes of data that are not used, at its beginning
	samples  []entry
	complete int   // bytes of data that belong to samples
	first    int64 // decoding time of the first sample

	held    entry
	heldAt  int64
	hasHeld bool
	usual   int64 // duration of the last sample
	jumped  bool  // the prepared unit does not follow it

	begin                 int64 // decoding time of the first sample of the segment
	firstShown, lastShown int64 // presentation times of what is shown first and last

	resume    int64 // where the next segment goes on
	hasResume bool
}

// entry is a sample of a part.
type entry struct {
	size     uint32
	duration uint32 // ticks
	offset   int32  // of presentation to decoding, ticks
	sync     bool
}

// learn takes the parameters of the prepared unit. It returns false if they are
// the same as before.
func (t *fragTrack) learn(log *slog.Logger) bool {
	seen := t.conv.Params()
	if seen == nil || t.seen != nil && mp4bridge.Equal(seen, t.seen) {
		return false
	}
	t.seen = seen
	err := checkParams(seen)
	if err != nil && t.bad == nil {
		log.Warn("track cannot be recorded", keyTrack, t.id, keyReason, err)
	}
	t.bad = err
	return true
}

// elsewhere tells whether the prepared unit has parameters that are not those of
// the segment.
func (t *fragTrack) elsewhere(hasInit bool) bool {
	return t.mp4 != nil && !mp4bridge.Equal(t.seen, t.mp4) || hasInit && !t.inMoov
}

// checkParams tells whether a track can be described.
func checkParams(c codecs.Codec) error {
	_, err := mp4bridge.MarshalInit([]*fmp4.InitTrack{{ID: 1, TimeScale: 90000, Codec: c}})
	return err
}

// reset forgets all samples.
func (t *fragTrack) reset() {
	t.data, t.samples, t.complete, t.hasHeld, t.hasResume = t.data[:min(t.room, len(t.data))], t.samples[:0], 0, false, false
	t.jumped = false
	t.begin, t.firstShown, t.lastShown = math.MinInt64, math.MaxInt64, math.MinInt64
}

// newData returns a buffer for samples.
func (t *fragTrack) newData(w *writer) []byte {
	if t.leading {
		t.room = headRoom
	}
	return slices.Grow(w.buffer(), t.room)[:t.room]
}

// add stores a sample, which completes the one before.
func (t *fragTrack) add(s mp4bridge.Sample) {
	if t.hasHeld {
		s.DTS = max(s.DTS, t.heldAt+1)
		t.release(s.DTS - t.heldAt)
	}
	before := len(t.data)
	t.data = t.conv.Append(t.data, s.Data)
	t.held = entry{
		size:   uint32(len(t.data) - before),
		offset: int32(min(max(s.PTS-s.DTS, math.MinInt32), math.MaxInt32)),
		sync:   s.Sync,
	}
	t.heldAt, t.hasHeld = s.DTS, true
	if t.begin == math.MinInt64 {
		t.begin = s.DTS
	}
	t.firstShown, t.lastShown = min(t.firstShown, s.PTS), max(t.lastShown, s.PTS)
	if s.Duration > 0 {
		t.usual = s.Duration
	}
}

// release moves the sample that waits to those that are complete.
func (t *fragTrack) release(duration int64) {
	t.held.duration = uint32(min(max(duration, 1), math.MaxUint32))
	if len(t.samples) == 0 {
		t.first = t.heldAt
	}
	t.samples = append(t.samples, t.held)
	t.complete += int(t.held.size)
	t.hasHeld = false
	if t.usual == 0 || t.kind == media.Video {
		t.usual = duration
	}
}

// interCoded tells whether the part has pictures that are no key frames.
func (t *fragTrack) interCoded() bool {
	notSync := func(s entry) bool { return !s.sync }
	return slices.ContainsFunc(t.samples, notSync) || t.hasHeld && notSync(t.held)
}

// takeData returns the data of complete samples, and forgets them.
func (t *fragTrack) takeData(w *writer) []byte {
	n := t.room + t.complete
	data := t.data[:n]
	held := t.data[n:]
	t.samples, t.complete = t.samples[:0], 0
	t.data = append(t.newData(w), held...)
	return data
}

// lastDuration returns the duration of the sample that waits, if it is the last one
// of the segment. Pictures that were decoded ahead of others are shown after it:
// more is what the track lacks for them.
func (t *fragTrack) lastDuration() (d, more int64) {
	d = t.usual
	if n := len(t.samples); n > 0 && t.kind == media.Video {
		d = (t.heldAt - t.first) / int64(n)
	}
	d = max(d, 1)
	over := t.lastShown + d
	if next, ok := t.untilNext(); ok && t.leading {
		if gap := t.prepared[0].PTS - t.lastShown; gap > 0 && gap < 3*d/2 { // nothing of the next segment is shown in between
			over = t.lastShown + gap
		}
		d = next
	}
	more = over - t.firstShown - (t.heldAt + d - t.begin)
	if t.kind != media.Video || more < 0 || more > media.Ticks(maxReordered, t.rate) {
		return d, 0
	}
	return d, more
}

// untilNext returns how long the sample that waits lasts, if the next one is
// prepared.
func (t *fragTrack) untilNext() (ticks int64, ok bool) {
	if len(t.prepared) == 0 || t.jumped {
		return 0, false
	}
	d := t.prepared[0].DTS - t.heldAt
	return d, d > 0
}
