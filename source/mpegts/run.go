package mpegts

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/org/mtx/protocol/bridge/datagram"
	"github.com/org/mtx/protocol/bridge/mpegtsbridge"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
)

// errEnded is not router.ErrStreamClosed, after which there is no restart.
var errEnded = errors.New("the publication was ended by the router")

// Run implements router.Source.
func (s Source) Run(ctx context.Context, run *router.SourceRun) error {
	if err := s.Validate(); err != nil {
		return err
	}
	a, err := parse(run.Expand(s.URL))
	if err != nil {
		return err
	}
	c, err := datagram.Listen(ctx, a, datagram.Options{ReadBuffer: s.UDPReadBufferSize, Log: run.Log})
	if err != nil {
		return err
	}
	defer c.Close()
	r := newReceiver(ctx, run)
	defer r.close()
	err = r.work(c, s.timeout())
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// receiver publishes what arrives on a socket.
type receiver struct {
	faults  *datagram.Faults
	demuxer *mpegtsbridge.Demuxer
	unwrap  unwrapper
	clock   clock
	pub     *router.Publisher // nil: the tracks are not known yet
	rates   []int             // clock rates of the tracks
}

func newReceiver(ctx context.Context, run *router.SourceRun) *receiver {
	r := &receiver{faults: datagram.NewFaults(run.Log)}
	r.demuxer = mpegtsbridge.NewDemuxer(mpegtsbridge.DemuxerOptions{
		Tracks: func(tracks []media.Track) (func(int, *media.Unit), error) {
			pub, err := run.Publish(ctx, tracks, router.PublishOptions{})
			if err != nil {
				return nil, err
			}
			r.pub = pub
			r.faults.Attach(pub.Stream())
			for _, t := range tracks {
				r.rates = append(r.rates, t.Codec.ClockRate())
			}
			return r.write, nil
		},
		Damaged: r.faults.Invalid,
	})
	return r
}

func (r *receiver) work(c *datagram.Conn, timeout time.Duration) error {
	var valid time.Time // when media came last
	other := false      // something else came after it
	for {
		wait := timeout
		if !valid.IsZero() {
			wait = max(timeout-time.Since(valid), 0)
		}
		chunks, err := c.Receive(wait)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded) && other:
			return fmt.Errorf("no media arrived for %v, only something else", timeout)
		case errors.Is(err, os.ErrDeadlineExceeded):
			return fmt.Errorf("nothing arrived for %v", timeout)
		case errors.Is(err, io.EOF):
			return errors.New("the sender closed the connection")
		case err != nil:
			return fmt.Errorf("reception failed: %w", err)
		}
		before := r.demuxer.Received()
		for _, b := range chunks {
			if !c.Stream() {
				var err error
				if b, err = r.unwrap.datagram(b); err != nil {
					r.faults.Invalid(err)
				}
			}
			if _, err := r.demuxer.Write(b); err != nil {
				return err
			}
		}
		if r.pub != nil && r.pub.Err() != nil {
			return errEnded
		}
		other = r.demuxer.Received() == before
		if !other || valid.IsZero() {
			valid = time.Now()
		}
	}
}

// write takes a unit from the demuxer, which made it for us.
func (r *receiver) write(track int, u *media.Unit) {
	rate := r.rates[track]
	shift := r.clock.shift(media.Duration(u.PTS, rate), time.Now())
	u.PTS += media.Ticks(shift, rate)
	r.pub.Write(track, u)
}

func (r *receiver) close() {
	_ = r.demuxer.Close()
	if r.pub != nil {
		r.pub.Close()
	}
	r.faults.Flush()
}
