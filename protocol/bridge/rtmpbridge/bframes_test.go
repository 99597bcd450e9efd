package rtmpbridge

import (
	"os"
	"slices"
	"testing"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"

	"github.com/org/mtx/router/media"
)

// accessUnits cuts an elementary stream in which every picture has one slice.
func accessUnits(t testing.TB, file string, isSlice func(nalu []byte) bool) [][][]byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var nalus h264.AnnexB
	if err := nalus.Unmarshal(b); err != nil {
		t.Fatal(err)
	}
	var out [][][]byte
	var au [][]byte
	for _, n := range nalus {
		au = append(au, n)
		if isSlice(n) {
			out = append(out, au)
			au = nil
		}
	}
	return out
}

// Pictures with B-frames are sent in the order in which they are decoded, with
// time stamps that increase, and arrive with the times at which they are shown.
func TestBFrames(t *testing.T) {
	t.Parallel()
	for _, ca := range []struct {
		file    string
		codec   media.Codec
		isSlice func([]byte) bool
		order   []int64 // of pictures, in units of 40 ms
	}{
		{
			"testdata/bframes.h264", &media.H264{}, func(n []byte) bool { return n[0]&0x1f <= 5 },
			[]int64{0, 3, 1, 2, 6, 4, 5, 7, 8, 11, 9, 10, 14, 12, 13, 15},
		},
		{
			"testdata/bframes.h265", &media.H265{}, func(n []byte) bool { return n[0]>>1&0x3f < 32 },
			[]int64{0, 3, 1, 2, 6, 4, 5, 8, 7, 11, 9, 10, 14, 12, 13, 15},
		},
	} {
		t.Run(ca.codec.Name(), func(t *testing.T) {
			t.Parallel()
			aus := accessUnits(t, ca.file, ca.isSlice)
			if len(aus) != len(ca.order) {
				t.Fatalf("%d access units", len(aus))
			}
			const first = 36000 * 90000 // a stream that has run for hours
			var units []sent
			for i, au := range aus {
				units = append(units, sent{0, &media.Unit{PTS: first + ca.order[i]*3600, Payload: au}})
			}
			r := pass(t, []media.Track{{Codec: ca.codec}}, units...)
			if len(r.damage) > 0 || len(r.units[0]) != len(aus) {
				t.Fatalf("%d units, damage %v", len(r.units[0]), r.damage)
			}
			start := r.units[0][0].PTS
			for i, u := range r.units[0] {
				if got := u.PTS - start; got < ca.order[i]*3600-90 || got > ca.order[i]*3600+90 {
					t.Errorf("picture %d has PTS %d, want %d", i, got, ca.order[i]*3600)
				}
			}
			checkDecodeTimes(t, ca.codec, units)
		})
	}
}

// A key frame after a pause is decoded shortly before it is shown, not in the middle of
// the pause.
func TestBFramesAfterPause(t *testing.T) {
	t.Parallel()
	const frame = 3600
	h264Slice := func(n []byte) bool { return n[0]&0x1f <= 5 }
	h265Slice := func(n []byte) bool { return n[0]>>1&0x3f < 32 }
	for _, ca := range []struct {
		codec media.Codec
		aus   [][][]byte
		order []int64
	}{
		{
			&media.H264{}, accessUnits(t, "testdata/bframes.h264", h264Slice),
			[]int64{0, 3, 1, 2, 6, 4, 5, 7, 8, 11, 9, 10, 14, 12, 13, 15},
		},
		{
			&media.H265{}, accessUnits(t, "testdata/bframes.h265", h265Slice),
			[]int64{0, 3, 1, 2, 6, 4, 5, 8, 7, 11, 9, 10, 14, 12, 13, 15},
		},
	} {
		d := newDTSExtractor(ca.codec, func() [][]byte { return nil })
		last := int64(-1 << 40)
		for round, begin := range []int64{0, 16 * frame, 32*frame + 5*90000, 48*frame + 3605*90000} {
			for i, au := range ca.aus {
				pts := begin + ca.order[i]*frame
				_, key := media.Scan(ca.codec, au)
				dts := d.extract(au, pts, key)
				if dts <= last || dts > pts+90*4 || pts-dts > 5*frame {
					t.Errorf("%s, round %d, picture %d: shown at %d, decoded at %d, the one before at %d", ca.codec.Name(), round, i, pts, dts, last)
				}
				last = dts
			}
		}
	}
}

func checkDecodeTimes(t *testing.T, c media.Codec, units []sent) {
	t.Helper()
	e, err := NewEncoder([]media.Track{{Codec: c}})
	if err != nil {
		t.Fatal(err)
	}
	var b []byte
	for _, s := range units {
		c, s.u.RandomAccess = media.Scan(c, s.u.Payload)
		b = e.AppendConfig(b, 0, c)
		if b, _, err = e.Append(b, 0, s.u); err != nil {
			t.Fatal(err)
		}
	}
	var times []uint32
	var deltas int
	for _, m := range unchunk(t, b) {
		_ = parseTag(m.typ, m.body, func(g *tag) {
			if g.config {
				return
			}
			if g.delta < 0 {
				t.Errorf("composition time %d", g.delta)
			}
			if g.delta > 0 {
				deltas++
			}
			times = append(times, m.ts)
		})
	}
	if times[0] != 0 || !slices.IsSorted(times) || len(slices.Compact(times)) != len(units) {
		t.Errorf("decoding times: %v", times)
	}
	if deltas < 6 { // IDR and P pictures are shown after the B pictures behind them
		t.Errorf("%d pictures of %d are shown later than decoded", deltas, len(units))
	}
}
