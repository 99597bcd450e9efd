package rtsp

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/description"

	"github.com/org/mtx/protocol/internal/egress"
)

// tearsDown looks for TEARDOWN of one section while the client reads others too (RFC 2326
// section 10.7). The library takes that for the end of the session: it is made another
// request without effect, which OnSetParameter answers.
func (cs *connState) tearsDown(req *base.Request) {
	cs.drop = nil
	ss := cs.c.Session()
	if req.Method != base.Teardown || req.URL == nil || ss == nil || len(req.Header["Session"]) == 0 {
		return
	}
	s, ok := ss.UserData().(*session)
	if !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.section(req.URL.String())
	if m != nil && slices.ContainsFunc(s.sections(), func(o *description.Media) bool { return o != m }) {
		cs.drop = m
		req.Method = base.SetParameter
	}
}

// section returns the section of a URL that was set up for reading, or nil. s.mu is held.
func (s *session) section(url string) *description.Media {
	if s.fan == nil {
		return nil
	}
	const control = "/trackID=" // as the library describes sections
	i := strings.LastIndex(url, control)
	if i < 0 {
		return nil
	}
	n, err := strconv.Atoi(url[i+len(control):])
	if err != nil || n < 0 || n >= len(s.fan.desc.Medias) {
		return nil
	}
	m := s.fan.desc.Medias[n]
	if !slices.Contains(s.ss.Medias(), m) {
		return nil
	}
	return m
}

// sections are those that were set up and not torn down. s.mu is held.
func (s *session) sections() []*description.Media {
	return slices.DeleteFunc(s.ss.Medias(), func(m *description.Media) bool { return s.torn[m] })
}

// dropSection stops sending what was torn down, unless the library sends it, which cannot
// stop: then the client has to ignore it.
func (cs *connState) dropSection(ctx *gortsplib.ServerHandlerOnSetParameterCtx) error {
	s, _ := stateOf(ctx.Session, ctx.Conn)
	m := cs.drop
	cs.drop = nil
	s.mu.Lock()
	defer s.mu.Unlock()
	conn, ours := ctx.Conn.NetConn().(mediaConn)
	if s.torn[m] || !s.bypass || !ours {
		return nil
	}
	before := s.trackIndexes()
	s.torn[m] = true
	if s.reader == nil { // it does not play
		return nil
	}
	next, err := s.newReader(conn)
	if err != nil {
		return err
	}
	s.fan.replace(s.reader, next, before, s.trackIndexes(), strings.Join(ctx.Request.Header["User-Agent"], ""))
	s.past = s.bypassedLocked()
	s.reader = next
	return nil
}

// replace puts a reader in the place of another one of the same client, which has more
// tracks. Packets may come twice meanwhile, but none is left out.
func (f *fan) replace(old, next egress.Reader, before, after []int, agent string) {
	f.mu.Lock()
	waits := slices.ContainsFunc(f.joiners, func(j *joiner) bool { return j.reader == old })
	if !waits {
		f.addReader(next, after, nil)
	}
	f.mu.Unlock()
	f.stop(old, before)
	if waits {
		f.play(next, after, agent, time.Time{})
	}
}
