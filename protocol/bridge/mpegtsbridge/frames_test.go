package mpegtsbridge

import (
	"slices"
	"testing"

	"github.com/org/mtx/protocol/bridge/internal/mpegaudio"
)

// Frames of layer III at the sample rates of MPEG-2 hold half of the samples.
func TestFramesOfMPEG2(t *testing.T) {
	t.Parallel()
	frame := func(size int, header ...byte) []byte { return append(header, make([]byte, size-len(header))...) }
	short, long := frame(104, 0xff, 0xf3, 0x40, 0xc0), frame(105, 0xff, 0xf3, 0x42, 0xc0) // 22050 Hz, 32 kbit/s
	var sizes []int
	var times []int64
	f := &frames{
		header: mpegaudio.HeaderSize, parse: mpeg1AudioInfo, damage: func(err error) { t.Error(err) },
		emit: func(pts int64, frames [][]byte) {
			times = append(times, pts)
			for _, b := range frames {
				sizes = append(sizes, len(b))
			}
		},
	}
	stream := slices.Concat(short, long, short, long)
	f.push(pesPacket{pts: 1000, hasPTS: true, data: stream[:104+105+mpegaudio.HeaderSize]}) // a header is all of the third one
	f.push(pesPacket{data: stream[104+105+mpegaudio.HeaderSize:]})
	if !slices.Equal(sizes, []int{104, 105, 104, 105}) {
		t.Errorf("sizes %v", sizes)
	}
	const ticks = 576 * 90000 / 22050
	if !slices.Equal(times, []int64{1000, 1000 + 2*ticks, 1000 + 3*ticks}) {
		t.Errorf("time stamps %v", times)
	}
}
