package webrtc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/org/mtx/protocol/bridge/webrtcpeer"
	"github.com/org/mtx/protocol/httpserver"
	"github.com/org/mtx/router"
)

// kind is how the Control API calls sessions.
const kind = "webRTCSession"

const (
	// maxPending bounds the sessions that are being opened, and maxPendingPerClient
	// those of one address: a peer connection costs memory before it is known
	// whether anybody is there.
	maxPending          = 1024
	maxPendingPerClient = 256

	// clientBits of an IPv6 address belong to one client.
	clientBits = 64
)

// peer is what receivers and senders have in common.
type peer interface {
	AddCandidates(fragment string) error
	IsRestart(fragment string) (bool, error)
	Restart(ctx context.Context, fragment string) (string, error)
	LocalCandidate() string
	RemoteCandidate() string
	Established() bool
	Stats() webrtcpeer.Stats
	Connected(ctx context.Context) error
	Done() <-chan struct{}
	Err() error
	Close()
}

// session is a client.
type session struct {
	sv      *server
	id      string
	secret  string
	action  router.Action
	urlName string // of the path, in the URL
	created time.Time
	client  netip.Addr
	remote  string
	query   string
	log     *slog.Logger

	ctx    context.Context //nolint:containedctx // ends with the session
	cancel context.CancelCauseFunc
	ended  chan struct{}

	// set before the session is visible to others
	path, user string
	peer       peer
	run        func() error // works until the session is over
	admitted   func()       // to be called when the session is not pending anymore
}

func (sv *server) newSession(r *http.Request, t target) *session {
	id := uuid.NewString()
	client := httpserver.ClientAddr(r)
	s := &session{
		sv: sv, id: id, secret: uuid.NewString(), action: t.action, urlName: t.name, created: time.Now(),
		client: client, remote: client.String(), query: r.URL.RawQuery,
		log: sv.log.With("session", id[:8]), ended: make(chan struct{}), admitted: func() {},
	}
	if _, port, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		s.remote = net.JoinHostPort(client.String(), port)
	}
	s.ctx, s.cancel = context.WithCancelCause(sv.ctx)
	return s
}

func (s *session) routerPeer() router.Peer { return router.Peer{Type: kind, ID: s.id} }

// location is the path of the URL of the session.
func (s *session) location(prefix string) string {
	l := prefix + "/" + s.urlName + "/" + endpointOf(s.action) + "/" + s.secret
	if s.query != "" {
		l += "?" + s.query
	}
	return l
}

// session returns the session that a URL names, or nil.
func (sv *server) session(t target) *session {
	sv.mu.Lock()
	defer sv.mu.Unlock()
	if s := sv.sessions[t.secret]; s != nil && s.urlName == t.name && s.action == t.action {
		return s
	}
	return nil
}

// clientKey is what the addresses of one client have in common.
func clientKey(a netip.Addr) string {
	a = a.Unmap()
	if p, err := a.Prefix(clientBits); err == nil && a.Is6() {
		return p.String()
	}
	return a.String()
}

// admit takes one of the places of sessions that are being opened.
func (sv *server) admit(client netip.Addr) (leave func(), err error) {
	key := clientKey(client)
	sv.mu.Lock()
	defer sv.mu.Unlock()
	if sv.waiting >= maxPending || sv.pending[key] >= maxPendingPerClient {
		return nil, errBusy
	}
	sv.waiting++
	sv.pending[key]++
	return sync.OnceFunc(func() {
		sv.mu.Lock()
		defer sv.mu.Unlock()
		sv.waiting--
		if sv.pending[key]--; sv.pending[key] == 0 {
			delete(sv.pending, key)
		}
	}), nil
}

// open answers an offer. Afterwards the session runs by itself.
func (s *session) open(r *http.Request, grant *router.Grant, offer string) (answer string, err error) {
	if s.admitted, err = s.sv.admit(s.client); err != nil {
		return "", err
	}
	started := false
	defer func() {
		if !started { // because of an error, or of a panic
			s.admitted()
		}
	}()
	if s.action == router.ActionPublish {
		answer, err = s.openPublisher(r.Context(), grant, offer)
	} else {
		answer, err = s.openReader(r, grant, offer)
	}
	if err != nil {
		return "", err
	}
	s.start()
	started = true
	return answer, nil
}

// refused ends a session that was not opened.
func (s *session) refused(err error) {
	s.cancel(err)
	status, text, _ := s.sv.describe(err)
	switch status {
	case http.StatusUnauthorized, http.StatusTemporaryRedirect, http.StatusInternalServerError: // told elsewhere
	case http.StatusNotFound: // pages that wait for a stream ask every few seconds
		s.log.Debug("session refused", "remote", s.remote, "path", s.urlName, "reason", text)
	default:
		s.log.Info("session refused", "remote", s.remote, "path", s.urlName, "reason", text)
	}
}

// start makes the session visible, and work.
func (s *session) start() {
	sv := s.sv
	sv.mu.Lock()
	sv.sessions[s.secret] = s
	sv.mu.Unlock()
	remove := sv.host.AddSession(s)
	s.log.Info("session opened", "remote", s.remote, "path", s.path, "state", s.state(), "user", s.user)
	sv.wg.Go(func() {
		defer close(s.ended)
		err := s.protect(s.run)
		s.cancel(err)
		s.peer.Close()
		s.admitted()
		sv.mu.Lock()
		delete(sv.sessions, s.secret)
		sv.mu.Unlock()
		remove()
		s.log.Info("session closed", "path", s.path, "state", s.state(), "reason", reason(err))
	})
}

// protect turns a panic into an error.
func (s *session) protect(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			s.log.Error("panic", "error", v, "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	return f()
}

// reason phrases an error for the log.
func reason(err error) string {
	switch {
	case err == nil:
		return errLeft.Error()
	case errors.Is(err, context.Canceled):
		return errStops.Error()
	}
	return err.Error()
}

// end makes the session end; it does not wait. Only the first reason counts.
func (s *session) end(err error) { s.cancel(err) }

// Close implements router.Session.
func (s *session) Close() error {
	s.end(router.ErrKicked)
	return nil
}

// patch takes a fragment of a description (RFC 8840): candidates or, if it comes
// with other credentials, a restart of ICE, which has an answer (RFC 9725 section
// 4.3.2).
func (s *session) patch(ctx context.Context, fragment string) (answer string, err error) {
	restart, err := s.peer.IsRestart(fragment)
	switch {
	case err == nil && restart:
		s.log.Info("connection is being restarted")
		answer, err = s.peer.Restart(ctx, fragment)
	case err == nil:
		err = s.peer.AddCandidates(fragment)
	}
	if err != nil && s.peer.Err() != nil {
		err = errNoSession
	}
	return answer, err
}
