package standby

import (
	"errors"
	"math"
)

// Flags of the boxes tfhd and trun (ISO 14496-12 sections 8.8.7 and 8.8.8).
const (
	tfhdBaseOffset  = 0x1
	tfhdDescription = 0x2
	tfhdDuration    = 0x8
	tfhdSize        = 0x10

	trunOffset     = 0x1
	trunFirstFlags = 0x4
	trunDuration   = 0x100
	trunSize       = 0x200
	trunFlags      = 0x400
	trunShift      = 0x800
)

// defaults are the properties of frames that do not tell theirs.
type defaults struct {
	base           uint64 // position in the file
	duration, size uint32
}

// fragmentFrames reads the fragments of a track.
func fragmentFrames(top []box, moov *box, id int) ([]frame, error) {
	def, err := trackDefaults(moov, id)
	if err != nil {
		return nil, err
	}
	var frames []frame
	for _, moof := range top {
		if moof.typ != "moof" {
			continue
		}
		list, err := moof.children()
		if err != nil {
			return nil, err
		}
		for _, traf := range list {
			if traf.typ != "traf" {
				continue
			}
			if frames, err = readFragment(frames, traf, moof.pos, def, id); err != nil {
				return nil, err
			}
		}
	}
	return frames, nil
}

func trackDefaults(moov *box, id int) (defaults, error) {
	var d defaults
	mvex, err := moov.child("mvex")
	if err != nil {
		return d, nil //nolint:nilerr // the file is not fragmented
	}
	list, err := mvex.children()
	if err != nil {
		return d, err
	}
	for _, b := range list {
		r := &reader{buf: b.body}
		if b.typ != "trex" {
			continue
		}
		r.full()
		if int(r.u32()) == id {
			r.u32() // description
			d.duration, d.size = r.u32(), r.u32()
		}
		if r.short {
			return d, errTruncated
		}
	}
	return d, nil
}

// readFragment adds the frames of a fragment, if it is of the track.
func readFragment(frames []frame, traf box, moof int, d defaults, id int) ([]frame, error) {
	list, err := traf.children()
	if err != nil {
		return nil, err
	}
	d.base = uint64(moof)
	known := false
	pos := d.base
	for _, b := range list {
		r := &reader{buf: b.body}
		switch b.typ {
		case "tfhd":
			flags := r.full()
			if int(r.u32()) != id {
				return frames, nil
			}
			known = true
			d.read(r, flags)
			pos = d.base
			if r.short {
				return nil, errTruncated
			}
		case "trun":
			if !known {
				return nil, missingError("tfhd")
			}
			if frames, pos, err = readRun(frames, r, d, pos); err != nil {
				return nil, err
			}
		}
	}
	return frames, nil
}

func (d *defaults) read(r *reader, flags uint32) {
	if flags&tfhdBaseOffset != 0 {
		d.base = r.u64()
	}
	if flags&tfhdDescription != 0 {
		r.u32()
	}
	if flags&tfhdDuration != 0 {
		d.duration = r.u32()
	}
	if flags&tfhdSize != 0 {
		d.size = r.u32()
	}
}

// readRun adds the frames of a run. pos is where they are unless the run tells.
func readRun(frames []frame, r *reader, d defaults, pos uint64) ([]frame, uint64, error) {
	flags := r.full()
	n := r.u32()
	if flags&trunOffset != 0 {
		offset := int64(int32(r.u32()))
		if d.base > math.MaxInt32 || int64(d.base)+offset < 0 {
			return nil, 0, errTruncated
		}
		pos = uint64(int64(d.base) + offset)
	}
	if flags&trunFirstFlags != 0 {
		r.u32()
	}
	if uint64(n) > maxSamples || len(frames)+int(n) > maxSamples {
		return nil, 0, errTooMany
	}
	for range n {
		f := frame{pos: pos, size: uint64(d.size), duration: int64(d.duration)}
		if flags&trunDuration != 0 {
			f.duration = int64(r.u32())
		}
		if flags&trunSize != 0 {
			f.size = uint64(r.u32())
		}
		if flags&trunFlags != 0 {
			r.u32()
		}
		if flags&trunShift != 0 {
			f.shift = int64(int32(r.u32()))
		}
		frames = append(frames, f)
		pos += f.size
	}
	if r.short {
		return nil, 0, errors.New("a fragment is damaged")
	}
	return frames, pos, nil
}
