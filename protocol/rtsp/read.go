package rtsp

import (
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/headers"

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
