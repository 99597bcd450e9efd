package playback

import (
	"bytes"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"time"
)

// Limits of what is read from a file.
const (
	maxInit   = 1 << 20 // bytes of a moov
	maxTracks = 32
)

// track is a track of a recording. Its boxes are copied into what is played, as
// they are: no codec needs to be known here.
type track struct {
	id     uint32
	video  bool
	scale  uint32 // ticks per second
	shift  int64  // ticks to add to times, from the edit list
	volume uint16
	width  uint32 // 16.16
	height uint32

	hdlr, header, dinf, stsd []byte // header is a vmhd, smhd or nmhd

	// defaults of samples
	duration, size, flags uint32

	// syncless is a video track without a single key frame, of which every
	// picture is taken for one. Only an index knows.
	syncless bool
}

// ticks converts to the time scale of the track, to the nearest tick.
func (t *track) ticks(d time.Duration) int64 { return ticks(d, t.scale) }

func ticks(d time.Duration, scale uint32) int64 {
	neg := d < 0
	if neg {
		d = -d
	}
	hi, lo := bits.Mul64(uint64(d), uint64(scale)) // not negative
	lo, carry := bits.Add64(lo, uint64(time.Second)/2, 0)
	hi += carry
	if hi >= uint64(time.Second) {
		hi = uint64(time.Second) - 1
	}
	q, _ := bits.Div64(hi, lo, uint64(time.Second))
	out := int64(min(q, maxTicks)) // bounded
	if neg {
		return -out
	}
	return out
}

// maxTicks bounds time stamps; what is above is damage. Sums do not overflow.
const maxTicks = 1 << 53

// time converts from ticks, rounded down.
func (t *track) time(n int64) time.Duration {
	s := int64(t.scale)
	if limit := int64(100 * 365 * 24 * 3600); n/s > limit || n/s < -limit {
		n = limit * s
	}
	return time.Duration(n/s)*time.Second + time.Duration(n%s)*time.Second/time.Duration(s)
}

// sameTracks tells whether a file goes on where another one ended.
func sameTracks(a, b []track) bool {
	return slices.EqualFunc(a, b, func(a, b track) bool {
		return a.video == b.video && a.scale == b.scale && bytes.Equal(a.stsd, b.stsd)
	})
}

// sameIDs tells whether tracks go by the same numbers.
func sameIDs(a, b []track) bool {
	return slices.EqualFunc(a, b, func(a, b track) bool { return a.id == b.id })
}

var errNoTracks = errors.New("there is no track")

// parseInit reads the body of a moov.
func parseInit(moov []byte) ([]track, error) {
	var out []track
	var mvhd uint32
	var mvex []byte
	err := eachBox(moov, func(kind string, body, _ []byte) error {
		switch kind {
		case "mvhd":
			f := fields{b: body}
			if v, _ := f.full(); v == 1 {
				f.take(8)
				f.take(8)
			} else {
				f.take(8)
			}
			mvhd = f.u32()
		case "mvex":
			mvex = body
		case "trak":
			if len(out) == maxTracks {
				return fmt.Errorf("there are more than %d tracks", maxTracks)
			}
			t, err := parseTrack(body, mvhd)
			if err != nil {
				return err
			}
			if slices.ContainsFunc(out, func(o track) bool { return o.id == t.id }) {
				return fmt.Errorf("there are two tracks %d", t.id)
			}
			out = append(out, *t)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(out) == 0 {
		return nil, errNoTracks
	}
	return out, parseDefaults(mvex, out)
}

func parseDefaults(mvex []byte, tracks []track) error {
	return eachBox(mvex, func(kind string, body, _ []byte) error {
		if kind != "trex" {
			return nil
		}
		f := fields{b: body}
		f.full()
		id := f.u32()
		f.u32()
		d, s, fl := f.u32(), f.u32(), f.u32()
		for i := range tracks {
			if tracks[i].id == id && !f.bad {
				tracks[i].duration, tracks[i].size, tracks[i].flags = d, s, fl
			}
		}
		return nil
	})
}

func parseTrack(trak []byte, movieScale uint32) (*track, error) {
	t := &track{}
	var elst []byte
	err := eachBox(trak, func(kind string, body, _ []byte) error {
		switch kind {
		case "tkhd":
			return t.parseHeader(body)
		case "edts":
			return eachBox(body, func(kind string, body, _ []byte) error {
				if kind == "elst" {
					elst = body
				}
				return nil
			})
		case "mdia":
			return t.parseMedia(body)
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case t.id == 0:
		return nil, errors.New("a track has no header")
	case t.scale == 0:
		return nil, fmt.Errorf("track %d has no time scale", t.id)
	case t.hdlr == nil || len(t.stsd) < 24:
		return nil, fmt.Errorf("track %d has no sample description", t.id)
	}
	t.parseEdits(elst, movieScale)
	return t, nil
}

func (t *track) parseHeader(tkhd []byte) error {
	f := fields{b: tkhd}
	v, _ := f.full()
	n := 4
	if v == 1 {
		n = 8
	}
	f.take(n)
	f.take(n)
	t.id = f.u32()
	f.take(4)
	f.take(n)
	f.take(8)
	f.take(4)
	t.volume = uint16(f.u32() >> 16)
	f.take(36)
	t.width, t.height = f.u32(), f.u32()
	if f.bad {
		return errBox
	}
	return nil
}

func (t *track) parseMedia(mdia []byte) error {
	return eachBox(mdia, func(kind string, body, raw []byte) error {
		switch kind {
		case "mdhd":
			f := fields{b: body}
			if v, _ := f.full(); v == 1 {
				f.take(8)
				f.take(8)
			} else {
				f.take(8)
			}
			t.scale = f.u32()
		case "hdlr":
			if len(body) < 20 {
				return errBox
			}
			t.hdlr, t.video = raw, string(body[8:12]) == "vide"
		case "minf":
			return t.parseInformation(body)
		}
		return nil
	})
}

func (t *track) parseInformation(minf []byte) error {
	return eachBox(minf, func(kind string, body, raw []byte) error {
		switch kind {
		case "vmhd", "smhd", "nmhd", "sthd":
			t.header = raw
		case "dinf":
			t.dinf = raw
		case "stbl":
			return eachBox(body, func(kind string, _, raw []byte) error {
				if kind == "stsd" {
					t.stsd = raw
				}
				return nil
			})
		}
		return nil
	})
}

// parseEdits takes an empty edit and the start of the first other one into
// account. Recorders need no more.
func (t *track) parseEdits(elst []byte, movieScale uint32) {
	f := fields{b: elst}
	v, _ := f.full()
	for n := min(f.u32(), 2); n > 0 && !f.bad; n-- {
		var length uint64
		var at int64
		if v == 1 {
			length, at = f.u64(), int64(f.u64()) // signed in the file
		} else {
			length, at = uint64(f.u32()), int64(int32(f.u32())) // signed in the file
		}
		f.u32()
		switch {
		case f.bad || length > maxTicks/2 || at > maxTicks/2:
			return
		case at >= 0:
			t.shift -= at
			return
		case movieScale != 0:
			t.shift += int64(float64(length) * float64(t.scale) / float64(movieScale)) // bounded above
		}
	}
}

// isSync tells by its flags whether a sample can be decoded by itself.
func (t *track) isSync(flags uint32) bool {
	return !t.video || t.syncless || flags&sampleIsNonSync == 0
}

// Flags of samples (ISO 14496-12 section 8.8.3.1).
const (
	sampleIsNonSync   = 0x00010000
	sampleIndependent = 0x02000000 // depends on no other
	sampleDependent   = 0x01000000
)

// timeUp converts from ticks, rounded up.
func (t *track) timeUp(n int64) time.Duration {
	d := t.time(n)
	if t.ticks(d) != n || d%time.Microsecond != 0 {
		d = d.Truncate(time.Microsecond) + time.Microsecond
	}
	return d
}
