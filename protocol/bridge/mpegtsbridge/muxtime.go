package mpegtsbridge

import (
	"bytes"
	"slices"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"

	"github.com/org/mtx/protocol/bridge/internal/gaps"
	"github.com/org/mtx/router/media"
)

// maxReorder is how many pictures may be decoded before they are shown; both
// H264 and H265 allow 16.
const maxReorder = 16

// reorder derives decoding time stamps from presentation time stamps alone: with
// a delay of n pictures, those in decoding order are those in presentation order.
type reorder struct {
	depth   int // pictures
	queue   []int64
	started bool
	last    int64
}

// next returns the decoding time stamp of the next picture. It fails if more
// pictures than expected are shown later than they are decoded, and expects one more
// from then on.
func (r *reorder) next(pts int64) (int64, bool) {
	r.queue = append(r.queue, pts)
	var dts int64
	switch {
	case len(r.queue) > r.depth:
		i := 0
		for j, v := range r.queue {
			if v < r.queue[i] {
				i = j
			}
		}
		dts = r.queue[i]
		r.queue = slices.Delete(r.queue, i, i+1)
	case r.started:
		dts = r.last + 1
	default:
		dts = pts - int64(r.depth)*90 // short of a frame rate: a millisecond each
	}
	if r.started {
		dts = max(dts, r.last+1)
	}
	if dts > pts {
		r.depth = min(r.depth+1, maxReorder)
		r.queue = slices.DeleteFunc(r.queue, func(v int64) bool { return v == pts })
		return 0, false
	}
	r.started, r.last = true, dts
	return dts, true
}

// usualDepth is the delay of pictures that most encoders have, if nothing tells.
const usualDepth = 2

// decodingTime finds the decoding time stamps of a video track.
type decodingTime struct {
	extract func(au [][]byte, pts int64) (int64, error) // nil: only PTS are known
	reset   func()
	h264    bool
	sps     []byte // the last one, of H264
	fields  bool   // pictures may be fields, which extract does not understand
	plain   reorder
	gaps    gaps.Closer
	failed  bool // extract did, since the last key frame
	started bool
	first   int64 // presentation time stamp of the key frame that it began with
	last    int64
}

func newDecodingTime(c media.Codec) *decodingTime {
	d := &decodingTime{plain: reorder{depth: usualDepth}}
	switch c.(type) {
	case *media.H264:
		d.h264 = true
		d.reset = func() {
			e := &h264.DTSExtractor{}
			e.Initialize()
			d.extract = e.Extract
		}
	case *media.H265:
		d.reset = func() {
			e := &h265.DTSExtractor{}
			e.Initialize()
			d.extract = e.Extract
		}
	default:
		d.plain.depth = 1 // B pictures are never references
		d.reset = func() {}
	}
	d.reset()
	return d
}

// parameters looks at the SPS of H264.
func (d *decodingTime) parameters(au [][]byte) {
	for _, n := range au {
		if h264.NALUType(n[0]&0x1f) != h264.NALUTypeSPS || bytes.Equal(n, d.sps) {
			continue
		}
		d.sps = bytes.Clone(n)
		var sps h264.SPS
		if sps.Unmarshal(n) != nil {
			continue
		}
		d.fields = !sps.FrameMbsOnlyFlag && sps.PicOrderCntType != 2
		if v := sps.VUI; v != nil && v.BitstreamRestriction != nil {
			d.plain.depth = int(min(v.BitstreamRestriction.MaxNumReorderFrames, maxReorder))
		}
	}
}

// next returns the decoding time stamp of an access unit. Pictures that come, or are
// shown, before the first key frame have none, which is no error.
func (d *decodingTime) next(au [][]byte, pts int64, key bool) (dts int64, ok bool, err error) {
	shift := d.gaps.Shift(pts, key)
	dts, ok, err = d.find(au, pts-shift, key)
	return dts + shift, ok, err
}

// find is next on a timeline without gaps, which all fields are on.
func (d *decodingTime) find(au [][]byte, pts int64, key bool) (dts int64, ok bool, err error) {
	if d.started && (pts < d.last-jump || pts > d.last+jump) {
		d.plain = reorder{depth: d.plain.depth}
		d.failed, d.started = false, false
		d.reset()
	}
	switch {
	case !d.started && !key:
		return 0, false, nil
	case !d.started:
		d.first = pts
	case pts < d.first:
		return 0, false, nil // it refers to pictures before the key frame
	}
	if key && d.h264 {
		d.parameters(au)
	}
	if key && d.failed {
		d.failed = false
		d.reset()
	}
	if d.extract != nil && !d.failed && !d.fields {
		if dts, err = d.extract(au, pts); err == nil {
			if d.started {
				dts = max(dts, d.last+1)
			}
			if dts <= pts {
				return d.take(dts), true, nil
			}
		}
		d.failed = true
		d.plain = reorder{depth: d.plain.depth, started: d.started, last: d.last}
	}
	dts, ok = d.plain.next(pts)
	if !ok {
		return 0, false, errOrder
	}
	return d.take(dts), true, nil
}

func (d *decodingTime) take(dts int64) int64 {
	d.started, d.last = true, dts
	return dts
}
