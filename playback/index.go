package playback

import (
	"context"
	"errors"
	"io"
	"math"
	"slices"
	"time"
)

// index tells where in a fragmented file is what. It has a bounded size, however
// long the recording is: entries stand for several fragments then.
type index struct {
	tracks  []track
	entries []int64 // offsets of fragments, which are places to begin at
	spans   []span  // one per entry and track
	pos     int64   // where to go on when the file has grown
	next    []int64
	begun   bool
	first   time.Duration // presentation time of the first sample
	end     time.Duration // presentation time of the end of the last one
	anySync []bool        // by track
	origin  time.Time     // of the media times; zero if the file does not tell

	lead  int   // the first track with video; -1: none
	head  int64 // bytes of the header, if pieces can be taken out of the file as they are
	loose cuts  // at key frames
	keyed cuts  // at fragments that begin with one
}

// span is what an entry holds of a track, in ticks.
type span struct {
	dts, end  int64 // decoding time of the first sample, and after the last one
	firstSync int64 // presentation times of key frames, or never
	lastSync  int64
}

const never = math.MaxInt64

// maxSpans bounds the size of an index: at one second per fragment and with two
// tracks, four hours fit before entries are merged.
const maxSpans = 1 << 15

var errNothing = errors.New("there is no complete fragment")

// buildIndex reads all headers of a file.
func buildIndex(ctx context.Context, r io.ReaderAt, size int64) (*index, error) {
	var s scanner
	if err := s.open(r, size); err != nil {
		return nil, err
	}
	x := &index{
		tracks: s.tracks, anySync: make([]bool, len(s.tracks)),
		lead: slices.IndexFunc(s.tracks, func(t track) bool { return t.video }),
		head: s.head, pos: s.pos, loose: newCuts(s.pos), keyed: newCuts(s.pos),
	}
	return x, x.scan(ctx, &s)
}

// grow returns an index of a file that had been shorter.
func (x *index) grow(ctx context.Context, r io.ReaderAt, size int64) (*index, error) {
	y := *x
	y.tracks = slices.Clone(x.tracks)
	y.entries, y.spans = slices.Clone(x.entries), slices.Clone(x.spans)
	y.anySync = slices.Clone(x.anySync)
	y.loose.list, y.keyed.list = slices.Clip(x.loose.list), slices.Clip(x.keyed.list)
	for i := range y.tracks {
		y.tracks[i].syncless = false
	}
	s := y.scanner(r, size, y.pos, y.next)
	s.begun = y.begun
	return &y, y.scan(ctx, s)
}

func (x *index) scanner(r io.ReaderAt, size, pos int64, next []int64) *scanner {
	return &scanner{
		window: window{r: r, size: size},
		moof:   moof{tracks: x.tracks, next: slices.Clone(next)},
		pos:    pos, begun: x.begun,
	}
}

func (x *index) scan(ctx context.Context, s *scanner) error {
	began, stop := time.Now(), func() {}
	defer func() { stop() }()
	for n := 0; ; n++ {
		if n == aheadAfter && time.Since(began) > aheadAfter*aheadSlow && s.size-s.pos > aheadLeast && isLocal(s.r) {
			stop = ahead(ctx, s.r, s.pos, s.size)
		}
		f, err := s.scan(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		x.add(f, s.saved)
	}
	x.pos, x.next, x.begun = s.pos, s.next, s.begun
	if x.origin.IsZero() {
		x.origin = s.origin
	}
	if s.odd {
		x.head = 0
	}
	if len(x.entries) == 0 {
		return errNothing
	}
	for i := range x.tracks {
		if t := &x.tracks[i]; t.video && !x.anySync[i] {
			t.syncless = true
		}
	}
	return nil
}

func (x *index) add(f fragment, next []int64) {
	n := len(x.tracks)
	if len(x.spans)+n > maxSpans {
		x.thin()
	}
	x.cut(f)
	if len(x.entries) == 0 {
		x.first = math.MaxInt64
	}
	x.entries = append(x.entries, f.at)
	base := len(x.spans)
	for i := range n {
		x.spans = append(x.spans, span{next[i], next[i], never, -never})
	}
	seen := [maxTracks]bool{}
	for i := range f.chunks {
		c := &f.chunks[i]
		sp, t := &x.spans[base+c.track], &x.tracks[c.track]
		if !seen[c.track] {
			seen[c.track], sp.dts = true, c.dts
		}
		dts := c.dts
		for _, s := range c.samples {
			pts := dts + int64(s.offset)
			if s.sync {
				sp.firstSync, sp.lastSync = min(sp.firstSync, pts), max(sp.lastSync, pts)
				x.anySync[c.track] = true
			}
			dts += int64(s.duration)
			sp.end = max(sp.end, dts)
			x.end = max(x.end, t.time(pts+int64(s.duration)))
			x.first = min(x.first, t.time(pts))
		}
	}
}

// cut notes where the file can be cut: at key frames of the first track with video,
// or anywhere if there is none.
func (x *index) cut(f fragment) {
	track := max(x.lead, 0)
	first := true
	for i := range f.chunks {
		c := &f.chunks[i]
		if c.track != track {
			continue
		}
		t, dts := &x.tracks[track], c.dts
		for _, s := range c.samples {
			if s.sync {
				at := t.timeUp(dts + int64(s.offset)) // not before the key frame
				x.loose.add(cut{at, -1})
				if first {
					x.keyed.add(cut{at, f.at})
				}
				if !t.video {
					return // fragments are short enough
				}
			}
			first = false
			dts += int64(s.duration)
		}
	}
}

// thin merges neighbours.
func (x *index) thin() {
	n, out := len(x.tracks), 0
	for i := 0; i < len(x.entries); i += 2 {
		x.entries[out] = x.entries[i]
		for t := range n {
			a := x.spans[i*n+t]
			if i+1 < len(x.entries) {
				b := x.spans[(i+1)*n+t]
				a.end = max(a.end, b.end)
				a.firstSync, a.lastSync = min(a.firstSync, b.firstSync), max(a.lastSync, b.lastSync)
			}
			x.spans[out*n+t] = a
		}
		out++
	}
	x.entries, x.spans = x.entries[:out], x.spans[:out*n]
}

func (x *index) span(entry, track int) *span { return &x.spans[entry*len(x.tracks)+track] }

// seek returns, for each track, the last entry in which is what is needed for a
// time: for video, the key frame before it.
func (x *index) seek(at time.Duration) []int {
	out := make([]int, len(x.tracks))
	for i := range x.tracks {
		t := &x.tracks[i]
		want, e := t.ticks(at), len(x.entries)-1
		if t.video && !t.syncless {
			for ; e > 0 && x.span(e, i).firstSync > want; e-- {
			}
		} else {
			for ; e > 0 && x.span(e, i).dts > want; e-- {
			}
		}
		out[i] = e
	}
	return out
}

// weight is the memory that the index takes, in bytes.
func (x *index) weight() int64 {
	n := int64(len(x.entries)*8+len(x.spans)*32+(len(x.loose.list)+len(x.keyed.list))*16) + 1024
	for i := range x.tracks {
		n += int64(len(x.tracks[i].stsd)) + 512
	}
	return n
}

// walk implements contents.
func (x *index) walk(ctx context.Context, r io.ReaderAt, from time.Duration, f func([]chunk) error) error {
	first := x.seek(from)
	e := slices.Min(first)
	next := make([]int64, len(x.tracks))
	for i := range next {
		next[i] = x.span(e, i).dts
	}
	s := x.scanner(r, x.pos, x.entries[e], next)
	for {
		fr, err := s.scan(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		needed := slices.DeleteFunc(fr.chunks, func(c chunk) bool { return fr.at < x.entries[first[c.track]] })
		if len(needed) == 0 {
			continue
		}
		if err := f(needed); err != nil {
			return err
		}
	}
}

func (x *index) list() []track         { return x.tracks }
func (x *index) length() time.Duration { return x.end }
func (x *index) begins() time.Time     { return x.origin }

func (x *index) decoding() (first, next time.Duration) {
	i := max(x.lead, 0)
	t := &x.tracks[i]
	return t.time(x.span(0, i).dts), t.time(x.next[i])
}

// cuts implements contents.
func (x *index) cuts(context.Context, io.ReaderAt) ([]cut, error) {
	if x.bytes().head > 0 {
		return x.keyed.until(x.end), nil
	}
	return x.loose.until(x.end), nil
}

// bytes implements contents. Files whose key frames are inside of fragments have
// better places to be cut than those.
func (x *index) bytes() extent {
	if x.head == 0 || x.keyed.worst(x.end) > max(x.loose.worst(x.end), 2*leastPiece) {
		return extent{}
	}
	return extent{x.head, x.pos}
}
