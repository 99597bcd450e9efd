package rtsp

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"github.com/org/mtx/protocol/bridge/mpegtsbridge"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
)

// demux publishes the elementary streams of an MPEG transport stream. They are
// known only after some packets.
type demux struct {
	p       *pull
	demuxer *mpegtsbridge.Demuxer

	mu    sync.Mutex // of the demuxer
	ended bool
	pub   *router.Publisher
}

func newDemux(p *pull) *demux { return &demux{p: p} }

func (d *demux) begin(ctx context.Context) error {
	d.demuxer = mpegtsbridge.NewDemuxer(mpegtsbridge.DemuxerOptions{
		Tracks: func(tracks []media.Track) (func(int, *media.Unit), error) {
			pub, err := d.p.run.Publish(ctx, tracks, router.PublishOptions{})
			if err != nil {
				return nil, err
			}
			d.pub = pub
			d.p.faults.Attach(pub.Stream())
			return pub.Write, nil
		},
		Damaged: func(err error) { d.p.faults.Invalid(fmt.Errorf("MPEG-TS: %w", err)) },
	})
	return nil
}

// packet takes the transport packets that fill the payload (RFC 2250 section 2).
func (d *demux) packet(_ int, pkt *rtp.Packet, _ time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ended {
		return
	}
	_, err := d.demuxer.Write(pkt.Payload)
	if err == nil && d.pub != nil && d.pub.Err() != nil {
		err = errEnded
	}
	if err != nil {
		d.ended = true
		d.p.failed <- err
	}
}

// report does nothing: transport streams have their own clock.
func (d *demux) report(int, *rtcp.SenderReport, time.Time) {}

// over never ends: packet notices the end of the publication.
func (d *demux) over() <-chan struct{} { return nil }

func (d *demux) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.demuxer != nil {
		_ = d.demuxer.Close()
	}
	if d.pub != nil {
		d.pub.Close()
	}
}
