package hls

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/org/mtx/router"
)

// server is a Server at work.
type server struct {
	*Server
	ctx  context.Context //nolint:containedctx // bounds the muxers, which outlive the requests that made them
	host *router.Host
	log  *slog.Logger
	page *page
	wg   sync.WaitGroup

	mu     sync.Mutex
	muxers map[string]*muxer
	over   bool // nobody waits for further muxers

	timelines map[string]*timeline // by path
}

// find returns the muxer of a path, or nil.
func (s *server) find(path string) *muxer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.muxers[path]
}

// demand returns the muxer of a path. If there is none it makes one, that reads
// with the grant.
func (s *server) demand(grant *router.Grant) *muxer {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.muxers[grant.Path()]
	if m == nil {
		m = s.addLocked(grant.Path(), grant)
	}
	return m
}

// always makes a muxer that lives as long as the stream.
func (s *server) always(path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return
	}
	if m := s.muxers[path]; m != nil {
		m.again = true
		return
	}
	s.addLocked(path, nil)
}

// finish comes before all muxers are waited for: a hook that is still on its way
// makes none.
func (s *server) finish() {
	s.mu.Lock()
	s.over = true
	s.mu.Unlock()
}

func (s *server) addLocked(path string, grant *router.Grant) *muxer {
	ctx, cancel := context.WithCancelCause(s.ctx)
	m := &muxer{
		server: s, path: path, grant: grant, id: uuid.NewString(), created: time.Now(),
		log: s.log.With("path", path), cancel: cancel, over: make(chan struct{}), changed: make(chan struct{}),
		viewers: newViewers(),
	}
	m.touch()
	s.muxers[path] = m
	s.wg.Go(func() { m.work(ctx) })
	return m
}

// remove forgets a muxer that has nothing to do anymore. It fails if there is
// something new to do.
func (s *server) remove(m *muxer, force bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m.again && !force {
		m.again = false
		return false
	}
	if s.muxers[m.path] == m {
		delete(s.muxers, m.path)
	}
	return true
}
