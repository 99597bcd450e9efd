package playback

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"
)

// movie makes a plain MP4 file of a timeline: with all tables in front, so that
// players can start before the end has arrived. The tables grow with the
// timeline: the headers of the recordings are read once to find their sizes, and
// once more to make them or, if they are too large to be kept in memory, once more
// for each.
type movie struct {
	*timeline
	length time.Duration
	tables []table
	moov   node
	head   []byte // in front of the moov
	data   int64  // offset of the samples
	wide   bool   // offsets have 64 bits
	lists  []*entryList
	size   int64 // bytes of the file
}

// table has the sizes of the tables of a track.
type table struct {
	first, end         int64 // decoding times
	samples, syncs     int64
	durations, offsets int64 // runs of equal values
	chunks, runs       int64 // runs of chunks of equal length
	negative, shifted  bool  // some offsets are below zero; are not zero
}

var errTooLong = errors.New("too much for one MP4 file, use the format fmp4")

func newMovie(ctx context.Context, t *timeline) (*movie, error) {
	return layOutMovie(ctx, t, maxTables)
}

// layOutMovie keeps tables up to a size in memory.
func layOutMovie(ctx context.Context, t *timeline, limit int64) (*movie, error) {
	length, err := t.length(ctx)
	if err != nil {
		return nil, err
	}
	m := &movie{timeline: t, length: length, tables: make([]table, len(t.tracks))}
	data, err := m.measure(ctx)
	if err != nil {
		return nil, err
	}
	w := &builder{}
	w.fileType("isom", "iso2", "mp41")
	m.head = w.b
	m.wide = data > math.MaxInt32
	m.layOut()
	moov := m.moov.total()
	if moov > math.MaxInt32 || data > maxTicks {
		return nil, errTooLong
	}
	m.data = int64(len(m.head)) + moov + 16
	m.size = m.data + data
	if moov <= limit {
		err = m.preload(ctx)
	}
	return m, err
}

// maxTables is the size of tables, in bytes, up to which they are made at once and
// kept in memory: those of two hours, about.
const maxTables = 2 << 20

// entryList is a table: a box of entries of one size.
type entryList struct {
	track  int
	visit  func(put func(...uint32)) visitor
	loaded []byte // nil: made when it is written
}

// put returns what appends numbers to w.
func put(w io.Writer) func(...uint32) {
	var num [4]byte
	return func(values ...uint32) {
		for _, n := range values {
			be.PutUint32(num[:], n)
			_, _ = w.Write(num[:]) // a buffer, whose error comes back when it is flushed
		}
	}
}

// preload makes all tables in one pass.
func (m *movie) preload(ctx context.Context) error {
	visitors, buffers := make([]visitor, len(m.lists)), make([]bytes.Buffer, len(m.lists))
	for i, l := range m.lists {
		visitors[i] = l.visit(put(&buffers[i]))
	}
	err := m.pass(ctx, func(c *chunk, at int64) {
		for i, l := range m.lists {
			if l.track == c.track {
				visitors[i].add(c, at)
			}
		}
	})
	for i, l := range m.lists {
		visitors[i].finish()
		l.loaded = buffers[i].Bytes()
	}
	return err
}

// measure is the first pass. It returns the size of all samples.
func (m *movie) measure(ctx context.Context) (data int64, err error) {
	visitors := make([]visitor, len(m.tables))
	for i := range m.tables {
		tb := &m.tables[i]
		visitors[i] = visitor{
			duration: rle{emit: func(_, _ uint32) { tb.durations++ }},
			offset:   rle{emit: func(_, _ uint32) { tb.offsets++ }},
			run:      rle{emit: func(_, _ uint32) { tb.runs++ }},
			sample: func(s *sample) {
				tb.samples++
				if s.sync {
					tb.syncs++
				}
				tb.negative = tb.negative || s.offset < 0
				tb.shifted = tb.shifted || s.offset != 0
			},
			chunk: func(c *chunk, _ int64) {
				if tb.chunks == 0 {
					tb.first = c.dts
				}
				tb.chunks++
				_, d := c.size()
				tb.end = c.dts + d
			},
		}
	}
	err = m.pass(ctx, func(c *chunk, at int64) {
		visitors[c.track].add(c, at)
		size, _ := c.size()
		data = at + size
	})
	for i := range visitors {
		visitors[i].finish()
	}
	for _, tb := range m.tables {
		if tb.samples > math.MaxUint32 {
			err = errTooLong
		}
	}
	return data, err
}

// visitor goes through the samples of a track. Its functions may be nil.
type visitor struct {
	duration, offset rle                      // of samples
	run              rle                      // of samples per chunk
	sample           func(s *sample)          // each one
	chunk            func(c *chunk, at int64) // each one, with its place among all samples

	begun bool
	next  int64  // decoding time at the end of the last sample
	last  uint32 // its duration, which is not yet final
}

func (v *visitor) add(c *chunk, at int64) {
	if v.chunk != nil {
		v.chunk(c, at)
	}
	v.run.add(uint32(len(c.samples))) // bounded
	if v.begun {                      // silence belongs to the sample before it, an overlap does not
		v.duration.add(uint32(min(max(0, int64(v.last)+c.dts-v.next), math.MaxUint32))) // bounded
	}
	for i := range c.samples {
		s := &c.samples[i]
		if i > 0 {
			v.duration.add(v.last)
		}
		v.last = s.duration
		v.offset.add(uint32(s.offset)) // signed in the file
		if v.sample != nil {
			v.sample(s)
		}
	}
	_, d := c.size()
	v.begun, v.next = true, c.dts+d
}

func (v *visitor) finish() {
	if v.begun {
		v.duration.add(v.last)
	}
	v.duration.flush()
	v.offset.flush()
	v.run.flush()
}

// rle joins equal values.
type rle struct {
	count, value uint32
	emit         func(count, value uint32)
}

func (r *rle) add(v uint32) {
	if r.count > 0 && v != r.value {
		r.flush()
	}
	r.count++
	r.value = v
}

func (r *rle) flush() {
	if r.count > 0 && r.emit != nil {
		r.emit(r.count, r.value)
	}
	r.count = 0
}

// node is a box of which the size is known before all of its contents are.
type node struct {
	kind  string
	body  []byte
	raw   bool // the body is a box, or several
	kids  []node
	extra int64                                            // bytes that write adds
	write func(ctx context.Context, w *bufio.Writer) error // nil if extra is zero
}

func (n *node) total() int64 {
	size := 8 + int64(len(n.body)) + n.extra
	if n.raw {
		size -= 8
	}
	for i := range n.kids {
		size += n.kids[i].total()
	}
	return size
}

func (n *node) emit(ctx context.Context, w *bufio.Writer) error {
	var head []byte
	if !n.raw {
		head = append(be.AppendUint32(nil, uint32(n.total())), n.kind...) // not larger than moov
	}
	if _, err := w.Write(append(head, n.body...)); err != nil {
		return err
	}
	for i := range n.kids {
		if err := n.kids[i].emit(ctx, w); err != nil {
			return err
		}
	}
	if n.write == nil {
		return nil
	}
	return n.write(ctx, w)
}

// made is a node of boxes that are ready.
func made(f func(w *builder)) node {
	w := &builder{}
	f(w)
	return node{raw: true, body: w.b}
}

// layOut makes the moov.
func (m *movie) layOut() {
	m.moov = node{kind: "moov", kids: []node{made(func(w *builder) { w.movieHeader(m.length, len(m.tracks)) })}}
	for i := range m.tracks {
		t, tb := &m.tracks[i], &m.tables[i]
		if tb.samples == 0 {
			continue
		}
		m.moov.kids = append(m.moov.kids, node{kind: "trak", kids: []node{
			made(func(w *builder) {
				w.trackHeader(t, i+1, m.length)
				w.edits(m.editsOf(t, tb)...)
			}),
			{kind: "mdia", kids: []node{
				made(func(w *builder) { w.mediaHeader(t, tb.end-tb.first) }),
				{kind: "minf", kids: []node{
					made(func(w *builder) { w.information(t) }),
					{kind: "stbl", kids: m.tablesOf(i)},
				}},
			}},
		}})
	}
}

// editsOf hides what is before the start and after the end.
func (m *movie) editsOf(t *track, tb *table) []edit {
	movie := ticks(m.length, movieScale)
	if tb.first <= 0 {
		return []edit{{movie, -tb.first}}
	}
	silence := ticks(t.time(tb.first), movieScale)
	return []edit{{silence, -1}, {max(0, movie-silence), 0}}
}

// tablesOf returns the content of "stbl" (ISO 14496-12 section 8.5.1).
func (m *movie) tablesOf(track int) []node {
	tb := &m.tables[track]
	// table makes one of a number of entries of a size
	table := func(kind string, version byte, head []uint32, count, size int64, visit func(put func(...uint32)) visitor) node {
		b := &builder{}
		b.u32(uint32(version) << 24)
		for _, h := range append(head, uint32(count)) { // checked by measure
			b.u32(h)
		}
		l := &entryList{track: track, visit: visit}
		m.lists = append(m.lists, l)
		return node{kind: kind, body: b.b, extra: count * size, write: func(ctx context.Context, w *bufio.Writer) error {
			if l.loaded != nil {
				_, err := w.Write(l.loaded)
				return err
			}
			v := l.visit(put(w))
			err := m.pass(ctx, func(c *chunk, at int64) {
				if c.track == track {
					v.add(c, at)
				}
			})
			v.finish()
			return err
		}}
	}
	out := []node{
		{raw: true, body: m.tracks[track].stsd},
		table("stts", 0, nil, tb.durations, 8, func(put func(...uint32)) visitor {
			return visitor{duration: rle{emit: func(n, d uint32) { put(n, d) }}}
		}),
		table("stsc", 0, nil, tb.runs, 12, func(put func(...uint32)) visitor {
			first := uint32(1)
			return visitor{run: rle{emit: func(n, samples uint32) { put(first, samples, 1); first += n }}}
		}),
		table("stsz", 0, []uint32{0}, tb.samples, 4, func(put func(...uint32)) visitor {
			return visitor{sample: func(s *sample) { put(s.size) }}
		}),
	}
	if m.wide {
		out = append(out, table("co64", 0, nil, tb.chunks, 8, func(put func(...uint32)) visitor {
			return visitor{chunk: func(_ *chunk, at int64) {
				at += m.data
				put(uint32(at>>32), uint32(at)) // halves
			}}
		}))
	} else {
		out = append(out, table("stco", 0, nil, tb.chunks, 4, func(put func(...uint32)) visitor {
			return visitor{chunk: func(_ *chunk, at int64) { put(uint32(at + m.data)) }} // not wide
		}))
	}
	if tb.shifted {
		version := byte(0)
		if tb.negative {
			version = 1
		}
		out = append(out, table("ctts", version, nil, tb.offsets, 8, func(put func(...uint32)) visitor {
			return visitor{offset: rle{emit: func(n, o uint32) { put(n, o) }}}
		}))
	}
	if tb.syncs < tb.samples {
		out = append(out, table("stss", 0, nil, tb.syncs, 4, func(put func(...uint32)) visitor {
			n := uint32(0)
			return visitor{sample: func(s *sample) {
				if n++; s.sync {
					put(n)
				}
			}}
		}))
	}
	return out
}

// tag is another one when more was recorded in the meantime: all tables are others then.
func (m *movie) tag() string {
	return fmt.Sprintf(`"%x-%x-%x"`, m.start.UnixNano(), m.length, m.size)
}

// pass goes through all chunks, with their places among all samples.
func (m *movie) pass(ctx context.Context, f func(c *chunk, at int64)) error {
	at := int64(0)
	return m.walk(ctx, func(_ io.ReaderAt, chunks []chunk) error {
		for i := range chunks {
			f(&chunks[i], at)
			size, _ := chunks[i].size()
			at += size
		}
		return nil
	})
}

// writeTo writes the file. What was recorded must not have changed.
func (m *movie) writeTo(ctx context.Context, o *output) error {
	if o.skip < m.data {
		w := bufio.NewWriterSize(o, 64<<10)
		_, _ = w.Write(m.head)
		if err := m.moov.emit(ctx, w); err != nil {
			return err
		}
		b := &builder{}
		b.u32(1)
		b.text("mdat")
		b.i64(m.size - m.data + 16)
		_, _ = w.Write(b.b)
		if err := w.Flush(); err != nil {
			return err
		}
	} else {
		o.skip -= m.data
	}
	return m.walk(ctx, func(src io.ReaderAt, chunks []chunk) error {
		for i := range chunks {
			size, _ := chunks[i].size()
			if err := o.copy(chunks[i].from(src), chunks[i].at, size); err != nil {
				return err
			}
		}
		return nil
	})
}
