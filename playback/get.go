package playback

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
)

func (s *server) serveGet(w http.ResponseWriter, r *request) error {
	start, err := r.timeOf("start")
	if err != nil {
		return err
	}
	if start.IsZero() {
		return requestError("start: is missing")
	}
	d, err := r.durationOf("duration")
	if err != nil {
		return err
	}
	format := r.query.Get("format")
	switch format {
	case "", "fmp4", "mp4":
	default:
		return requestError("format: must be fmp4 or mp4")
	}
	found, recorded, err := s.lib.find(r.Context(), r.pattern, r.path, start, start.Add(d))
	if err != nil {
		return err
	}
	if !recorded {
		return errNeverRecorded
	}
	t, err := newTimeline(r.Context(), s.lib, found, start, d)
	if err != nil {
		return err
	}
	defer t.close()
	if format == "mp4" {
		return s.sendMovie(w, r, t)
	}
	return s.sendFragmented(w, r, t)
}

func (s *server) sendFragmented(w http.ResponseWriter, r *request, t *timeline) error {
	w.Header().Set("Accept-Ranges", "none") // its size is not known
	w.Header().Set("Content-Type", "video/mp4")
	if r.Method == http.MethodHead {
		w.WriteHeader(http.StatusOK)
		return nil
	}
	o := newOutput(w)
	return s.ended(w, r, o, writeFragmented(r.Context(), o, t))
}

// sendMovie knows the size of what it sends, and can send a part of it: players
// seek in that way.
func (s *server) sendMovie(w http.ResponseWriter, r *request, t *timeline) error {
	m, err := newMovie(r.Context(), t)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Accept-Ranges", "bytes")
	o, status := newOutput(w), http.StatusOK
	o.left = m.size
	if from, to, ok := parseRange(r.Header.Get("Range"), m.size); ok {
		if from >= m.size {
			h.Set("Content-Range", "bytes */"+strconv.FormatInt(m.size, 10))
			writeError(w, http.StatusRequestedRangeNotSatisfiable, errors.New("the range is after the end"))
			return nil
		}
		status = http.StatusPartialContent
		h.Set("Content-Range", "bytes "+strconv.FormatInt(from, 10)+"-"+strconv.FormatInt(to, 10)+"/"+strconv.FormatInt(m.size, 10))
		o.skip, o.left = from, to-from+1
	}
	h.Set("Content-Type", "video/mp4")
	h.Set("Content-Length", strconv.FormatInt(o.left, 10))
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return nil
	}
	return s.ended(w, r, o, m.writeTo(r.Context(), o))
}

// ended handles errors of answers that may have begun.
func (s *server) ended(w http.ResponseWriter, r *request, o *output, err error) error {
	switch {
	case err == nil || errors.Is(err, errStop):
		return nil
	case o.sent == 0 && w.Header().Get("Content-Length") == "":
		return err
	case r.Context().Err() == nil && (errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, errFragment)):
		s.log.Warn("a recording changed while it was played", "path", r.path, "error", err)
	}
	panic(http.ErrAbortHandler) // so that the client does not take it for the end
}

// parseRange reads a Range header (RFC 9110 section 14.2) with one range. What is
// not understood is ignored, as the RFC says.
func parseRange(v string, size int64) (from, to int64, ok bool) {
	v, ok = strings.CutPrefix(v, "bytes=")
	first, last, dash := strings.Cut(strings.TrimSpace(v), "-")
	if !ok || !dash {
		return 0, 0, false
	}
	if first == "" {
		n, err := strconv.ParseInt(last, 10, 64)
		if err != nil || n <= 0 {
			return 0, 0, false
		}
		return max(0, size-n), size - 1, true
	}
	from, err := strconv.ParseInt(first, 10, 64)
	if err != nil || from < 0 {
		return 0, 0, false
	}
	to = size - 1
	if last != "" {
		if to, err = strconv.ParseInt(last, 10, 64); err != nil || to < from {
			return 0, 0, false
		}
	}
	return from, min(to, size-1), true
}
