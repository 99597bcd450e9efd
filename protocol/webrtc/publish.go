package webrtc

import (
	"context"
	"time"

	"github.com/org/mtx/protocol/bridge/webrtcpeer"
	"github.com/org/mtx/router"
)

// openPublisher answers the offer of a publisher.
func (s *session) openPublisher(ctx context.Context, grant *router.Grant, offer string) (string, error) {
	if err := s.sv.canPublish(grant); err != nil {
		return "", err
	}
	s.path, s.user = grant.Path(), grant.Identity().User
	recv, answer, err := s.sv.engine.Answer(ctx, offer, webrtcpeer.ReceiveOptions{
		ICEServers:           s.sv.ownServers(),
		UseAbsoluteTimestamp: grant.Config().UseAbsoluteTimestamp,
		Log:                  s.log,
	})
	if err != nil {
		return "", err
	}
	s.peer = recv
	s.run = func() error { return s.publish(grant, recv) }
	return answer, nil
}

// canPublish tells early what would become known only when the client is
// connected, with an answer that it can show.
func (sv *server) canPublish(grant *router.Grant) error {
	fail := func(err error) error { return &router.PathError{Op: "publish", Path: grant.Path(), Err: err} }
	c := grant.Config()
	if c.Source != nil {
		if _, ok := c.Source.(router.Inviter); !ok {
			return fail(router.ErrNotPublishable)
		}
	}
	if p, ok := sv.host.Router().Path(grant.Path()); ok && !c.Override && p.Stream() != nil {
		return fail(router.ErrAlreadyPublishing)
	}
	return nil
}

// startPause is how long a receiver, which asks for key frames at its start, does
// not ask again.
const startPause = 600 * time.Millisecond

func sleep(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// publish works until the session is over.
func (s *session) publish(grant *router.Grant, recv *webrtcpeer.Receiver) error {
	tracks, origins, err := recv.Tracks(s.ctx)
	if err != nil {
		return err
	}
	s.admitted()
	began := time.Now()
	pub, err := grant.Publish(s.ctx, tracks, router.PublishOptions{
		Peer: s.routerPeer(), Depacketizers: origins,
		RequestKeyFrame: func() {
			// the one at the start must not swallow that of the first viewer
			sleep(s.ctx, startPause-time.Since(began))
			recv.RequestKeyFrame()
		},
	})
	if err != nil {
		return err
	}
	defer pub.Close()
	s.log.Info("is publishing", "path", s.path, "local", recv.LocalCandidate(), "remote", recv.RemoteCandidate())
	ctx, cancel := context.WithCancelCause(s.ctx)
	defer cancel(nil)
	watched := make(chan struct{})
	defer func() { <-watched }()
	defer cancel(nil)
	go func() {
		defer close(watched)
		select {
		case <-pub.Done():
			cancel(pub.Err())
		case <-ctx.Done():
		}
	}()
	err = recv.Run(ctx, pub.Write, pub.SetCodec)
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}
