package record

import (
	"log/slog"
	"slices"
	"time"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
)

// Limits of time stamps.
const (
	// maxGap is how long the leading track may be silent inside of a segment, unless its
	// units always are far apart: then it is slowGaps times that, up to maxSlowGap, as for
	// the second unit.
	maxGap     = 10 * time.Second
	slowGaps   = 4
	maxSlowGap = 2 * time.Minute

	// maxBack is how far its time stamps may go back, because of jitter.
	maxBack = time.Second

	// maxDrift is how far time stamps and absolute times may run apart inside of a
	// segment.
	maxDrift = 5 * time.Second

	// maxLate is how much earlier than the key frame of a segment the other tracks
	// may begin, because they were multiplexed behind it.
	maxLate = time.Second

	// maxReordered is how much later than it is decoded a picture may be shown.
	maxReordered = time.Second

	// leastPart is the fraction of the duration of a part after which a key frame
	// begins another: fsync must not be called for each picture.
	leastPart = 4

	// maxTime bounds time stamps; what is beyond is nonsense and would overflow.
	maxTime = 100 * 365 * 24 * time.Hour
)

// container builds segments of one format.
type container interface {
	// carries returns an error that tells why a track is left out.
	carries(track int) error

	// prepare takes a unit with the codec that belongs to it. The unit is in
	// use until commit. It returns when it is decoded. It is not ok if the unit cannot be stored.
	prepare(track int, u *media.Unit, c media.Codec) (at time.Duration, ok bool)

	// changed tells whether a new segment is needed to go on: parameters are
	// others than at its beginning.
	changed() bool

	// begin starts a segment with the prepared unit, and returns the time that it
	// counts from, which may be a little earlier.
	begin(track int, at time.Duration) time.Duration

	// commit adds the prepared unit to the part. It returns false if its place is
	// in no segment.
	commit(track int, u *media.Unit) bool

	// boundary tells whether a part should begin with the prepared unit, though
	// the one before is not complete; not if it is shorter than least.
	boundary(track int, least time.Duration) bool

	// size is that of the part, in bytes.
	size() int64

	// part finishes the part. The last one of a segment holds everything, others
	// what is complete. end is counted from the start of the segment.
	part(start time.Time, last bool) (chunks []chunk, end time.Duration)

	// jump tells that time has jumped to the prepared unit, so that the one before does not
	// last until then.
	jump(track int)

	// drop forgets the part.
	drop()
}

// recorder cuts a stream into segments and parts. It is used by one goroutine.
type recorder struct {
	sink   Sink
	log    *slog.Logger
	stream *router.Stream
	w      *writer
	c      container

	carried []bool        // per track
	codecs  []media.Codec // of the last unit of each track
	leader  int           // the track whose key frames begin segments; -1 if none
	seg     *segment      // nil: wait for a key frame

	early     []earlyUnit // of other tracks, that came in front of the key frame
	earlySize int         // bytes

	last     time.Duration // of the leading track, when it was decoded
	hasLast  bool
	step     time.Duration // between its last two units; 0: not known
	tooLarge bool          // logged
}

// earlyUnit waits for a key frame that arrives later but is not later.
type earlyUnit struct {
	track int
	unit  *media.Unit
}

// Limits of what waits for a key frame.
const (
	maxEarlyUnits = 256
	maxEarlySize  = 1 << 20 // bytes
)

// segment is the one that is being built.
type segment struct {
	file  *segmentFile
	base  time.Duration // time of the stream that it counts from
	begin time.Duration // of its first unit
	part  time.Duration // time of the stream at which the part began
}

func newRecorder(s Sink, w *writer, run *router.SinkRun) *recorder {
	r := &recorder{sink: s, log: run.Log, stream: run.Stream, w: w, leader: -1}
	tracks := run.Stream.Tracks()
	if s.Format == MPEGTS {
		r.c = newTransport(tracks, w)
	} else {
		r.c = newFragments(tracks, w, run.Log)
	}
	r.carried = make([]bool, len(tracks))
	r.codecs = make([]media.Codec, len(tracks))
	for i, t := range tracks {
		r.codecs[i] = t.Codec
		if err := r.c.carries(i); err != nil {
			r.log.Warn("track is not recorded", keyTrack, i+1, keyCodec, t.Codec.Name(), keyReason, err)
			continue
		}
		r.carried[i] = true
		first := r.leader < 0 || tracks[r.leader].Codec.Kind() != media.Video && t.Codec.Kind() == media.Video
		if first && t.Codec.Kind() != media.Data {
			r.leader = i
		}
	}
	if r.leader < 0 {
		r.log.Warn("nothing is recorded: the format can carry no track of the stream", "format", s.Format)
	}
	return r
}

// unit takes the next unit of the stream.
func (r *recorder) unit(track int, u *media.Unit) {
	if r.leader < 0 || track >= len(r.carried) || !r.carried[track] || len(u.Payload) == 0 {
		return
	}
	c := paramsAt(r.codecs[track], r.stream.Tracks()[track].Codec, u)
	r.codecs[track] = c
	if r.seg == nil && track != r.leader {
		r.wait(track, u)
		return
	}
	rate := int64(c.ClockRate())
	if rate <= 0 || u.PTS/rate > int64(maxTime/time.Second) || u.PTS/rate < -int64(maxTime/time.Second) {
		r.discard()
		return
	}
	at, ok := r.c.prepare(track, u, c)
	if !ok {
		return
	}
	pts := media.Duration(u.PTS, int(rate))
	began := r.seg == nil
	if track == r.leader {
		if !r.lead(at, pts, u) {
			return
		}
	} else if r.drifts(pts, u.NTP) {
		r.discard()
		return
	}
	if r.partEnds(track, at) {
		r.flush(false)
		r.seg.part = at
	}
	if !r.c.commit(track, u) {
		r.discard()
	}
	if r.c.size() > r.sink.MaxPartSize {
		r.overflow()
	}
	if began && r.seg != nil {
		r.replay()
	}
}

// partEnds tells whether a part ends in front of the prepared unit. The leading
// track decides, and others only if it is silent, so that parts are not cut just
// in front of its key frames.
func (r *recorder) partEnds(track int, at time.Duration) bool {
	d := r.sink.PartDuration
	if track != r.leader {
		d += d / leastPart
	}
	return at-r.seg.part >= d || r.c.boundary(track, r.sink.PartDuration/leastPart)
}

// wait keeps a unit until the key frame comes: multiplexers may send audio in
// front of video that belongs to the same time.
func (r *recorder) wait(track int, u *media.Unit) {
	r.early = append(r.early, earlyUnit{track, u})
	r.earlySize += u.Size()
	for len(r.early) > maxEarlyUnits || r.earlySize > maxEarlySize {
		r.earlySize -= r.early[0].unit.Size()
		r.early = slices.Delete(r.early, 0, 1)
	}
}

// replay stores what has waited, as far as it is not older than the segment.
func (r *recorder) replay() {
	early := r.early
	r.early, r.earlySize = nil, 0
	for _, e := range early {
		if r.seg != nil {
			r.unit(e.track, e.unit)
		}
	}
}

// lead decides, with a unit of the leading track, whether a segment ends or
// begins. It returns false if there is none that the unit is part of.
func (r *recorder) lead(at, pts time.Duration, u *media.Unit) bool {
	jump := r.jumps(at) || r.seg != nil && r.drifts(pts, u.NTP)
	if r.hasLast {
		r.step = max(0, at-r.last)
	}
	r.last, r.hasLast = at, true
	if r.seg != nil {
		due := u.RandomAccess && (at-r.seg.begin >= r.sink.SegmentDuration || r.c.changed())
		switch {
		case r.seg.file.broken.Load():
			r.c.drop()
			r.seg = nil
		case jump:
			r.c.jump(r.leader)
			r.finish()
		case due:
			r.finish()
		}
	}
	if r.seg != nil {
		return true
	}
	if !u.RandomAccess {
		return false
	}
	base := r.c.begin(r.leader, at)
	r.seg = &segment{file: &segmentFile{start: u.NTP.Add(base - pts)}, base: base, begin: at, part: at}
	return true
}

// jumps tells whether a unit of the leading track does not follow the one before.
func (r *recorder) jumps(at time.Duration) bool {
	gap, limit := at-r.last, maxSlowGap
	if r.step > 0 {
		limit = max(maxGap, min(slowGaps*r.step, maxSlowGap))
	}
	return r.hasLast && (gap < -maxBack || gap > limit)
}

// drifts tells whether a unit has another idea of the absolute time than the
// segment.
func (r *recorder) drifts(pts time.Duration, ntp time.Time) bool {
	d := ntp.Sub(r.seg.file.start.Add(pts - r.seg.base))
	return d > maxDrift || d < -maxDrift
}

func (r *recorder) discard() { r.sink.State.discarded.Add(1) }

// flush hands the part over. If it is lost, so is what follows in the segment.
func (r *recorder) flush(last bool) {
	f := r.seg.file
	if f.broken.Load() {
		r.c.drop()
		return
	}
	chunks, end := r.c.part(f.start, last)
	j := job{seg: f, chunks: chunks, end: end, last: last}
	for _, c := range chunks {
		j.size += int64(len(c.bytes()))
	}
	if j.size > 0 || last {
		r.w.push(j)
	}
}

// finish ends the segment, if there is one.
func (r *recorder) finish() {
	if r.seg != nil {
		r.flush(true)
		r.seg = nil
	}
}

// overflow drops a part that has become too large, and ends the segment. The
// next one begins at the next key frame.
func (r *recorder) overflow() {
	if !r.tooLarge {
		r.tooLarge = true
		r.log.Warn("part is larger than the maximum and is dropped", "maximum", r.sink.MaxPartSize)
	}
	r.sink.State.dropped.Add(1)
	r.c.drop()
	r.w.push(job{seg: r.seg.file, last: true})
	r.seg = nil
}
