package controlapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/org/mtx/router"
)

// Recordings are the recorded files of all paths.
type Recordings interface {
	// List returns the paths that have recordings, by name, with the start times
	// of their segments, oldest first.
	List(ctx context.Context) ([]Recording, error)
	// Get returns the segments of a path; none if it was never recorded.
	Get(ctx context.Context, path string) (Recording, error)
	// DeleteSegment removes the segment of a path that starts at a time.
	DeleteSegment(ctx context.Context, path string, start time.Time) error
}

// Recording is what was recorded of a path.
type Recording struct {
	Name     string    `json:"name"`
	Segments []Segment `json:"segments"`
}

// Segment is a recorded file.
type Segment struct {
	Start time.Time `json:"start"`
}

func (a *api) recordingRoutes() []route {
	on := func() bool { return !isNil(a.Recordings) }
	return []route{
		{method: "GET", pattern: "/v3/recordings/list", enabled: on, answer: "RecordingList", handle: a.listRecordings, summary: "returns all recordings."},
		{method: "GET", pattern: "/v3/recordings/get/{name}", enabled: on, answer: "Recording", handle: a.getRecording, summary: "returns the recordings of a path."},
		{method: "DELETE", pattern: "/v3/recordings/deletesegment", enabled: on, handle: a.deleteSegment, query: []string{"path", "start"}, summary: "removes a recorded file."},
	}
}

func (a *api) listRecordings(w http.ResponseWriter, r *http.Request) {
	all, err := a.Recordings.List(r.Context())
	if err != nil {
		writeError(w, http.StatusInternalServerError, err)
		return
	}
	writePage(w, r, all)
}

func (a *api) getRecording(w http.ResponseWriter, r *http.Request) {
	name := chi.URLParam(r, "*")
	if err := router.ValidatePathName(name); err != nil {
		writeError(w, http.StatusBadRequest, err)
		return
	}
	rec, err := a.Recordings.Get(r.Context(), name)
	if err != nil {
		writeError(w, http.StatusInternalServerError, err)
		return
	}
	if rec.Segments == nil {
		rec.Segments = []Segment{}
	}
	writeJSON(w, rec)
}

func (a *api) deleteSegment(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	name := q.Get("path")
	if err := router.ValidatePathName(name); err != nil {
		writeError(w, http.StatusBadRequest, fmt.Errorf("path: %w", err))
		return
	}
	start, err := time.Parse(time.RFC3339, q.Get("start"))
	if err != nil {
		writeError(w, http.StatusBadRequest, errors.New("start: must be a time such as 2026-01-02T15:04:05Z"))
		return
	}
	if err := a.Recordings.DeleteSegment(r.Context(), name, start); err != nil {
		writeError(w, http.StatusBadRequest, err)
		return
	}
	writeOK(w)
}
