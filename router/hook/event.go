package hook

import (
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/org/mtx/router"
)

// Types of events.
const (
	PathCreated      = "pathCreated"
	PathRemoved      = "pathRemoved"
	PathReady        = "pathReady"
	PathNotReady     = "pathNotReady"
	PathOnline       = "pathOnline"
	PathOffline      = "pathOffline"
	ReaderAttached   = "readerAttached"
	ReaderDetached   = "readerDetached"
	SessionOpened    = "sessionOpened"
	SessionClosed    = "sessionClosed"
	SegmentCreated   = "segmentCreated"
	SegmentCompleted = "segmentCompleted"
	ConfigApplied    = "configApplied"
	ConfigRefused    = "configRefused" // emitted by the program: the router does not know what it did not get
)

// Types lists all types of events.
func Types() []string {
	return []string{
		PathCreated, PathRemoved, PathReady, PathNotReady, PathOnline, PathOffline,
		ReaderAttached, ReaderDetached, SessionOpened, SessionClosed, SegmentCreated, SegmentCompleted, ConfigApplied, ConfigRefused,
	}
}

// Peer is a client or a source, with the type and id that the Control API gives
// it.
type Peer struct {
	Type string `json:"type"`
	ID   string `json:"id"`
}

// Segment is a recorded file.
type Segment struct {
	Path     string  `json:"path"`
	Duration float64 `json:"duration,omitempty"` // seconds
}

// Event is something that happened, in the form in which webhooks and the
// Control API tell it. Queries are left out: they may hold credentials.
type Event struct {
	ID      string          `json:"id"` // UUID
	Type    string          `json:"type"`
	Time    time.Time       `json:"time"`
	Path    string          `json:"path,omitempty"`
	Source  *Peer           `json:"source,omitempty"`
	Reader  *Peer           `json:"reader,omitempty"`
	Session *Peer           `json:"session,omitempty"`
	Segment *Segment        `json:"segment,omitempty"`
	Changes *router.Changes `json:"changes,omitempty"`
	Error   string          `json:"error,omitempty"` // why a configuration was refused
}

// New returns an event that happened now.
func New(typ string) Event {
	return Event{ID: uuid.NewString(), Type: typ, Time: time.Now()}
}

// Events returns hooks that emit events. emit must not block.
func Events(emit func(Event)) router.Hooks {
	// pair emits an event, and returns a function that emits the opposite one.
	pair := func(begin, end string, fill func(*Event)) func() {
		say := func(typ string) {
			e := New(typ)
			fill(&e)
			emit(e)
		}
		say(begin)
		return func() { say(end) }
	}
	segment := func(typ string, s router.SegmentEvent) {
		e := New(typ)
		e.Path, e.Segment = s.Path, &Segment{s.File, s.Duration.Seconds()}
		emit(e)
	}
	return router.Hooks{
		PathCreated: func(p router.PathEvent) func() {
			return pair(PathCreated, PathRemoved, func(e *Event) { e.Path = p.Path })
		},
		PathReady: func(p router.PathEvent) func() {
			return pair(PathReady, PathNotReady, func(e *Event) { e.Path, e.Source = p.Path, sourceOf(&p) })
		},
		PathOnline: func(p router.PathEvent) func() {
			return pair(PathOnline, PathOffline, func(e *Event) { e.Path, e.Source = p.Path, sourceOf(&p) })
		},
		ReaderAttached: func(p router.PathEvent) func() {
			return pair(ReaderAttached, ReaderDetached, func(e *Event) { e.Path, e.Reader = p.Path, &Peer{p.Peer.Type, p.Peer.ID} })
		},
		SessionOpened: func(s router.SessionEvent) func() {
			return pair(SessionOpened, SessionClosed, func(e *Event) { e.Session = &Peer{s.Kind, s.ID} })
		},
		SegmentCreated:   func(s router.SegmentEvent) { segment(SegmentCreated, s) },
		SegmentCompleted: func(s router.SegmentEvent) { segment(SegmentCompleted, s) },
		ConfigApplied: func(c router.Changes) {
			e := New(ConfigApplied)
			e.Changes = &c
			emit(e)
		},
	}
}

// sourceOf returns nil if a standby made the path ready.
func sourceOf(p *router.PathEvent) *Peer {
	if p.Peer.Type == "" {
		return nil
	}
	return &Peer{p.Peer.Type, p.Peer.ID}
}

// typesText lists the types for error messages.
func typesText() string { return strings.Join(Types(), ", ") }
