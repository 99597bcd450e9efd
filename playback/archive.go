package playback

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/org/mtx/record"
)

// Archive is what there is on disk, for operators: the Control API lists and
// deletes with it.
type Archive struct {
	// Store holds the recordings. Default record.Local{}.
	Store record.Store

	// Recordings tell where the recordings of paths are, as those of a [Server].
	Recordings []Recording
}

// Archived is what was recorded of a path.
type Archived struct {
	Path   string
	Starts []time.Time // of the segments, oldest first
}

// ErrNoSegment tells that there is no segment to be deleted.
var ErrNoSegment = errors.New("there is no segment that starts at this time")

// List returns the paths that have recordings, by name.
func (a *Archive) List(ctx context.Context) ([]Archived, error) {
	cat, err := newCatalogue(a.Recordings)
	if err != nil {
		return nil, err
	}
	var patterns []record.Pattern
	for _, r := range a.Recordings {
		patterns = append(patterns, r.Pattern)
	}
	paths, err := record.Paths(ctx, a.Store, patterns)
	if err != nil {
		return nil, err
	}
	var out []Archived
	for _, path := range paths {
		// another pattern may be in force for the path by now
		if p, ok := cat.find(path); ok {
			got, err := a.get(ctx, p, path)
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if err == nil && len(got.Starts) > 0 {
				out = append(out, got)
			}
		}
	}
	return out, nil
}

// Get returns the segments of a path; none if it was never recorded.
func (a *Archive) Get(ctx context.Context, path string) (Archived, error) {
	p, err := a.pattern(path)
	if err != nil {
		return Archived{Path: path}, err
	}
	return a.get(ctx, p, path)
}

func (a *Archive) get(ctx context.Context, p record.Pattern, path string) (Archived, error) {
	found, err := record.Find(ctx, a.Store, p, path)
	out := Archived{Path: path}
	for _, g := range found {
		out.Starts = append(out.Starts, g.Start)
	}
	return out, err
}

// DeleteSegment removes the segment of a path that starts at a time. The error
// wraps [ErrNoSegment] if there is none.
func (a *Archive) DeleteSegment(ctx context.Context, path string, start time.Time) error {
	p, err := a.pattern(path)
	if err != nil {
		return err
	}
	if err = record.Delete(ctx, a.Store, p, path, start); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("path %q: %w: %s", path, ErrNoSegment, start.Format(time.RFC3339Nano))
	}
	return err
}

func (a *Archive) pattern(path string) (record.Pattern, error) {
	cat, err := newCatalogue(a.Recordings)
	if err != nil {
		return record.Pattern{}, err
	}
	p, ok := cat.find(path)
	if !ok {
		return p, errNotConfigured
	}
	return p, nil
}
