package rtmp

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/org/mtx/protocol/bridge/rtmpbridge"
	"github.com/org/mtx/protocol/bridge/rtmpconn"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
)

// analyzeTime bounds, by the clock, how long the tracks of a publisher are looked
// for: there are some whose time stamps do not move.
const analyzeTime = 4 * time.Second

var errNoMedia = errors.New("the client publishes, but sends no media")

// publish serves a client that publishes.
func (c *conn) publish(ctx context.Context, req *rtmpconn.Request) (err error) {
	target := c.rtmp.Target(req.Key)
	grant, err := c.sv.host.Authorize(ctx, c.request(router.ActionPublish, target))
	if err == nil {
		err = c.mayPublish(grant)
	}
	if err != nil {
		return c.refuse(req, err)
	}
	c.begins("publish", grant, target.Query)
	if err := c.rtmp.AcceptRequest(req); err != nil {
		return err
	}
	p := &publication{c: c, grant: grant, done: make(chan struct{}), warn: warnings{log: c.log}}
	defer func() {
		if errors.Is(err, errLeft) {
			c.awaitClose()
		}
	}()
	defer p.close() // before
	err = p.run(ctx)
	if p.pub == nil && !errors.Is(err, errLeft) {
		return c.refuse(req, err)
	}
	return err
}

// mayPublish looks whether publishing would be refused, while the client can be
// told so: the tracks are not known before there is media.
func (c *conn) mayPublish(g *router.Grant) error {
	conf := g.Config()
	if conf.Source != nil {
		if _, ok := conf.Source.(router.Inviter); !ok {
			return &router.PathError{Op: "publish", Path: g.Path(), Err: router.ErrNotPublishable}
		}
	}
	if p, ok := c.sv.host.Router().Path(g.Path()); ok && !conf.Override && p.Stream() != nil {
		return &router.PathError{Op: "publish", Path: g.Path(), Err: router.ErrAlreadyPublishing}
	}
	return nil
}

// publication is a client that publishes.
type publication struct {
	c     *conn
	grant *router.Grant
	pub   *router.Publisher // nil: the tracks are not known yet
	done  chan struct{}
	tasks sync.WaitGroup
	warn  warnings
}

func (p *publication) run(ctx context.Context) error {
	d := rtmpbridge.NewDecoder(rtmpbridge.DecoderOptions{
		Tracks: func(tracks []media.Track) (func(int, *media.Unit), error) {
			if err := p.begin(ctx, tracks); err != nil {
				return nil, err
			}
			return p.pub.Write, nil
		},
		Damage: func(err error) {
			p.warn.add(err)
			if p.pub != nil {
				p.pub.Stream().AddInboundErrors(1)
			}
		},
	})
	limit := time.AfterFunc(p.c.sv.cfg.ReadTimeout+analyzeTime, func() { p.c.fail(errNoMedia) })
	defer limit.Stop()
	var first time.Time
	for {
		m, err := p.c.rtmp.Read()
		if err != nil {
			return err
		}
		if cmd, ok, err := m.Command(); ok && err == nil && cmd.IsEnd() {
			return errLeft
		}
		if !m.IsMedia() {
			continue
		}
		if err := d.Write(m.Type, m.Timestamp, m.Body); err != nil {
			return err
		}
		switch {
		case p.pub != nil:
			limit.Stop()
		case first.IsZero():
			first = time.Now()
		case time.Since(first) > analyzeTime:
			if err := d.Begin(); err != nil {
				return err
			}
		}
	}
}

// begin publishes the stream.
func (p *publication) begin(ctx context.Context, tracks []media.Track) error {
	pub, err := p.grant.Publish(ctx, tracks, router.PublishOptions{Peer: p.c.peer()})
	if err != nil {
		return err
	}
	p.pub = pub
	names := make([]string, len(tracks))
	for i := range tracks {
		names[i] = tracks[i].Codec.Name()
	}
	p.c.log.Info("is publishing", "path", p.grant.Path(), "tracks", names, "remote", p.c.remote.String())
	p.tasks.Go(func() {
		select {
		case <-pub.Done():
			p.c.fail(pub.Err())
		case <-p.done:
		}
	})
	return nil
}

func (p *publication) close() {
	close(p.done)
	p.tasks.Wait()
	if p.pub != nil {
		p.pub.Close()
	}
	p.warn.flush()
}
