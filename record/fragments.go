package record

import (
	"errors"
	"log/slog"
	"math"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"

	"github.com/org/mtx/protocol/bridge/mp4bridge"
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

func newFragments(tracks []media.Track, w *writer, log *slog.Logger) *fragments {
	f := &fragments{tracks: make([]*fragTrack, len(tracks)), reason: make([]error, len(tracks)), w: w, log: log}
	for i, t := range tracks {
		conv, err := mp4bridge.New(t.Codec)
		if err == nil && (t.Codec.ClockRate() <= 0 || t.Codec.ClockRate() > math.MaxInt32) {
			err = errors.New("the clock rate is not known")
		}
		if err != nil {
			f.reason[i] = err
			continue
		}
		conv.Convert(nil, &media.Unit{}, t.Codec) // so that it knows the codec
		f.tracks[i] = &fragTrack{id: i + 1, kind: t.Codec.Kind(), rate: t.Codec.ClockRate(), conv: conv}
		f.tracks[i].learn(log)
	}
	return f
}

func (f *fragments) carries(track int) error { return f.reason[track] }

func (f *fragments) prepare(track int, u *media.Unit, c media.Codec) (time.Duration, bool) {
	t := f.tracks[track]
	t.scratch = t.conv.Convert(t.scratch[:0], u, c)
	t.prepared = t.scratch
	if len(t.prepared) == 0 {
		return 0, false
	}
	if t.learn(f.log) && t.bad == nil && t.elsewhere(f.hasInit) {
		f.again = true
	}
	s := &t.prepared[0]
	if t.hasHeld && s.DTS <= t.heldAt && t.heldAt-s.DTS < media.Ticks(maxBack, t.rate) {
		s.DTS = t.heldAt + 1 // decoding times must grow
	}
	return media.Duration(s.DTS, t.rate), true
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
			t.base = t.prepared[0].DTS
		}
		t.needKey = t.kind == media.Video
		t.mp4, t.inMoov = nil, false
		t.reset()
	}
	return f.base
}

func (f *fragments) commit(track int, u *media.Unit) bool {
	t := f.tracks[track]
	prepared := t.prepared
	t.prepared = nil
	switch {
	case t.seen == nil || t.bad != nil || t.elsewhere(f.hasInit):
		return false // it is part of the next segment
	case t.needKey && !u.RandomAccess:
		return false
	}
	for len(prepared) > 0 && prepared[0].DTS < t.base {
		prepared = prepared[1:]
	}
	switch {
	case len(prepared) == 0:
		return false
	case t.hasHeld && prepared[0].DTS <= t.heldAt:
		return false
	}
	t.needKey = false
	t.mp4 = t.seen
	if len(t.data) < t.room || t.data == nil {
		t.data = t.newData(f.w)
	}
	for _, s := range prepared {
		t.add(s)
	}
	return true
}

// boundary makes each key frame of the leading video the first picture of a part,
// so that players can be sent the file from there on. Where all pictures are key
// frames, it does not matter.
func (f *fragments) boundary(track int, least time.Duration) bool {
	t := f.tracks[track]
	if !t.leading || t.kind != media.Video || !t.prepared[0].Sync {
		return false
	}
	switch {
	case len(t.samples) > 0:
		return !t.samples[0].sync || t.interCoded() && t.prepared[0].DTS-t.first >= media.Ticks(least, t.rate)
	case t.hasHeld:
		return !t.held.sync
	}
	return false
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
	} else {
		f.releaseLeader()
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

// releaseLeader completes the part: the sample that follows is known if it is what
// ends the part.
func (f *fragments) releaseLeader() {
	for _, t := range f.tracks {
		if t == nil || !t.leading || !t.hasHeld {
			continue
		}
		if d, ok := t.untilNext(); ok {
			t.release(d)
		}
	}
}

// releaseAll gives the samples that wait for their durations the usual ones. The
// leading track has none to wait for if the segment ends with a key frame.
func (f *fragments) releaseAll() {
	for _, t := range f.tracks {
		if t == nil || !t.hasHeld {
			continue
		}
		d, more := t.lastDuration()
		t.resume, t.hasResume = t.heldAt+d, true
		t.release(d + more)
	}
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
	return mp4bridge.MarshalInit(tracks)
}

func (f *fragments) jump(track int) { f.tracks[track].jumped = true }

func (f *fragments) drop() {
	for _, t := range f.tracks {
		if t != nil {
			t.reset()
		}
	}
}
