package mp4bridge

import (
	"testing"

	"github.com/org/mtx/router/media"
)

// After a jump of time, a key frame is decoded just before it is shown, not in the middle of
// the silence: segments of recordings begin where it is decoded.
func TestDecodingOrderAfterJump(t *testing.T) {
	t.Parallel()
	sets := [][]byte{[]byte("\x67\x64\x00\x28\xac\xd9\x40\x78\x02\x27\xe5\x84\x00\x00\x03\x00\x04\x00\x00\x03\x00\xf0\x3c\x60\xc6\x58"), pps}
	const frame = 3000 // ticks
	group := []struct {
		nalu string
		n    int64 // place at which it is shown
	}{
		{"\x65\x88\x84\x00\x33\xff", 0},
		{"\x41\x9a\x21\x6c\x45\xff", 1},
		{"\x41\x9a\x42\x3c\x21\x93", 2},
		{"\x41\x9a\x63\x49\xe1\x0f", 3},
		{"\x41\x9a\x86\x49\xe1\x0f", 6},
		{"\x41\x9e\xa5\x42\x7f\xf9", 5},
		{"\x01\x9e\xc4\x69\x13\xff", 4},
	}
	for name, silence := range map[string]int64{"none": 0, "5 s": 5 * 90000, "an hour": 3600 * 90000} {
		o := newDecodingOrder(&media.H264{})
		last := int64(-1)
		for _, begin := range []int64{0, 7 * frame, 14*frame + silence, 21*frame + silence} {
			for _, p := range group {
				pts := begin + p.n*frame
				// until the order is known, it is late by a few ticks
				dts := o.decodedAt([][]byte{[]byte(p.nalu)}, pts, p.n == 0, sets)
				if dts <= last || dts > pts+frame/10 || pts-dts > 4*frame {
					t.Errorf("silence of %s: the picture of %d is decoded at %d, the one before at %d", name, pts, dts, last)
				}
				last = dts
			}
		}
	}
}
