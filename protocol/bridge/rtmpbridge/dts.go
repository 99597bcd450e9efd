package rtmpbridge

import (
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"

	"github.com/org/mtx/protocol/bridge/internal/gaps"
	"github.com/org/mtx/router/media"
)

// extractor tells when pictures are decoded.
type extractor interface {
	Extract(au [][]byte, pts int64) (int64, error)
}

// dtsExtractor finds decoding time stamps. It never fails: where mediacommon's
// cannot tell, pictures are taken for being in order.
type dtsExtractor struct {
	make func() extractor // nil: the codec has no B-frames
	sets func() [][]byte  // parameter sets that are known from elsewhere
	impl extractor
	gaps gaps.Closer
	ok   bool // the last picture was understood
}

func newDTSExtractor(c media.Codec, sets func() [][]byte) dtsExtractor {
	d := dtsExtractor{sets: sets}
	switch c.(type) {
	case *media.H264:
		d.make = func() extractor {
			e := &h264.DTSExtractor{}
			e.Initialize()
			return e
		}
	case *media.H265:
		d.make = func() extractor {
			e := &h265.DTSExtractor{}
			e.Initialize()
			return e
		}
	}
	return d
}

// reorders tells whether the last picture was put in its place.
func (d *dtsExtractor) reorders() bool { return d.ok }

// extract returns the decoding time stamp, in ticks.
func (d *dtsExtractor) extract(au [][]byte, pts int64, key bool) int64 {
	if d.make == nil {
		return pts
	}
	shift := d.gaps.Shift(pts, key)
	dts, ok := d.try(au, pts-shift)
	if !ok && key {
		d.impl = nil // time has jumped back, or the parameters are others
		dts, ok = d.try(au, pts-shift)
	}
	d.ok = ok
	if !ok {
		return pts
	}
	return dts + shift
}

func (d *dtsExtractor) try(au [][]byte, pts int64) (int64, bool) {
	if d.impl == nil {
		d.impl = d.make()
		if sets := d.sets(); len(sets) > 0 {
			au = append(append(make([][]byte, 0, len(sets)+len(au)), sets...), au...)
		}
	}
	dts, err := d.impl.Extract(au, pts)
	return dts, err == nil
}
