package record

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"slices"
	"time"
)

// Segment is a recorded file.
type Segment struct {
	Name     string // of the file in its store
	Format   Format
	Path     string    // that was recorded
	Start    time.Time // as precise as the pattern; the file may know better
	Size     int64     // bytes
	Modified time.Time // when it was written last: its end, about
}

// Find returns the segments of a path, from the oldest to the newest. There may
// be none. Files whose names do not match the pattern are left out, and so is
// what is no file: folders, FIFOs, devices, symbolic links. A nil store means
// local files.
func Find(ctx context.Context, s Store, p Pattern, path string) ([]Segment, error) {
	if p.Name(path, time.Time{}) == "" {
		return nil, fmt.Errorf("%q is not the name of a path", path)
	}
	var out []Segment
	err := each(ctx, s, p, p.rootOf(path), func(g Segment) {
		if g.Path == path {
			out = append(out, g)
		}
	})
	slices.SortFunc(out, bySegmentStart)
	return out, err
}

// Delete removes the segment of a path that begins at start, to the microsecond.
// It fails with [fs.ErrNotExist] if there is none.
func Delete(ctx context.Context, s Store, p Pattern, path string, start time.Time) error {
	list, err := Find(ctx, s, p, path)
	if err != nil {
		return err
	}
	for _, g := range list {
		if g.Start.Truncate(time.Microsecond).Equal(start.Truncate(time.Microsecond)) {
			return storeOr(s).Remove(p.Root(), g.Name)
		}
	}
	return fmt.Errorf("path %q has no segment that begins at %s: %w", path, start.Format(time.RFC3339Nano), fs.ErrNotExist)
}

// Paths returns the names of the paths that have segments, in order, each once. Where
// recordings cannot be looked for is left out, unless there are none elsewhere.
func Paths(ctx context.Context, s Store, patterns []Pattern) ([]string, error) {
	seen := map[string]struct{}{}
	var out []string
	var failed error
	for _, p := range unique(patterns) {
		err := each(ctx, s, p, p.Root(), func(g Segment) {
			if _, ok := seen[g.Path]; !ok {
				seen[g.Path] = struct{}{}
				out = append(out, g.Path)
			}
		})
		if err != nil {
			failed = cmp.Or(failed, err)
		}
	}
	if ctx.Err() != nil || out == nil {
		return nil, failed
	}
	slices.Sort(out)
	return out, nil
}

func unique(patterns []Pattern) []Pattern {
	var out []Pattern
	for _, p := range patterns {
		if !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out
}

// each calls f for all segments of a pattern that are below a folder.
func each(ctx context.Context, s Store, p Pattern, root string, f func(Segment)) error {
	for e, err := range storeOr(s).List(ctx, root) {
		if err != nil {
			return err
		}
		if path, start, ok := p.Match(e.Name); ok {
			f(Segment{e.Name, p.format, path, start, e.Size, e.Modified})
		}
	}
	return nil
}

func bySegmentStart(a, b Segment) int {
	return cmp.Or(a.Start.Compare(b.Start), cmp.Compare(a.Name, b.Name))
}
