package hls

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/org/mtx/router"
)

const (
	// maxRest bounds the time for which the end of a stream is kept.
	maxRest = 30 * time.Second

	// holdPlain is how long a playlist that has ended is held back from players
	// that poll, in case that there is something new.
	holdPlain = time.Second
)

// rest is what is left of an instance: its last playlists, and the files that
// they name, so that viewers who are behind see the end too. The playlists have
// no EXT-X-ENDLIST, after which players would not see the publisher come back.
type rest struct {
	lists map[string]*leftover // by name
	in    *instance            // whose muxers are closed; files in memory can still be read
	timer *time.Timer

	mu    sync.Mutex
	files map[string]*answer // by name
}

// leftover is a playlist that does not grow anymore.
type leftover struct {
	*answer
	end edge
}

// rest keeps the playlists that somebody has asked for. It returns nil if there
// are none, or if the files are on disk, where they do not outlive the muxers.
func (in *instance) rest() *rest {
	if in.dir != "" || in.m.idle() > maxRest {
		return nil
	}
	r := &rest{lists: map[string]*leftover{}, in: in, files: map[string]*answer{}}
	in.cacheMu.Lock()
	names := slices.Collect(maps.Keys(in.lists))
	in.cacheMu.Unlock()
	for _, name := range names { // they have content: nothing blocks
		rec := in.render(name, "")
		if rec.status != http.StatusOK {
			continue
		}
		r.lists[in.place.prefix()+name] = &leftover{answerOf(name, rec), edgeOf(rec.body)}
	}
	if len(r.lists) == 0 {
		return nil
	}
	return r
}

// stays is how long it is kept: about as long as viewers can be behind.
func (r *rest) stays() (d time.Duration) {
	for _, l := range r.lists {
		d = max(d, time.Duration(segments(l.body))*time.Duration(targetOf(l.body))*time.Second)
	}
	return min(max(d, holdFor), maxRest, r.in.m.MuxerCloseAfter)
}

// answerOf is a file that has been rendered.
func answerOf(file string, rec *recorder) *answer {
	return &answer{
		file: file, playlist: isPlaylist(file), found: true, status: rec.status, body: rec.body,
		ctype: rec.header["Content-Type"], length: []string{strconv.Itoa(len(rec.body))},
	}
}

// file returns a part or segment, or nil. r may be nil.
func (r *rest) file(name string) *answer {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	a, ok := r.files[name]
	if !ok {
		if rec := r.in.render(name, ""); rec.status == http.StatusOK && len(rec.body) > 0 {
			a = answerOf(name, rec)
			r.files[name] = a
		}
	}
	return a
}

// ended waits until a stream that has ended is there again; until then, players
// get its last playlist.
func (s *server) ended(ctx context.Context, path string, ask wish) (back bool, a *answer) {
	t := s.pastOf(path)
	var l *leftover
	if r := t.left(); r != nil {
		l = r.lists[ask.file]
	}
	switch {
	case l == nil:
		return s.await(ctx, t, path, 0), nil
	case l.satisfies(ask.query):
		back = s.wait(ctx, t, path, holdPlain)
	default:
		back = s.await(ctx, t, path, holdPlain)
	}
	switch {
	case back || ctx.Err() != nil || t.left() == nil:
		return back, nil
	case ask.classic && s.Variant == LowLatency:
		return false, l.derive("\x00classic", classic)
	}
	return false, l.answer
}

// drains tells whether a request can only be about a stream that is over: there is
// no other, and a reader would not bring one about.
func (s *server) drains(grant *router.Grant, file string) bool {
	conf := grant.Config()
	if file == indexFile || conf.OnDemand.Enabled || conf.Fallback != "" || s.pastOf(grant.Path()).left() == nil {
		return false
	}
	p, ok := s.host.Router().Path(grant.Path())
	return !ok || p.Stream() == nil
}

// satisfies tells whether a playlist has what a request waits for, if it does.
func (l *leftover) satisfies(d directives) bool {
	msn, err := strconv.ParseUint(d.msn, 10, 64)
	if err != nil || msn < l.end.next {
		return true
	}
	part, err := strconv.ParseUint(d.part, 10, 64)
	return err == nil && msn == l.end.next && part < l.end.parts
}

// left returns what is left of the last instance, or nil. t may be nil.
func (t *timeline) left() *rest {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.rest
}

// keep replaces the rest of an earlier instance. t.mu is locked.
func (t *timeline) keep(r *rest) {
	if t.rest != nil {
		t.rest.timer.Stop()
	}
	t.rest = r
	if r == nil {
		return
	}
	r.timer = time.AfterFunc(r.stays(), func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.rest == r {
			t.rest = nil
		}
	})
}

// dropRests is called at the end, when there are no muxers anymore.
func (s *server) dropRests() {
	for _, t := range s.timelines {
		t.mu.Lock()
		t.keep(nil)
		t.mu.Unlock()
	}
}

// leavesRest tells whether an instance ended in a way that leaves viewers behind.
func leavesRest(err error) bool {
	var pe *panicError
	return (errors.Is(err, router.ErrStreamClosed) || errors.Is(err, errRestart)) && !errors.As(err, &pe)
}
