package whep

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/org/mtx/protocol/bridge/datagram"
	"github.com/org/mtx/protocol/bridge/webrtcpeer"
	"github.com/org/mtx/protocol/bridge/whipclient"
	"github.com/org/mtx/router"
)

// Run implements router.Source.
func (s Source) Run(ctx context.Context, run *router.SourceRun) error {
	if s.ReadTimeout <= 0 {
		s.ReadTimeout = defaultReadTimeout
	}
	o := s.options(run.Expand(s.URL))
	o.Log = run.Log
	c, err := whipclient.New(o)
	if err != nil {
		return err
	}
	defer c.Close()
	engine, err := webrtcpeer.NewEngine(webrtcpeer.EngineConfig{
		HandshakeTimeout:   s.HandshakeTimeout,
		TrackGatherTimeout: s.TrackGatherTimeout,
		STUNGatherTimeout:  s.STUNGatherTimeout,
		Log:                run.Log,
	})
	if err != nil {
		return err
	}
	defer engine.Close()
	p := &pull{Source: s, run: run, client: c, engine: engine}
	err = c.TryICEServers(ctx, func(servers []whipclient.ICEServer) ([]whipclient.ICEServer, bool, error) {
		told, err := p.attempt(ctx, servers)
		return told, errors.Is(err, webrtcpeer.ErrHandshakeTimeout), err
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return c.Explain(err)
}

// pull is one attempt to receive a stream.
type pull struct {
	Source
	run    *router.SourceRun
	client *whipclient.Client
	engine *webrtcpeer.Engine
}

// attempt works until the stream is over. It also returns the ICE servers that
// came with the answer.
func (p *pull) attempt(ctx context.Context, servers []whipclient.ICEServer) ([]whipclient.ICEServer, error) {
	recv, offer, err := p.engine.OfferReceive(ctx, webrtcpeer.ReceiveOptions{
		ICEServers:           peerServers(servers),
		UseAbsoluteTimestamp: p.run.Config.UseAbsoluteTimestamp,
		VideoSections:        p.VideoTracks,
		AudioSections:        p.AudioTracks,
		Log:                  p.run.Log,
	})
	if err != nil {
		return nil, err
	}
	defer recv.Close()
	session, err := p.client.Post(ctx, offer)
	if err != nil {
		return nil, err
	}
	defer session.Delete(ctx)
	if err := recv.SetAnswer(session.Answer); err != nil {
		return nil, err
	}
	return session.ICEServers, p.receive(ctx, recv)
}

func peerServers(list []whipclient.ICEServer) []webrtcpeer.ICEServer {
	out := make([]webrtcpeer.ICEServer, len(list))
	for i, s := range list {
		out[i] = webrtcpeer.ICEServer(s)
	}
	return out
}

// errEnded is not router.ErrStreamClosed, after which there is no restart.
var errEnded = errors.New("the publication was ended by the router")

// receive publishes what comes.
func (p *pull) receive(ctx context.Context, recv *webrtcpeer.Receiver) error {
	tracks, origins, err := recv.Tracks(ctx)
	if err != nil {
		return err
	}
	pub, err := p.run.Publish(ctx, tracks, router.PublishOptions{
		Depacketizers: origins, RequestKeyFrame: recv.RequestKeyFrame,
	})
	if err != nil {
		return err
	}
	defer pub.Close()
	p.run.Log.Info("connected", "url", p.client.Address(), "local", recv.LocalCandidate(), "remote", recv.RemoteCandidate())
	inner, cancel := context.WithCancelCause(ctx)
	var tasks sync.WaitGroup
	defer tasks.Wait()
	defer cancel(nil)
	tasks.Go(func() { p.watch(inner, recv, pub, cancel) })
	err = recv.Run(inner, pub.Write, pub.SetCodec)
	if cause := context.Cause(inner); cause != nil {
		return cause
	}
	return err
}

// watchPeriod is how often it is looked at what came and what was lost. A second
// is enough for losses; ReadTimeout may be shorter.
func (s Source) watchPeriod() time.Duration { return min(time.Second, s.ReadTimeout/4+1) }

// watch ends the run with the publication, or if nothing comes any more, and
// counts packets that were lost for good.
func (p *pull) watch(ctx context.Context, recv *webrtcpeer.Receiver, pub *router.Publisher, cancel context.CancelCauseFunc) {
	faults := datagram.NewFaults(p.run.Log)
	faults.Attach(pub.Stream())
	defer faults.Flush()
	tick := time.NewTicker(p.watchPeriod())
	defer tick.Stop()
	var seen webrtcpeer.Stats
	last := time.Now() // when something came
	for {
		select {
		case <-tick.C:
			s := recv.Stats()
			if s.InboundRTPPacketsLost > seen.InboundRTPPacketsLost {
				faults.Lost(s.InboundRTPPacketsLost - seen.InboundRTPPacketsLost)
			}
			if s.InboundRTPPackets != seen.InboundRTPPackets {
				last = time.Now()
			} else if time.Since(last) > p.ReadTimeout {
				cancel(fmt.Errorf("nothing arrives for %v", p.ReadTimeout))
				return
			}
			seen = s
		case <-pub.Done():
			cancel(errEnded)
			return
		case <-ctx.Done():
			return
		}
	}
}
