package playback

import (
	"errors"
	"io"
	"net/http"
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
	o := newOutput(w)
	var ok bool
	if o.skip, o.left, ok = announce(w, r, m.size, m.tag()); !ok {
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
