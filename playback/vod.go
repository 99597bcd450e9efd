package playback

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/org/mtx/record"
)

// Video on demand: the segments of HLS are made of a recording when they are
// asked for, cut at its key frames. Their URLs say all that is needed:
//
//	init_ID.mp4              header
//	ID_FROM_TO_ORIGIN.m4s    media
//
// where ID is the start of the recorded segment, in microseconds since 1970, FROM
// and TO are presentation times in it, and ORIGIN is where the time stamps of the
// playlist count from, so that what follows each other plays as one.

const (
	// leastPiece is the duration that segments of HLS have at least; they end
	// with the next key frame.
	leastPiece = 4 * time.Second
	// maxPieces bounds playlists: more than two days.
	maxPieces = 50000
	// visibleGap is the silence, or the overlap, from which on players are told
	// that time stamps are not continuous.
	visibleGap = 100 * time.Millisecond
	// settled is how long a file was not written to when its end is taken for
	// final.
	settled = 10 * time.Second
)

// piece is a segment of HLS.
type piece struct {
	id       int64 // of the recorded segment
	from, to time.Duration
	at       time.Time
	init     bool // needs another header than the piece before
	breaks   bool // does not follow the piece before
}

var errTooManyPieces = requestError("the time span is too long for a playlist: give a start and an end")

// pieces cuts what was recorded of a path between two times.
func (s *server) pieces(ctx context.Context, r *request, start, end time.Time, live bool) ([]piece, error) {
	found, recorded, err := s.lib.find(ctx, r.pattern, r.path, start, end)
	if err != nil {
		return nil, err
	}
	if !recorded {
		return nil, errNeverRecorded
	}
	var out []piece
	var last time.Time
	var tracks []track
	for i, g := range found {
		f, err := s.lib.open(ctx, g)
		if err != nil {
			if isGone(ctx, err) {
				return nil, err
			}
			continue
		}
		cuts, err := f.cuts(ctx, f.file, leastPiece)
		f.close()
		if err != nil {
			return nil, err
		}
		growing := live && i == len(found)-1 && time.Since(g.Modified) < settled
		init := !sameTracks(f.list(), tracks)
		gap := f.Start.Sub(last)
		breaks := init || gap > visibleGap || gap < -visibleGap
		for j, from := range cuts {
			to := f.length()
			if j+1 < len(cuts) {
				to = cuts[j+1]
			} else if growing {
				break
			}
			at := f.Start.Add(from)
			if !f.Start.Add(to).After(start) {
				continue
			}
			if !end.IsZero() && !at.Before(end) {
				break
			}
			if len(out) == maxPieces {
				return nil, errTooManyPieces
			}
			out = append(out, piece{f.id, from, to, at, init, breaks || len(out) == 0})
			init, breaks = false, false
			tracks = f.list()
		}
		last = f.end()
	}
	if len(out) == 0 {
		return nil, errNoRecording
	}
	out[0].init = true
	return out, nil
}

func (s *server) servePlaylist(w http.ResponseWriter, r *request) error {
	start, err := r.timeOf("start")
	if err != nil {
		return err
	}
	end, err := r.timeOf("end")
	if err != nil {
		return err
	}
	var window time.Duration
	if r.query.Has("dvr") {
		if window, err = r.durationOf("dvr"); err != nil {
			return err
		}
		if !start.IsZero() || !end.IsZero() {
			return requestError("dvr: goes neither with a start nor with an end")
		}
		start = time.Now().Add(-window)
	}
	if !end.IsZero() && !end.After(start) {
		return requestError("end: must be after the start")
	}
	list, err := s.pieces(r.Context(), r, start, end, window > 0)
	if err != nil {
		return err
	}
	var b []byte
	query := s.tokenQuery(r.query).Encode()
	if window > 0 {
		b = playlist(list, query, s.windows.place(r.path, window, list), false)
	} else {
		b = playlist(list, query, place{offset: start.Sub(list[0].at), origin: originOf(list)}, true)
	}
	h := w.Header()
	h.Set("Content-Type", "application/vnd.apple.mpegurl")
	h.Set("Cache-Control", "no-cache")
	h.Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		_, _ = w.Write(b)
	}
	return nil
}

// serveMedia serves a header or a segment.
func (s *server) serveMedia(file string) handler {
	return func(w http.ResponseWriter, r *request) error {
		var id, from, to, origin int64
		base, isInit := strings.CutPrefix(file, "init_")
		if isInit {
			base, _ = strings.CutSuffix(base, ".mp4")
			to = 1
		} else {
			base, _ = strings.CutSuffix(base, ".m4s")
		}
		numbers := []*int64{&id, &from, &to, &origin}
		for i, v := range strings.SplitN(base, "_", len(numbers)) {
			n, err := strconv.ParseInt(v, 10, 64)
			if err != nil || n < 0 || n > maxTicks {
				return errNoRecording
			}
			*numbers[i] = n
		}
		if to <= from || to > int64(maxDuration/time.Microsecond) {
			return errNoRecording
		}
		f, err := s.openByID(r, id)
		if err != nil {
			return err
		}
		defer f.close()
		h := w.Header()
		h.Set("Cache-Control", "private, max-age=3600")
		h.Set("Content-Type", "video/mp4")
		if isInit {
			b := fragmentedHeader(f.list(), 0, nil)
			h.Set("Content-Length", strconv.Itoa(len(b)))
			if r.Method != http.MethodHead {
				_, _ = w.Write(b)
			}
			return nil
		}
		if r.Method == http.MethodHead {
			return nil
		}
		o := newOutput(w)
		cut := newCutter(f, time.Duration(from)*time.Microsecond, time.Duration(to)*time.Microsecond, time.UnixMicro(origin))
		return s.ended(w, r, o, cut.write(r.Context(), o))
	}
}

// openByID opens a segment without looking through the folder.
func (s *server) openByID(r *request, id int64) (*segment, error) {
	start := time.UnixMicro(id)
	g := record.Segment{Name: r.pattern.Name(r.path, start), Format: r.pattern.Format(), Path: r.path, Start: start}
	f, err := s.lib.open(r.Context(), g)
	switch {
	case err == nil || isGone(r.Context(), err):
		return f, err
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: %w", errNoRecording, err)
	}
	// names do not tell the hour that is repeated when summer time ends
	found, _, err := s.lib.find(r.Context(), r.pattern, r.path, start, start.Add(time.Microsecond))
	for _, g := range found {
		if err == nil && g.Start.Equal(start) {
			return s.lib.open(r.Context(), g)
		}
	}
	return nil, errNoRecording
}

// cutter takes a piece out of a segment: video from one key frame to another,
// everything else by its time.
type cutter struct {
	*segment
	from, to time.Duration
	origin   time.Time
	begun    []bool
	over     []bool
	late     bool
}

func newCutter(f *segment, from, to time.Duration, origin time.Time) *cutter {
	n := len(f.list())
	return &cutter{segment: f, from: from, to: to, origin: origin, begun: make([]bool, n), over: make([]bool, n)}
}

func (c *cutter) write(ctx context.Context, o *output) error {
	tracks := c.list()
	origin := make([]int64, len(tracks))
	for i := range tracks {
		origin[i] = -tracks[i].ticks(c.Start.Sub(c.origin))
	}
	p := pack{fragmentWriter: fragmentWriter{w: o, origin: origin}, src: c.file}
	err := c.walk(ctx, c.from, func(chunks []chunk) error {
		for _, ch := range chunks {
			if c.clip(&tracks[ch.track], &ch) {
				p.add(ch)
			}
		}
		if p.samples > maxPackSamples || p.bytes > maxPending {
			if err := p.flush(); err != nil {
				return err
			}
		}
		if c.done() {
			return errStop
		}
		return nil
	})
	if err != nil && !errors.Is(err, errStop) {
		return err
	}
	return p.flush()
}

// pack makes one fragment of many: players expect one per segment.
type pack struct {
	fragmentWriter
	src     io.ReaderAt
	chunks  []chunk
	samples int
	bytes   int // in memory
}

// maxPackSamples bounds what is kept in memory; only recordings with very few key
// frames have more in a segment.
const maxPackSamples = 1 << 14

func (p *pack) add(c chunk) {
	c.samples = slices.Clone(c.samples)
	if c.data != nil {
		c.data = bytes.Clone(c.data)
	}
	p.samples += len(c.samples)
	p.bytes += len(c.data)
	p.chunks = append(p.chunks, c)
}

func (p *pack) flush() error {
	if len(p.chunks) == 0 {
		return nil
	}
	slices.SortStableFunc(p.chunks, func(a, b chunk) int { return a.track - b.track })
	err := p.write(p.src, p.chunks)
	p.chunks, p.samples, p.bytes = p.chunks[:0], 0, 0
	return err
}

// clip is false if nothing is left.
func (c *cutter) clip(t *track, ch *chunk) bool {
	i := ch.track
	bounded := c.to < c.length() // the last piece has all that is left
	c.late = c.late || bounded && t.time(ch.dts) > c.to+patience
	if c.over[i] {
		return false
	}
	from, to := t.ticks(c.from), t.ticks(c.to)
	first, end, dts := 0, len(ch.samples), ch.dts
	for j, s := range ch.samples {
		pts := dts + int64(s.offset)
		dts += int64(s.duration)
		if !s.sync {
			continue
		}
		if bounded && pts >= to {
			end, c.over[i] = j, true
			break
		}
		if !c.begun[i] && (pts >= from || c.from == 0) {
			first, c.begun[i] = j, true
		}
	}
	if !c.begun[i] || first >= end {
		return false
	}
	ch.samples = ch.samples[:end]
	ch.skip(first)
	return true
}

func (c *cutter) done() bool {
	all := true
	for i := range c.over {
		all = all && c.over[i]
	}
	return all || c.late
}
