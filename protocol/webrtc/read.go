package webrtc

import (
	"context"
	"errors"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/org/mtx/protocol/bridge/webrtcpeer"
	"github.com/org/mtx/router"
)

// maxRedirects bounds how many paths refer to each other.
const maxRedirects = 8

// ownServers are the ICE servers that this side uses.
func (sv *server) ownServers() []webrtcpeer.ICEServer {
	return ownServers(sv.hot.Load().ICEServers, time.Now())
}

// openReader answers the offer of a viewer, once there is a stream.
func (s *session) openReader(r *http.Request, grant *router.Grant, offer string) (string, error) {
	ctx := r.Context()
	grant, att, err := s.attach(r, grant)
	if err != nil {
		return "", err
	}
	s.path, s.user = grant.Path(), grant.Identity().User
	f := s.sv.fanOf(att.Stream())
	release := f.hold()
	leave := func() {
		release()
		att.Close()
	}
	answered := false
	defer func() {
		if !answered { // because of an error, or of a panic
			leave()
		}
	}()
	answer, send, err := s.answerReader(ctx, f, offer)
	if err != nil {
		return "", err
	}
	answered = true
	s.peer = send
	s.run = func() error {
		defer leave()
		return s.view(f, send)
	}
	return answer, nil
}

func (s *session) answerReader(ctx context.Context, f *fan, offer string) (string, *webrtcpeer.Sender, error) {
	send, answer, err := s.sv.engine.AnswerSend(ctx, offer, webrtcpeer.SendOptions{
		Tracks: f.stream.Tracks(), ICEServers: s.sv.ownServers(), Log: s.log,
	})
	if err != nil {
		return "", nil, err
	}
	if err := f.checkOrder(ctx, send.Outputs()...); err != nil {
		send.Close()
		return "", nil, err
	}
	for _, err := range send.Skipped() {
		s.log.Warn("track cannot be read by the client", "path", s.path, "reason", err)
	}
	return answer, send, nil
}

// attach becomes a reader of the path, or of one that this refers to: browsers
// would turn a redirected POST into a GET, or ask again without credentials.
func (s *session) attach(r *http.Request, grant *router.Grant) (*router.Grant, *router.Attachment, error) {
	for range maxRedirects {
		att, err := grant.Attach(r.Context(), router.ReadOptions{Peer: s.routerPeer()})
		var to *router.RedirectError
		if !errors.As(err, &to) || !strings.HasPrefix(to.URL, "/") {
			return grant, att, err
		}
		grant, err = s.sv.authorize(r, router.ActionRead, strings.Trim(path.Clean(to.URL), "/"), s.id)
		if err != nil {
			return nil, nil, err
		}
	}
	return nil, nil, errCircle
}

// view works until the session is over.
func (s *session) view(f *fan, send *webrtcpeer.Sender) error {
	if err := send.Connected(s.ctx); err != nil {
		return err
	}
	s.admitted()
	send.OnKeyFrameRequest(f.stream.RequestKeyFrame)
	send.Viewer().OnKeyFrameNeeded(f.stream.RequestKeyFrame)
	leave, err := f.join(send.Outputs(), send.Viewer())
	if err != nil {
		return err
	}
	defer leave()
	s.log.Info("is reading", "path", s.path, "local", send.LocalCandidate(), "remote", send.RemoteCandidate())
	bad := f.bad
	for {
		select {
		case <-bad:
			if err := f.disorder(send.Outputs()); err != nil {
				return err
			}
			bad = nil // it is about a track that the viewer does not get
		case <-f.stream.Done():
			return f.stream.Err()
		case <-send.Done():
			return send.Err()
		case <-s.ctx.Done():
			return context.Cause(s.ctx)
		}
	}
}
