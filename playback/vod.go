package playback

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/org/mtx/record"
)

// Video on demand. Where key frames are at the beginning of fragments, segments of
// HLS are byte ranges of the recorded file, and so is their header:
//
//	ID.mp4                   the file
//	ID_ORIGIN.mp4            the file, with other time stamps
//
// Of other recordings, among them transport streams, segments are made when they
// are asked for, cut at key frames:
//
//	init_ID.mp4              header
//	ID_FROM_TO_ORIGIN.m4s    media
//
// ID is the start of the recorded segment as its name tells it, in microseconds since
// 1970; FROM and TO are presentation times in it. ORIGIN is where the time stamps of the playlist
// count from. In files they count from the start of each, and not all players can
// cope with what begins again; so the numbers in the headers of fragments are
// replaced by others of the same size while a file is sent, and what follows each
// other plays as one.

const (
	// maxPieces bounds playlists: more than two days.
	maxPieces = 50000
	// visibleGap is the silence, or the overlap, from which on players are told
	// that time stamps are not continuous.
	visibleGap = 100 * time.Millisecond
	// maxReordered is the overlap of two files that is due to the reordering of
	// pictures.
	maxReordered = 500 * time.Millisecond
	// settled is how long a file was not written to when its end is taken for
	// final.
	settled = 10 * time.Second
)

// piece is a segment of HLS.
type piece struct {
	id       int64 // of the recorded segment
	start    int64 // of it, in microseconds since 1970
	from, to time.Duration
	at       time.Time
	init     bool // the first one of its file: it is listed with the header, which goes when the file goes
	breaks   bool // does not follow the piece before

	head       int64 // bytes of the header of the file; 0: the piece is made
	begin, end int64 // offsets in the file
}

// same tells whether y is the same piece, in another list.
func (x piece) same(y piece) bool { return x.id == y.id && x.from == y.from }

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
	c := cutting{start: start, end: end}
	add := func(time.Time) error { return nil } // the segment before, given the start of the next one
	for i, g := range found {
		f, err := s.lib.open(ctx, g)
		if err != nil {
			if isGone(ctx, err) {
				return nil, err
			}
			continue
		}
		places, err := f.cuts(ctx, f.file)
		f.close()
		if err != nil {
			return nil, err
		}
		if err := add(f.Start); err != nil {
			return nil, err
		}
		growing := live && i == len(found)-1 && time.Since(g.Modified) < settled
		add = func(next time.Time) error { return c.add(f, places, growing, next) }
	}
	if err := add(time.Time{}); err != nil {
		return nil, err
	}
	out := c.out
	if len(out) == 0 {
		return nil, errNoRecording
	}
	return out, nil
}

// cutting collects pieces.
type cutting struct {
	start, end time.Time
	out        []piece

	// of the segment before
	due    time.Time // when the next picture is
	tracks []track
	inFile bool // its pieces are parts of the file
}

// add appends the pieces of a segment. Of one that is growing, the last piece is
// not complete. Follows is where the segment after it starts, if there is one.
func (c *cutting) add(f *segment, places []cut, growing bool, follows time.Time) error {
	file := f.bytes()
	inFile := file.head > 0
	end := f.length()
	if d := follows.Sub(f.Start); inFile && !follows.IsZero() && d < end && d > end-maxReordered {
		end = d // the last pictures are shown as late as the first ones were
	}
	other := inFile != c.inFile || !sameTracks(f.list(), c.tracks) || inFile && !sameIDs(f.list(), c.tracks)
	first, next := f.decoding()
	gap := f.Start.Add(first).Sub(c.due)
	breaks := other || gap > visibleGap || gap < -visibleGap
	for i, from := range places {
		p := piece{id: f.id, start: f.Start.UnixMicro(), from: from.at, to: end, at: f.Start.Add(from.at), head: file.head, begin: from.pos, end: file.end}
		if i+1 < len(places) {
			p.to, p.end = places[i+1].at, places[i+1].pos
		} else if growing {
			break
		}
		if !f.Start.Add(p.to).After(c.start) || p.to <= p.from {
			continue
		}
		if !c.end.IsZero() && !p.at.Before(c.end) {
			break
		}
		if len(c.out) == maxPieces {
			return errTooManyPieces
		}
		p.init = len(c.out) == 0 || c.out[len(c.out)-1].id != p.id
		p.breaks = p.init && (breaks || len(c.out) == 0)
		c.out = append(c.out, p)
		c.tracks, c.inFile = f.list(), inFile
	}
	c.due = f.Start.Add(next)
	return nil
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
	sendBytes(w, r, b)
	return nil
}

// serveFile serves the file of a recorded segment, or the range that is asked for.
func (s *server) serveFile(file string) handler {
	return func(w http.ResponseWriter, r *request) error {
		first, second, moved := strings.Cut(strings.TrimSuffix(file, ".mp4"), "_")
		id, ok := parseNumber(first)
		var origin int64
		if ok && moved {
			origin, ok = parseNumber(second)
		}
		if !ok {
			return errNoRecording
		}
		f, err := s.openByID(r, id)
		if err != nil {
			return err
		}
		defer f.close()
		x, ok := f.contents.(*index)
		var shift int64
		if moved {
			shift = f.Start.UnixMicro() - origin
		}
		if !ok || x.bytes().head == 0 || shift < 0 {
			return errNoRecording
		}
		w.Header().Set("Cache-Control", "no-cache") // it may grow
		if info, err := f.file.Stat(); err == nil && time.Since(info.ModTime()) > settled {
			w.Header().Set("Cache-Control", cacheControl)
		}
		from, n, ok := announce(w, r, x.pos, "")
		if !ok {
			return nil
		}
		return s.ended(w, r, &output{}, x.send(w, f.file, from, n, time.Duration(shift)*time.Microsecond))
	}
}

// cacheControl lets browsers keep media, which does not change under its URL.
const cacheControl = "private, max-age=3600"

// parseNumber reads a number of the URL of a segment, in the one way in which it is
// written.
func parseNumber(v string) (int64, bool) {
	n, err := strconv.ParseInt(v, 10, 64)
	return n, err == nil && n >= 0 && n <= maxTicks && strconv.FormatInt(n, 10) == v
}

// serveMedia serves a header or a segment that is made.
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
			n, ok := parseNumber(v)
			if !ok {
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
		h.Set("Cache-Control", cacheControl)
		h.Set("Content-Type", "video/mp4")
		if isInit {
			sendBytes(w, r, fragmentedHeader(f.list(), 0, nil))
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
		s.log.Debug("a recording cannot be played", "path", r.path, "error", err) // the client need not know where it is
		return nil, errNoRecording
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
