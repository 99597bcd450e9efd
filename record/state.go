package record

import (
	"maps"
	"sync"
	"sync/atomic"
	"weak"

	"github.com/org/mtx/router"
)

// State is what recorders tell about their work: counters for operators, and to
// the [Cleaner] which segments are not finished. One State is shared by all sinks
// and the cleaner of a program. The zero value is ready for use.
type State struct {
	segments, parts, bytes, dropped, discarded atomic.Uint64

	running atomic.Int64

	mu   sync.Mutex
	open map[string]struct{} // names of files

	// streams of which something was recorded, and where
	begun map[recording]weak.Pointer[router.Stream]
}

// recording is where the stream of a path goes.
type recording struct {
	path    string
	pattern Pattern
}

// Stats are counters since the program began.
type Stats struct {
	Segments     uint64 // files that were begun
	Parts        uint64 // that were written
	Bytes        uint64 // that were written
	DroppedParts uint64 // lost because the store was full, broken or too slow
	DroppedUnits uint64 // of media that fit into no segment, because of their time stamps
	OpenSegments int    // files that are being written
	Recorders    int    // streams that are being recorded
}

// Stats returns the counters.
func (s *State) Stats() Stats {
	s.mu.Lock()
	n := len(s.open)
	s.mu.Unlock()
	return Stats{s.segments.Load(), s.parts.Load(), s.bytes.Load(), s.dropped.Load(), s.discarded.Load(), n, int(s.running.Load())}
}

// Open tells whether a segment is being written.
func (s *State) Open(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.open[name]
	return ok
}

func (s *State) opened(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = map[string]struct{}{}
	}
	s.open[name] = struct{}{}
}

func (s *State) closed(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, name)
}

// first tells whether a stream has not been recorded yet, and notes that it is now.
func (s *State) first(path string, p Pattern, stream *router.Stream) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.begun, func(_ recording, w weak.Pointer[router.Stream]) bool {
		v := w.Value()
		return v == nil || v.Err() != nil
	})
	if s.begun == nil {
		s.begun = map[recording]weak.Pointer[router.Stream]{}
	}
	k := recording{path, p}
	v, ok := s.begun[k]
	s.begun[k] = weak.Make(stream)
	return !ok || v.Value() != stream
}
