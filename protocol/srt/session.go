package srt

import (
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/org/mtx/protocol/internal/srtcore"
	"github.com/org/mtx/router"
)

// kind is how the Control API calls sessions.
const kind = "srtConn"

// session is a client.
type session struct {
	sv      *server
	id      string
	created time.Time
	addr    netip.AddrPort
	log     *slog.Logger

	// set before the session is visible to others
	path, query, user string

	mu     sync.Mutex
	state  string
	att    *router.Attachment // of a reader
	fan    *fan
	pub    *publication  // of a publisher
	conn   *srtcore.Conn // nil until it opens
	ended  bool
	kicked bool
	remove func()
	limit  *time.Timer // for the connection to open
	seen   activity
}

func (sv *server) newSession(r *srtcore.Request) *session {
	id := uuid.NewString()
	return &session{
		sv: sv, id: id, created: time.Now(), addr: r.Addr,
		log: sv.log.With("conn", id[:8]), state: "idle", remove: func() {},
	}
}

func (s *session) peer() router.Peer { return router.Peer{Type: kind, ID: s.id} }

// add makes a session visible.
func (sv *server) add(s *session) {
	remove := sv.host.AddSession(s)
	s.mu.Lock()
	s.remove = remove
	s.limit = time.AfterFunc(acceptTimeout+openTimeout, func() { s.end(errNotOpened) })
	s.mu.Unlock()
	sv.mu.Lock()
	sv.sessions[s] = struct{}{}
	sv.mu.Unlock()
}

var errNotOpened = errors.New("the connection did not open")

// refused ends a session that was not accepted.
func (s *session) refused(err error) {
	s.log.Info("connection refused", "remote", s.addr.String(), "path", s.path, "reason", reason(err))
	s.leave()
}

// reason phrases an error for the log.
func reason(err error) string {
	if ae, ok := errors.AsType[*router.AuthError](err); ok {
		return ae.Error()
	}
	if errors.Is(err, srtcore.ErrPeerClosed) {
		return "closed by the client"
	}
	return err.Error()
}

// opened keeps the connection. It reports whether the session still exists.
func (s *session) opened(c *srtcore.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limit.Stop()
	s.conn = c
	s.seen.at = time.Now()
	switch {
	case s.kicked:
		c.Close(router.ErrKicked)
	case s.ended:
		c.Close(errNotOpened)
	default:
		s.log.Info("connection opened", "remote", s.addr.String(), "path", s.path, "user", s.user, "encrypted", c.Encrypted())
		return true
	}
	return false
}

func (s *session) setState(state string) {
	s.mu.Lock()
	s.state = state
	s.mu.Unlock()
}

// openReader starts sending.
func (s *session) openReader(c *srtcore.Conn) {
	if s.opened(c) {
		s.setState("read")
		s.fan.join(s, c) // the connection opens after it was set
	}
}

// closed is called when the connection is over.
func (s *session) closed(_ *srtcore.Conn, err error) { s.end(err) }

// end is idempotent.
func (s *session) end(err error) {
	s.mu.Lock()
	if s.ended || s.conn != nil && errors.Is(err, errNotOpened) { // it opened just now
		s.mu.Unlock()
		return
	}
	s.ended = true
	state := s.state
	s.mu.Unlock()
	s.leave()
	s.log.Info("connection closed", "path", s.path, "state", state, "reason", reason(err))
}

// leave gives everything back.
func (s *session) leave() {
	s.mu.Lock()
	att, f, pub := s.att, s.fan, s.pub
	s.mu.Unlock()
	if att != nil {
		f.leave(s)
		att.Close()
	}
	if pub != nil {
		pub.close()
	}
	s.sv.mu.Lock()
	delete(s.sv.sessions, s)
	s.sv.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	if s.limit != nil {
		s.limit.Stop()
	}
	s.remove()
}

// Close implements router.Session.
func (s *session) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kicked = true
	if s.conn != nil {
		s.conn.Close(router.ErrKicked)
	}
	return nil
}

// activity is what was seen of a client at the last look.
type activity struct {
	at        time.Time
	count     uint64 // acknowledgements of a reader, packets of elementary streams of a publisher
	sent      uint64 // packets to a reader, at the last acknowledgement
	discarded uint64
	warned    time.Time
}

// warnPause is how often a slow reader is logged.
const warnPause = 10 * time.Second

var (
	errSilent = errors.New("no media came in time")
	errDeaf   = errors.New("the client does not acknowledge what it is sent")
)

// check ends the session if the client has stopped working, and logs what it
// lost.
func (s *session) check(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn == nil || s.ended {
		return
	}
	st := s.conn.Stats()
	if s.pub != nil {
		if n := s.pub.media.Load(); n != s.seen.count {
			s.seen.at, s.seen.count = now, n
		} else if now.Sub(s.seen.at) >= s.sv.cfg.ReadTimeout {
			s.conn.Close(errSilent)
		}
		return
	}
	if st.PacketsReceivedACK != s.seen.count || st.PacketsSentUnique == s.seen.sent {
		s.seen.at, s.seen.count, s.seen.sent = now, st.PacketsReceivedACK, st.PacketsSentUnique
	} else if now.Sub(s.seen.at) >= s.sv.cfg.WriteTimeout {
		s.conn.Close(errDeaf)
	}
	if n := st.OutboundFramesDiscarded - s.seen.discarded; n > 0 && now.Sub(s.seen.warned) >= warnPause {
		s.log.Warn("reader is too slow: frames were discarded", "count", n)
		s.seen.discarded, s.seen.warned = st.OutboundFramesDiscarded, now
	}
}
