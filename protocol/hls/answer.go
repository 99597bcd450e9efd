package hls

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxBlocked bounds the answers that are being made at a time for clients that
	// ask for parts which are still far away. Each takes a goroutine.
	maxBlocked = 64

	// maxAnswers bounds the answers that are kept.
	maxAnswers = 1024

	// keepUnused is for how long an answer is kept that nobody asks for.
	keepUnused = 10 * time.Second

	// maxPart bounds _HLS_part.
	maxPart = 1000

	// minSegments is how many segments the first playlist must have: GStreamer
	// stumbles over a single one.
	minSegments = 2

	// maxDerived is how many versions of a playlist are kept, for clients with
	// different queries.
	maxDerived = 16
)

// answer is a file that was rendered once, for everybody.
type answer struct {
	file     string
	playlist bool
	version  uint64 // of the instance, when it was made
	made     chan struct{}
	used     atomic.Int64 // Unix nanoseconds

	// set before made is closed
	found  bool
	status int
	ctype  []string
	length []string
	body   []byte

	gzOnce   sync.Once
	gz       []byte
	gzLength []string

	mu      sync.Mutex
	derived map[string]*answer // by query, or what else makes the difference
}

// isPlaylist tells playlists from parts and segments.
func isPlaylist(file string) bool { return strings.HasSuffix(file, ".m3u8") }

// get returns a file as soon as it exists. Only the parameters of the query that
// belong to HLS matter.
func (in *instance) get(ctx context.Context, file string, q directives) (*answer, error) {
	file, ok := in.local(file)
	if !ok {
		return nil, errNotFound
	}
	key, query, err := in.key(file, q)
	if err != nil {
		return nil, err
	}
	a, err := in.share(file, key, query)
	if err != nil {
		return nil, err
	}
	select {
	case <-a.made:
	case <-in.done:
		return nil, errRestart
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	switch {
	case !a.found:
		return nil, errNotFound
	case a.status == http.StatusInternalServerError: // the muxer was closed
		return nil, errRestart
	}
	return a, nil
}

// badQueryError: the client asks for something that cannot be.
type badQueryError struct{ name, value string }

func (e *badQueryError) Error() string {
	return fmt.Sprintf("query parameter %s=%q: must be a number in the range of the playlist", e.name, e.value)
}

// local removes from a name what makes it differ from that of another instance.
func (in *instance) local(file string) (string, bool) {
	if !isPlaylist(file) || file == indexFile {
		return file, true
	}
	return strings.CutPrefix(file, in.place.prefix())
}

// directives are those of HLS in a query, as they were sent (RFC 8216bis section
// 6.2.5).
type directives struct{ msn, part, skip string }

// directivesOf reads a query. It is much cheaper than url.ParseQuery, and there
// is one with every request of a player.
func directivesOf(raw string) (d directives) {
	for raw != "" {
		var pair string
		pair, raw, _ = strings.Cut(raw, "&")
		name, value, _ := strings.Cut(pair, "=")
		switch {
		case name == "_HLS_msn" && d.msn == "":
			d.msn = value
		case name == "_HLS_part" && d.part == "":
			d.part = value
		case name == "_HLS_skip" && d.skip == "":
			d.skip = value
		}
	}
	return d
}

// key names an answer: what is the same for all clients has one key.
func (in *instance) key(file string, d directives) (key, query string, err error) {
	if in.m.Variant != LowLatency || !isPlaylist(file) || file == indexFile {
		return file, "", nil
	}
	b := make([]byte, 0, 128)
	b = append(append(b, file...), '?')
	if d.msn != "" {
		n, err := strconv.ParseUint(d.msn, 10, 64)
		if err != nil || n > 1<<62 {
			return "", "", &badQueryError{"_HLS_msn", d.msn}
		}
		if in.place.sequence > 0 {
			if n < in.place.sequence+gaps { // the client comes from an earlier instance
				return file + "?", "", nil
			}
			n -= in.place.sequence
		}
		b = strconv.AppendUint(append(b, "_HLS_msn="...), n, 10)
		b = append(b, '&')
	}
	if d.part != "" {
		n, err := strconv.ParseUint(d.part, 10, 64)
		if err != nil || n > maxPart {
			return "", "", &badQueryError{"_HLS_part", d.part}
		}
		b = strconv.AppendUint(append(b, "_HLS_part="...), n, 10)
		b = append(b, '&')
	}
	if d.skip == "YES" || d.skip == "v2" {
		b = append(b, "_HLS_skip=YES&"...)
	}
	key = string(bytes.TrimSuffix(b, []byte("&")))
	return key, key[len(file)+1:], nil
}

// errBusy: too many different files are being waited for.
var errBusy = fmt.Errorf("too many requests wait for parts")

// share returns the answer of a key, which may not have been made yet.
func (in *instance) share(file, key, query string) (*answer, error) {
	now := time.Now()
	in.cacheMu.Lock()
	defer in.cacheMu.Unlock()
	if a := in.answers[key]; a != nil && in.fresh(a) {
		a.used.Store(now.UnixNano())
		return a, nil
	}
	select {
	case <-in.done:
		return nil, errRestart
	default:
	}
	far := in.lists[file].isFar(directivesOf(query))
	if far && in.blocked >= maxBlocked {
		return nil, errBusy
	}
	in.sweep(now)
	a := &answer{file: file, playlist: isPlaylist(file), made: make(chan struct{})}
	a.used.Store(now.UnixNano())
	if len(in.answers) < maxAnswers {
		in.answers[key] = a
	}
	if far {
		in.blocked++
	}
	in.fetches.Go(func() { in.makeAnswer(a, key, query, far) })
	return a, nil
}

// edge is where a playlist ends.
type edge struct {
	next  uint64 // number of the segment after the last
	parts uint64 // of that segment
}

// edgeOf reads a media playlist.
func edgeOf(body []byte) (e edge) {
	_, e.next = place{}.put(body)
	rest := body[max(0, bytes.LastIndex(body, []byte(tagInfo))):]
	e.parts = uint64(bytes.Count(rest, []byte(tagPart)))
	return e
}

// isFar tells whether a request waits for more than what comes next, as no player
// does.
func (e edge) isFar(d directives) bool {
	msn, err := strconv.ParseUint(d.msn, 10, 64)
	part, _ := strconv.ParseUint(d.part, 10, 64)
	return err == nil && (msn > e.next || msn == e.next && part > e.parts+1) && (msn != e.next+1 || d.part != "0")
}

// fresh tells whether an answer is that of the moment, or is still to come.
func (in *instance) fresh(a *answer) bool {
	if !a.playlist {
		return true
	}
	select {
	case <-a.made:
		return a.version == in.version.Load()
	default:
		return true
	}
}

// sweep forgets what is not used anymore.
func (in *instance) sweep(now time.Time) {
	if now.Sub(in.swept) < time.Second {
		return
	}
	in.swept = now
	for k, a := range in.answers {
		if !in.fresh(a) || now.Sub(time.Unix(0, a.used.Load())) > keepUnused {
			delete(in.answers, k)
		}
	}
}

func (in *instance) makeAnswer(a *answer, key, query string, far bool) {
	rec := in.render(a.file, query)
	a.found, a.status, a.body = rec.status != 0, rec.status, rec.body
	a.ctype = rec.header["Content-Type"]
	a.length = []string{strconv.Itoa(len(a.body))}
	a.version = in.version.Load()
	in.cacheMu.Lock()
	defer in.cacheMu.Unlock()
	if far {
		in.blocked--
	}
	if a.status != http.StatusOK && in.answers[key] == a {
		delete(in.answers, key)
	}
	close(a.made)
}

// segments counts those that exist.
func segments(body []byte) int {
	return bytes.Count(body, []byte(tagInfo)) - bytes.Count(body, []byte(tagGap))
}

// gzipped returns the body compressed, once for all clients.
func (a *answer) gzipped() (body []byte, length []string) {
	a.gzOnce.Do(func() {
		var b bytes.Buffer
		w, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed)
		_, _ = w.Write(a.body)
		_ = w.Close()
		a.gz, a.gzLength = b.Bytes(), []string{strconv.Itoa(b.Len())}
	})
	return a.gz, a.gzLength
}

// withQuery returns a playlist whose URLs carry a query.
func (a *answer) withQuery(query string) *answer {
	return a.derive(query, func(body []byte) []byte { return addQuery(body, query) })
}

// derive returns another version of a playlist, made once.
func (a *answer) derive(key string, f func(body []byte) []byte) *answer {
	a.mu.Lock()
	defer a.mu.Unlock()
	if d := a.derived[key]; d != nil {
		return d
	}
	d := &answer{file: a.file, playlist: true, status: a.status, found: true, ctype: a.ctype, body: f(a.body)}
	d.length = []string{strconv.Itoa(len(d.body))}
	if a.derived == nil {
		a.derived = map[string]*answer{}
	}
	if len(a.derived) < maxDerived {
		a.derived[key] = d
	}
	return d
}
