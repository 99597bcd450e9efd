package media

// isVP8KeyFrame reads the inverse key frame flag, the first bit of the frame
// tag (RFC 6386 section 9.1).
func isVP8KeyFrame(payload [][]byte) bool {
	frame := firstElement(payload)
	return len(frame) != 0 && frame[0]&0x01 == 0
}

func scanVP9(c *VP9, payload [][]byte) (*VP9, bool) {
	h, ok := parseVP9KeyFrame(firstElement(payload))
	if !ok {
		return c, false
	}
	if h == *c {
		return c, true
	}
	n := h // escapes; h itself stays on the stack
	return &n, true
}

// Constants of the VP9 bitstream specification, version 0.6, section 7.2.
const (
	vp9FrameMarker = 2
	vp9SyncCode    = 0x498342
	vp9ColorRGB    = 7
)

// parseVP9KeyFrame reads the uncompressed header of a frame (VP9 bitstream
// specification, section 6.2) up to the size of the picture. It returns false
// if the frame is not a key frame. The header of a superframe is the one of its
// first frame.
func parseVP9KeyFrame(frame []byte) (VP9, bool) {
	r := bitReader{buf: frame}
	if r.bits(2) != vp9FrameMarker {
		return VP9{}, false
	}
	profile := r.bits(1) | r.bits(1)<<1
	if profile == 3 && r.bits(1) != 0 { // reserved_zero
		return VP9{}, false
	}
	shown, delta := r.bits(1) != 0, r.bits(1) != 0 // show_existing_frame, frame_type
	if shown || delta {
		return VP9{}, false
	}
	r.bits(2) // show_frame, error_resilient_mode
	if r.bits(24) != vp9SyncCode {
		return VP9{}, false
	}
	skipVP9ColorConfig(&r, profile)

	width, height := int(r.bits(16))+1, int(r.bits(16))+1
	if r.short {
		return VP9{}, false
	}
	return VP9{Width: width, Height: height, Profile: int(profile)}, true
}

// skipVP9ColorConfig moves behind color_config() (section 6.2.2).
func skipVP9ColorConfig(r *bitReader, profile uint32) {
	if profile >= 2 {
		r.bits(1) // ten_or_twelve_bit
	}
	subsampled := profile == 1 || profile == 3
	if r.bits(3) == vp9ColorRGB {
		if subsampled {
			r.bits(1) // reserved_zero
		}
		return
	}
	r.bits(1) // color_range
	if subsampled {
		r.bits(3) // subsampling_x, subsampling_y, reserved_zero
	}
}
