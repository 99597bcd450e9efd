package router

import (
	"cmp"
	"iter"
	"slices"
	"time"
)

// Session is a client of a protocol, or a connection of one. Use a pointer type:
// the router keeps sessions in a map. ID and Kind never change.
type Session interface {
	// Info returns a snapshot. It may be called at any time by anybody.
	Info() SessionInfo

	// Close kicks the client. It does not wait.
	Close() error
}

// SessionInfo is a snapshot of a session.
type SessionInfo struct {
	ID         string    // UUID
	Kind       string    // "rtspSession", "webRTCSession"...: see PathReaderType and PathSourceType of the Control API
	Created    time.Time // when it connected
	RemoteAddr string    // with port, where there is one
	Path       string    // that it publishes or reads; empty while it does neither
	Query      string    // raw query of the URL
	User       string    // see Identity
	State      string    // "idle", "read", "publish"
	In, Out    uint64    // bytes
	// Details is what else the Control API shows about sessions of this kind: a
	// pointer to a struct with JSON tags.
	Details any
}

type sessionEntry struct {
	kind string
	id   string
	obs  observation
}

// AddSession makes a client visible to the control API and metrics, which can
// also kick it. Call remove when the client leaves; it is idempotent.
func (h *Host) AddSession(s Session) (remove func()) { return h.r.addSession(s) }

func (r *Router) addSession(s Session) func() {
	info := s.Info()
	e := &sessionEntry{kind: info.Kind, id: info.ID}
	ev := SessionEvent{Kind: info.Kind, ID: info.ID}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sessions[s] = e
	e.obs.begin(&r.events, &r.tasks, *r.hooks.Load(), func(h *Hooks) func() { return h.sessionOpened(ev) })
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.sessions[s] == e {
			delete(r.sessions, s)
			e.obs.end(&r.events, &r.tasks)
		}
	}
}

// Sessions iterates over the sessions of a kind, oldest first; over all if kind
// is empty.
func (r *Router) Sessions(kind string) iter.Seq[SessionInfo] {
	return func(yield func(SessionInfo) bool) {
		var infos []SessionInfo
		for _, s := range r.sessionsOf(kind, "") {
			infos = append(infos, s.Info())
		}
		slices.SortFunc(infos, func(a, b SessionInfo) int {
			return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
		})
		for _, i := range infos {
			if !yield(i) {
				return
			}
		}
	}
}

// Session returns a session by its kind and id.
func (r *Router) Session(kind, id string) (SessionInfo, error) {
	if id == "" {
		return SessionInfo{}, ErrSessionNotFound
	}
	for _, s := range r.sessionsOf(kind, id) {
		return s.Info(), nil
	}
	return SessionInfo{}, ErrSessionNotFound
}

// Kick closes a session. It returns [ErrSessionNotFound] if there is none.
func (r *Router) Kick(kind, id string) error {
	if id == "" {
		return ErrSessionNotFound
	}
	for _, s := range r.sessionsOf(kind, id) {
		return s.Close()
	}
	return ErrSessionNotFound
}

// sessionsOf returns the sessions of a kind and an id; empty means any.
func (r *Router) sessionsOf(kind, id string) []Session {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []Session
	for s, e := range r.sessions {
		if (kind == "" || e.kind == kind) && (id == "" || e.id == id) {
			out = append(out, s)
		}
	}
	return out
}
