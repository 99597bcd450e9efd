package routertest

import (
	"cmp"
	"context"

	"github.com/pion/rtp"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
)

// Protocol is a fake [router.Protocol]. Without ServeFunc it is ready at once
// and waits for the end.
type Protocol struct {
	Label     string // default "fake"
	ServeFunc func(ctx context.Context, h *router.Host) error
}

// Name implements router.Protocol.
func (p *Protocol) Name() string { return cmp.Or(p.Label, "fake") }

// Serve implements router.Protocol.
func (p *Protocol) Serve(ctx context.Context, h *router.Host) error {
	if p.ServeFunc != nil {
		return p.ServeFunc(ctx, h)
	}
	h.Ready()
	<-ctx.Done()
	return nil
}

// Source is a fake [router.Source]. Without RunFunc it publishes SampleTracks,
// writes nothing, and waits for the end.
type Source struct {
	Label   string // default "fakeSource"
	RunFunc func(ctx context.Context, run *router.SourceRun) error
}

// Type implements router.Source.
func (s *Source) Type() string { return cmp.Or(s.Label, "fakeSource") }

// Run implements router.Source.
func (s *Source) Run(ctx context.Context, run *router.SourceRun) error {
	if s.RunFunc != nil {
		return s.RunFunc(ctx, run)
	}
	pub, err := run.Publish(ctx, SampleTracks(), router.PublishOptions{})
	if err != nil {
		return err
	}
	defer pub.Close()
	select {
	case <-pub.Done():
		return pub.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Standby is a fake [router.Standby] with the tracks of [SampleTracks]. Without
// PlayFunc it writes nothing.
type Standby struct {
	PlayFunc func(ctx context.Context, write func(track int, u *media.Unit)) error
}

// Tracks implements router.Standby.
func (s *Standby) Tracks() []media.Track { return SampleTracks() }

// Play implements router.Standby.
func (s *Standby) Play(ctx context.Context, write func(track int, u *media.Unit)) error {
	if s.PlayFunc != nil {
		return s.PlayFunc(ctx, write)
	}
	<-ctx.Done()
	return ctx.Err()
}

// Sink is a fake [router.Sink]. Without RunFunc it reads everything and calls
// UnitFunc, if set, for each unit.
type Sink struct {
	Label    string // default "fakeSink"
	RunFunc  func(ctx context.Context, run *router.SinkRun) error
	UnitFunc func(track int, u *media.Unit)
}

// Type implements router.Sink.
func (s *Sink) Type() string { return cmp.Or(s.Label, "fakeSink") }

// Run implements router.Sink.
func (s *Sink) Run(ctx context.Context, run *router.SinkRun) error {
	if s.RunFunc != nil {
		return s.RunFunc(ctx, run)
	}
	sub, err := run.Stream.Subscribe(router.SubscribeOptions{})
	if err != nil {
		return err
	}
	defer sub.Close()
	for {
		track, u, err := sub.Next(ctx)
		if err != nil {
			return err
		}
		if s.UnitFunc != nil {
			s.UnitFunc(track, u)
		}
	}
}

// Authenticator is a fake [router.Authenticator]. Without AuthenticateFunc it
// allows everything.
type Authenticator struct {
	AuthenticateFunc func(ctx context.Context, req *router.AccessRequest) (router.Identity, error)
}

// Authenticate implements router.Authenticator.
func (a *Authenticator) Authenticate(ctx context.Context, req *router.AccessRequest) (router.Identity, error) {
	if a.AuthenticateFunc != nil {
		return a.AuthenticateFunc(ctx, req)
	}
	return router.Identity{User: req.User}, nil
}

// Depacketizer is a fake [media.Depacketizer]. Without DepacketizeFunc it
// collects the payloads of packets up to the marker, one element per packet.
type Depacketizer struct {
	DepacketizeFunc func(pkt *rtp.Packet) ([][]byte, error)

	Calls int // number of packets that were seen
	parts [][]byte
}

// Renew implements media.Renewer.
func (d *Depacketizer) Renew() media.Depacketizer {
	return &Depacketizer{DepacketizeFunc: d.DepacketizeFunc}
}

// Depacketize implements media.Depacketizer.
func (d *Depacketizer) Depacketize(pkt *rtp.Packet) ([][]byte, error) {
	d.Calls++
	if d.DepacketizeFunc != nil {
		return d.DepacketizeFunc(pkt)
	}
	d.parts = append(d.parts, pkt.Payload)
	if !pkt.Marker {
		return nil, nil
	}
	out := d.parts
	d.parts = nil
	return out, nil
}
