package hls

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/bluenviron/gohlslib/v2/pkg/playlist"
)

const (
	// maxBack and maxAhead are by how much the time stamps of a segment may
	// differ from the end of the one before.
	maxBack  = 100 * time.Millisecond
	maxAhead = 5 * time.Second

	// shortest is what segments have at least in playlists that are written again,
	// which have a resolution of 10 us.
	shortest = time.Millisecond
)

// jumpError tells that the stream goes on in a way that the client cannot follow:
// with other time stamps, or another initialization segment. A new client can.
type jumpError struct{ reason string }

func (e *jumpError) Error() string { return e.reason }

// listing is what is known of a media playlist.
type listing struct {
	base    *url.URL
	pl      *playlist.Media // as the client got it last
	last    int             // media sequence number of the last segment
	init    string          // the EXT-X-MAP tag that the client has followed
	fetched int             // media sequence number of the last segment that was asked for
	resume  int             // that of the segment after a jump

	lead  *lead
	known bool  // the end
	end   int64 // of the last segment, in ticks of the leading track
}

// lead is the track whose time stamps are looked at.
type lead struct {
	id    int
	scale float64 // ticks per second
}

// span is what a segment covers, in ticks of the leading track.
type span struct {
	first, end int64
	ok         bool
}

// follow decides what the client sees of a playlist, and whether it is too early.
// The client gives up if the next segment is not there yet. Playlists with low
// latency wait by themselves.
func (g *guard) follow(u *url.URL, pl *playlist.Media, t *tidied, changed bool, waited time.Duration) ([]byte, time.Duration, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	key := listKey(u)
	l, again := g.lists[key]
	if !again {
		l = &listing{fetched: -1, resume: -1}
	}
	number := pl.MediaSequence + len(pl.Segments) - 1
	lowLatency := isLowLatency(pl)
	switch {
	case lowLatency && !again:
		l.init = t.tail
	case lowLatency && t.tail != "" && t.tail != l.init:
		return nil, 0, &jumpError{"the initialization segment changes"}
	case !lowLatency:
		cut, err := l.cut(pl, t.inits, again, g.resume[key])
		if err != nil {
			g.lists[key] = l
			return nil, 0, err
		}
		changed = changed || cut
	}
	if pl.Endlist && len(pl.Segments) == 0 {
		return nil, 0, errStreamEnded
	}
	if wait, err := g.early(l, pl, number, again, waited); wait > 0 || err != nil {
		return nil, wait, err
	}
	l.base, l.pl, l.last = u, pl, number
	g.lists[key] = l
	if !changed {
		return t.body, 0, nil
	}
	for _, s := range pl.Segments {
		s.Duration = max(s.Duration, shortest)
	}
	out, err := pl.Marshal()
	return out, 0, err
}

func isLowLatency(pl *playlist.Media) bool {
	return pl.PreloadHint != nil && pl.ServerControl != nil && pl.ServerControl.CanBlockReload
}

// early returns after which pause a playlist should be asked for again.
func (g *guard) early(l *listing, pl *playlist.Media, last int, again bool, waited time.Duration) (time.Duration, error) {
	target := time.Duration(pl.TargetDuration) * time.Second
	wait := max(3*target, g.ReadTimeout)
	switch {
	case isLowLatency(pl):
		if again && l.pl.PreloadHint != nil && sameHint(l.pl.PreloadHint, pl.PreloadHint) {
			return g.later(waited, wait, "the playlist does not change")
		}
	case pl.Endlist || pl.Skip != nil:
	case !again && len(pl.Segments) < startSegments:
		return g.later(waited, startSegments*wait, "the playlist does not get enough segments")
	case again && last == l.last:
		return g.later(waited, wait, "the playlist does not change")
	case again && last < l.last && waited <= target: // maybe an old copy
		return pollPause, nil
	case again && last < l.last: // the server has begun again
		l.resume = -1
		return 0, &jumpError{fmt.Sprintf("the last media sequence number goes back from %d to %d", l.last, last)}
	}
	return 0, nil
}

func sameHint(a, b *playlist.MediaPreloadHint) bool {
	return a.URI == b.URI && a.ByteRangeStart == b.ByteRangeStart
}

// cut leaves segments with one initialization segment, and without gaps, as the
// client reads that of the beginning only. When it has taken all of them, the
// next ones are for another client.
func (l *listing) cut(pl *playlist.Media, inits []string, again bool, resume int) (changed bool, err error) {
	var from int
	switch {
	case again && l.fetched >= 0:
		from = min(max(l.fetched+1-pl.MediaSequence, 0), len(inits))
	case again:
		from = max(slices.Index(inits, l.init), 0)
	default:
		from = beginning(pl, inits, resume)
		pl.Segments, inits = pl.Segments[from:], inits[from:]
		pl.MediaSequence += from
		changed, from = from > 0, 0
		if len(inits) == 0 {
			return changed, nil
		}
		l.init = inits[0]
	}
	if from < len(inits) && inits[from] != l.init {
		reason := "the initialization segment changes"
		if inits[from] == gap {
			reason = "the stream has a gap"
		}
		for from < len(inits) && inits[from] == gap {
			from++
		}
		l.resume = pl.MediaSequence + from
		return changed, &jumpError{reason}
	}
	if n := slices.IndexFunc(inits[from:], func(s string) bool { return s != l.init }); n >= 0 {
		pl.Segments = pl.Segments[:from+n]
		pl.Endlist = true // there is nothing to wait for
		changed = true
	}
	if m := parseMap(l.init); !sameMap(m, pl.Map) {
		pl.Map, changed = m, true
	}
	return changed, nil
}

// beginning finds the first segment that a client should see.
func beginning(pl *playlist.Media, inits []string, resume int) int {
	from := 0
	switch n := resume - pl.MediaSequence; {
	case resume > 0 && n >= 0 && n <= len(inits):
		from = n
	case pl.Endlist || pl.PlaylistType != nil && *pl.PlaylistType == playlist.MediaPlaylistTypeVOD:
	default: // live: what came last
		from = len(inits)
		for from > 0 && inits[from-1] == inits[len(inits)-1] {
			from--
		}
	}
	for from < len(inits) && inits[from] == gap {
		from++
	}
	return from
}

func sameMap(a, b *playlist.MediaMap) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.URI == b.URI && rangeOf(a.ByteRangeStart, a.ByteRangeLength) == rangeOf(b.ByteRangeStart, b.ByteRangeLength)
}

// advance compares the time stamps of a segment with those of the one before.
func (l *listing) advance(s span, wraps bool) error {
	if !s.ok || l.lead == nil {
		l.resume = l.fetched + 1
		return nil
	}
	by := s.first - l.end
	if wraps { // 33 bits
		by = by << 31 >> 31
	}
	known := l.known
	l.end, l.known = s.end, true
	d := float64(by) / l.lead.scale
	switch {
	case !known:
	case d < -maxBack.Seconds():
		return &jumpError{fmt.Sprintf("the time stamps go back by %.3f seconds", -d)}
	case d > maxAhead.Seconds():
		return &jumpError{fmt.Sprintf("the time stamps go ahead by %.3f seconds", d)}
	}
	l.resume = l.fetched + 1
	return nil
}

// role is what a request is for.
type role int

const (
	roleUnknown role = iota
	roleInit
	roleMedia
)

// find tells which playlist has listed what is asked for.
func (g *guard) find(req *http.Request) (l *listing, what role, number int) {
	for req.Response != nil && req.Response.Request != nil { // it was redirected
		req = req.Response.Request
	}
	want := target{plain(req.URL), req.Header.Get("Range")}
	for _, l := range g.lists {
		if l.pl == nil {
			continue
		}
		if m := l.pl.Map; m != nil && want.is(l, m.URI, m.ByteRangeStart, m.ByteRangeLength) {
			return l, roleInit, 0
		}
		if h := l.pl.PreloadHint; h != nil && want.is(l, h.URI, &h.ByteRangeStart, h.ByteRangeLength) {
			return l, roleMedia, l.fetched
		}
		for i, s := range l.pl.Segments { // a URI may be there several times
			if number := l.pl.MediaSequence + i; number > l.fetched && want.is(l, s.URI, s.ByteRangeStart, s.ByteRangeLength) {
				return l, roleMedia, number
			}
		}
	}
	return nil, roleUnknown, 0
}

// target is what a request asks for.
type target struct{ url, bytes string }

func (t target) is(l *listing, uri string, start, length *uint64) bool {
	return t.bytes == rangeOf(start, length) && t.url == resolve(l.base, uri)
}

// rangeOf returns the header that the client makes of a byte range.
func rangeOf(start, length *uint64) string {
	if length == nil {
		return ""
	}
	first := uint64(0)
	if start != nil {
		first = *start
	}
	return "bytes=" + strconv.FormatUint(first, 10) + "-" + strconv.FormatUint(first+*length-1, 10)
}

// listKey is the URL of a playlist without what the client adds to it.
func listKey(u *url.URL) string {
	q := u.Query()
	if !q.Has("_HLS_skip") {
		return plain(u)
	}
	q.Del("_HLS_skip")
	c := *u
	c.RawQuery = q.Encode()
	return plain(&c)
}
