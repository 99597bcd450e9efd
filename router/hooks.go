package router

import (
	"slices"
	"time"
)

// Keys of log records.
const (
	keyError    = "error"
	keyStack    = "stack"
	keyPause    = "pause"
	keyPath     = "path"
	keySource   = "source"
	keySink     = "sink"
	keyProtocol = "protocol"
	keyReason   = "reason"
	keyTracks   = "tracks"
	keyPeer     = "peer"
	keyRemote   = "remote"
	keyWhat     = "what"
)

// Hooks observe the router, in the manner of httptrace.ClientTrace: set the
// functions that you want. They are called one after another for each path, in
// the order of the events, on goroutines of the router and outside of its
// locks; a slow function delays only the later events of its path. What a
// function returns, if not nil, is called at the opposite event.
//
// A hook may call every method of the router but Close and Run, which would
// wait for the hook itself. A panic of a hook is logged.
type Hooks struct {
	// PathCreated: a live path exists, with or without a stream.
	PathCreated func(PathEvent) (removed func())

	// PathReady: a stream is available.
	PathReady func(PathEvent) (notReady func())

	// PathOnline: a publisher or source writes to the stream. Without a [Standby]
	// and PublisherGrace it is called together with PathReady, after it.
	PathOnline func(PathEvent) (offline func())

	// ReaderAttached: a client reads.
	ReaderAttached func(PathEvent) (detached func())

	// SessionOpened: a client connected; see [Host.AddSession].
	SessionOpened func(SessionEvent) (closed func())

	// SegmentCreated and SegmentCompleted: a recorder began, or finished, a
	// file.
	SegmentCreated   func(SegmentEvent)
	SegmentCompleted func(SegmentEvent)

	// ConfigApplied: another configuration is in force.
	ConfigApplied func(Changes)
}

// PathEvent is the subject of a hook about a path.
type PathEvent struct {
	Path   string      // name of the path
	Groups []string    // of the regular expression that the path matched: $0, $1...
	Config *PathConfig // in force at that time; it must not be changed
	Peer   Peer        // the source (PathReady, PathOnline) or the reader (ReaderAttached)
	Query  string      // of the client
}

// SessionEvent is the subject of a hook about a client.
type SessionEvent struct {
	Kind string // see SessionInfo
	ID   string // UUID
}

// SegmentEvent is the subject of a hook about a recorded file.
type SegmentEvent struct {
	Path     string        // name of the path
	Groups   []string      // as in PathEvent
	Config   *PathConfig   // in force at that time; it must not be changed
	File     string        // name of the file, as its store knows it
	Duration time.Duration // zero when created
}

// observation remembers which hooks saw the beginning of something, and what
// must be called at its end. undo is touched only by the queue of the owner.
type observation struct {
	begun bool     // some hooks saw it; guarded by the lock of the owner
	seen  []*Hooks // those of them that were not removed; guarded likewise
	undo  []func()
}

// begin is called with the lock of the owner held; call runs in the queue.
func (o *observation) begin(q *queue, t *tasks, hooks []*Hooks, call func(*Hooks) func()) {
	o.seen = append(slices.Clip(o.seen), hooks...)
	if len(hooks) == 0 {
		return
	}
	o.begun = true
	q.push(t, func() {
		for _, h := range hooks {
			t.call(func() {
				if f := call(h); f != nil {
					o.undo = append(o.undo, f)
				}
			})
		}
	})
}

// end calls what the hooks returned, in reverse order. The second call does
// nothing.
func (o *observation) end(q *queue, t *tasks) {
	if !o.begun {
		return
	}
	o.begun, o.seen = false, nil
	q.push(t, func() {
		for _, f := range slices.Backward(o.undo) {
			t.call(f)
		}
		o.undo = nil
	})
}

// forget lets go of hooks that were removed: what is observed may last for long.
func (o *observation) forget(h *Hooks) {
	o.seen = slices.DeleteFunc(o.seen, func(e *Hooks) bool { return e == h })
}

func (h *Hooks) pathCreated(e PathEvent) func() {
	if h.PathCreated == nil {
		return nil
	}
	return h.PathCreated(e)
}

func (h *Hooks) pathReady(e PathEvent) func() {
	if h.PathReady == nil {
		return nil
	}
	return h.PathReady(e)
}

func (h *Hooks) pathOnline(e PathEvent) func() {
	if h.PathOnline == nil {
		return nil
	}
	return h.PathOnline(e)
}

func (h *Hooks) readerAttached(e PathEvent) func() {
	if h.ReaderAttached == nil {
		return nil
	}
	return h.ReaderAttached(e)
}

func (h *Hooks) sessionOpened(e SessionEvent) func() {
	if h.SessionOpened == nil {
		return nil
	}
	return h.SessionOpened(e)
}

// Observe adds hooks to a router that may be running. PathCreated, PathReady,
// PathOnline, ReaderAttached and SessionOpened are first called for what exists already,
// so that nothing is missed. After remove, nothing that happens is told to the
// hooks; events of before may still be on their way, and what began still ends.
func (r *Router) Observe(h Hooks) (remove func()) {
	p := &h
	r.mu.Lock()
	defer r.mu.Unlock()
	hooks := append(slices.Clip(*r.hooks.Load()), p)
	r.hooks.Store(&hooks)
	for _, path := range r.paths {
		path.observe(p)
	}
	for _, e := range r.sessions {
		if !slices.Contains(e.obs.seen, p) {
			ev := SessionEvent{Kind: e.kind, ID: e.id}
			e.obs.begin(&r.events, &r.tasks, []*Hooks{p}, func(h *Hooks) func() { return h.sessionOpened(ev) })
		}
	}
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		hooks := slices.DeleteFunc(slices.Clone(*r.hooks.Load()), func(e *Hooks) bool { return e == p })
		r.hooks.Store(&hooks)
		for _, path := range r.paths {
			path.unobserve(p)
		}
		for _, e := range r.sessions {
			e.obs.forget(p)
		}
	}
}

// EmitSegment tells the hooks about a recorded file. Recorders call it.
func (r *SinkRun) EmitSegment(file string, completed bool, d time.Duration) {
	ev := SegmentEvent{Path: r.Path, Groups: r.Groups, Config: r.Config, File: file, Duration: d}
	hooks, t := *r.path.r.hooks.Load(), &r.path.r.tasks
	if len(hooks) == 0 {
		return
	}
	r.path.events.push(t, func() {
		for _, h := range hooks {
			switch {
			case completed && h.SegmentCompleted != nil:
				t.call(func() { h.SegmentCompleted(ev) })
			case !completed && h.SegmentCreated != nil:
				t.call(func() { h.SegmentCreated(ev) })
			}
		}
	})
}
