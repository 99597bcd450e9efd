package playback

import (
	"context"
	"io"
	"math"
	"time"
)

// writeFragmented writes a timeline as a fragmented file, while it reads it.
func writeFragmented(ctx context.Context, w *output, t *timeline) error {
	length, err := t.length(ctx)
	if err != nil {
		return err
	}
	leads, err := t.leads(ctx)
	if err != nil {
		return err
	}
	fw := fragmentWriter{w: w, origin: make([]int64, len(leads))}
	before := make([]int64, len(leads))
	for i, l := range leads {
		fw.origin[i] = min(0, l.dts-int64(l.samples))
		before[i] = -fw.origin[i]
	}
	if _, err := w.Write(fragmentedHeader(t.tracks, length, before)); err != nil {
		return err
	}
	return t.walk(ctx, func(src io.ReaderAt, chunks []chunk) error {
		var out []chunk
		for i := range chunks {
			out = leads[chunks[i].track].squeeze(out, chunks[i])
		}
		return fw.write(src, out)
	})
}

// lead is what is decoded before the start of a track, and is not shown. Its
// samples are squeezed together: there are players that show what an edit list
// hides, in fragmented files at least, and they are through with it at once then.
type lead struct {
	samples int   // that precede the first one that is shown
	dts     int64 // decoding time of that one
	pts     int64 // the lowest presentation time of what follows, below zero if it was reordered
	done    int   // samples that were seen
}

// leads looks at the beginning of all tracks.
func (t *timeline) leads(ctx context.Context) ([]lead, error) {
	out := make([]lead, len(t.tracks))
	found := make([]bool, len(t.tracks))
	left := len(out)
	err := t.walk(ctx, func(_ io.ReaderAt, chunks []chunk) error {
		for i := range chunks {
			c := &chunks[i]
			tr, l := &t.tracks[c.track], &out[c.track]
			if dts := c.dts; !found[c.track] {
				for _, s := range c.samples {
					pts := dts + int64(s.offset)
					found[c.track] = found[c.track] || pts >= 0 || !tr.video
					switch {
					case !found[c.track]:
						l.samples++
						l.dts = dts + int64(s.duration)
					case l.pts == 0 && l.done == 0:
						l.dts, l.pts, l.done = dts, min(0, pts), 1
					default:
						l.pts = min(l.pts, pts)
					}
					dts += int64(s.duration)
				}
				l.done = 0
				if found[c.track] {
					left--
				}
			}
			if left == 0 || tr.time(c.dts) > maxLead {
				return errStop
			}
		}
		return nil
	})
	return out, err
}

// maxLead is how far after the start a sample may be in the file in front of the
// first one of another track.
const maxLead = 5 * time.Second

// squeeze appends a chunk, of which what belongs to the lead gets other times.
func (l *lead) squeeze(out []chunk, c chunk) []chunk {
	n := min(l.samples-l.done, len(c.samples))
	if n > 0 {
		head := c
		head.dts = l.dts - int64(l.samples-l.done)
		head.samples = c.samples[:n:n]
		c.skip(n)
		for i := range head.samples {
			head.samples[i].duration = 1
			head.samples[i].offset = int32(min(0, l.pts) - l.dts) // reordering is short
		}
		l.done += n
		out = append(out, head)
	}
	if len(c.samples) > 0 {
		out = append(out, c)
	}
	return out
}

// fragmentWriter makes fragments.
type fragmentWriter struct {
	w       *output
	origin  []int64 // of the decoding times, by track
	number  uint32
	header  builder
	patches []patch
}

// patch is an offset of data that is not known yet.
type patch struct{ at, data int }

// Flags of what is written.
const (
	flagsTraf = 0x020000                            // offsets count from the moof
	flagsTrun = 0x1 | 0x100 | 0x200 | 0x400 | 0x800 // everything is told
	flagsSync = sampleIndependent                   // of a key frame
	flagsDiff = sampleDependent | sampleIsNonSync   // of any other picture
)

func (f *fragmentWriter) write(src io.ReaderAt, chunks []chunk) error {
	f.number++
	w := &f.header
	w.b, f.patches = w.b[:0], f.patches[:0]
	data := 0
	w.box("moof", func() {
		w.full("mfhd", 0, 0, func() { w.u32(f.number) })
		for i := 0; i < len(chunks); {
			n := joined(chunks[i:])
			f.track(chunks[i:i+n], &data)
			i += n
		}
	})
	if data > math.MaxInt32-len(w.b) {
		return errFragment
	}
	for _, p := range f.patches {
		be.PutUint32(w.b[p.at:], uint32(len(w.b)+16+p.data)) // checked by parse
	}
	w.u32(1)
	w.text("mdat")
	w.u64(uint64(16 + data)) // not negative
	if _, err := f.w.Write(w.b); err != nil {
		return err
	}
	for i := range chunks {
		size, _ := chunks[i].size()
		if err := f.w.copy(chunks[i].from(src), chunks[i].at, size); err != nil {
			return err
		}
	}
	return nil
}

// joined tells how many chunks follow each other in one track.
func joined(chunks []chunk) int {
	n := 1
	for ; n < len(chunks); n++ {
		_, d := chunks[n-1].size()
		if chunks[n].track != chunks[0].track || chunks[n].dts != chunks[n-1].dts+d {
			break
		}
	}
	return n
}

func (f *fragmentWriter) track(chunks []chunk, data *int) {
	w := &f.header
	w.box("traf", func() {
		i := chunks[0].track
		w.full("tfhd", 0, flagsTraf, func() { w.u32(uint32(i + 1)) }) // few
		w.full("tfdt", 1, 0, func() { w.i64(max(0, chunks[0].dts-f.origin[i])) })
		for _, c := range chunks {
			w.full("trun", 1, flagsTrun, func() {
				w.u32(uint32(len(c.samples))) // bounded
				f.patches = append(f.patches, patch{len(w.b), *data})
				w.u32(0)
				for _, s := range c.samples {
					w.u32(s.duration)
					w.u32(s.size)
					flags := uint32(flagsDiff)
					if s.sync {
						flags = flagsSync
					}
					w.u32(flags)
					w.u32(uint32(s.offset)) // signed in the file
				}
			})
			size, _ := c.size()
			*data += int(size)
		}
	})
}
