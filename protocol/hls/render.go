package hls

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"runtime/debug"
	"strconv"
)

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
