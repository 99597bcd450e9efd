package rtp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/org/mtx/protocol/bridge/datagram"
	"github.com/org/mtx/router"
)

// errEnded is not router.ErrStreamClosed, after which there is no restart.
var errEnded = errors.New("the publication was ended by the router")

// Run implements router.Source.
func (s Source) Run(ctx context.Context, run *router.SourceRun) error {
	if err := s.Validate(); err != nil {
		return err
	}
	a, err := datagram.Parse(run.Expand(s.URL), "rtp")
	if err != nil {
		return err
	}
	sess, err := describe(s.SDP)
	if err != nil {
		return err
	}
	o := datagram.Options{ReadBuffer: s.UDPReadBufferSize, Log: run.Log}
	c, err := datagram.Listen(ctx, a, o)
	if err != nil {
		return err
	}
	defer c.Close()

	r := newReceiver(ctx, run, sess)
	defer r.close()
	var reports sync.WaitGroup
	defer reports.Wait()
	if rtcp := listenRTCP(ctx, a, o); rtcp != nil {
		defer rtcp.Close() // before Wait
		reports.Go(func() { r.readReports(rtcp) })
	}
	err = r.work(c, s.timeout())
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// listenRTCP opens the port of the sender reports. They are useful, not needed.
func listenRTCP(ctx context.Context, a datagram.Address, o datagram.Options) *datagram.Conn {
	next, ok := a.Next()
	if !ok {
		return nil
	}
	c, err := datagram.Listen(ctx, next, datagram.Options{Batch: 1})
	if err != nil {
		if ctx.Err() == nil {
			o.Log.Warn("RTCP on its own port cannot be received", "error", err.Error())
		}
		return nil
	}
	return c
}

func (r *receiver) readReports(c *datagram.Conn) {
	for {
		packets, err := c.Receive(time.Minute)
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
		for _, b := range packets {
			if isRTCP(b) {
				r.reports(b, time.Now())
			}
		}
	}
}

// work receives until the stream is over.
func (r *receiver) work(c *datagram.Conn, timeout time.Duration) error {
	take := r.datagram
	if c.Stream() {
		take = newSplitter(r.datagram, r.faults.Invalid).push
	}
	for begun := false; ; {
		wait := timeout
		if begun {
			wait = min(timeout-time.Since(r.valid), r.patience(time.Now()))
		}
		chunks, err := c.Receive(wait)
		now := time.Now()
		late := errors.Is(err, os.ErrDeadlineExceeded)
		switch {
		case errors.Is(err, io.EOF):
			return errors.New("the sender closed the connection")
		case err != nil && !late:
			return fmt.Errorf("reception failed: %w", err)
		case !begun && late:
			return fmt.Errorf("nothing arrived for %v", timeout)
		case !begun:
			begun, r.valid = true, now
		}
		for _, b := range chunks {
			take(b, now)
		}
		r.expire(now)
		switch {
		case r.err != nil:
			return r.err
		case r.pub != nil && r.pub.Err() != nil:
			return errEnded
		case now.Sub(r.valid) >= timeout:
			return fmt.Errorf("no valid packet arrived for %v", timeout)
		}
	}
}
