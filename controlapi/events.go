package controlapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/org/mtx/router/hook"
)

const (
	// maxListeners bounds those who listen to events at once.
	maxListeners = 100
	// maxPending bounds the events that a slow listener may be behind by.
	maxPending = 20_000
	// heartbeat keeps connections open through proxies.
	heartbeat = 15 * time.Second
)

// Feed carries events that the router does not know to those who listen.
type Feed struct {
	mu        sync.Mutex
	listeners map[*mailbox]struct{}
}

// NewFeed returns a feed without listeners.
func NewFeed() *Feed { return &Feed{listeners: map[*mailbox]struct{}{}} }

// Emit tells the listeners about an event. It does not block.
func (f *Feed) Emit(e hook.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for m := range f.listeners {
		m.put(e)
	}
}

func (f *Feed) add(m *mailbox) (remove func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.listeners[m] = struct{}{}
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.listeners, m)
	}
}

// mailbox holds events for a listener.
type mailbox struct {
	types []string // empty: all
	wake  chan struct{}

	mu     sync.Mutex
	events []hook.Event
	full   bool
}

func (m *mailbox) put(e hook.Event) {
	if len(m.types) > 0 && !slices.Contains(m.types, e.Type) {
		return
	}
	m.mu.Lock()
	if len(m.events) >= maxPending {
		m.full = true
	} else {
		m.events = append(m.events, e)
	}
	m.mu.Unlock()
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

func (m *mailbox) take() (events []hook.Event, full bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	events, m.events = m.events, nil
	return events, m.full
}

// listen streams events (HTML Living Standard, 9.2) that happen from now on.
// ?type=pathReady,pathNotReady selects.
func (a *api) listen(w http.ResponseWriter, r *http.Request) {
	m := &mailbox{wake: make(chan struct{}, 1)}
	if t := r.URL.Query().Get("type"); t != "" {
		m.types = strings.Split(t, ",")
		for _, t := range m.types {
			if !slices.Contains(hook.Types(), t) {
				writeError(w, http.StatusBadRequest, fmt.Errorf("type %q: must be one of %s", t, strings.Join(hook.Types(), ", ")))
				return
			}
		}
	}
	select {
	case a.events <- struct{}{}:
		defer func() { <-a.events }()
	default:
		writeError(w, http.StatusServiceUnavailable, errors.New("too many clients listen to events"))
		return
	}
	defer a.Feed.add(m)()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-cache")
	a.stream(w, r, m)
}

// stream writes events until the client leaves or is too slow.
func (a *api) stream(w http.ResponseWriter, r *http.Request, m *mailbox) {
	flush := http.NewResponseController(w).Flush
	w.WriteHeader(http.StatusOK)
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		if flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-a.router.Done():
			return
		case <-beat.C:
			if _, err := w.Write([]byte(": still here\n\n")); err != nil {
				return
			}
			continue
		case <-m.wake:
		}
		events, full := m.take()
		for _, e := range events {
			b, err := json.Marshal(e)
			if err != nil {
				continue
			}
			if _, err := fmt.Fprintf(w, "id: %s\nevent: %s\ndata: %s\n\n", e.ID, e.Type, b); err != nil {
				return
			}
		}
		if full {
			return // events were lost: the client connects again and asks for the lists
		}
	}
}
