package webrtc

import (
	"errors"
	"fmt"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"

	"github.com/org/mtx/router/media"
)

// errBFrames: RTP in browsers knows one time per picture, that of its display,
// and browsers show pictures in the order in which they come.
var errBFrames = errors.New("WebRTC cannot carry B-frames: switch them off in the encoder")

// bFramesError names the codec, and wraps errBFrames.
func bFramesError(c media.Codec) error {
	return fmt.Errorf("the stream is %s with B-frames: %w", c.Name(), errBFrames)
}

const (
	// orderPictures is how many pictures are looked at of a stream that declares
	// that it may have B-frames, before viewers get it.
	orderPictures = 30

	// backSteps is how many steps back in time make sure that there are B-frames;
	// a single one may be a publisher that corrects its clock.
	backSteps = 2

	// stepsWithin is within how many pictures they must be.
	stepsWithin = 300

	// maxBackStep is the longest step that B-frames explain, in seconds.
	maxBackStep = 2
)

// mayReorder tells whether a codec can have B-frames at all.
func mayReorder(c media.Codec) bool {
	switch c.(type) {
	case *media.H264, *media.H265:
		return true
	}
	return false
}

// declaresReordering tells whether parameter sets announce B-frames. Encoders
// also announce what they then do not use, and some announce nothing.
func declaresReordering(c media.Codec) bool {
	switch c := c.(type) {
	case *media.H264:
		var sps h264.SPS
		if sps.Unmarshal(c.SPS) != nil {
			return false
		}
		// type 2: in the order of decoding (ITU-T H.264 section 8.2.1.3)
		r := sps.VUI
		return sps.PicOrderCntType != 2 && r != nil && r.BitstreamRestriction != nil && r.BitstreamRestriction.MaxNumReorderFrames > 0
	case *media.H265:
		var sps h265.SPS
		if sps.Unmarshal(c.SPS) != nil {
			return false
		}
		for _, n := range sps.MaxNumReorderPics {
			if n > 0 {
				return true
			}
		}
	}
	return false
}

// order watches the times of the pictures of a track, for B-frames.
type order struct {
	seen  int // pictures
	last  int64
	steps int // back
	since int // pictures since the last of them
	found bool
}

// add takes the time of a unit, in ticks of a clock of rate.
func (o *order) add(pts int64, rate int) {
	if o.seen > 0 && pts == o.last {
		return // goes on
	}
	if back := o.last - pts; o.seen > 0 && back > 0 && back <= maxBackStep*int64(rate) {
		o.steps++
		o.since = 0
		o.found = o.found || o.steps >= backSteps
	} else if o.since++; o.since >= stepsWithin {
		o.steps = 0
	}
	o.seen++
	o.last = pts
}
