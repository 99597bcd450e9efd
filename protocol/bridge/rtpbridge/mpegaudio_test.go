package rtpbridge

import (
	"bytes"
	"testing"

	"github.com/pion/rtp"
)

// lsf makes a frame of layer III at 22050 Hz and 32 kbit/s.
func lsf(fill byte) []byte {
	return append([]byte{0xff, 0xf3, 0x40, 0xc0}, bytes.Repeat([]byte{fill}, 100)...)
}

func TestMPEGAudioPackets(t *testing.T) {
	t.Parallel()
	type step struct {
		offset  byte
		payload []byte
		want    [][]byte
		damaged bool
	}
	a, b := lsf(1), lsf(2)
	for name, steps := range map[string][]step{
		"several frames":        {{0, append(lsf(1), b...), [][]byte{a, b}, false}},
		"fragments":             {{0, a[:40], nil, false}, {40, a[40:90], nil, false}, {90, a[90:], [][]byte{a}, false}},
		"begins in the middle":  {{40, a[40:], nil, false}, {0, b, [][]byte{b}, false}},
		"fragment lost":         {{0, a[:40], nil, false}, {90, a[90:], nil, true}, {0, b, [][]byte{b}, false}},
		"end lost":              {{0, a[:40], nil, false}, {0, b, [][]byte{b}, false}},
		"fragment too large":    {{0, a[:40], nil, false}, {40, b, nil, true}, {0, b, [][]byte{b}, false}},
		"frame and part of one": {{0, append(lsf(1), b[:50]...), nil, true}},
		"no frame":              {{0, make([]byte, 50), nil, true}},
		"empty":                 {{0, nil, nil, true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := &mpegAudioDecoder{}
			for i, s := range steps {
				got, err := d.decode(&rtp.Packet{Payload: append([]byte{0, 0, 0, s.offset}, s.payload...)})
				if (err != nil) != s.damaged || len(got) != len(s.want) {
					t.Fatalf("packet %d: %d frames, %v", i, len(got), err)
				}
				for j := range got {
					if !bytes.Equal(got[j], s.want[j]) {
						t.Errorf("packet %d: frame %d is another one", i, j)
					}
				}
			}
		})
	}
}
