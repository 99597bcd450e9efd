package playback

import (
	"context"
	"errors"
	"io"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"

	"github.com/org/mtx/protocol/bridge/mpegtsbridge"
	"github.com/org/mtx/router/media"
)

// transport is a recording that is an MPEG transport stream. It is converted to
// MP4 while it is read.
type transport struct {
	tsHead
	size   int64
	tracks []track
	codecs []bool // by track of the demuxer, which are part of tracks
	end    time.Duration
	next   time.Duration // when what follows would be decoded

	mu    sync.Mutex
	known []cut
	from  int64 // where the next cut is looked for
}

const (
	// maxProbe is how far a file is read until its tracks are known, in bytes.
	maxProbe = 8 << 20
	// maxTail is how much is read to find the end, in bytes.
	maxTail = 2 << 20
	// maxPending bounds what is converted at once, in bytes.
	maxPending = 16 << 20
)

// readTransport finds out what is in a file.
func readTransport(ctx context.Context, r io.ReaderAt, size int64) (*transport, error) {
	t := &transport{size: size}
	whole := false
	if err := eachTSPacket(r, 0, min(size, maxProbe), func(_ int64, p []byte, i tsInfo) bool {
		whole = t.add(p, i)
		return !whole
	}); err != nil {
		return nil, err
	}
	if !whole {
		return nil, errNoTracks
	}
	if err := t.probe(ctx, r); err != nil {
		return nil, err
	}
	return t, t.findEnd(r)
}

// probe finds the tracks.
func (t *transport) probe(ctx context.Context, r io.ReaderAt) error {
	var found []probed
	missing := -1
	d := mpegtsbridge.NewDemuxer(mpegtsbridge.DemuxerOptions{
		Tracks: func(tracks []media.Track) (func(int, *media.Unit), error) {
			missing = 0
			for _, t := range tracks {
				p := newProbed(t.Codec)
				if p.conv != nil {
					missing++
				}
				found = append(found, p)
			}
			return func(i int, u *media.Unit) {
				if found[i].look(u) {
					missing--
				}
			}, nil
		},
	})
	err := feed(ctx, d, r, nil, 0, min(t.size, maxProbe), func() bool { return missing != 0 })
	_ = d.Close()
	if err != nil {
		return err
	}
	var list []*fmp4.InitTrack
	t.codecs = make([]bool, len(found))
	for i, p := range found {
		if rate := p.codec.ClockRate(); p.mp4 != nil && rate > 0 && rate < math.MaxInt32 && len(list) < maxTracks {
			t.codecs[i] = true
			list = append(list, &fmp4.InitTrack{ID: len(list) + 1, TimeScale: uint32(rate), Codec: p.mp4})
		}
	}
	if len(list) == 0 {
		return errNoTracks
	}
	t.tracks, err = makeTracks(list)
	return err
}

// feed gives the tables and a part of the file to a demuxer, as long as more is
// wanted.
func feed(ctx context.Context, d *mpegtsbridge.Demuxer, r io.ReaderAt, tables []byte, from, to int64, more func() bool) error {
	if _, err := d.Write(tables); err != nil {
		return err
	}
	buf := make([]byte, tsBlock)
	for at := from; at < to && more(); {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		n, err := r.ReadAt(buf[:min(tsBlock, to-at)], at)
		if n == 0 {
			if err != nil && !errors.Is(err, io.EOF) {
				return err
			}
			return nil
		}
		if _, err := d.Write(buf[:n]); err != nil {
			return err
		}
		at += int64(n)
	}
	return nil
}

// findEnd looks for the last time stamps.
func (t *transport) findEnd(r io.ReaderAt) error {
	var stamps, decoded []int64
	for back := int64(256 << 10); len(stamps) < 2; back *= 8 {
		stamps, decoded = stamps[:0], decoded[:0]
		err := eachTSPacket(r, max(0, t.size-back), t.size, func(_ int64, _ []byte, i tsInfo) bool {
			if pts, ok := timestamp(i.body); ok && i.start && i.pid == t.pid {
				stamps, decoded = append(stamps, t.sinceFirst(pts)), append(decoded, t.sinceFirst(decodingTime(i.body, pts)))
			}
			return true
		})
		if err != nil {
			return err
		}
		if back >= t.size || back >= maxTail {
			break
		}
	}
	if len(stamps) == 0 {
		return errNothing
	}
	slices.Sort(stamps)
	last := stamps[len(stamps)-1]
	frame := int64(0)
	if len(stamps) > 1 {
		frame = min(last-stamps[len(stamps)-2], tsClock)
	}
	t.end = media.Duration(last+frame, tsClock)
	t.next = media.Duration(decoded[len(decoded)-1]+frame, tsClock)
	if t.end <= 0 {
		return errNothing
	}
	return nil
}

// keyAfter returns the first place at or after an offset from which decoding can
// start, with its time.
func (t *transport) keyAfter(r io.ReaderAt, from, to int64) (at, pts int64, ok bool) {
	err := eachTSPacket(r, from, to, func(o int64, _ []byte, i tsInfo) bool {
		if i.pid == t.pid && i.start && i.random {
			if v, has := timestamp(i.body); has {
				at, pts, ok = o, t.sinceFirst(v), true
			}
		}
		return !ok
	})
	return at, pts, ok && err == nil
}

// seek returns the place of the last key frame at or before a time; the
// beginning, if there is none.
func (t *transport) seek(r io.ReaderAt, want time.Duration) int64 {
	target := media.Ticks(want+time.Microsecond, tsClock)
	low, high := int64(0), t.size
	for high-low > tsBlock {
		middle := low + (high-low)/2
		at, pts, ok := t.keyAfter(r, middle, high)
		if !ok || pts > target {
			high = middle
		} else {
			low = at
		}
	}
	for at := low; ; {
		next, pts, ok := t.keyAfter(r, at+tsPacket, t.size)
		if !ok || pts > target {
			return low
		}
		low, at = next, next
	}
}

func (t *transport) list() []track         { return t.tracks }
func (t *transport) length() time.Duration { return t.end }
func (t *transport) begins() time.Time     { return time.Time{} }
func (t *transport) decoding() (first, next time.Duration) {
	return -media.Duration(t.early, tsClock), t.next
}
func (t *transport) weight() int64 { return int64(len(t.tables)) + 16*maxCuts }
func (t *transport) bytes() extent { return extent{} }

// cuts implements contents: at key frames, of which not all are looked for.
func (t *transport) cuts(ctx context.Context, r io.ReaderAt) ([]cut, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.known == nil {
		t.known = []cut{{0, -1}}
	}
	step := max(tsPacket, int64(float64(t.size)*leastPiece.Seconds()/t.end.Seconds())/2)
	t.from = max(t.from, step)
	for t.from < t.size && len(t.known) < maxCuts {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		at, pts, ok := t.keyAfter(r, t.from, t.size)
		if !ok {
			break
		}
		d := media.Duration(pts, tsClock).Truncate(time.Microsecond) + time.Microsecond
		if d >= t.end {
			break
		}
		if t.from = at + tsPacket; d >= t.known[len(t.known)-1].at+leastPiece {
			t.known = append(t.known, cut{d, -1})
			t.from = at + step
		}
	}
	return slices.Clone(t.known), nil
}

// resume takes over what is known from when the file was shorter.
func (t *transport) resume(old *transport) {
	old.mu.Lock()
	defer old.mu.Unlock()
	if old.size < t.size && old.first == t.first {
		t.known, t.from = slices.Clone(old.known), min(old.from, old.size)
	}
}

// walk implements contents.
func (t *transport) walk(ctx context.Context, r io.ReaderAt, from time.Duration, f func([]chunk) error) error {
	start := int64(0)
	if from > 0 {
		start = t.seek(r, from)
	}
	_, pts, ok := t.reference(r, start)
	if !ok {
		return nil
	}
	x := &remuxer{transport: t, emit: f, reference: pts}
	d := mpegtsbridge.NewDemuxer(mpegtsbridge.DemuxerOptions{Tracks: x.open})
	err := feed(ctx, d, r, t.tables, start, t.size, func() bool { return x.err == nil })
	_ = d.Close()
	if x.err == nil && !errors.Is(err, mpegtsbridge.ErrProgramChanged) && !errors.Is(err, errOtherTracks) {
		x.err = err
	}
	if x.err == nil {
		x.flush(true)
	}
	return x.err
}

// reference returns the first time stamp at or after an offset.
func (t *transport) reference(r io.ReaderAt, from int64) (at, pts int64, ok bool) {
	err := eachTSPacket(r, from, t.size, func(o int64, _ []byte, i tsInfo) bool {
		if i.pid == t.pid && i.start {
			if v, has := timestamp(i.body); has {
				at, pts, ok = o, t.sinceFirst(v), true
			}
		}
		return !ok
	})
	return at, pts, ok && err == nil
}
