package rtsp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/description"
	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"github.com/org/mtx/protocol/bridge/datagram"
	"github.com/org/mtx/protocol/bridge/rtpbridge"
	"github.com/org/mtx/protocol/bridge/rtspclient"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
)

// Run implements router.Source.
func (s Source) Run(ctx context.Context, run *router.SourceRun) error {
	faults := datagram.NewFaults(run.Log)
	defer faults.Flush()
	c, err := s.client(run.Expand(s.URL), run, faults)
	if err != nil {
		return err
	}
	p := &pull{Source: s, run: run, client: c, faults: faults, failed: make(chan error, 1)}
	return p.work(ctx)
}

// pull is one attempt to receive a stream.
type pull struct {
	Source
	run    *router.SourceRun
	client *rtspclient.Client
	faults *datagram.Faults
	inlet  inlet

	tracks []media.Track
	refs   []rtpbridge.Ref
	failed chan error // of the receiving side
}

// receiver turns packets into what is published.
type receiver interface {
	// begin publishes, or prepares for it. packet and report are called
	// afterwards only.
	begin(ctx context.Context) error
	packet(track int, pkt *rtp.Packet, now time.Time)
	report(track int, sr *rtcp.SenderReport, now time.Time)
	// over tells when the publication has ended, if it has begun.
	over() <-chan struct{}
	// end is called when no packet will follow.
	end()
}

func (p *pull) work(ctx context.Context) error {
	c := p.client
	if err := c.Start(ctx); err != nil {
		return c.Explain(err)
	}
	rx, err := p.connect()
	if err == nil {
		defer rx.end()
		err = rx.begin(ctx)
	}
	defer c.Close() // before end
	if err == nil {
		p.inlet.open(rx)
		err = p.wait(ctx, rx)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return c.Explain(err)
}

// errEnded is not router.ErrStreamClosed, after which there is no restart.
var errEnded = errors.New("the publication was ended by the router")

// wait returns when the stream is over, with the reason.
func (p *pull) wait(ctx context.Context, rx receiver) error {
	select {
	case <-p.client.Done():
		return p.client.Err()
	case err := <-p.failed:
		return err
	case <-rx.over():
		return errEnded
	case <-ctx.Done():
		return ctx.Err()
	}
}

// connect asks the server for the stream, up to PLAY.
func (p *pull) connect() (receiver, error) {
	ra, err := p.playRange()
	if err != nil {
		return nil, err
	}
	desc, _, err := p.client.Describe(p.client.URL)
	if err != nil {
		return nil, err
	}
	if p.tracks, p.refs, err = rtpbridge.Tracks(desc); err != nil {
		return nil, err
	}
	rx, err := p.receiver()
	if err != nil {
		return nil, err
	}
	if err := p.setup(desc); err != nil {
		return nil, err
	}
	p.inlet.senders = make([]atomic.Uint64, len(p.refs))
	p.client.OnPacketRTPAny(p.onRTP())
	p.client.OnPacketRTCPAny(p.onRTCP())
	if _, err := p.client.Play(ra); err != nil {
		return nil, err
	}
	return rx, nil
}

// setup asks for all sections that have a track. Back channels have none.
func (p *pull) setup(desc *description.Session) error {
	for _, m := range desc.Medias {
		if !slices.ContainsFunc(p.refs, func(r rtpbridge.Ref) bool { return r.Media == m }) {
			continue
		}
		if _, err := p.client.Setup(desc.BaseURL, m, 0, 0); err != nil {
			return err
		}
	}
	return nil
}

// receiver chooses what to do with the packets.
func (p *pull) receiver() (receiver, error) {
	if p.DemuxMPEGTS {
		isTS := func(t media.Track) bool { _, ok := t.Codec.(*media.MPEGTS); return ok }
		if i := slices.IndexFunc(p.tracks, isTS); i >= 0 {
			if len(p.tracks) > 1 {
				p.run.Log.Warn("tracks beside the MPEG transport stream are left out", "tracks", len(p.tracks)-1)
			}
			p.tracks, p.refs = p.tracks[i:i+1], p.refs[i:i+1]
			return newDemux(p), nil
		}
	}
	return newDirect(p)
}

func (p *pull) onRTP() func(*description.Media, format.Format, *rtp.Packet) {
	index := make(map[format.Format]int, len(p.refs))
	for i, r := range p.refs {
		index[r.Format] = i
	}
	return func(_ *description.Media, f format.Format, pkt *rtp.Packet) {
		if i, ok := index[f]; ok {
			p.inlet.packet(i, pkt, time.Now())
		}
	}
}

func (p *pull) onRTCP() func(*description.Media, rtcp.Packet) {
	index := map[*description.Media][]int{}
	for i, r := range p.refs {
		index[r.Media] = append(index[r.Media], i)
	}
	return func(m *description.Media, pkt rtcp.Packet) {
		if sr, ok := pkt.(*rtcp.SenderReport); ok {
			p.inlet.report(index[m], sr, time.Now())
		}
	}
}

// direct publishes the packets as they are.
type direct struct {
	p      *pull
	depack []media.Depacketizer
	rx     *rtpbridge.Receiver
	pub    *router.Publisher
}

func newDirect(p *pull) (receiver, error) {
	d := &direct{p: p, depack: make([]media.Depacketizer, len(p.refs))}
	for i, r := range p.refs {
		dp, err := rtpbridge.NewDepacketizer(r.Format)
		if err != nil {
			return nil, fmt.Errorf("track %d (%s): %w", i+1, p.tracks[i].Codec.Name(), err)
		}
		d.depack[i] = dp
	}
	return d, nil
}

func (d *direct) begin(ctx context.Context) error {
	pub, err := d.p.run.Publish(ctx, d.p.tracks, router.PublishOptions{Depacketizers: d.depack})
	if err != nil {
		return err
	}
	d.pub = pub
	d.p.faults.Attach(pub.Stream())
	formats := make([]format.Format, len(d.p.refs))
	for i, r := range d.p.refs {
		formats[i] = r.Format
	}
	d.rx = rtpbridge.NewReceiver(rtpbridge.ReceiverOptions{
		Formats:            formats,
		Write:              pub.Write,
		Update:             pub.SetCodec,
		UseSenderReportNTP: d.p.run.Config.UseAbsoluteTimestamp,
	})
	return nil
}

func (d *direct) packet(track int, pkt *rtp.Packet, now time.Time) { d.rx.Packet(track, pkt, now) }

func (d *direct) report(track int, sr *rtcp.SenderReport, now time.Time) {
	d.rx.SenderReport(track, sr, now)
}

func (d *direct) over() <-chan struct{} { return d.pub.Done() }

func (d *direct) end() {
	if d.pub != nil {
		d.rx.Close()
		d.pub.Close()
	}
}
