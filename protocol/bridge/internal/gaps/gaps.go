// Package gaps leaves silence out of the time stamps of video.
//
// Decoding times are derived from those of the pictures before. Across a pause, or a
// jump of time, that puts the first picture in the middle of the silence, or in front of it.
// So they are derived on a timeline without gaps, and moved afterwards.
package gaps

// least is the least time between two pictures that is taken for a gap, in ticks of
// 1/90000 s, if there usually is less than a quarter of it.
const least = 90000

// Closer closes the gaps of a track. The zero value is ready to use.
type Closer struct {
	left      int64 // out, in total
	started   bool
	key, last int64 // presentation times: of the last key frame, and the highest one
	count     int64 // pictures since the key frame, which is one
	step      int64 // from the last picture of a group to the next key frame; 0 if unknown
}

// Shift returns how much the presentation time of a picture, in ticks of 1/90000 s, must be
// moved back to be on the timeline without gaps. Pictures are given in the order of decoding.
func (c *Closer) Shift(pts int64, key bool) int64 {
	if !key {
		c.count++
		c.last = max(c.last, pts)
		return c.left
	}
	if c.started && c.count > 1 {
		frame := (c.last - c.key) / (c.count - 1)
		switch d := pts - c.last; {
		case d > max(least, 4*frame):
			if c.step == 0 {
				c.step = frame
			}
			c.left += d - c.step
		case d > 0:
			c.step = d
		}
	}
	c.started, c.key, c.last, c.count = true, pts, pts, 1
	return c.left
}
