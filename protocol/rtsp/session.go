package rtsp

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/description"
	"github.com/bluenviron/gortsplib/v5/pkg/headers"
	"github.com/google/uuid"

	"github.com/org/mtx/protocol/internal/egress"
	"github.com/org/mtx/router"
)

// session is an RTSP session: a client that publishes or reads. Its handlers
// run on the goroutine of the session, one at a time.
type session struct {
	sv      *server
	ss      *gortsplib.ServerSession
	id      string
	created time.Time
	remote  string
	log     *slog.Logger
	remove  func()
	warn    warnings

	discarded atomic.Uint64 // packets that the library's queue had no room for

	mu        sync.Mutex
	grant     *router.Grant
	publish   *publication // nil: not publishing
	att       *router.Attachment
	fan       *fan
	asked     time.Time // when the client asked for the stream; zero once it has played
	bypass    bool      // media is written by us
	multicast bool
	places    map[*description.Media]headers.Transport
	torn      map[*description.Media]bool // down, while others go on
	reader    egress.Reader               // nil: not playing, or multicast
	playing   bool
	past      egress.Stats // of readers before PAUSE
}

// SessionDetails is what the Control API shows about sessions; see RTSPSession
// there. The deprecated fields repeat newer ones.
type SessionDetails struct {
	ID                             string    `json:"id"`
	Created                        time.Time `json:"created"`
	RemoteAddr                     string    `json:"remoteAddr"`
	State                          string    `json:"state"` // "idle", "read", "publish"
	Path                           string    `json:"path"`
	Query                          string    `json:"query"`
	User                           string    `json:"user"`
	Transport                      *string   `json:"transport"` // "UDP", "UDP-multicast", "TCP"
	Profile                        *string   `json:"profile"`   // "AVP", "SAVP"
	Conns                          []string  `json:"conns"`
	InboundBytes                   uint64    `json:"inboundBytes"`
	InboundRTPPackets              uint64    `json:"inboundRTPPackets"`
	InboundRTPPacketsLost          uint64    `json:"inboundRTPPacketsLost"`
	InboundRTPPacketsInError       uint64    `json:"inboundRTPPacketsInError"`
	InboundRTPPacketsJitter        float64   `json:"inboundRTPPacketsJitter"`
	InboundRTCPPackets             uint64    `json:"inboundRTCPPackets"`
	InboundRTCPPacketsInError      uint64    `json:"inboundRTCPPacketsInError"`
	OutboundBytes                  uint64    `json:"outboundBytes"`
	OutboundRTPPackets             uint64    `json:"outboundRTPPackets"`
	OutboundRTPPacketsReportedLost uint64    `json:"outboundRTPPacketsReportedLost"`
	OutboundRTPPacketsDiscarded    uint64    `json:"outboundRTPPacketsDiscarded"`
	OutboundRTCPPackets            uint64    `json:"outboundRTCPPackets"`
	BytesReceived                  uint64    `json:"bytesReceived"`
	BytesSent                      uint64    `json:"bytesSent"`
	RTPPacketsReceived             uint64    `json:"rtpPacketsReceived"`
	RTPPacketsSent                 uint64    `json:"rtpPacketsSent"`
	RTPPacketsLost                 uint64    `json:"rtpPacketsLost"`
	RTPPacketsInError              uint64    `json:"rtpPacketsInError"`
	RTPPacketsJitter               float64   `json:"rtpPacketsJitter"`
	RTCPPacketsReceived            uint64    `json:"rtcpPacketsReceived"`
	RTCPPacketsSent                uint64    `json:"rtcpPacketsSent"`
	RTCPPacketsInError             uint64    `json:"rtcpPacketsInError"`
}

// OnSessionOpen implements gortsplib.ServerHandlerOnSessionOpen.
func (sv *server) OnSessionOpen(ctx *gortsplib.ServerHandlerOnSessionOpenCtx) {
	id := uuid.NewString()
	s := &session{
		sv: sv, ss: ctx.Session, id: id, created: time.Now(),
		remote: ctx.Conn.NetConn().RemoteAddr().String(),
		log:    sv.log.With("session", id[:8]),
		places: map[*description.Media]headers.Transport{},
		torn:   map[*description.Media]bool{},
	}
	s.warn.log = s.log
	ctx.Session.SetUserData(s)
	s.remove = sv.host.AddSession(s)
	s.log.Debug("session opened", "remote", s.remote)
}

// OnSessionClose implements gortsplib.ServerHandlerOnSessionClose.
func (sv *server) OnSessionClose(ctx *gortsplib.ServerHandlerOnSessionCloseCtx) {
	s, ok := ctx.Session.UserData().(*session)
	if !ok {
		return
	}
	state := s.state()
	s.stopPublishing()
	s.stopPlaying()
	s.mu.Lock()
	att, f, why := s.att, s.fan, reason(sv.ctx, ctx.Error)
	s.att = nil
	path := ""
	if s.grant != nil {
		path = s.grant.Path()
	}
	s.mu.Unlock()
	if att != nil {
		if err := att.Stream().Err(); err != nil {
			why = err.Error()
		}
		f.detach()
		att.Close()
	}
	s.remove()
	s.warn.add("reader was too slow: packets were discarded", "", s.bypassed().Discarded)
	s.warn.close()
	s.log.Info("session closed", "path", path, "state", state, "reason", why)
}

// state is what the Control API calls it.
func (s *session) state() string {
	switch s.ss.State() {
	case gortsplib.ServerSessionStatePlay:
		return "read"
	case gortsplib.ServerSessionStateRecord:
		return "publish"
	}
	return "idle"
}

// Close implements router.Session.
func (s *session) Close() error {
	s.ss.Close()
	return nil
}

// bypassed returns what our own writer sent to the session.
func (s *session) bypassed() egress.Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bypassedLocked()
}

func (s *session) bypassedLocked() egress.Stats {
	st := s.past
	if r, ok := s.reader.(interface{ Stats() egress.Stats }); ok {
		now := r.Stats()
		st.Bytes += now.Bytes
		st.Packets += now.Packets
		st.ControlPackets += now.ControlPackets
		st.Discarded += now.Discarded
	}
	return st
}

// Info implements router.Session.
func (s *session) Info() router.SessionInfo {
	d := s.details()
	return router.SessionInfo{
		ID: s.id, Kind: s.sv.kind("Session"), Created: s.created, RemoteAddr: s.remote,
		Path: d.Path, Query: d.Query, User: d.User, State: d.State,
		In: d.InboundBytes, Out: d.OutboundBytes, Details: d,
	}
}

func (s *session) details() *SessionDetails {
	d := &SessionDetails{
		ID: s.id, Created: s.created, RemoteAddr: s.remote, State: s.state(), Conns: []string{},
	}
	s.mu.Lock()
	if s.grant != nil {
		d.Path, d.User = s.grant.Path(), s.grant.Identity().User
		d.Query = s.ss.Query()
	}
	s.mu.Unlock()
	if t := s.ss.Transport(); t != nil {
		transport, profile := t.Protocol.String(), "AVP"
		if t.Profile == headers.TransportProfileSAVP {
			profile = "SAVP"
		}
		d.Transport, d.Profile = &transport, &profile
	}
	for _, c := range s.ss.Conns() {
		if cs, ok := c.UserData().(*connState); ok {
			d.Conns = append(d.Conns, cs.id)
		}
	}
	s.count(d)
	return d
}

// count adds the counters of the library and ours.
func (s *session) count(d *SessionDetails) {
	st, own := s.ss.Stats(), s.bypassed()
	d.InboundBytes = st.InboundBytes
	d.InboundRTPPackets = st.InboundRTPPackets
	d.InboundRTPPacketsLost = st.InboundRTPPacketsLost
	d.InboundRTPPacketsInError = st.InboundRTPPacketsInError
	d.InboundRTPPacketsJitter = st.InboundRTPPacketsJitter
	d.InboundRTCPPackets = st.InboundRTCPPackets
	d.InboundRTCPPacketsInError = st.InboundRTCPPacketsInError
	d.OutboundBytes = st.OutboundBytes + own.Bytes
	d.OutboundRTPPackets = st.OutboundRTPPackets + own.Packets
	d.OutboundRTPPacketsReportedLost = st.OutboundRTPPacketsReportedLost
	d.OutboundRTPPacketsDiscarded = s.discarded.Load() + own.Discarded
	d.OutboundRTCPPackets = st.OutboundRTCPPackets + own.ControlPackets

	d.BytesReceived, d.BytesSent = d.InboundBytes, d.OutboundBytes
	d.RTPPacketsReceived, d.RTPPacketsSent = d.InboundRTPPackets, d.OutboundRTPPackets
	d.RTPPacketsLost, d.RTPPacketsInError = d.InboundRTPPacketsLost, d.InboundRTPPacketsInError
	d.RTPPacketsJitter = d.InboundRTPPacketsJitter
	d.RTCPPacketsReceived, d.RTCPPacketsSent = d.InboundRTCPPackets, d.OutboundRTCPPackets
	d.RTCPPacketsInError = d.InboundRTCPPacketsInError
}

// OnDecodeError implements gortsplib.ServerHandlerOnDecodeError.
func (sv *server) OnDecodeError(ctx *gortsplib.ServerHandlerOnDecodeErrorCtx) {
	if s, ok := ctx.Session.UserData().(*session); ok {
		s.warn.add("invalid packets", ctx.Error.Error(), 1)
	}
}

// OnPacketsLost implements gortsplib.ServerHandlerOnPacketsLost.
func (sv *server) OnPacketsLost(ctx *gortsplib.ServerHandlerOnPacketsLostCtx) {
	if s, ok := ctx.Session.UserData().(*session); ok {
		s.warn.add("packets were lost", "", ctx.Lost)
	}
}

// OnStreamWriteError implements gortsplib.ServerHandlerOnStreamWriteError.
func (sv *server) OnStreamWriteError(ctx *gortsplib.ServerHandlerOnStreamWriteErrorCtx) {
	if s, ok := ctx.Session.UserData().(*session); ok {
		s.tooSlow(1)
	}
}

// tooSlow counts packets that were discarded because the queue of the library is full.
func (s *session) tooSlow(packets int) {
	s.discarded.Add(uint64(packets))
	s.warn.add("reader is too slow: packets were discarded", "", uint64(packets))
}

// warnPause is how often a warning may be logged for one session.
const warnPause = 10 * time.Second

// warnings logs what happens to packets at most once in a while, with a count:
// a hostile or lossy client must not fill the log.
type warnings struct {
	log *slog.Logger

	mu     sync.Mutex
	counts map[string]*warning
}

type warning struct {
	n      uint64
	logged time.Time
	last   string
}

func (w *warnings) add(what, detail string, n uint64) {
	if n == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.counts == nil {
		w.counts = map[string]*warning{}
	}
	e := w.counts[what]
	if e == nil {
		e = &warning{}
		w.counts[what] = e
	}
	e.n += n
	e.last = detail
	if now := time.Now(); now.Sub(e.logged) >= warnPause {
		w.flush(what, e)
		e.logged = now
	}
}

// close logs what was not logged yet.
func (w *warnings) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for what, e := range w.counts {
		w.flush(what, e)
	}
}

func (w *warnings) flush(what string, e *warning) {
	if e.n == 0 {
		return
	}
	if e.last == "" {
		w.log.Warn("trouble with packets", "what", what, "count", e.n)
	} else {
		w.log.Warn("trouble with packets", "what", what, "count", e.n, "last", e.last)
	}
	e.n = 0
}

// OnGetParameter implements gortsplib.ServerHandlerOnGetParameter: clients use
// it as a keep-alive.
func (sv *server) OnGetParameter(*gortsplib.ServerHandlerOnGetParameterCtx) (*base.Response, error) {
	return &base.Response{
		StatusCode: base.StatusOK,
		Header:     base.Header{"Content-Type": base.HeaderValue{"text/parameters"}},
	}, nil
}

// OnSetParameter implements gortsplib.ServerHandlerOnSetParameter: accepted, and
// without effect, as clients expect.
func (sv *server) OnSetParameter(ctx *gortsplib.ServerHandlerOnSetParameterCtx) (*base.Response, error) {
	if cs, ok := ctx.Conn.UserData().(*connState); ok && cs.drop != nil && ctx.Session != nil {
		if err := cs.dropSection(ctx); err != nil {
			return &base.Response{StatusCode: base.StatusBadRequest}, err
		}
	}
	return &base.Response{StatusCode: base.StatusOK}, nil
}
