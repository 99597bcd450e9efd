package playback

import (
	"cmp"
	"errors"
	"net/http"
	"strconv"
	"strings"
)

// announce writes the header of an answer of a known size, of which the client may
// have asked for a part. It returns what is to be sent; ok is false if nothing is. The tag
// is another one when the contents are; it is empty if they only grow.
func announce(w http.ResponseWriter, r *request, size int64, tag string) (from, n int64, ok bool) {
	h := w.Header()
	h.Set("Accept-Ranges", "bytes")
	if tag != "" {
		h.Set("ETag", tag)
	}
	status, n := http.StatusOK, size
	same := tag == "" || cmp.Or(r.Header.Get("If-Range"), tag) == tag // RFC 9110 section 13.1.5
	if first, last, part := parseRange(r.Header.Get("Range"), size); part && same {
		if first >= size {
			h.Set("Content-Range", "bytes */"+strconv.FormatInt(size, 10))
			writeError(w, http.StatusRequestedRangeNotSatisfiable, errors.New("the range is after the end"))
			return 0, 0, false
		}
		status = http.StatusPartialContent
		h.Set("Content-Range", "bytes "+strconv.FormatInt(first, 10)+"-"+strconv.FormatInt(last, 10)+"/"+strconv.FormatInt(size, 10))
		from, n = first, last-first+1
	}
	h.Set("Content-Type", "video/mp4")
	h.Set("Content-Length", strconv.FormatInt(n, 10))
	w.WriteHeader(status)
	return from, n, r.Method != http.MethodHead
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
