package webrtc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/org/mtx/protocol/bridge/webrtcpeer"
	"github.com/org/mtx/protocol/bridge/whipclient"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
)

// slowPeriod is how often it is looked at whether the other server keeps up.
const slowPeriod = 5 * time.Second

// forwarding is one attempt to publish a stream on another server.
type forwarding struct {
	run    *router.SinkRun
	client *whipclient.Client
	engine *webrtcpeer.Engine
	fan    *fan

	excluded map[int]error // reasons why tracks are not offered
}

// work sends the stream until it ends, or until the connection does. If a track
// turns out to have B-frames, it goes on without it, in another session.
func (w *forwarding) work(ctx context.Context) error {
	defer w.fan.hold()()
	if err := w.exclude(ctx); err != nil {
		return err
	}
	for {
		before := len(w.excluded)
		err := w.client.TryICEServers(ctx, func(servers []whipclient.ICEServer) ([]whipclient.ICEServer, bool, error) {
			told, err := w.attempt(ctx, servers)
			return told, errors.Is(err, webrtcpeer.ErrHandshakeTimeout), err
		})
		if !errors.Is(err, errBFrames) {
			return err
		}
		if err := w.exclude(ctx); err != nil {
			return err
		}
		if len(w.excluded) == before {
			return err
		}
	}
}

// exclude notes the tracks with B-frames.
func (w *forwarding) exclude(ctx context.Context) error {
	if err := w.fan.checkOrder(ctx); err != nil && !errors.Is(err, errBFrames) {
		return err
	}
	w.fan.mu.Lock()
	defer w.fan.mu.Unlock()
	for i, t := range w.fan.tracks {
		if t.order.found && w.excluded[i] == nil {
			w.excluded[i] = bFramesError(t.codec)
			w.run.Log.Warn("track is left out", "track", i+1, "codec", t.codec.Name(), "reason", w.excluded[i])
		}
	}
	return nil
}

// offered are the tracks of the stream, by their indexes: in place of those that
// are excluded stands one that cannot be sent.
func (w *forwarding) offered() []media.Track {
	tracks := slices.Clone(w.run.Stream.Tracks())
	for i := range w.excluded {
		tracks[i].Codec = &media.Generic{}
	}
	return tracks
}

// attempt works until the connection is over. It also returns the ICE servers
// that came with the answer.
func (w *forwarding) attempt(ctx context.Context, servers []whipclient.ICEServer) ([]whipclient.ICEServer, error) {
	own := make([]webrtcpeer.ICEServer, len(servers))
	for i, s := range servers {
		own[i] = webrtcpeer.ICEServer(s)
	}
	send, offer, err := w.engine.OfferSend(ctx, webrtcpeer.SendOptions{Tracks: w.offered(), ICEServers: own, Log: w.run.Log})
	if err != nil {
		return nil, w.withExcluded(err)
	}
	defer send.Close()
	session, err := w.client.Post(ctx, offer)
	if err != nil {
		return nil, err
	}
	defer session.Delete(ctx)
	if err := send.SetAnswer(session.Answer); err != nil {
		return nil, w.withExcluded(err)
	}
	w.warnSkipped(send.Skipped())
	return session.ICEServers, w.send(ctx, send)
}

// withExcluded tells what is the matter if no track is left.
func (w *forwarding) withExcluded(err error) error {
	if errors.Is(err, webrtcpeer.ErrNoUsableTracks) {
		for _, reason := range w.excluded {
			return reason
		}
	}
	return err
}

func (w *forwarding) warnSkipped(reasons []error) {
	for _, err := range reasons {
		known := false
		for i := range w.excluded {
			known = known || strings.HasPrefix(err.Error(), fmt.Sprintf("track %d:", i+1))
		}
		if !known {
			w.run.Log.Warn("track is left out", "reason", err)
		}
	}
}

// send is what a session of the server does for a viewer.
func (w *forwarding) send(ctx context.Context, send *webrtcpeer.Sender) error {
	if err := send.Connected(ctx); err != nil {
		return err
	}
	send.OnKeyFrameRequest(w.run.Stream.RequestKeyFrame)
	leave, err := w.fan.join(send.Outputs(), send.Viewer())
	if err != nil {
		return err
	}
	defer leave()
	w.run.Log.Info("publishing", "url", w.client.Address(), "tracks", len(send.Outputs()),
		"local", send.LocalCandidate(), "remote", send.RemoteCandidate())
	slow := time.NewTicker(slowPeriod)
	defer slow.Stop()
	dropped := uint64(0)
	bad := w.fan.bad
	for {
		select {
		case <-bad:
			if err := w.fan.disorder(send.Outputs()); err != nil {
				return err
			}
			bad = nil // it is about a track that is not sent
		case <-slow.C:
			if err := w.fan.disorder(send.Outputs()); err != nil { // the second track of that kind
				return err
			}
			if n := send.Stats().OutboundFramesDiscarded; n > dropped {
				w.run.Log.Warn("the other server is too slow: units are dropped", "units", n-dropped)
				dropped = n
			}
		case <-send.Done():
			return send.Err()
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
