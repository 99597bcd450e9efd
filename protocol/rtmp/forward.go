package rtmp

import (
	"context"
	"errors"
	"runtime/debug"
	"sync"
	"time"

	"github.com/org/mtx/protocol/bridge/rtmpbridge"
	"github.com/org/mtx/protocol/bridge/rtmpconn"
	"github.com/org/mtx/router"
)

// Forward is a sink that publishes the path on another RTMP server. Values may be
// compared with ==.
//
// A server that is too slow does not hold up the path: it misses access units, up
// to the next key frame.
type Forward struct {
	// URL of the stream on the other server: rtmp://host/app/streamKey, or
	// rtmp://host/app#streamKey if the application has slashes in it, or rtmps.
	// It may hold credentials. $MTX_PATH and $G1, $G2... are replaced. Mandatory.
	URL string

	// Fingerprint is the SHA-256 of the certificate of the server, in hex; case
	// and colons do not matter. If empty, the certificate must be valid.
	Fingerprint string

	// ReadTimeout and WriteTimeout bound network operations. Default 10s.
	ReadTimeout, WriteTimeout time.Duration
}

var _ router.Sink = Forward{}

// Type implements router.Sink.
func (f Forward) Type() string { return "rtmp" }

// Validate tells what is wrong with the sink.
func (f Forward) Validate() error { return f.options(f.URL).Validate() }

func (f Forward) options(url string) rtmpconn.Options {
	return rtmpconn.Options{
		URL: url, Publish: true, Fingerprint: f.Fingerprint,
		ReadTimeout: f.ReadTimeout, WriteTimeout: f.WriteTimeout,
	}
}

// Run implements router.Sink.
func (f Forward) Run(ctx context.Context, run *router.SinkRun) error {
	enc, err := rtmpbridge.NewEncoder(run.Stream.Tracks())
	if err != nil {
		return err
	}
	for _, t := range enc.Skipped() {
		run.Log.Warn("track cannot be sent by RTMP", "track", t.Track+1, "reason", t.Reason)
	}
	inner, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var tasks sync.WaitGroup
	defer tasks.Wait()
	over := make(chan struct{})
	defer close(over)
	tasks.Go(func() { // a stream that ends has nobody to connect for
		select {
		case <-run.Stream.Done():
		case <-over:
			return
		}
		t := time.NewTimer(endGrace)
		defer t.Stop()
		select {
		case <-t.C:
			cancel(router.ErrStreamClosed)
		case <-over:
		}
	})
	c, err := rtmpconn.Dial(inner, f.options(run.Expand(f.URL)))
	if err != nil {
		return err
	}
	defer c.Close()
	tasks.Go(func() { cancel(hearServer(c)) })
	run.Log.Info("publishing", "url", c.URL.String())
	err = send(inner, run, c, enc)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, router.ErrStreamClosed):
		_ = c.Finish(true)
		return router.ErrStreamClosed
	case inner.Err() != nil:
		return context.Cause(inner)
	}
	return c.Explain(err)
}

// endGrace is how long what is left of a stream may take to be sent.
const endGrace = 2 * time.Second

// hearServer returns why the server ended the connection.
func hearServer(c *rtmpconn.Client) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &router.PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	for {
		m, err := c.Read()
		if err != nil {
			return c.Explain(err)
		}
		if err := c.Ended(&m); err != nil {
			return err
		}
	}
}

// send sends units until the stream ends.
func send(ctx context.Context, run *router.SinkRun, c *rtmpconn.Client, enc *rtmpbridge.Encoder) error {
	sub, err := run.Stream.Subscribe(router.SubscribeOptions{})
	if err != nil {
		return err
	}
	defer sub.Close()
	warn := warnings{log: run.Log}
	defer warn.flush()
	if err := c.WriteChunks(enc.AppendHead(nil, rtmpbridge.Head{Publish: true})); err != nil {
		return err
	}
	var buf []byte
	dropped := uint64(0)
	for {
		track, u, err := sub.Next(ctx)
		if err != nil {
			return err
		}
		if n := sub.Dropped(); n != dropped {
			dropped = n
			warn.add(errSlowServer)
		}
		if !enc.Carries(track) {
			continue
		}
		buf = enc.AppendConfig(buf[:0], track, run.Stream.Tracks()[track].Codec)
		var damage error
		if buf, _, damage = enc.Append(buf, track, u); damage != nil {
			warn.add(damage)
		}
		if len(buf) == 0 {
			continue
		}
		if err := c.WriteChunks(buf); err != nil {
			return err
		}
	}
}

var errSlowServer = errors.New("the server is too slow: access units were discarded")
