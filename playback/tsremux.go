package playback

import (
	"errors"
	"slices"
	"time"

	"github.com/org/mtx/protocol/bridge/mp4bridge"
	"github.com/org/mtx/router/media"
)

// remuxer turns units of a transport stream into chunks of about a second.
type remuxer struct {
	*transport
	emit      func([]chunk) error
	reference int64 // time of the first unit of the track that times are taken from
	err       error

	out    []remuxed
	origin time.Duration // to be added to times
	known  bool          // the origin is
	early  []earlyUnit
	size   int
}

// remuxed is a track that is being converted.
type remuxed struct {
	codec media.Codec
	conv  mp4bridge.Converter
	index int // of the track; -1: left out
	rate  int

	converted []mp4bridge.Sample // of the last unit
	begun     bool
	last      int64 // decoding time of the last picture, without the origin

	samples []sample
	data    []byte
	dts     int64 // of the first sample
	next    int64 // decoding time after the last sample, as it should be
	held    bool  // the duration of the last sample is not known
	heldDTS int64
	usual   uint32
}

// earlyUnit came before the origin was known.
type earlyUnit struct {
	track int
	unit  *media.Unit
}

// maxEarly bounds the units that are kept until there is a reference.
const maxEarly = 1000

var errOtherTracks = errors.New("the tracks are not those of the beginning")

func (x *remuxer) open(tracks []media.Track) (func(int, *media.Unit), error) {
	if len(tracks) != len(x.codecs) {
		return nil, errOtherTracks
	}
	index := 0
	for i, t := range tracks {
		o := remuxed{codec: t.Codec, index: -1, rate: t.Codec.ClockRate()}
		if x.codecs[i] {
			var err error
			if o.conv, err = mp4bridge.New(t.Codec); err != nil {
				return nil, errOtherTracks
			}
			o.index = index
			if x.tracks[index].scale != uint32(o.rate) { // positive
				return nil, errOtherTracks
			}
			index++
		}
		x.out = append(x.out, o)
	}
	return x.unit, nil
}

// unit takes a unit. Times of the demuxer count from whatever it has seen first.
func (x *remuxer) unit(i int, u *media.Unit) {
	if x.err != nil || x.out[i].index < 0 && !x.isReference(i) {
		return
	}
	if !x.known {
		if !x.isReference(i) {
			if len(x.early) < maxEarly {
				x.early = append(x.early, earlyUnit{i, u})
			}
			return
		}
		x.known = true
		x.origin = media.Duration(x.reference, tsClock) - media.Duration(u.PTS, x.out[i].rate)
		for _, e := range x.early {
			x.convert(e.track, e.unit)
		}
		x.early = nil
	}
	x.convert(i, u)
}

// isReference tells whether a track is the one that times are taken from.
func (x *remuxer) isReference(i int) bool {
	if !x.video {
		return i == 0
	}
	return i == slices.IndexFunc(x.out, func(o remuxed) bool { return o.codec.Kind() == media.Video })
}

func (x *remuxer) convert(i int, u *media.Unit) {
	o := &x.out[i]
	if o.index < 0 {
		return
	}
	shift := ticks(x.origin, uint32(o.rate)) // positive
	for _, s := range o.convert(u) {
		x.add(o, s.Data, s.PTS+shift, s.DTS+shift, uint32(s.Duration), s.Sync) // seconds at most
	}
	if x.size > maxPending || x.long() {
		x.flush(false)
	}
}

// long tells whether a second is complete.
func (x *remuxer) long() bool {
	for i := range x.out {
		if o := &x.out[i]; len(o.samples) > 1 && media.Duration(o.next-o.dts, o.rate) > time.Second {
			return true
		}
	}
	return false
}

func (x *remuxer) add(o *remuxed, data [][]byte, pts, dts int64, duration uint32, sync bool) {
	if d := dts - o.heldDTS; o.held && d > 0 && d < int64(o.rate)*3600 {
		o.samples[len(o.samples)-1].duration = uint32(d) // bounded
		o.usual = uint32(d)                              // bounded
		o.next = dts
	}
	if len(o.samples) == 0 {
		o.dts, o.next = dts, dts
	}
	if gap := dts - o.next; gap > 0 && len(o.samples) > 0 { // lost packets of audio
		last := &o.samples[len(o.samples)-1]
		last.duration += uint32(min(gap, int64(o.rate)*3600)) // bounded
		o.next = dts
	}
	o.held = duration == 0
	o.heldDTS = o.next
	before := len(o.data)
	o.data = o.conv.Append(o.data, data)
	size := len(o.data) - before
	o.samples = append(o.samples, sample{duration, uint32(size), int32(pts - o.next), sync}) // small
	o.next += int64(duration)
	x.size += size
}

// flush emits what is complete; at the end, everything.
func (x *remuxer) flush(end bool) {
	var chunks []chunk
	var kept []func()
	for i := range x.out {
		o := &x.out[i]
		n := len(o.samples)
		if n > 0 && o.held {
			if end {
				o.samples[n-1].duration = max(o.usual, 1)
			} else {
				n-- // it waits for its duration
			}
		}
		if n <= 0 {
			continue
		}
		c := chunk{track: o.index, dts: o.dts, samples: o.samples[:n], data: o.data}
		size, duration := c.size()
		c.data = o.data[:size]
		chunks = append(chunks, c)
		kept = append(kept, func() {
			o.dts += duration
			o.data = append(o.data[:0], o.data[size:]...)
			o.samples = append(o.samples[:0], o.samples[n:]...)
			x.size -= int(size)
		})
	}
	if len(chunks) > 0 && x.err == nil {
		x.err = x.emit(chunks)
	}
	for _, f := range kept {
		f()
	}
}
