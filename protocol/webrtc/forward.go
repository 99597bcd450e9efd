package webrtc

import (
	"context"
	"fmt"
	"time"

	"github.com/org/mtx/protocol/bridge/webrtcpeer"
	"github.com/org/mtx/protocol/bridge/whipclient"
	"github.com/org/mtx/protocol/internal/egress"
	"github.com/org/mtx/router"
)

// Forward is a sink that publishes the path on another server by WHIP. Values may
// be compared with ==.
//
// A server that is too slow does not hold up the path: it misses access units, up
// to the next key frame. A video track with B-frames is left out, as are tracks
// that WebRTC cannot carry or that the server does not take.
type Forward struct {
	// URL of the stream on the other server: whip://host:port/path, or whips for
	// HTTPS. It may hold credentials, which are sent with Basic authentication.
	// $MTX_PATH and $G1, $G2... are replaced. Mandatory.
	URL string

	// BearerToken is sent in place of the credentials of the URL. Optional.
	BearerToken string

	// Fingerprint is the SHA-256 of the HTTPS certificate of the server, in hex;
	// case and colons do not matter. If empty, the certificate must be valid.
	Fingerprint string

	// ReadTimeout bounds each HTTP request. Default 10s.
	ReadTimeout time.Duration

	// STUNGatherTimeout bounds how long STUN and TURN servers are waited for.
	// Default 5s.
	STUNGatherTimeout time.Duration

	// HandshakeTimeout bounds the time from the answer to the connection. Default
	// 10s.
	HandshakeTimeout time.Duration
}

var _ router.Sink = Forward{}

// Type implements router.Sink.
func (f Forward) Type() string { return "webrtc" }

// Validate tells what is wrong with the sink. URLs with variables are checked only
// when these are known.
func (f Forward) Validate() error {
	for _, t := range []struct {
		what  string
		value time.Duration
	}{{"read", f.ReadTimeout}, {"STUN gather", f.STUNGatherTimeout}, {"handshake", f.HandshakeTimeout}} {
		if t.value < 0 || t.value > maxTimeout {
			return fmt.Errorf("WHIP %s timeout %v: it must be between 0 and %v", t.what, t.value, maxTimeout)
		}
	}
	return f.options(f.URL).Validate()
}

func (f Forward) options(url string) whipclient.Options {
	return whipclient.Options{
		Protocol: whipclient.WHIP, URL: url, BearerToken: f.BearerToken,
		Fingerprint: f.Fingerprint, Timeout: f.ReadTimeout,
	}
}

// Run implements router.Sink.
func (f Forward) Run(ctx context.Context, run *router.SinkRun) error {
	o := f.options(run.Expand(f.URL))
	o.Log = run.Log
	c, err := whipclient.New(o)
	if err != nil {
		return err
	}
	defer c.Close()
	engine, err := webrtcpeer.NewEngine(webrtcpeer.EngineConfig{
		HandshakeTimeout: f.HandshakeTimeout, STUNGatherTimeout: f.STUNGatherTimeout, Log: run.Log,
	})
	if err != nil {
		return err
	}
	defer engine.Close()
	inner, cancel := context.WithCancelCause(ctx)
	pool := egress.NewPool(1)
	defer pool.Close()
	// a fan wants a server; this one has a single viewer, at the other end
	sv := &server{ctx: inner, log: run.Log, engine: engine, pool: pool, fans: map[*router.Stream]*fan{}}
	defer sv.wg.Wait()
	defer cancel(nil)
	sv.wg.Go(func() {
		select { // a stream that ends has nobody to connect for
		case <-run.Stream.Done():
			cancel(router.ErrStreamClosed)
		case <-inner.Done():
		}
	})
	w := &forwarding{run: run, client: c, engine: engine, fan: sv.fanOf(run.Stream), excluded: map[int]error{}}
	err = w.work(inner)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case run.Stream.Err() != nil:
		return router.ErrStreamClosed
	}
	return c.Explain(err)
}
