package hls

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"runtime/debug"
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

// render asks the muxers for a file. It may take as long as they live.
func (in *instance) render(file, query string) (rec *recorder) {
	defer func() {
		if v := recover(); v != nil {
			in.m.log.Error("panic", "error", v, "file", file, "stack", string(debug.Stack()))
			rec = &recorder{status: http.StatusInternalServerError}
		}
	}()
	if file == indexFile {
		return in.renderIndex()
	}
	muxers, list := in.muxers, file
	segment, wait := wholeSegment(query)
	if isPlaylist(file) {
		n, name := splitName(file)
		if n >= len(muxers) {
			return &recorder{}
		}
		muxers, file = muxers[n:n+1], name
	}
	for {
		var next <-chan struct{}
		if in.m.Variant == MPEGTS || wait {
			next = in.nextVersion()
		}
		for _, g := range muxers { // names of media files are unique
			rec = handlePlaylist(g.Handle, file, query)
			if rec.status != 0 {
				break
			}
		}
		if !isPlaylist(file) || rec.status != http.StatusOK {
			return rec
		}
		_, end := place{}.put(rec.body)
		if !(in.m.Variant == MPEGTS && segments(rec.body) < minSegments || wait && end <= segment) {
			rec.body = in.finish(list, rec.body)
			return rec
		}
		select {
		case <-next:
		case <-in.done:
			return &recorder{status: http.StatusInternalServerError}
		}
	}
}

// finish completes a media playlist of gohlslib.
func (in *instance) finish(file string, body []byte) []byte {
	if in.prefix.Load() == nil {
		if p := filePrefix(body); p != "" {
			in.prefix.Store(&p)
		}
	}
	end := edgeOf(body)
	in.cacheMu.Lock()
	in.lists[file] = end
	in.cacheMu.Unlock()
	if in.m.Variant != MPEGTS {
		body = addDates(body)
	}
	in.m.viewers.target.Store(targetOf(body))
	body, next := in.place.put(body)
	if in.m.Variant == LowLatency {
		next++ // of the next segment there are parts
	}
	in.line.know(next)
	return body
}

// segments counts those that exist.
func segments(body []byte) int {
	return bytes.Count(body, []byte(tagInfo)) - bytes.Count(body, []byte(tagGap))
}

// handlePlaylist is handle, but does what is right where gohlslib does not: what
// was in the playlist once is not waited for (RFC 8216bis section 6.2.5.2), and a
// delta update leaves something out.
func handlePlaylist(h http.HandlerFunc, file, query string) *recorder {
	rec := handle(h, file, query)
	if query == "" || !isPlaylist(file) {
		return rec
	}
	msn, err := strconv.ParseUint(directivesOf(query).msn, 10, 64)
	switch {
	case rec.status == http.StatusBadRequest && err == nil:
		full := handle(h, file, "")
		if _, end := (place{}).put(full.body); full.status == http.StatusOK && msn < end {
			return full
		}
	case rec.status == http.StatusOK && bytes.Contains(rec.body, []byte(tagSkipped+"0\n")):
		return handle(h, file, "")
	}
	return rec
}

// wholeSegment returns the number of the segment that a request waits for; gohlslib
// does not wait for more than its first part.
func wholeSegment(query string) (msn uint64, ok bool) {
	d := directivesOf(query)
	msn, err := strconv.ParseUint(d.msn, 10, 64)
	return msn, err == nil && d.part == ""
}

func handle(h http.HandlerFunc, file, query string) *recorder {
	rec := &recorder{header: http.Header{}}
	h(rec, &http.Request{Method: http.MethodGet, URL: &url.URL{Path: "/" + file, RawQuery: query}})
	return rec
}

// recorder keeps what a handler writes.
type recorder struct {
	header http.Header
	status int
	body   []byte
}

func (r *recorder) Header() http.Header { return r.header }

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
}

func (r *recorder) Write(p []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	r.body = append(r.body, p...)
	return len(p), nil
}

// ReadFrom implements io.ReaderFrom: it saves io.Copy a buffer.
func (r *recorder) ReadFrom(src io.Reader) (int64, error) {
	r.WriteHeader(http.StatusOK)
	var total int64
	for {
		if cap(r.body)-len(r.body) < 4096 {
			grown := make([]byte, len(r.body), max(64<<10, 2*cap(r.body)))
			copy(grown, r.body)
			r.body = grown
		}
		n, err := src.Read(r.body[len(r.body):cap(r.body)])
		r.body = r.body[:len(r.body)+n]
		total += int64(n)
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
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
