package router

import (
	"cmp"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/org/mtx/router/media"
)

// Path is a live path. All its state is guarded by mu; whatever can block
// (sources, sinks, hooks, authentication) runs outside of it.
type Path struct {
	r      *Router
	name   string
	log    *slog.Logger
	events *queue

	mu          sync.Mutex
	conf        *PathConfig
	groups      []string // of the regular expression that the name matched
	closed      bool
	stream      *Stream       // nil: none is available
	avail       *availability // of stream
	pub         *Publisher    // nil: nobody publishes
	next        *Publisher    // takes the place of pub with its first key frame
	hold        *time.Timer   // ends a stream that nobody publishes
	standbyDone chan struct{} // closed when the previous run of the standby is over; may be nil
	readers     map[*Attachment]struct{}
	waiting     int           // readers that wait for the stream
	changed     chan struct{} // closed at the next change of state; nil if nobody waits
	src         *sourceRun    // nil: the source is not running
	srcDone     chan struct{} // closed when the previous run of the source is over; may be nil
	idle        *time.Timer   // stops an on-demand source
	sinks       []*sinkRun    // at work on the current stream
	ending      []*sinkRun    // finishing a stream that is over
	leaving     []*sinkRun    // cancelled; new ones start when they are gone
	obs         observation
}

// Name returns the name of the path.
func (p *Path) Name() string { return p.name }

// Stream returns the current stream, or nil.
func (p *Path) Stream() *Stream {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stream
}

func (p *Path) notifyLocked() {
	if p.changed != nil {
		close(p.changed)
		p.changed = nil
	}
}

func (p *Path) changedLocked() <-chan struct{} {
	if p.changed == nil {
		p.changed = make(chan struct{})
	}
	return p.changed
}

// observe tells new hooks about what exists.
func (p *Path) observe(h *Hooks) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ev := PathEvent{Path: p.name, Groups: p.groups, Config: p.conf}
	begin := func(o *observation, call func(*Hooks) func()) {
		if !slices.Contains(o.seen, h) {
			o.begin(p.events, &p.r.tasks, []*Hooks{h}, call)
		}
	}
	begin(&p.obs, func(h *Hooks) func() { return h.pathCreated(ev) })
	if p.stream != nil {
		ev := ev
		ev.Peer, ev.Query = p.avail.peer, p.avail.query
		begin(&p.avail.obs, func(h *Hooks) func() { return h.pathReady(ev) })
	}
	if p.pub != nil && !p.pub.online.IsZero() {
		ev := ev
		ev.Peer, ev.Query = p.pub.peer, p.pub.query
		begin(&p.pub.obs, func(h *Hooks) func() { return h.pathOnline(ev) })
	}
	for a := range p.readers {
		ev := ev
		ev.Peer, ev.Query = a.peer, a.query
		begin(&a.obs, func(h *Hooks) func() { return h.readerAttached(ev) })
	}
}

// unobserve forgets hooks that were removed.
func (p *Path) unobserve(h *Hooks) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.obs.forget(h)
	if p.avail != nil {
		p.avail.obs.forget(h)
	}
	if p.pub != nil {
		p.pub.obs.forget(h)
	}
	for a := range p.readers {
		a.obs.forget(h)
	}
}

// update changes the configuration without disconnecting anybody. It returns
// false if that is not possible.
func (p *Path) update(c *PathConfig, groups []string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	old := p.conf
	switch {
	case old == c:
		return true
	case !old.canUpdate(c):
		return false
	case c.Source != nil && (isDynamic(old.Name) != isDynamic(c.Name) || !slices.Equal(p.groups, groups)):
		return false // the source may depend on them
	}
	p.conf, p.groups = c, groups
	if p.src != nil && !equal(old.Source, c.Source) {
		p.src.set(c.Source)
	}
	if p.stream != nil {
		p.stream.setGOPCache(c.GOPCache)
		p.syncSinksLocked()
	}
	switch {
	case c.OnDemand.Enabled:
		if c.OnDemand != old.OnDemand { // or its time would begin again
			p.checkIdleLocked()
		}
	case !isDynamic(c.Name):
		p.stopIdleLocked()
		p.startSourceLocked("")
	}
	p.notifyLocked()
	return true
}

// close ends everything and detaches the readers. Then wait waits until the source,
// the standby and the sinks have stopped.
func (p *Path) close(reason error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.closed = true
	p.stopIdleLocked()
	p.stopSourceLocked()
	for a := range p.readers {
		a.obs.end(p.events, &p.r.tasks)
	}
	clear(p.readers)
	p.endAllLocked(reason)
	p.syncSinksLocked()
	p.obs.end(p.events, &p.r.tasks)
	p.notifyLocked()
}

// wait blocks until what a closed path ran is gone, and logs what takes long.
func (p *Path) wait() {
	if p.srcDone != nil {
		await(p.log.With(keyWhat, "source"), p.srcDone)
	}
	if p.standbyDone != nil {
		await(p.log.With(keyWhat, "standby"), p.standbyDone)
	}
	for _, s := range p.leaving {
		await(p.log.With(keyWhat, "sink", keySink, s.sink.Type()), s.done)
	}
}

// isGone tells whether wait would not block.
func (p *Path) isGone() bool {
	return isDone(p.srcDone) && isDone(p.standbyDone) && !slices.ContainsFunc(p.leaving, func(s *sinkRun) bool { return !isDone(s.done) })
}

// isDone tells whether a channel was closed; nil counts as closed.
func isDone(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return ch == nil
	}
}

// unusedLocked tells whether a path that exists only because somebody asked for
// it can be forgotten.
func (p *Path) unusedLocked() bool {
	return !p.closed && isDynamic(p.conf.Name) && p.pub == nil && p.stream == nil && p.src == nil &&
		len(p.readers) == 0 && p.waiting == 0 && len(atWork(p.ending)) == 0
}

// PathInfo is a snapshot of a live path.
type PathInfo struct {
	Name       string
	ConfigName string    // name in the configuration, e.g. a regular expression
	Source     *Peer     // nil: nobody publishes and no source is configured
	Ready      bool      // there is a stream
	ReadyTime  time.Time // zero if not ready
	Online     bool      // a publisher or source writes: what is ready is not a standby, or its last picture
	OnlineTime time.Time // zero if not online
	Tracks     []media.Track
	In, Out    uint64     // bytes of media of the current stream
	InErrors   uint64     // access units that were lost or damaged on arrival
	Dropped    uint64     // units dropped by slow subscriptions
	Readers    []Peer     // by type and id
	Sinks      []SinkInfo // in the order of the configuration
}

// SinkInfo is a snapshot of a sink of a path.
type SinkInfo struct {
	Type  string // of [Sink]
	State string // "idle" (there is no stream), "running", "failed" (it waits for its next try)
}

// Info returns a snapshot of the path.
func (p *Path) Info() PathInfo {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := PathInfo{Name: p.name, ConfigName: p.conf.Name, Sinks: p.sinkInfosLocked()}
	if p.conf.Source != nil && !invites(p.conf.Source) {
		i.Source = &Peer{Type: p.conf.Source.Type()}
	}
	if p.pub != nil {
		peer := p.pub.peer
		i.Source, i.Online, i.OnlineTime = &peer, !p.pub.online.IsZero(), p.pub.online
	}
	if s := p.stream; s != nil {
		i.Ready, i.ReadyTime, i.Tracks = true, p.avail.since, s.Tracks()
		i.In, i.Out, i.InErrors, i.Dropped = s.in.Load(), s.out.Load(), s.inErrors.Load(), s.dropped.Load()
	}
	for a := range p.readers {
		i.Readers = append(i.Readers, a.peer)
	}
	slices.SortFunc(i.Readers, func(a, b Peer) int { return cmp.Or(strings.Compare(a.Type, b.Type), strings.Compare(a.ID, b.ID)) })
	return i
}

// Path returns a live path.
func (r *Router) Path(name string) (*Path, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p, ok := r.paths[name]
	return p, ok
}

// Paths iterates over snapshots of the live paths, by name.
func (r *Router) Paths() iter.Seq[PathInfo] {
	r.mu.Lock()
	paths := make([]*Path, 0, len(r.paths))
	for _, p := range r.paths {
		paths = append(paths, p)
	}
	r.mu.Unlock()
	slices.SortFunc(paths, func(a, b *Path) int { return strings.Compare(a.name, b.name) })
	return func(yield func(PathInfo) bool) {
		for _, p := range paths {
			if !yield(p.Info()) {
				return
			}
		}
	}
}
