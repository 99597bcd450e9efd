package rtsp

import (
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/description"
	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"github.com/org/mtx/protocol/bridge/rtpbridge"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
)

// publication is a session that publishes.
type publication struct {
	grant  *router.Grant
	tracks []media.Track
	refs   []rtpbridge.Ref

	// while recording
	stop func()
}

// errUnsupportedTransport closes connections of clients that insist.
var errUnsupportedTransport = errors.New("the requested transport is disabled")

// OnRequest implements gortsplib.ServerHandlerOnRequest.
func (sv *server) OnRequest(c *gortsplib.ServerConn, req *base.Request) {
	if cs, ok := c.UserData().(*connState); ok {
		cs.spoke()
		cs.forgetStale(req)
		cs.tearsDown(req)
	}
	switch req.Method {
	case base.Announce:
		req.Body = acceptMode0(req.Body)
		if rtpbridge.CheckSDP(req.Body) != nil {
			req.Body = nil // which the library refuses without parsing more
		}
	case base.GetParameter, base.SetParameter, base.Teardown:
		wholeServer(req)
	case base.Setup:
		req.Header["Transport"] = sv.knownTransports(req.Header["Transport"])
		if !sv.allows(gortsplib.ProtocolTCP) {
			req.Header["Transport"] = withoutTCP(req.Header["Transport"])
		}
	}
}

// maxMedias is how many media sections a publisher may announce: so many pairs
// of channels there are (RFC 2326 section 10.12).
const maxMedias = 128

// checkDescription refuses what the library accepts and then cannot handle.
func checkDescription(desc *description.Session) error {
	if len(desc.Medias) > maxMedias {
		return fmt.Errorf("%d media sections: at most %d are accepted", len(desc.Medias), maxMedias)
	}
	for i, m := range desc.Medias {
		seen := map[uint8]bool{}
		for _, f := range m.Formats {
			if seen[f.PayloadType()] {
				return fmt.Errorf("media section %d has payload type %d twice", i+1, f.PayloadType())
			}
			seen[f.PayloadType()] = true
		}
	}
	return nil
}

// OnAnnounce implements gortsplib.ServerHandlerOnAnnounce.
func (sv *server) OnAnnounce(ctx *gortsplib.ServerHandlerOnAnnounceCtx) (res *base.Response, err error) {
	defer sv.recoverInto(&res, &err)
	s, cs := stateOf(ctx.Session, ctx.Conn)
	grant, err := cs.authorize(router.ActionPublish, ctx.Request, s.id, ctx.Path, ctx.Query)
	if err != nil {
		return cs.refuse(ctx.Request, err)
	}
	if err := checkDescription(ctx.Description); err != nil {
		return &base.Response{StatusCode: base.StatusBadRequest}, err
	}
	tracks, refs, err := rtpbridge.Tracks(ctx.Description)
	if err != nil {
		return &base.Response{StatusCode: base.StatusBadRequest}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.grant = grant
	s.publish = &publication{grant: grant, tracks: tracks, refs: refs}
	return &base.Response{StatusCode: base.StatusOK}, nil
}

// OnRecord implements gortsplib.ServerHandlerOnRecord.
func (sv *server) OnRecord(ctx *gortsplib.ServerHandlerOnRecordCtx) (res *base.Response, err error) {
	defer sv.recoverInto(&res, &err)
	s, cs := stateOf(ctx.Session, ctx.Conn)
	s.mu.Lock()
	p := s.publish
	s.mu.Unlock()
	opts, _ := router.Extra[PathOptions](p.grant.Config())
	start := s.record
	if opts.DemuxMPEGTS && slices.ContainsFunc(p.tracks, isMPEGTS) {
		start = s.recordMPEGTS
	}
	if err := start(p); err != nil {
		return cs.refuse(ctx.Request, err)
	}
	cs.record = s // the library may still fail, see OnResponse
	return &base.Response{StatusCode: base.StatusOK}, nil
}

func isMPEGTS(t media.Track) bool {
	_, ok := t.Codec.(*media.MPEGTS)
	return ok
}

func (s *session) peer() router.Peer { return router.Peer{Type: s.sv.kind("Session"), ID: s.id} }

// record publishes the tracks as they were announced.
func (s *session) record(p *publication) error {
	origins := make([]media.Depacketizer, len(p.refs))
	formats := make([]format.Format, len(p.refs))
	for i, ref := range p.refs {
		d, err := rtpbridge.NewDepacketizer(ref.Format)
		if err != nil {
			return err
		}
		origins[i], formats[i] = d, ref.Format
	}
	pub, err := p.grant.Publish(s.sv.ctx, p.tracks, router.PublishOptions{Peer: s.peer(), Depacketizers: origins})
	if err != nil {
		return err
	}
	rec := rtpbridge.NewReceiver(rtpbridge.ReceiverOptions{
		Formats: formats, Write: pub.Write, Update: pub.SetCodec,
		UseSenderReportNTP: p.grant.Config().UseAbsoluteTimestamp,
	})
	ssrcs := make([]atomic.Uint32, len(p.refs))
	for i, ref := range p.refs {
		s.ss.OnPacketRTP(ref.Media, ref.Format, func(pkt *rtp.Packet) {
			defer s.recoverPacket()
			ssrcs[i].Store(pkt.SSRC)
			rec.Packet(i, pkt, time.Now())
		})
	}
	for _, ref := range p.refs {
		s.ss.OnPacketRTCP(ref.Media, func(pkt rtcp.Packet) {
			defer s.recoverPacket()
			if sr, ok := pkt.(*rtcp.SenderReport); ok {
				p.senderReport(rec, ssrcs, ref.Media, sr)
			}
		})
	}
	p.stop = s.closeWith(pub, rec.Close)
	return nil
}

// recoverPacket turns a panic of a parser, on a goroutine of the library, into
// the end of the session.
func (s *session) recoverPacket() {
	if v := recover(); v != nil {
		s.log.Error("panic", "error", v, "stack", string(debug.Stack()))
		s.ss.Close()
	}
}

// senderReport hands a report to the track that it is about. Sections with
// several formats tell them apart by the SSRC of their packets.
//
// It does not ask the library for the SSRC: here, a lock of its UDP listener is
// held, for which the end of a session waits with the lock of the session.
func (p *publication) senderReport(rec *rtpbridge.Receiver, ssrcs []atomic.Uint32, m *description.Media, sr *rtcp.SenderReport) {
	for i, r := range p.refs {
		if r.Media == m && (len(m.Formats) == 1 || ssrcs[i].Load() == sr.SSRC) {
			rec.SenderReport(i, sr, time.Now())
		}
	}
}

// closeWith ends the session when the router ends the publication, and returns
// what ends the publication when the session does.
func (s *session) closeWith(pub *router.Publisher, release func()) (stop func()) {
	left := make(chan struct{})
	s.sv.wg.Go(func() {
		select {
		case <-pub.Done():
			s.log.Info("publication is over", "reason", pub.Err())
			s.ss.Close()
		case <-left:
		}
	})
	return func() {
		close(left)
		release()
		pub.Close()
	}
}

// stopPublishing is called at the end of the session and by PAUSE.
func (s *session) stopPublishing() {
	s.mu.Lock()
	p := s.publish
	var stop func()
	if p != nil {
		stop, p.stop = p.stop, nil
	}
	s.mu.Unlock()
	if stop != nil {
		stop()
	}
}
