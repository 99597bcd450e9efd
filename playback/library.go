package playback

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/org/mtx/record"
)

// contents tells what is in a segment, and reads it. Values are immutable and
// shared by requests.
type contents interface {
	// list returns the tracks.
	list() []track
	// length is the presentation time of the end.
	length() time.Duration
	// begins returns the absolute time that all times count from; zero if it is not known.
	begins() time.Time
	// decoding returns the decoding times of the first sample of the leading track,
	// and of the one that would come next.
	decoding() (first, next time.Duration)
	// weight is the memory that is taken, in bytes.
	weight() int64
	// walk calls f for the samples from a time on, and before it as far as they
	// are needed: video from the last key frame. What f is given is valid during
	// the call.
	walk(ctx context.Context, r io.ReaderAt, from time.Duration, f func([]chunk) error) error
	// cuts returns where the segment can be cut into pieces that are not shorter
	// than leastPiece, except for the last one. The first one is at zero.
	cuts(ctx context.Context, r io.ReaderAt) ([]cut, error)
	// bytes tells whether pieces are parts of the file as it is.
	bytes() extent
}

// library opens segments. It remembers what is in them.
type library struct {
	store record.Store
	log   *slog.Logger

	mu    sync.Mutex
	known map[string]*list.Element // of shelf, by the name of the file
	shelf *list.List               // of *entry, the last one used in front
	load  int64                    // bytes
}

// entry is what is known of a file as it was at some time.
type entry struct {
	name     string
	size     int64
	modified time.Time
	contents contents
	err      error // why there are none
}

// maxLoad bounds the memory of a library, in bytes: some 400 segments of an hour.
const maxLoad = 64 << 20

func newLibrary(s record.Store, log *slog.Logger) *library {
	if s == nil {
		s = record.Local{}
	}
	return &library{store: s, log: log, known: map[string]*list.Element{}, shelf: list.New()}
}

func (e *entry) weight() int64 {
	n := int64(len(e.name)) + 256
	if e.contents != nil {
		n += e.contents.weight()
	}
	return n
}

// segment is an open file.
type segment struct {
	record.Segment
	contents
	file record.ReadFile
	id   int64 // microseconds since 1970, as the name of the file says; Start may be more precise
}

func (s *segment) close() { _ = s.file.Close() }

// end is when the segment ends.
func (s *segment) end() time.Time { return s.Start.Add(s.length()) }

// walk reads the samples.
func (s *segment) walk(ctx context.Context, from time.Duration, f func([]chunk) error) error {
	return s.contents.walk(ctx, s.file, from, f)
}

// open opens a segment. The errors of the context aside, the reason of an error is
// the file.
func (l *library) open(ctx context.Context, g record.Segment) (*segment, error) {
	f, err := l.store.Open(g.Name)
	if err != nil {
		return nil, err
	}
	c, err := l.look(ctx, g, f)
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	s := &segment{g, c, f, g.Start.UnixMicro()}
	s.refine()
	return s, nil
}

// maxAhead is how much later than the segment its name is, if others of its second were taken.
const maxAhead = 10 * time.Second

// refine takes the start from the file if its name lacks the fraction of a second.
func (s *segment) refine() {
	begins := s.begins()
	if d := begins.Sub(s.Start); isWhole(s.Start) && d >= -maxAhead && d < time.Second {
		s.Start = begins.Round(time.Microsecond)
	}
}

func isWhole(t time.Time) bool { return t.Nanosecond() == 0 }

// earliest is when a segment that is not open may begin.
func earliest(g record.Segment) time.Time {
	if isWhole(g.Start) {
		return g.Start.Add(-maxAhead)
	}
	return g.Start
}

// look finds out what is in a file.
func (l *library) look(ctx context.Context, g record.Segment, f record.ReadFile) (contents, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	e := &entry{name: g.Name, size: info.Size(), modified: info.ModTime()}
	old := l.take(g.Name)
	if old != nil && old.size == e.size && old.modified.Equal(e.modified) {
		return old.contents, old.err
	}
	e.contents, e.err = l.read(ctx, g.Format, f, e.size, old)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if e.err != nil {
		e.contents, e.err = nil, fmt.Errorf("%s: %w", g.Name, e.err)
		l.log.Warn("a recording cannot be played", "file", g.Name, "error", e.err)
	}
	l.keep(e)
	return e.contents, e.err
}

func (l *library) read(ctx context.Context, format record.Format, f io.ReaderAt, size int64, old *entry) (contents, error) {
	if format == record.MPEGTS {
		t, err := readTransport(ctx, f, size)
		if err != nil {
			return nil, err
		}
		if old != nil {
			if o, ok := old.contents.(*transport); ok {
				t.resume(o)
			}
		}
		return t, nil
	}
	if old != nil && old.size < size {
		if x, ok := old.contents.(*index); ok {
			return x.grow(ctx, f, size)
		}
	}
	return buildIndex(ctx, f, size)
}

func (l *library) take(name string) *entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, ok := l.known[name]
	if !ok {
		return nil
	}
	l.shelf.MoveToFront(e)
	return e.Value.(*entry)
}

func (l *library) keep(e *entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if old, ok := l.known[e.name]; ok {
		l.drop(old)
	}
	l.known[e.name] = l.shelf.PushFront(e)
	l.load += e.weight()
	for l.load > maxLoad && l.shelf.Len() > 1 {
		l.drop(l.shelf.Back())
	}
}

func (l *library) drop(el *list.Element) {
	e := l.shelf.Remove(el).(*entry)
	delete(l.known, e.name)
	l.load -= e.weight()
}

// maxOutlast is how long a segment goes on after the start of the next one: tracks are cut
// where their samples end, sound begins before the key frame, and names may lack fractions of
// a second.
const maxOutlast = 2 * time.Second

// find returns the segments of a path that may overlap a time span, oldest
// first. All is whether there are others.
func (l *library) find(ctx context.Context, p record.Pattern, path string, from, to time.Time) (found []record.Segment, recorded bool, err error) {
	all, err := record.Find(ctx, l.store, p, path)
	if err != nil {
		return nil, false, err
	}
	var over []record.Segment
	for i, g := range all {
		if !to.IsZero() && !earliest(g).Before(to) {
			break
		}
		// what begins before the span is over when the next one begins, or soon after
		if i+1 < len(all) && !all[i+1].Start.After(from.Add(-maxOutlast)) {
			over = append(over, g)
			continue
		}
		found = append(found, g)
	}
	if len(over) > 0 {
		found, err = l.lookBack(ctx, over, found, from)
	}
	return found, len(all) > 0, err
}

// maxLookBack is how many segments are looked at.
const maxLookBack = 8

// lookBack looks for a segment that goes on though later ones have begun, and ended: the clock
// was set back while it was recorded. Only if nothing else was recorded at the time.
func (l *library) lookBack(ctx context.Context, over, found []record.Segment, from time.Time) ([]record.Segment, error) {
	begun := 0 // before the time
	for begun < len(found) && !found[begun].Start.After(from) {
		begun++
	}
	for _, g := range found[:begun] {
		if yes, err := l.covers(ctx, g, from); yes || err != nil {
			return found, err
		}
	}
	for _, g := range slices.Backward(over[max(0, len(over)-maxLookBack):]) {
		yes, err := l.covers(ctx, g, from)
		if err != nil {
			return nil, err
		}
		if yes {
			return append([]record.Segment{g}, found[begun:]...), nil
		}
	}
	return found, nil
}

// covers tells whether a segment has begun at a time, and goes on. The error is that of the
// context.
func (l *library) covers(ctx context.Context, g record.Segment, at time.Time) (bool, error) {
	s, err := l.open(ctx, g)
	if err != nil {
		return false, ctx.Err()
	}
	s.close()
	return !s.Start.After(at) && s.end().After(at), nil
}

// isGone tells errors that concern the request, not the file.
func isGone(ctx context.Context, err error) bool {
	return ctx.Err() != nil || errors.Is(err, context.Canceled)
}
