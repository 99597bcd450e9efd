package media

// maxParameterSet is the size in bytes above which parameter sets found
// in-band are ignored. Real ones stay below 1 KiB; what is larger is damage or
// an attempt to fill memory.
const maxParameterSet = 4096

// maxDimension bounds width and height, in pixels, of what counts as a valid
// sequence parameter set. No level of any codec reaches it.
const maxDimension = 1 << 16

// Scan looks at the payload of a unit of a track. It returns the codec with the
// parameters that the payload carries in-band (the same value if nothing
// changed, a new one otherwise) and whether decoding can start at this unit.
//
// What counts as random access:
//
//   - AV1: a sequence header with a shown key frame
//   - VP8, VP9: a key frame
//   - H265: an IRAP picture (IDR, CRA, BLA)
//   - H264: an IDR picture; also, for streams with open GOPs, an intra picture
//     with a recovery point message and an SPS
//   - MPEG-4 video: a group of VOPs or an intra VOP
//   - MPEG-1/2 video: a sequence header or a group of pictures
//   - everything else: always
//
// Parameters that are stored in the codec are copies: they do not pin the
// buffers of the unit. Nothing is allocated when nothing changed.
//
// Scan never fails: what cannot be parsed changes nothing. Empty elements are
// skipped, and a payload of video without elements is not a random access.
func Scan(c Codec, payload [][]byte) (codec Codec, randomAccess bool) {
	switch c := c.(type) {
	case *H264:
		return scanH264(c, payload)
	case *H265:
		return scanH265(c, payload)
	case *AV1:
		return scanAV1(c, payload)
	case *VP9:
		return scanVP9(c, payload)
	case *VP8:
		return c, isVP8KeyFrame(payload)
	case *MPEG4Video:
		return scanMPEG4Video(c, payload)
	case *MPEG1Video:
		return c, isMPEG1VideoStart(payload)
	}
	return c, true
}

// clamp returns at most the first n bytes of b.
func clamp(b []byte, n int) []byte {
	return b[:min(n, len(b))]
}

// firstElement returns the first element that is not empty, or nil.
func firstElement(payload [][]byte) []byte {
	for _, e := range payload {
		if len(e) != 0 {
			return e
		}
	}
	return nil
}

// plausible tells whether a size in pixels can be the one of a video. Sizes
// that went negative or wrapped around because of bad cropping are not.
func plausible(width, height int) bool {
	return width > 0 && height > 0 && width <= maxDimension && height <= maxDimension
}
