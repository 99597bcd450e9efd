package mpegts

import (
	"bytes"
	"testing"
	"time"
)

func TestUnwrap(t *testing.T) {
	t.Parallel()
	ts := bytes.Repeat(append([]byte{0x47}, make([]byte, 187)...), 2)
	header := []byte{0x80, 33, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4}
	rtp := append(bytes.Clone(header), ts...)
	var u unwrapper
	for i, ca := range []struct {
		in, want []byte
		err      bool
	}{
		{ts, ts, false},
		{[]byte{0x80, 200, 0, 0}, []byte{0x80, 200, 0, 0}, false}, // no RTP was seen
		{rtp, ts, false},
		{[]byte{0x80, 200, 0, 0}, nil, false},
		{ts[:100], nil, true},
		{[]byte{0x80}, nil, true},
		{rtp, ts, false},
		{ts, ts, false},               // another sender
		{ts[:100], ts[:100], false},   // a torn packet
		{rtp[:300], rtp[:300], false}, // not whole packets: it is no RTP
		{append(bytes.Clone(header[:1]), rtp[1:]...), ts, false},
	} {
		got, err := u.datagram(ca.in)
		if !bytes.Equal(got, ca.want) || (err != nil) != ca.err {
			t.Errorf("%d: %d bytes, %v, want %d", i, len(got), err, len(ca.want))
		}
	}
}

func FuzzUnwrap(f *testing.F) {
	ts := append([]byte{0x47}, make([]byte, 187)...)
	f.Add(append([]byte{0x80, 33, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4}, ts...))
	f.Add(append([]byte{0xbf, 33, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4}, bytes.Repeat(ts, 3)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) == 0 {
			return
		}
		var u unwrapper
		for range 2 {
			got, _ := u.datagram(b)
			if len(got) > len(b) || u.rtp && len(got)%188 != 0 {
				t.Errorf("%d of %d bytes", len(got), len(b))
			}
		}
	})
}

func TestClock(t *testing.T) {
	t.Parallel()
	const s = time.Second
	now := time.Unix(1000, 0)
	var c clock
	for i, ca := range []struct {
		after time.Duration // since the last one
		pts   time.Duration
		want  time.Duration // shifted
	}{
		{0, 0, 0},
		{0, -s, -s},           // another track starts earlier
		{s, 2 * s, 2 * s},     // faster than time
		{5 * s, 7 * s, 7 * s}, // a pause
		{9 * s, 8 * s, 8 * s}, // time stood still in the pause
		{s, 5000 * s, 9 * s},  // a jump
		{0, 9 * s, 9 * s},     // the other track, from before the jump
		{s, 5001 * s, 10 * s}, // after it
		{s, 100 * s, 11 * s},  // back
		{s, 101 * s, 12 * s},
		{s, 1 << 62, 13 * s}, // nonsense
		{0, 102 * s, 13 * s}, // it was one unit only
		{s, 96 * s, 14 * s},  // starts over
	} {
		now = now.Add(ca.after)
		if got := ca.pts + c.shift(ca.pts, now); got != ca.want {
			t.Errorf("%d: %v becomes %v, want %v", i, ca.pts, got, ca.want)
		}
	}
}
