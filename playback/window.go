package playback

import (
	"slices"
	"sync"
	"time"
)

// windows remembers how far sliding playlists have come, so that the numbers of
// their segments stay the same.
type windows struct {
	mu   sync.Mutex
	list map[windowKey]*windowState
}

type windowKey struct {
	path   string
	length time.Duration
}

type windowState struct {
	used  time.Time
	place place
	list  []piece
}

// maxRemembered bounds how many segments are remembered: some 10 MB.
const maxRemembered = 1 << 17

func newWindows() *windows { return &windows{list: map[windowKey]*windowState{}} }

// usualTarget is the target duration of a window at first, in seconds: it must not
// change for a segment that is a little longer.
const usualTarget = 6

// place returns the numbers of a window that was asked for again.
func (w *windows) place(path string, length time.Duration, list []piece) place {
	w.mu.Lock()
	defer w.mu.Unlock()
	key := windowKey{path, length}
	old := w.list[key]
	if old != nil && list[0].at.Before(old.list[0].at) {
		return old.before(list) // another request was faster
	}
	// time goes on faster than numbers do: after a restart they are higher
	p := place{sequence: list[0].at.Unix(), origin: originOf(list), target: usualTarget}
	if old != nil {
		p = old.advance(list[0])
	}
	p.target = max(p.target, targetOf(list))
	w.list[key] = &windowState{time.Now(), p, list}
	w.forget(key)
	return p
}

// before returns the numbers of a list that begins earlier.
func (s *windowState) before(list []piece) place {
	p := s.place
	k := slices.IndexFunc(list, s.list[0].same)
	if k < 0 {
		k = len(list)
	}
	p.sequence -= int64(k)
	for _, x := range list[1:min(k+1, len(list))] {
		if x.breaks {
			p.discontinuities--
		}
	}
	return p
}

// advance counts the segments, and the marks in front of them, that have left the
// window.
func (s *windowState) advance(first piece) place {
	p := s.place
	for i, x := range s.list {
		if i > 0 && x.breaks {
			p.discontinuities++
		}
		if x.same(first) {
			return p
		}
		p.sequence++
	}
	p.discontinuities++ // nothing is left of what was there
	return p
}

// forget removes those that were not asked for the longest, except for one.
func (w *windows) forget(except windowKey) {
	total := 0
	for _, s := range w.list {
		total += len(s.list)
	}
	for total > maxRemembered && len(w.list) > 1 {
		var oldest windowKey
		var used time.Time
		for k, s := range w.list {
			if k != except && (used.IsZero() || s.used.Before(used)) {
				oldest, used = k, s.used
			}
		}
		total -= len(w.list[oldest].list)
		delete(w.list, oldest)
	}
}
