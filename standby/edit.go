package standby

import (
	"errors"
	"math"
)

// editList is the part of a track that is shown (ISO 14496-12 section 8.6.6). Times are in
// units of the track.
type editList struct {
	delay int64 // before the track begins
	start int64 // presentation time of the first picture or sample that is shown
	end   int64 // presentation time of the first one that is not
}

// maxDay bounds times, in seconds.
const maxDay = 24 * 3600

var errEdits = errors.New("its edit list has more than a pause and one part at normal speed")

// readEdits reads the edit list of a track; nil if it has none. scale is that of the
// track.
func readEdits(moov *box, trak box, scale int64) (*editList, error) {
	elst, err := trak.child("edts", "elst")
	if _, none := errors.AsType[missingError](err); none {
		return nil, nil // there is none
	}
	if err != nil {
		return nil, err
	}
	movie, err := timeScale(*moov, "mvhd")
	if err != nil {
		return nil, err
	}
	r := &reader{buf: elst.body}
	version := r.version()
	size := 12
	if version == 1 {
		size = 20
	}
	n, err := r.count(size)
	switch {
	case err != nil:
		return nil, err
	case n > 2:
		return nil, errEdits
	case n == 0:
		return nil, nil // it says nothing
	}
	e := &editList{end: math.MaxInt64}
	for i := range n {
		var start int64
		duration := int64(r.u32())
		if version == 1 {
			duration = duration<<32 | int64(r.u32())
			start = int64(r.u64())
		} else {
			start = int64(int32(r.u32()))
		}
		speed := r.u32()
		if duration < 0 || duration > maxDay*movie || start > maxDay*scale {
			return nil, errors.New("its edit list is longer than a day")
		}
		inTrack := func(v int64) int64 { return v/movie*scale + v%movie*scale/movie }
		switch {
		case start == -1 && i == 0 && n == 2:
			e.delay = inTrack(duration)
		case start < 0 || speed != 1<<16 || i != n-1:
			return nil, errEdits
		default:
			e.start = start
			if duration > 0 {
				e.end = start + inTrack(duration+1) // it was rounded
			}
		}
	}
	return e, nil
}

// timeScale reads the time scale of a box mvhd or mdhd, which is in the same place.
func timeScale(parent box, path ...string) (int64, error) {
	b, err := parent.child(path...)
	if err != nil {
		return 0, err
	}
	r := &reader{buf: b.body}
	if r.version() == 1 {
		r.take(16)
	} else {
		r.take(8)
	}
	scale := int64(r.u32())
	if r.short || scale == 0 {
		return 0, errors.New("its time scale is zero")
	}
	return scale, nil
}

// choose tells which samples of a track are shown: all if there is no edit list (e is
// nil). Of audio it leaves out what is before and after, of video the pictures before the
// key frame that the first one needs; more is shown then than the list says.
func (e *editList) choose(list []timed, audio bool) (from, to int) {
	if e == nil {
		return 0, len(list)
	}
	for i, s := range list {
		switch {
		case audio && s.pts+s.duration <= e.start:
			from = i + 1
		case !audio && s.key && s.pts <= e.start:
			from = i
		}
		if !audio || s.pts < e.end {
			to = i + 1
		}
	}
	return min(from, to), to
}

// origin is the presentation time that becomes the start of the track.
func (e *editList) origin(list []timed) int64 {
	if e != nil {
		return e.start - e.delay
	}
	early := list[0].pts
	for _, s := range list {
		early = min(early, s.pts)
	}
	return early
}
