package rtsp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/headers"

	"github.com/org/mtx/protocol/internal/egress"
	"github.com/org/mtx/router"
)

func stateOf(ss *gortsplib.ServerSession, c *gortsplib.ServerConn) (*session, *connState) {
	return ss.UserData().(*session), c.UserData().(*connState) // set when they were opened
}

// recoverInto turns a panic in a handler into the end of its connection.
func (sv *server) recoverInto(res **base.Response, err *error) {
	if v := recover(); v != nil {
		sv.log.Error("panic", "error", v, "stack", string(debug.Stack()))
		*res = &base.Response{StatusCode: base.StatusInternalServerError}
		*err = fmt.Errorf("panic: %v", v)
	}
}

// OnDescribe implements gortsplib.ServerHandlerOnDescribe.
func (sv *server) OnDescribe(ctx *gortsplib.ServerHandlerOnDescribeCtx) (
	res *base.Response, stream *gortsplib.ServerStream, err error,
) {
	defer sv.recoverInto(&res, &err)
	cs := ctx.Conn.UserData().(*connState) // set when it was opened
	cs.asked = time.Now()
	grant, err := cs.authorize(router.ActionRead, ctx.Request, cs.id, ctx.Path, ctx.Query)
	if err == nil {
		var s *router.Stream
		if s, err = grant.Wait(sv.ctx); err == nil {
			stream, err = sv.describe(s)
		}
	}
	if err == nil {
		return &base.Response{StatusCode: base.StatusOK}, stream, nil
	}
	res, err = cs.refuse(ctx.Request, err)
	return res, nil, err
}

func (sv *server) describe(s *router.Stream) (*gortsplib.ServerStream, error) {
	f, err := sv.fanOf(s)
	if err != nil {
		return nil, err
	}
	f.expect()
	f.refreshDescription()
	return f.main()
}

// allows tells whether a transport is enabled.
func (sv *server) allows(p gortsplib.Protocol) bool {
	switch p {
	case gortsplib.ProtocolUDP:
		return slices.Contains(sv.cfg.Transports, UDP)
	case gortsplib.ProtocolUDPMulticast:
		return slices.Contains(sv.cfg.Transports, Multicast)
	default:
		return slices.Contains(sv.cfg.Transports, TCP)
	}
}

// OnSetup implements gortsplib.ServerHandlerOnSetup.
func (sv *server) OnSetup(ctx *gortsplib.ServerHandlerOnSetupCtx) (
	res *base.Response, stream *gortsplib.ServerStream, err error,
) {
	defer sv.recoverInto(&res, &err)
	s, cs := stateOf(ctx.Session, ctx.Conn)
	if !sv.allows(ctx.Transport.Protocol) {
		return &base.Response{StatusCode: base.StatusUnsupportedTransport}, nil, nil
	}
	if err := checkTransport(ctx.Request.Header["Transport"]); err != nil {
		return &base.Response{StatusCode: base.StatusBadRequest}, nil, err
	}
	if ctx.Session.State() == gortsplib.ServerSessionStatePreRecord {
		return &base.Response{StatusCode: base.StatusOK}, nil, nil
	}
	stream, err = s.setupRead(cs, ctx)
	if err != nil {
		res, err = cs.refuse(ctx.Request, err)
		return res, nil, err
	}
	cs.setup = s // the answer tells channels and ports, see OnResponse
	return &base.Response{StatusCode: base.StatusOK}, stream, nil
}

// withoutTCP leaves out what is disabled of the transports that a client offers:
// the library, which picks the first that it supports, cannot do without TCP.
func withoutTCP(offer base.HeaderValue) base.HeaderValue {
	if len(offer) != 1 {
		return offer
	}
	left := slices.DeleteFunc(strings.Split(offer[0], ","), func(th string) bool {
		return strings.Contains(th, "AVP/TCP")
	})
	if len(left) == 0 {
		return offer // which is refused later
	}
	return base.HeaderValue{strings.Join(left, ",")}
}

// checkTransport refuses channels and ports that do not exist, which the library
// would take.
func checkTransport(v base.HeaderValue) error {
	var ths headers.Transports
	if err := ths.Unmarshal(v); err != nil {
		return err
	}
	for _, th := range ths {
		if ch := th.InterleavedIDs; ch != nil && (ch[0] > maxChannel || ch[1] > maxChannel) {
			return fmt.Errorf("interleaved channels %d-%d: must be between 0 and %d", ch[0], ch[1], maxChannel)
		}
		if p := th.ClientPorts; p != nil && (p[0] < 1 || p[0] > 65535 || p[1] < 1 || p[1] > 65535) {
			return fmt.Errorf("client ports %d-%d: must be between 1 and 65535", p[0], p[1])
		}
	}
	return nil
}

// maxChannel is the last interleaved channel (RFC 2326 section 10.12).
const maxChannel = 255

var errOtherPath = errors.New("the session belongs to another path")

// setupRead attaches the session to the path, once.
func (s *session) setupRead(cs *connState, ctx *gortsplib.ServerHandlerOnSetupCtx) (*gortsplib.ServerStream, error) {
	grant, err := cs.authorize(router.ActionRead, ctx.Request, s.id, ctx.Path, ctx.Query)
	if err != nil {
		return nil, err
	}
	f, err := s.attach(grant, cs.asked)
	if err != nil {
		return nil, err
	}
	if ctx.Session.State() == gortsplib.ServerSessionStateInitial { // the first SETUP that succeeds decides
		_, ours := ctx.Conn.NetConn().(mediaConn)
		s.mu.Lock()
		s.multicast = ctx.Transport.Protocol == gortsplib.ProtocolUDPMulticast
		s.bypass = ours && !s.multicast && !(s.sv.secure && ctx.Transport.Protocol != gortsplib.ProtocolTCP) &&
			ctx.Transport.Profile == headers.TransportProfileAVP &&
			ctx.Conn.Transport().Tunnel == gortsplib.TunnelNone
		s.mu.Unlock()
	}
	unlock := f.lockSetup(ctx.Request)
	stream, err := f.streamFor(s.bypass)
	if err != nil {
		unlock()
		return nil, err
	}
	cs.held = unlock // called by OnResponse
	return stream, nil
}

// attach makes the session a reader, unless it is one.
func (s *session) attach(grant *router.Grant, asked time.Time) (*fan, error) {
	if asked.IsZero() { // there was no DESCRIBE
		asked = time.Now()
	}
	s.mu.Lock()
	f, old := s.fan, s.grant
	s.mu.Unlock()
	switch {
	case f != nil && old.Path() != grant.Path():
		return nil, &router.PathError{Op: "read", Path: grant.Path(), Err: errOtherPath}
	case f != nil:
		return f, nil
	}
	att, err := grant.Attach(s.sv.ctx, router.ReadOptions{Peer: s.peer()})
	if err != nil {
		return nil, err
	}
	f, err = s.sv.fanOf(att.Stream())
	if err != nil {
		att.Close()
		return nil, err
	}
	f.attach()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.grant, s.att, s.fan, s.asked = grant, att, f, asked
	return f, nil
}

// OnPlay implements gortsplib.ServerHandlerOnPlay.
func (sv *server) OnPlay(ctx *gortsplib.ServerHandlerOnPlayCtx) (res *base.Response, err error) {
	defer sv.recoverInto(&res, &err)
	s, cs := stateOf(ctx.Session, ctx.Conn)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.playing {
		return &base.Response{StatusCode: base.StatusOK}, nil
	}
	cs.play = s
	if s.multicast {
		s.playing = true
		s.fan.addMulticast(1)
		s.fan.stream.RequestKeyFrame()
		s.logReading()
		return &base.Response{StatusCode: base.StatusOK}, nil
	}
	agent, asked := strings.Join(ctx.Request.Header["User-Agent"], ""), s.asked
	start := func(r egress.Reader) {
		s.reader, s.asked = r, time.Time{}
		s.fan.play(r, s.trackIndexes(), agent, asked)
		s.logReading()
	}
	if !s.bypass { // the library holds media back until the answer was written
		s.playing = true
		start(s.newLibReader())
		return &base.Response{StatusCode: base.StatusOK}, nil
	}
	conn, ok := ctx.Conn.NetConn().(mediaConn)
	if !ok {
		return &base.Response{StatusCode: base.StatusBadRequest}, errUnsupportedTransport
	}
	reader, err := s.newReader(conn)
	if err != nil {
		return &base.Response{StatusCode: base.StatusBadRequest}, err
	}
	s.playing = true
	// media must not overtake the answer
	conn.afterResponse(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.playing && s.reader == nil {
			start(reader)
		}
	})
	return &base.Response{StatusCode: base.StatusOK}, nil
}

func (s *session) logReading() {
	s.log.Info("is reading", "path", s.grant.Path(), "transport", s.ss.Transport().Protocol.String(),
		"user", s.grant.Identity().User)
}

// newReader makes what the fan-out writes to. s.mu is held.
func (s *session) newReader(c mediaConn) (egress.Reader, error) {
	medias := s.sections()
	for _, m := range medias {
		th := s.places[m]
		if th.InterleavedIDs == nil && th.ClientPorts == nil {
			return nil, errUnsupportedTransport
		}
		if th.InterleavedIDs != nil && th.InterleavedIDs[1] > maxChannel {
			return nil, errors.New("more media sections than channels")
		}
	}
	if s.ss.Transport().Protocol == gortsplib.ProtocolTCP {
		var tracks []egress.TCPTrack
		for _, m := range medias {
			for _, t := range s.fan.byMedia[m] {
				tracks = append(tracks, egress.TCPTrack{Track: t.index, Channel: uint8(s.places[m].InterleavedIDs[0])})
			}
		}
		return egress.NewTCPReader(c.media(), tracks), nil
	}
	addr, ok := netip.AddrFromSlice(c.RemoteAddr().(*net.TCPAddr).IP)
	if !ok {
		return nil, errors.New("the client has no address")
	}
	addr = addr.Unmap().WithZone(c.RemoteAddr().(*net.TCPAddr).Zone)
	var tracks []egress.UDPTrack
	for _, m := range medias {
		ports := s.places[m].ClientPorts
		for _, t := range s.fan.byMedia[m] {
			tracks = append(tracks, egress.UDPTrack{
				Track: t.index,
				RTP:   netip.AddrPortFrom(addr, uint16(ports[0])),
				RTCP:  netip.AddrPortFrom(addr, uint16(ports[1])),
			})
		}
	}
	return egress.NewUDPReader(s.sv.rtp, s.sv.rtcp, tracks)
}

// trackIndexes are the tracks of the sections that were set up.
func (s *session) trackIndexes() []int {
	var out []int
	for _, m := range s.sections() {
		for _, t := range s.fan.byMedia[m] {
			out = append(out, t.index)
		}
	}
	return out
}

// OnPause implements gortsplib.ServerHandlerOnPause.
func (sv *server) OnPause(ctx *gortsplib.ServerHandlerOnPauseCtx) (res *base.Response, err error) {
	defer sv.recoverInto(&res, &err)
	s, _ := stateOf(ctx.Session, ctx.Conn)
	s.stopPublishing()
	s.stopPlaying()
	return &base.Response{StatusCode: base.StatusOK}, nil
}

// stopPlaying is called at the end of the session and by PAUSE.
func (s *session) stopPlaying() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.playing {
		return
	}
	s.playing = false
	switch {
	case s.multicast:
		s.fan.addMulticast(-1)
	case s.reader != nil:
		s.fan.stop(s.reader, s.trackIndexes())
		s.past = s.bypassedLocked()
		s.reader = nil
	}
}

// OnResponse implements gortsplib.ServerHandlerOnResponse. It runs before the
// response is written.
func (sv *server) OnResponse(c *gortsplib.ServerConn, res *base.Response) {
	res.Header["Server"] = base.HeaderValue{"mtx"}
	cs, ok := c.UserData().(*connState)
	if !ok {
		return
	}
	cs.challenge(res)
	if v := res.Header["Content-Base"]; len(v) == 1 {
		v[0] = cleanBase(v[0])
	}
	setup, play, record := cs.setup, cs.play, cs.record
	cs.setup, cs.play, cs.record = nil, nil, nil
	if cs.held != nil {
		cs.held()
		cs.held = nil
	}
	if res.StatusCode != base.StatusOK {
		cs.abandon(play, record)
		return
	}
	if setup != nil {
		setup.placed(res)
	}
	if play != nil {
		play.rtpInfo(res)
	}
}

// abandon closes a session that the library failed to start: with UDP it would
// stay, publishing or reading, although its connection is closed.
func (cs *connState) abandon(sessions ...*session) {
	if c, ok := cs.c.NetConn().(mediaConn); ok {
		c.afterResponse(nil)
	}
	for _, s := range sessions {
		if s != nil {
			s.ss.Close()
		}
	}
}

// placed remembers the channels or ports that the library gave to the section
// that was set up last.
func (s *session) placed(res *base.Response) {
	var th headers.Transport
	medias := s.ss.Medias()
	if len(medias) == 0 || th.Unmarshal(res.Header["Transport"]) != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	m := medias[len(medias)-1]
	s.places[m] = th
	if th.SSRC != nil && s.bypass && len(s.fan.byMedia[m]) == 1 {
		th.SSRC = &s.fan.byMedia[m][0].ssrc // the library does not know what we send
		res.Header["Transport"] = th.Marshal()
	}
}

// maxHeader is how long a header may be that clients with our library accept,
// bytes.
const maxHeader = 2048

// rtpInfo replaces the RTP-Info header of the library, which has not seen our
// packets. It tells nothing about where tracks begin if they wait for a key frame.
// The header is optional.
func (s *session) rtpInfo(res *base.Response) {
	var old headers.RTPInfo
	if old.Unmarshal(res.Header["RTP-Info"]) != nil {
		return
	}
	medias := s.ss.Medias()
	if s.bypass && len(old) == len(medias) {
		waits := s.fan.lead(s.trackIndexes()) != nil
		for i, m := range medias {
			old[i].SequenceNumber, old[i].Timestamp = nil, nil
			if !waits && len(m.Formats) == 1 && len(s.fan.byMedia[m]) == 1 {
				old[i].SequenceNumber, old[i].Timestamp = s.fan.position(s.fan.byMedia[m][0])
			}
		}
		res.Header["RTP-Info"] = old.Marshal()
	}
	if len(res.Header["RTP-Info"][0]) > maxHeader {
		delete(res.Header, "RTP-Info")
	}
}
