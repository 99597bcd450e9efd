// Package srt pulls streams from SRT servers, cameras and encoders, or waits for
// them to call.
//
//	srt://host:8890?streamid=read:cam         calls the host
//	srt://0.0.0.0:8890?mode=listener          waits for a publisher on a port of its own
//
// A [Source] is given to a path:
//
//	router.PathConfig{Name: "cam", Source: srt.Source{URL: "srt://192.168.1.10:9000"}}
package srt

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/org/mtx/protocol/bridge/datagram"
	"github.com/org/mtx/protocol/bridge/mpegtsbridge"
	"github.com/org/mtx/protocol/bridge/srtclient"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
)

// Source receives an MPEG transport stream by SRT. Values may be compared with
// ==.
type Source struct {
	// URL is srt://host:port?parameters, with the parameters of libsrt: mode,
	// streamid, passphrase, pbkeylen, latency, rcvlatency, peerlatency (ms),
	// conntimeo, peeridletimeo (ms), mss, payloadsize, fc, kmrefreshrate,
	// kmpreannounce, iptos, ipttl, ipv6only... $G1, $G2... and $MTX_QUERY are
	// replaced. Mandatory.
	URL string

	// ReadTimeout bounds how long the peer may be silent, and how long it may
	// send no media. Default 10s.
	ReadTimeout time.Duration

	// UDPReadBufferSize is the size of the UDP receive buffer, in bytes. Default:
	// 4 MiB, or what the system allows.
	UDPReadBufferSize int
}

// Type implements router.Source.
func (s Source) Type() string { return "srtSource" }

// Validate tells what is wrong with the source.
func (s Source) Validate() error {
	_, err := srtclient.New(srtclient.Options{URL: s.URL, UDPReadBufferSize: s.UDPReadBufferSize})
	return err
}

// Run implements router.Source.
func (s Source) Run(ctx context.Context, run *router.SourceRun) error {
	if s.ReadTimeout <= 0 {
		s.ReadTimeout = 10 * time.Second
	}
	p := &pull{ctx: ctx, run: run, failed: make(chan error, 1), faults: datagram.NewFaults(run.Log)}
	defer p.faults.Flush()
	p.demuxer = mpegtsbridge.NewDemuxer(mpegtsbridge.DemuxerOptions{Tracks: p.publish, Damaged: p.faults.Invalid})
	c, err := srtclient.New(srtclient.Options{
		URL: run.Expand(s.URL), ReadTimeout: s.ReadTimeout, UDPReadBufferSize: s.UDPReadBufferSize,
		OnData: p.data, Log: run.Log,
	})
	if err != nil {
		return err
	}
	conn, err := c.Connect(ctx)
	if err != nil {
		return p.reason(err)
	}
	run.Log.Info("connected", "remote", conn.RemoteAddr().String())
	err = p.wait(conn, s.ReadTimeout)
	conn.Close() // no data comes after it
	_ = p.demuxer.Close()
	if p.pub != nil {
		p.pub.Close()
	}
	return p.reason(err)
}

// pull is one attempt to receive a stream.
type pull struct {
	ctx     context.Context //nolint:containedctx // of Run, for a callback
	run     *router.SourceRun
	demuxer *mpegtsbridge.Demuxer
	faults  *datagram.Faults
	failed  chan error
	alive   watchdog

	// of the goroutine of the connection, until it is closed
	over bool
	pub  *router.Publisher
}

// errEnded is not router.ErrStreamClosed, after which there is no restart.
var errEnded = errors.New("the publication was ended by the router")

// data takes what the peer sends.
func (p *pull) data(b []byte) {
	if p.over {
		return
	}
	before := p.demuxer.Received()
	_, err := p.demuxer.Write(b)
	if p.demuxer.Received() != before {
		p.alive.kick()
	}
	if err == nil && p.pub != nil && p.pub.Err() != nil {
		err = errEnded
	}
	if err != nil {
		p.over = true
		p.failed <- err
	}
}

// publish is called when the tracks are known.
func (p *pull) publish(tracks []media.Track) (func(int, *media.Unit), error) {
	pub, err := p.run.Publish(p.ctx, tracks, router.PublishOptions{})
	if err != nil {
		return nil, err
	}
	p.pub = pub
	p.faults.Attach(pub.Stream())
	return pub.Write, nil
}

// wait returns when the connection, or the stream, is over.
func (p *pull) wait(conn *srtclient.Conn, timeout time.Duration) error {
	t := time.NewTicker(max(timeout/4, time.Millisecond))
	defer t.Stop()
	p.alive.kick()
	for {
		select {
		case <-conn.Done():
			return conn.Err()
		case err := <-p.failed:
			return err
		case <-p.ctx.Done():
			return p.ctx.Err()
		case <-t.C:
			if p.alive.silent() >= timeout {
				return fmt.Errorf("no media came within %v", timeout)
			}
		}
	}
}

// reason prefers that of the context.
func (p *pull) reason(err error) error {
	if p.ctx.Err() != nil {
		return p.ctx.Err()
	}
	return err
}
