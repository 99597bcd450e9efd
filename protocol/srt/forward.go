package srt

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/org/mtx/protocol/bridge/mpegtsbridge"
	"github.com/org/mtx/protocol/bridge/srtclient"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
)

// Forward is a sink that publishes the path on another SRT server. Values may be
// compared with ==.
//
// A server that is too slow does not hold up the path: it misses access units, up
// to the next key frame.
type Forward struct {
	// URL is srt://host:port?streamid=...&passphrase=...&latency=..., with the
	// parameters of libsrt. $MTX_PATH and $G1, $G2... are replaced. Mandatory.
	URL string

	// ReadTimeout bounds how long the server may be silent. Default 10s.
	ReadTimeout time.Duration
}

var errForwardMode = errors.New("SRT parameter mode: to forward it must be caller")

// Type implements router.Sink.
func (f Forward) Type() string { return "srt" }

// Validate tells what is wrong with the sink.
func (f Forward) Validate() error {
	_, err := f.client(srtclient.Options{URL: f.URL})
	return err
}

func (f Forward) client(o srtclient.Options) (*srtclient.Client, error) {
	o.ReadTimeout = f.ReadTimeout
	c, err := srtclient.New(o)
	if err == nil && c.Mode() != srtclient.Caller {
		err = errForwardMode
	}
	return c, err
}

// Run implements router.Sink.
func (f Forward) Run(ctx context.Context, run *router.SinkRun) error {
	c, err := f.client(srtclient.Options{URL: run.Expand(f.URL), Log: run.Log})
	if err != nil {
		return err
	}
	w := &forwarding{run: run, tracks: run.Stream.Tracks()}
	w.muxer, err = mpegtsbridge.NewMuxer(mpegtsbridge.MuxerOptions{
		Tracks: w.tracks,
		Skipped: func(e *mpegtsbridge.TrackError) {
			run.Log.Warn("track is left out", "track", e.Track+1, "codec", e.Codec, "reason", e.Err)
		},
	})
	if err != nil {
		return err
	}
	// a stream that ends has nobody to connect for
	inner, stop := cancelWhen(ctx, run.Stream.Done())
	w.conn, err = c.Connect(inner)
	stop()
	switch {
	case err != nil && ctx.Err() != nil:
		return ctx.Err()
	case err != nil && run.Stream.Err() != nil:
		return router.ErrStreamClosed
	case err != nil:
		return fmt.Errorf("%s: %w", c.Address(), err)
	}
	defer w.conn.Close()
	run.Log.Info("publishing", "address", c.Address())
	err = w.copy(ctx)
	if ctx.Err() == nil && !errors.Is(err, router.ErrStreamClosed) {
		err = fmt.Errorf("%s: %w", c.Address(), err)
	}
	return err
}

// forwarding is one attempt to publish a stream on another server.
type forwarding struct {
	run    *router.SinkRun
	conn   *srtclient.Conn
	muxer  *mpegtsbridge.Muxer
	tracks []media.Track

	buf     []byte
	begun   bool // there was a start since the last loss
	dropped uint64
	lost    uint64 // units and blocks, as last reported
	warned  time.Time
}

func (w *forwarding) copy(ctx context.Context) error {
	var tracks []int
	for i := range w.tracks {
		if w.muxer.Carries(i) {
			tracks = append(tracks, i)
		}
	}
	sub, err := w.run.Stream.Subscribe(router.SubscribeOptions{Tracks: tracks})
	if err != nil {
		return err
	}
	defer sub.Close()
	inner, stop := cancelWhen(ctx, w.conn.Done())
	defer stop()
	for {
		track, u, err := sub.Next(inner)
		if err != nil {
			if ctx.Err() == nil && inner.Err() != nil {
				return w.conn.Err() // the connection broke
			}
			return err
		}
		dropped := w.conn.Dropped()
		if dropped != w.dropped {
			w.dropped, w.begun = dropped, false
		}
		if err := w.unit(track, u); err != nil {
			return err
		}
		w.report(sub.Dropped() + dropped)
	}
}

// cancelWhen returns a context that ends when done is closed. stop releases it.
func cancelWhen(ctx context.Context, done <-chan struct{}) (inner context.Context, stop func()) {
	inner, cancel := context.WithCancel(ctx)
	var task sync.WaitGroup
	task.Go(func() {
		select {
		case <-done:
			cancel()
		case <-inner.Done():
		}
	})
	return inner, func() {
		cancel()
		task.Wait()
	}
}

// unit sends a unit, from the first start on, and from the next one after a loss.
func (w *forwarding) unit(track int, u *media.Unit) error {
	if t := w.run.Stream.Tracks(); t[track].Codec != w.tracks[track].Codec {
		w.muxer.SetCodec(track, t[track].Codec)
		w.tracks = t
	}
	out, start, err := w.muxer.Append(w.buf[:0], track, u)
	if err != nil {
		w.run.Log.Debug("unit cannot be sent", "reason", err)
		return nil
	}
	w.buf = out
	w.begun = w.begun || start
	if !w.begun || len(out) == 0 {
		return nil
	}
	_, err = w.conn.Write(out)
	return err
}

// report warns now and then.
func (w *forwarding) report(n uint64) {
	if n == w.lost || time.Since(w.warned) < warnPause {
		return
	}
	w.run.Log.Warn("the other server is too slow: units are dropped", "units", n-w.lost)
	w.lost, w.warned = n, time.Now()
}
