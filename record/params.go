package record

import (
	"github.com/org/mtx/router/media"
)

// paramsAt returns the codec of a unit with the parameters that belong to it,
// given those of the unit before and the latest of the stream. The latest ones
// may be ahead of the unit, which has waited in a queue: those that come in-band
// are taken from the unit itself.
func paramsAt(before, latest media.Codec, u *media.Unit) media.Codec {
	if before == latest && !u.RandomAccess {
		return before
	}
	blank := blankCodec(before)
	if blank == nil {
		return latest
	}
	if !u.RandomAccess {
		return before
	}
	if found, _ := media.Scan(blank, u.Payload); found == blank {
		return keep(before, latest) // they come from elsewhere
	}
	found, _ := media.Scan(before, u.Payload)
	return keep(before, found)
}

// keep returns the old value if the new one has the same content.
func keep(before, after media.Codec) media.Codec {
	if before == after || media.Equal(before, after) {
		return before
	}
	return after
}

// blankCodec returns a codec of the same type without parameters, or nil if the
// type has none in-band.
func blankCodec(c media.Codec) media.Codec {
	switch c.(type) {
	case *media.H264:
		return &media.H264{}
	case *media.H265:
		return &media.H265{}
	case *media.AV1:
		return &media.AV1{}
	case *media.VP9:
		return &media.VP9{}
	case *media.MPEG4Video:
		return &media.MPEG4Video{}
	}
	return nil
}
