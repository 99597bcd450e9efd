package playback

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/org/mtx/protocol/httpserver"
)

// item is a time span that was recorded without a gap.
type item struct {
	Start    time.Time `json:"start"`
	Duration float64   `json:"duration"` // seconds
	URL      string    `json:"url"`
}

// timespan is what was recorded without a gap.
type timespan struct {
	start, end time.Time
	tracks     []track
}

func (s *server) serveList(w http.ResponseWriter, r *request) error {
	start, err := r.timeOf("start")
	if err != nil {
		return err
	}
	end, err := r.timeOf("end")
	if err != nil {
		return err
	}
	if !end.IsZero() && !end.After(start) {
		return requestError("end: must be after the start")
	}
	spans, err := s.spans(r.Context(), r, start, end)
	if err != nil {
		return err
	}
	items := make([]item, 0, len(spans))
	for _, sp := range spans {
		d := sp.end.Sub(sp.start).Seconds()
		q := s.tokenQuery(r.query)
		q.Set("path", r.path)
		q.Set("start", sp.start.Format(time.RFC3339Nano))
		q.Set("duration", strconv.FormatFloat(d, 'f', -1, 64))
		items = append(items, item{sp.start, d, httpserver.BaseURL(r.Request) + "/get?" + q.Encode()})
	}
	writeJSON(w, http.StatusOK, items)
	return nil
}

// spans returns what was recorded, cut at start and end unless they are zero.
func (s *server) spans(ctx context.Context, r *request, start, end time.Time) ([]timespan, error) {
	found, recorded, err := s.lib.find(ctx, r.pattern, r.path, start, end)
	if err != nil {
		return nil, err
	}
	if !recorded {
		return nil, errNeverRecorded
	}
	var out []timespan
	for _, g := range found {
		f, err := s.lib.open(ctx, g)
		if err != nil {
			if isGone(ctx, err) {
				return nil, err
			}
			continue
		}
		f.close()
		sp := timespan{f.Start, f.end(), f.list()}
		if n := len(out) - 1; n >= 0 && sp.start.Sub(out[n].end) <= maxGap && sameTracks(sp.tracks, out[n].tracks) {
			if sp.end.After(out[n].end) {
				out[n].end = sp.end
			}
			continue
		}
		out = append(out, sp)
	}
	kept := out[:0]
	for _, sp := range out {
		if sp.start.Before(start) {
			sp.start = start
		}
		if !end.IsZero() && sp.end.After(end) {
			sp.end = end
		}
		if sp.end.After(sp.start) {
			kept = append(kept, sp)
		}
	}
	return kept, nil
}
