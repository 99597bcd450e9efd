package standby

import (
	"errors"
	"slices"
)

// frame is where an access unit is in a file. Times are in units of the track.
type frame struct {
	pos, size uint64
	duration  int64
	shift     int64 // presentation time minus decoding time
}

var (
	errTooMany  = errors.New("there are too many frames")
	errDisagree = errors.New("its tables do not agree")
)

// plainFrames reads the sample tables of a track (ISO 14496-12 section 8.6 and
// 8.7). They are empty in fragmented files.
//
// Of uncompressed audio (samples), of which each sample of all channels counts as a frame,
// a frame is what is in one place.
func plainFrames(trak box, samples bool) ([]frame, error) {
	stbl, err := trak.child("mdia", "minf", "stbl")
	if err != nil {
		return nil, err
	}
	list, err := stbl.children()
	if err != nil {
		return nil, err
	}
	tables := map[string]*reader{}
	for _, b := range list {
		tables[b.typ] = &reader{buf: b.body}
	}
	if samples {
		frames, err := plainPieces(tables)
		if frames != nil || err != nil {
			return frames, err
		}
	}
	frames, err := readSizes(tables["stsz"])
	if err != nil || len(frames) == 0 {
		return nil, err
	}
	if err := readDurations(tables["stts"], frames); err != nil {
		return nil, err
	}
	if err := readShifts(tables["ctts"], frames); err != nil {
		return nil, err
	}
	chunks, err := readChunks(tables["stco"], tables["co64"])
	if err != nil {
		return nil, err
	}
	return frames, placeFrames(tables["stsc"], chunks, frames)
}

func readSizes(r *reader) ([]frame, error) {
	if r == nil {
		return nil, missingError("stsz")
	}
	r.full()
	size := r.u32()
	if size != 0 { // all are equal
		n := r.u32()
		switch {
		case r.short:
			return nil, errTruncated
		case n > maxSamples:
			return nil, errTooMany
		}
		return slices.Repeat([]frame{{size: uint64(size)}}, int(n)), nil
	}
	n, err := r.count(4)
	switch {
	case err != nil:
		return nil, err
	case n > maxSamples:
		return nil, errTooMany
	}
	frames := make([]frame, n)
	for i := range frames {
		frames[i].size = uint64(r.u32())
	}
	return frames, nil
}

// plainPieces returns a frame per piece (chunk) of a file whose frames are equal; nil if
// they are not.
func plainPieces(tables map[string]*reader) ([]frame, error) {
	r := tables["stsz"]
	if r == nil {
		return nil, missingError("stsz")
	}
	r = &reader{buf: r.buf}
	r.full()
	size, n := uint64(r.u32()), uint64(r.u32())
	if r.short {
		return nil, errTruncated
	}
	if size == 0 || n == 0 {
		return nil, nil
	}
	if err := checkSteps(tables["stts"], n); err != nil {
		return nil, err
	}
	pieces, err := readChunks(tables["stco"], tables["co64"])
	if err != nil {
		return nil, err
	}
	frames := make([]frame, 0, len(pieces))
	left := n
	err = eachChunk(tables["stsc"], pieces, func(pos, per uint64) {
		if k := min(per, left); k > 0 {
			frames = append(frames, frame{pos: pos, size: k * size, duration: int64(k)})
			left -= k
		}
	})
	if err == nil && left > 0 {
		err = errDisagree
	}
	return frames, err
}

// checkSteps fails unless n frames are one unit of time long each.
func checkSteps(r *reader, n uint64) error {
	if r == nil {
		return missingError("stts")
	}
	r = &reader{buf: r.buf}
	r.full()
	entries, err := r.count(8)
	if err != nil {
		return err
	}
	for range entries {
		k, step := uint64(r.u32()), r.u32()
		if k > n {
			return errDisagree
		}
		if n -= k; k > 0 && step != 1 {
			return errPCMScale
		}
	}
	if n > 0 {
		return errDisagree
	}
	return nil
}

// runs reads a table of pairs: how many frames, and a value.
func runs(r *reader, frames []frame, set func(f *frame, v uint32)) error {
	r.full()
	n, err := r.count(8)
	if err != nil {
		return err
	}
	i := 0
	for range n {
		count, v := uint64(r.u32()), r.u32()
		if count > uint64(len(frames)-i) {
			return errDisagree
		}
		for range count {
			set(&frames[i], v)
			i++
		}
	}
	return nil
}

func readDurations(r *reader, frames []frame) error {
	if r == nil {
		return missingError("stts")
	}
	return runs(r, frames, func(f *frame, v uint32) { f.duration = int64(v) })
}

// readShifts takes offsets as signed, also in version 0, as everybody does.
func readShifts(r *reader, frames []frame) error {
	if r == nil {
		return nil
	}
	return runs(r, frames, func(f *frame, v uint32) { f.shift = int64(int32(v)) })
}

func readChunks(stco, co64 *reader) ([]uint64, error) {
	r, size := stco, 4
	if r == nil {
		r, size = co64, 8
	}
	if r == nil {
		return nil, missingError("stco")
	}
	r.full()
	n, err := r.count(size)
	switch {
	case err != nil:
		return nil, err
	case n > maxSamples:
		return nil, errTooMany
	}
	out := make([]uint64, n)
	for i := range out {
		if size == 4 {
			out[i] = uint64(r.u32())
		} else {
			out[i] = r.u64()
		}
	}
	return out, nil
}

// placeFrames finds the positions of frames by the table that tells how many are
// in each chunk.
func placeFrames(r *reader, chunks []uint64, frames []frame) error {
	next := 0
	err := eachChunk(r, chunks, func(pos, per uint64) {
		for ; per > 0 && next < len(frames); per-- {
			frames[next].pos = pos
			pos += frames[next].size
			next++
		}
	})
	if err == nil && next != len(frames) {
		err = errDisagree
	}
	return err
}

// eachChunk calls f with the position of each chunk and how many frames it has.
func eachChunk(r *reader, chunks []uint64, f func(pos, per uint64)) error {
	if r == nil {
		return missingError("stsc")
	}
	r.full()
	n, err := r.count(12)
	if err != nil {
		return err
	}
	type entry struct{ first, per uint32 }
	entries := make([]entry, n)
	for i := range entries {
		entries[i] = entry{r.u32(), r.u32()}
		r.u32() // description
	}
	e := -1
	for i, pos := range chunks {
		for e+1 < len(entries) && uint64(entries[e+1].first) <= uint64(i)+1 {
			e++
		}
		if e < 0 {
			break
		}
		f(pos, uint64(entries[e].per))
	}
	return nil
}
