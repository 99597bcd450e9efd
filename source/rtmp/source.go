// Package rtmp pulls streams from RTMP and RTMPS servers and cameras.
//
//	router.PathConfig{Name: "cam", Source: rtmp.Source{URL: "rtmp://user:pass@camera/live/main"}}
//
// The stream begins when its tracks are known: from what the server says of them and
// from their first messages, for four seconds at most. Tracks with codecs that nobody
// knows, and messages that are damaged, are left out; the log says so, and the latter
// are counted as errors of the path.
//
// Each run is one connection. When it ends, because the publisher over there left, or
// because nothing came for [Source.ReadTimeout], the router connects again after a
// pause. Credentials never appear in errors and logs.
package rtmp

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/org/mtx/protocol/bridge/rtmpbridge"
	"github.com/org/mtx/protocol/bridge/rtmpconn"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
)

// Source pulls a stream from an RTMP server or camera. Each run is one attempt.
type Source struct {
	// URL of the stream: rtmp://host/app/streamKey, or rtmp://host/app#streamKey
	// if the application has slashes in it, or rtmps; with credentials if needed.
	// $G1... and $MTX_QUERY are replaced. Mandatory.
	URL string

	// Fingerprint is the SHA-256 of the certificate of the server, in hex; case
	// and colons do not matter. If empty, the certificate must be valid.
	Fingerprint string

	// ReadTimeout bounds how long the server may be silent, WriteTimeout how long
	// it may take nothing. Default 10s.
	ReadTimeout, WriteTimeout time.Duration
}

var _ router.Source = Source{}

// analyzeTime bounds, by the clock, how long tracks are looked for.
const analyzeTime = 4 * time.Second

// warnPause is how often something may be logged about what the server sends.
const warnPause = 10 * time.Second

// Type implements router.Source.
func (s Source) Type() string { return "rtmpSource" }

// Validate tells what is wrong with the source.
func (s Source) Validate() error { return s.options(s.URL).Validate() }

func (s Source) options(url string) rtmpconn.Options {
	return rtmpconn.Options{URL: url, Fingerprint: s.Fingerprint, ReadTimeout: s.ReadTimeout, WriteTimeout: s.WriteTimeout}
}

// Run implements router.Source.
func (s Source) Run(ctx context.Context, run *router.SourceRun) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	c, err := rtmpconn.Dial(ctx, s.options(run.Expand(s.URL)))
	if err != nil {
		return err
	}
	defer c.Close()
	run.Log.Info("connected", "url", c.URL.String())
	p := &pull{c: c, run: run, damage: damage{log: run.Log}}
	defer p.close()
	err = p.work(ctx, cancel)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return c.Explain(err)
}

// pull is a stream on its way in.
type pull struct {
	c      *rtmpconn.Client
	run    *router.SourceRun
	pub    *router.Publisher // nil: the tracks are not known yet
	tasks  sync.WaitGroup
	damage damage
}

func (p *pull) work(ctx context.Context, cancel context.CancelCauseFunc) error {
	d := rtmpbridge.NewDecoder(rtmpbridge.DecoderOptions{
		Tracks: func(tracks []media.Track) (func(int, *media.Unit), error) {
			if err := p.begin(ctx, cancel, tracks); err != nil {
				return nil, err
			}
			return p.pub.Write, nil
		},
		Damage: func(err error) {
			p.damage.add(err)
			if p.pub != nil {
				p.pub.Stream().AddInboundErrors(1)
			}
		},
	})
	var first time.Time
	for {
		m, err := p.c.Read()
		if err != nil {
			return err
		}
		if !m.IsMedia() {
			if err := p.c.Ended(&m); err != nil {
				return err
			}
			continue
		}
		if err := d.Write(m.Type, m.Timestamp, m.Body); err != nil {
			return err
		}
		switch {
		case p.pub != nil:
		case first.IsZero():
			first = time.Now()
		case time.Since(first) > analyzeTime:
			if err := d.Begin(); err != nil {
				return err
			}
		}
	}
}

// begin publishes the stream. The end of the publication is that of the run.
func (p *pull) begin(ctx context.Context, cancel context.CancelCauseFunc, tracks []media.Track) error {
	pub, err := p.run.Publish(ctx, tracks, router.PublishOptions{})
	if err != nil {
		return err
	}
	p.pub = pub
	p.tasks.Go(func() {
		<-pub.Done()
		cancel(pub.Err())
	})
	return nil
}

func (p *pull) close() {
	if p.pub != nil {
		p.pub.Close()
	}
	p.tasks.Wait()
	p.damage.flush()
}

// damage logs what was passed over, at most once in a while.
type damage struct {
	log    *slog.Logger
	count  int
	last   error
	logged time.Time
}

func (d *damage) add(err error) {
	d.count++
	d.last = err
	if time.Since(d.logged) >= warnPause {
		d.flush()
	}
}

func (d *damage) flush() {
	if d.count > 0 {
		d.log.Warn("something was left out", "count", d.count, "last", d.last)
		d.count, d.logged = 0, time.Now()
	}
}
