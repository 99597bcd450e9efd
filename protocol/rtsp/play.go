package rtsp

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/base"

	"github.com/org/mtx/protocol/internal/egress"
)

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
