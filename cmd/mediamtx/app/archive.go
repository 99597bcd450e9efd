package app

import (
	"context"
	"time"

	"github.com/org/mtx/controlapi"
	"github.com/org/mtx/playback"
)

// archive shows the Control API what was recorded, wherever the configuration in
// force says that it is.
type archive struct{ c *configuration }

var _ controlapi.Recordings = archive{}

func (a archive) now(ctx context.Context) (*playback.Archive, error) {
	if err := a.c.lock(ctx); err != nil {
		return nil, err
	}
	defer a.c.unlock()
	return a.c.doc.Archive(), nil
}

// List implements controlapi.Recordings.
func (a archive) List(ctx context.Context) ([]controlapi.Recording, error) {
	now, err := a.now(ctx)
	if err != nil {
		return nil, err
	}
	all, err := now.List(ctx)
	out := make([]controlapi.Recording, 0, len(all))
	for _, r := range all {
		out = append(out, recordingOf(r))
	}
	return out, err
}

// Get implements controlapi.Recordings.
func (a archive) Get(ctx context.Context, path string) (controlapi.Recording, error) {
	now, err := a.now(ctx)
	if err != nil {
		return controlapi.Recording{}, err
	}
	r, err := now.Get(ctx, path)
	return recordingOf(r), err
}

// DeleteSegment implements controlapi.Recordings.
func (a archive) DeleteSegment(ctx context.Context, path string, start time.Time) error {
	now, err := a.now(ctx)
	if err != nil {
		return err
	}
	return now.DeleteSegment(ctx, path, start)
}

func recordingOf(r playback.Archived) controlapi.Recording {
	out := controlapi.Recording{Name: r.Path, Segments: []controlapi.Segment{}}
	for _, s := range r.Starts {
		out.Segments = append(out.Segments, controlapi.Segment{Start: s})
	}
	return out
}
