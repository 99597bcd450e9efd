package record

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"reflect"
	"slices"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4/seekablebuffer"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mp4/codecs"

	"github.com/org/mtx/router/media"
)

// fragments builds segments of fragmented MP4: "ftyp" and "moov", then for each
// part "prft", "moof" and "mdat". Media times of all tracks count from the start
// of the segment; "prft" gives the absolute time of each part.
type fragments struct {
	tracks []*fragTrack // by track; nil if it is left out
	reason []error
	w      *writer
	log    *slog.Logger

	base    time.Duration // of the segment
	hasInit bool          // "moov" was written
	again   bool          // a track has parameters that "moov" lacks
	seq     uint32
}

// headRoom is what the leading track leaves free in front of its data for what
// describes the part, so that a part is written with one call. Usual parts need a
// tenth.
const headRoom = 16 << 10

// fragTrack is a track of fragments. Times are ticks of the clock rate, of the
// stream; bytes of samples that are complete are followed by those of the sample
// that waits for its duration.
type fragTrack struct {
	id      int
	kind    media.Kind
	rate    int
	conv    converter
	leading bool

	mp4      codecs.Codec // nil while parameters are unknown
	seen     codecs.Codec // of the prepared unit
	bad      error        // why seen cannot be used; logged
	inMoov   bool         // part of the segment
	needKey  bool         // in this segment
	base     int64
	scratch  []sample
	prepared []sample // of the last unit

	data     []byte
	room     int // bytes of data that are not used, at its beginning
	samples  []entry
	complete int   // bytes of data that belong to samples
	first    int64 // decoding time of the first sample

	held    entry
	heldAt  int64
	hasHeld bool
	usual   int64 // duration of the last sample

	resume    int64 // where the next segment goes on
	hasResume bool
}

// sample is a sample that is not stored yet.
type sample struct {
	dts, pts int64 // ticks
	duration int64 // ticks; zero if unknown
	sync     bool
	data     [][]byte // in the framing of the converter
}

// entry is a sample of a part.
type entry struct {
	size     uint32
	duration uint32 // ticks
	offset   int32  // of presentation to decoding, ticks
	sync     bool
}

func newFragments(tracks []media.Track, w *writer, log *slog.Logger) *fragments {
	f := &fragments{tracks: make([]*fragTrack, len(tracks)), reason: make([]error, len(tracks)), w: w, log: log}
	for i, t := range tracks {
		conv, err := newConverter(t.Codec)
		if err == nil && (t.Codec.ClockRate() <= 0 || t.Codec.ClockRate() > math.MaxInt32) {
			err = errors.New("the clock rate is not known")
		}
		if err != nil {
			f.reason[i] = err
			continue
		}
		conv.convert(nil, &media.Unit{}, t.Codec) // so that it knows the codec
		f.tracks[i] = &fragTrack{id: i + 1, kind: t.Codec.Kind(), rate: t.Codec.ClockRate(), conv: conv}
		f.tracks[i].learn(log)
	}
	return f
}

func (f *fragments) carries(track int) error { return f.reason[track] }

func (f *fragments) prepare(track int, u *media.Unit, c media.Codec) (time.Duration, bool) {
	t := f.tracks[track]
	t.scratch = t.conv.convert(t.scratch[:0], u, c)
	t.prepared = t.scratch
	if len(t.prepared) == 0 {
		return 0, false
	}
	if t.learn(f.log) && t.bad == nil && t.elsewhere(f.hasInit) {
		f.again = true
	}
	s := &t.prepared[0]
	if t.hasHeld && s.dts <= t.heldAt && t.heldAt-s.dts < media.Ticks(maxBack, t.rate) {
		s.dts = t.heldAt + 1 // decoding times must grow
	}
	return media.Duration(s.dts, t.rate), true
}

// learn takes the parameters of the prepared unit. It returns false if they are
// the same as before.
func (t *fragTrack) learn(log *slog.Logger) bool {
	seen := t.conv.params()
	if seen == nil || t.seen != nil && sameParams(seen, t.seen) {
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
	return t.mp4 != nil && !sameParams(t.seen, t.mp4) || hasInit && !t.inMoov
}

func sameParams(a, b codecs.Codec) bool { return a == b || reflect.DeepEqual(a, b) }

// checkParams tells whether a track can be described.
func checkParams(c codecs.Codec) error {
	_, err := marshalInit([]*fmp4.InitTrack{{ID: 1, TimeScale: 90000, Codec: c}})
	return err
}

func marshalInit(tracks []*fmp4.InitTrack) (b []byte, err error) {
	defer func() {
		if v := recover(); v != nil { // parameter sets come from the network
			err = fmt.Errorf("%v", v)
		}
	}()
	var buf seekablebuffer.Buffer
	if err := (fmp4.Init{Tracks: tracks}).Marshal(&buf); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

func (f *fragments) changed() bool { return f.again }

func (f *fragments) begin(track int, at time.Duration) time.Duration {
	f.base, f.hasInit, f.again, f.seq = at, false, false, 0
	for i, t := range f.tracks {
		if t == nil {
			continue
		}
		// where the track goes on: what comes late must find its place
		next := media.Duration(t.resume, t.rate)
		if i != track && t.hasResume && next < f.base && next > at-maxLate {
			f.base = next - time.Microsecond // it may have been rounded up
		}
	}
	for i, t := range f.tracks {
		if t == nil {
			continue
		}
		t.base = media.Ticks(f.base, t.rate)
		if f.base < 0 {
			t.base-- // rounded down
		}
		if t.leading = i == track; t.leading && f.base == at {
			t.base = t.prepared[0].dts
		}
		t.needKey = t.kind == media.Video
		t.mp4, t.inMoov = nil, false
		t.reset()
	}
	return f.base
}

// reset forgets all samples.
func (t *fragTrack) reset() {
	t.data, t.samples, t.complete, t.hasHeld, t.hasResume = t.data[:min(t.room, len(t.data))], t.samples[:0], 0, false, false
}

func (f *fragments) commit(track int, u *media.Unit) bool {
	t := f.tracks[track]
	switch {
	case t.seen == nil || t.bad != nil || t.elsewhere(f.hasInit):
		return false // it is part of the next segment
	case t.needKey && !u.RandomAccess:
		return false
	}
	for len(t.prepared) > 0 && t.prepared[0].dts < t.base {
		t.prepared = t.prepared[1:]
	}
	switch {
	case len(t.prepared) == 0:
		return false
	case t.hasHeld && t.prepared[0].dts <= t.heldAt:
		return false
	}
	t.needKey = false
	t.mp4 = t.seen
	if len(t.data) < t.room || t.data == nil {
		t.data = t.newData(f.w)
	}
	for _, s := range t.prepared {
		t.add(s)
	}
	return true
}

// newData returns a buffer for samples.
func (t *fragTrack) newData(w *writer) []byte {
	if t.leading {
		t.room = headRoom
	}
	return slices.Grow(w.buffer(), t.room)[:t.room]
}

// add stores a sample, which completes the one before.
func (t *fragTrack) add(s sample) {
	if t.hasHeld {
		s.dts = max(s.dts, t.heldAt+1)
		t.release(s.dts - t.heldAt)
	}
	before := len(t.data)
	t.data = t.conv.append(t.data, s.data)
	t.held = entry{
		size:   uint32(len(t.data) - before),
		offset: int32(min(max(s.pts-s.dts, math.MinInt32), math.MaxInt32)),
		sync:   s.sync,
	}
	t.heldAt, t.hasHeld = s.dts, true
	if s.duration > 0 {
		t.usual = s.duration
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

func (f *fragments) size() int64 {
	n := 0
	for _, t := range f.tracks {
		if t != nil {
			n += max(len(t.data)-t.room, 0) + len(t.samples)*entrySize
		}
	}
	return int64(n)
}

func (f *fragments) part(start time.Time, last bool) (chunks []chunk, end time.Duration) {
	if last {
		f.releaseAll()
	}
	var ready []*fragTrack
	for _, t := range f.tracks {
		if t == nil || len(t.samples) == 0 {
			continue
		}
		ready = append(ready, t)
		if t.leading {
			ready[0], ready[len(ready)-1] = t, ready[0]
		}
	}
	end = f.end()
	if len(ready) == 0 {
		return nil, end
	}
	var head []byte
	if !f.hasInit {
		init, err := f.init()
		if err != nil {
			f.log.Error("segment cannot be described", keyError, err)
			f.drop()
			return nil, end
		}
		head = append(head, init...)
		f.hasInit = true
	}
	f.seq++
	head = appendPart(head, f.seq, start, ready)
	// all data behind that of the first track
	all := ready[0].takeData(f.w)
	room := ready[0].room
	for _, t := range ready[1:] {
		data := t.takeData(f.w)
		all = append(all, data[t.room:]...)
		f.w.recycle(data)
	}
	if len(head) > room {
		return []chunk{{head, 0}, {all, room}}, end
	}
	copy(all[room-len(head):], head)
	return []chunk{{all, room - len(head)}}, end
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

// releaseAll gives the samples that wait for their durations the usual ones. The
// leading track has none to wait for if the segment ends with a key frame.
func (f *fragments) releaseAll() {
	for _, t := range f.tracks {
		if t == nil || !t.hasHeld {
			continue
		}
		d := t.usual
		if next := t.next(); t.leading && next > t.heldAt && next-t.heldAt < media.Ticks(maxGap, t.rate) {
			d = next - t.heldAt
		}
		t.release(max(d, 1))
		t.resume, t.hasResume = t.heldAt+d, true
	}
}

// next returns when the prepared unit is decoded that was not stored, or zero.
func (t *fragTrack) next() int64 {
	if len(t.prepared) == 0 {
		return 0
	}
	return t.prepared[0].dts
}

// end returns how long the segment is, with all samples that are complete.
func (f *fragments) end() time.Duration {
	var end time.Duration
	for _, t := range f.tracks {
		if t == nil || len(t.samples) == 0 {
			continue
		}
		at := t.first - t.base
		for _, s := range t.samples {
			at += int64(s.duration)
		}
		end = max(end, media.Duration(at, t.rate))
	}
	return end
}

func (f *fragments) init() ([]byte, error) {
	var tracks []*fmp4.InitTrack
	for _, t := range f.tracks {
		if t == nil {
			continue
		}
		if t.mp4 == nil && t.bad == nil {
			t.mp4 = t.seen // its first sample may still come
		}
		if t.inMoov = t.mp4 != nil; t.inMoov {
			tracks = append(tracks, &fmp4.InitTrack{ID: t.id, TimeScale: uint32(t.rate), Codec: t.mp4})
		}
	}
	return marshalInit(tracks)
}

func (f *fragments) drop() {
	for _, t := range f.tracks {
		if t != nil {
			t.reset()
		}
	}
}
