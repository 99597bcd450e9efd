package rtsp

import (
	"bytes"
	"errors"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/base"
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
func (sv *server) OnRequest(_ *gortsplib.ServerConn, req *base.Request) {
	if req.Method != base.Announce {
		return
	}
	req.Body = acceptMode0(req.Body)
	if rtpbridge.CheckSDP(req.Body) != nil {
		req.Body = nil // which the library refuses without parsing more
	}
}

// acceptMode0 declares H264 of packetization-mode 0, which the library refuses,
// as mode 1, of which it is a subset (RFC 6184 section 5.4).
func acceptMode0(sdp []byte) []byte {
	if !bytes.Contains(sdp, []byte("H264/")) {
		return sdp
	}
	lines := strings.Split(string(sdp), "\n")
	for i := 0; i < len(lines); i++ {
		pt, ok := strings.CutPrefix(lines[i], "a=rtpmap:")
		if !ok || !strings.Contains(pt, " H264/") {
			continue
		}
		pt, _, _ = strings.Cut(pt, " ")
		prefix := "a=fmtp:" + pt + " "
		// attributes of a media section end with the next one
		end := i + 1
		for end < len(lines) && !strings.HasPrefix(lines[end], "m=") {
			end++
		}
		start := i
		for start > 0 && !strings.HasPrefix(lines[start], "m=") {
			start--
		}
		j := slices.IndexFunc(lines[start:end], func(l string) bool { return strings.HasPrefix(l, prefix) })
		if j < 0 {
			lines = slices.Insert(lines, i+1, prefix+"packetization-mode=1\r")
			continue
		}
		lines[start+j] = withMode1(lines[start+j])
	}
	return []byte(strings.Join(lines, "\n"))
}

var modeParam = regexp.MustCompile(`(?i)packetization-mode\s*=\s*0`)

func withMode1(fmtp string) string {
	if !strings.Contains(strings.ToLower(fmtp), "packetization-mode") {
		return strings.TrimRight(fmtp, "\r; ") + ";packetization-mode=1\r"
	}
	return modeParam.ReplaceAllString(fmtp, "packetization-mode=1")
}

// OnAnnounce implements gortsplib.ServerHandlerOnAnnounce.
func (sv *server) OnAnnounce(ctx *gortsplib.ServerHandlerOnAnnounceCtx) (res *base.Response, err error) {
	defer sv.recoverInto(&res, &err)
	s, cs := stateOf(ctx.Session, ctx.Conn)
	grant, err := cs.authorize(router.ActionPublish, ctx.Request, s.id, ctx.Path, ctx.Query)
	if err != nil {
		return cs.refuse(ctx.Request, err)
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
	for i, ref := range p.refs {
		s.ss.OnPacketRTP(ref.Media, ref.Format, func(pkt *rtp.Packet) { rec.Packet(i, pkt, time.Now()) })
	}
	for _, ref := range p.refs {
		s.ss.OnPacketRTCP(ref.Media, func(pkt rtcp.Packet) {
			if sr, ok := pkt.(*rtcp.SenderReport); ok {
				s.senderReport(p, rec, ref, sr)
			}
		})
	}
	p.stop = s.closeWith(pub, rec.Close)
	return nil
}

// senderReport hands a report to the track that it is about. Sections with
// several formats tell them apart by the SSRC of their packets.
func (s *session) senderReport(p *publication, rec *rtpbridge.Receiver, ref rtpbridge.Ref, sr *rtcp.SenderReport) {
	now := time.Now()
	stats, single := s.ss.Stats(), len(ref.Media.Formats) == 1
	for i, r := range p.refs {
		if r.Media != ref.Media {
			continue
		}
		if single || stats.Medias[r.Media].Formats[r.Format].RemoteSSRC == sr.SSRC {
			rec.SenderReport(i, sr, now)
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
