package rtsp

import (
	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/headers"
)

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
