package playback

import (
	"errors"
	"io"
)

// sample is an access unit of a file.
type sample struct {
	duration uint32 // ticks
	size     uint32 // bytes
	offset   int32  // presentation minus decoding time, in ticks
	sync     bool
}

// chunk is a run of samples that follow each other in a file, or in memory.
type chunk struct {
	track   int // index
	dts     int64
	samples []sample
	at      int64  // offset in the file, unless there is data
	data    []byte // the samples, if they are in memory
}

// size returns the number of bytes, and of ticks.
func (c *chunk) size() (bytes, duration int64) {
	for i := range c.samples {
		bytes += int64(c.samples[i].size)
		duration += int64(c.samples[i].duration)
	}
	return bytes, duration
}

// skip removes samples at the front.
func (c *chunk) skip(n int) {
	head := chunk{samples: c.samples[:n]}
	size, duration := head.size()
	c.dts += duration
	c.at += size
	if c.data != nil {
		c.data = c.data[size:]
	}
	c.samples = c.samples[n:]
}

// from returns what holds the samples: src, or data.
func (c *chunk) from(src io.ReaderAt) io.ReaderAt {
	if c.data != nil {
		return bytesAt{c.data, c.at}
	}
	return src
}

// bytesAt is memory at an offset.
type bytesAt struct {
	b  []byte
	at int64
}

func (b bytesAt) ReadAt(p []byte, off int64) (int, error) {
	off -= b.at
	if off < 0 || off > int64(len(b.b)) {
		return 0, io.EOF
	}
	n := copy(p, b.b[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

const (
	// maxFragment bounds the headers of a fragment, in bytes.
	maxFragment = 4 << 20
	// maxSamples bounds the samples of a fragment: they may cost no bytes in the
	// file.
	maxSamples = 1 << 18
	// maxRuns bounds the runs of a fragment.
	maxRuns = 1 << 14
)

var errFragment = errors.New("damaged fragment")

// moof reads fragments; buffers are used again.
type moof struct {
	tracks  []track
	next    []int64 // decoding time of what comes next, by track
	chunks  []chunk
	samples []sample
	odd     bool // there was something that players do not take as it is, or that cannot be moved
}

// parse reads the body of a moof that begins at an offset, and whose data is
// between from and to. The chunks are valid until the next call.
func (m *moof) parse(body []byte, at, from, to int64) ([]chunk, error) {
	m.chunks, m.samples = m.chunks[:0], m.samples[:0]
	pos := at
	err := eachBox(body, func(kind string, body, _ []byte) (err error) {
		if kind == "traf" {
			pos, err = m.parseTrack(body, at, pos)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	left := to - from
	for i := range m.chunks {
		c := &m.chunks[i]
		size, _ := c.size()
		left -= size
		if c.at < from || c.at > to || size > to-c.at || left < 0 {
			return nil, errFragment // it would not end where it says, or come more than once
		}
	}
	return m.chunks, nil
}

// defaults of a track fragment.
type defaults struct {
	track                 int
	base                  int64
	duration, size, flags uint32
	dts                   int64
}

func (m *moof) parseTrack(traf []byte, moofAt, pos int64) (int64, error) {
	d := defaults{track: -1}
	known, timed := false, false
	err := eachBox(traf, func(kind string, body, _ []byte) (err error) {
		switch kind {
		case "tfhd":
			d, known, err = m.parseHeader(body, moofAt)
		case "tfdt":
			f := fields{b: body}
			var v uint64
			version, _ := f.full()
			if version == 1 {
				v = f.u64()
			} else {
				v = uint64(f.u32())
			}
			timed = true
			m.odd = m.odd || !known || version != 1 // see index.move
			if f.bad || v > maxTicks {
				return errFragment
			}
			if known {
				d.dts = int64(v) + m.tracks[d.track].shift // bounded
			}
		case "trun":
			if known {
				pos, err = m.parseRun(body, &d, pos)
			}
		}
		return err
	})
	m.odd = m.odd || !timed
	return pos, err
}

// parseHeader reads a tfhd. Fragments of unknown tracks are left out.
func (m *moof) parseHeader(tfhd []byte, moofAt int64) (d defaults, known bool, err error) {
	f := fields{b: tfhd}
	_, flags := f.full()
	id := f.u32()
	for i := range m.tracks {
		if t := &m.tracks[i]; t.id == id {
			d = defaults{i, moofAt, t.duration, t.size, t.flags, m.next[i]}
			known = true
		}
	}
	m.odd = m.odd || !known || flags&(flagsTraf|0x1) != flagsTraf
	if flags&0x1 != 0 {
		v := f.u64()
		if v > maxTicks {
			return d, false, errFragment
		}
		d.base = int64(v) // bounded
	}
	if flags&0x2 != 0 {
		f.u32()
	}
	if flags&0x8 != 0 {
		d.duration = f.u32()
	}
	if flags&0x10 != 0 {
		d.size = f.u32()
	}
	if flags&0x20 != 0 {
		d.flags = f.u32()
	}
	if f.bad {
		return d, false, errFragment
	}
	return d, known, nil
}

// parseRun reads a trun and returns where its data ends.
func (m *moof) parseRun(trun []byte, d *defaults, pos int64) (int64, error) {
	f := fields{b: trun}
	_, flags := f.full()
	n := f.u32()
	if flags&0x1 != 0 {
		pos = d.base + int64(int32(f.u32())) // signed in the file
	}
	first := d.flags
	if flags&0x4 != 0 {
		first = f.u32()
	}
	each := 0
	for _, bit := range []uint32{0x100, 0x200, 0x400, 0x800} {
		if flags&bit != 0 {
			each += 4
		}
	}
	if f.bad || uint64(n)*uint64(each) > uint64(len(f.b)) || len(m.samples)+int(n) > maxSamples || len(m.chunks) == maxRuns {
		return 0, errFragment
	}
	t := &m.tracks[d.track]
	begin := len(m.samples)
	c := chunk{track: d.track, dts: d.dts, at: pos}
	for i := range n {
		s := sample{duration: d.duration, size: d.size}
		fl := d.flags
		if i == 0 {
			fl = first
		}
		if flags&0x100 != 0 {
			s.duration = f.u32()
		}
		if flags&0x200 != 0 {
			s.size = f.u32()
		}
		if flags&0x400 != 0 {
			fl = f.u32()
		}
		if flags&0x800 != 0 {
			s.offset = int32(f.u32()) // signed in the file
		}
		s.sync = t.isSync(fl)
		m.samples = append(m.samples, s)
	}
	c.samples = m.samples[begin:len(m.samples):len(m.samples)]
	size, duration := c.size()
	if duration > maxTicks || d.dts > 2*maxTicks {
		return 0, errFragment
	}
	d.dts += duration
	m.next[d.track] = d.dts
	if len(c.samples) > 0 {
		m.chunks = append(m.chunks, c)
	}
	return pos + size, nil
}
