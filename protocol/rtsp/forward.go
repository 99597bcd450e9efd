package rtsp

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/org/mtx/protocol/bridge/rtpbridge"
	"github.com/org/mtx/protocol/bridge/rtspclient"
	"github.com/org/mtx/router"
)

// Forward is a sink that publishes the path on another RTSP server. Values may be
// compared with ==.
//
// A server that is too slow does not hold up the path: it misses access units, up
// to the next key frame.
type Forward struct {
	// URL of the stream on the other server: rtsp, rtsps, or with a tunnel
	// rtsp+http, rtsps+http, rtsp+ws, rtsps+ws. It may hold credentials.
	// $MTX_PATH and $G1, $G2... are replaced. Mandatory.
	URL string

	// Transport is UDP or TCP. Default TCP. Over rtsps, UDP is SRTP.
	Transport Transport

	// Fingerprint is the SHA-256 of the certificate of the server, in hex; case
	// and colons do not matter. If empty, the certificate must be valid.
	Fingerprint string

	// ReadTimeout and WriteTimeout bound network operations. Default 10s.
	ReadTimeout, WriteTimeout time.Duration
}

// Type implements router.Sink.
func (f Forward) Type() string { return "rtsp" }

// Validate tells what is wrong with the sink.
func (f Forward) Validate() error {
	_, err := f.client(f.URL, nil)
	return err
}

// Run implements router.Sink.
func (f Forward) Run(ctx context.Context, run *router.SinkRun) error {
	c, err := f.client(run.Expand(f.URL), run)
	if err != nil {
		return err
	}
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := c.Start(inner); err != nil {
		return c.Explain(err)
	}
	defer c.Close()
	w := &forwarding{client: c, run: run}
	err = w.work(inner, cancel)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, context.Canceled) && run.Stream.Err() != nil:
		return router.ErrStreamClosed
	case errors.Is(err, context.Canceled):
		return c.Err() // the connection broke
	case errors.Is(err, router.ErrStreamClosed):
		return router.ErrStreamClosed
	}
	return c.Explain(err)
}

func (f Forward) client(url string, run *router.SinkRun) (*rtspclient.Client, error) {
	o := rtspclient.Options{
		URL:          url,
		Transport:    string(f.Transport),
		Fingerprint:  f.Fingerprint,
		ReadTimeout:  f.ReadTimeout,
		WriteTimeout: f.WriteTimeout,
	}
	switch f.Transport {
	case "":
		o.Transport = string(TCP)
	case UDP, TCP:
	default:
		return nil, fmt.Errorf("transport %q: it must be udp or tcp", f.Transport)
	}
	if run != nil {
		o.Log = run.Log
	}
	c, err := rtspclient.New(o)
	if err != nil {
		return nil, err
	}
	c.WriteQueueSize = forwardQueue
	c.MaxPacketSize = forwardPacketSize
	return c, nil
}

const (
	// forwardQueue is the number of packets that the client holds for its
	// connection; it must be a power of two.
	forwardQueue = 512

	// forwardPacketSize is the greatest size of a packet with the trailer of
	// SRTP; forwardPlainSize that without.
	forwardPacketSize = 1472
	forwardPlainSize  = rtpbridge.DefaultMaxSize
)
