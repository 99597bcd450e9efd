package srt

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/org/mtx/protocol/bridge/mpegtsbridge"
	"github.com/org/mtx/protocol/internal/srtcore"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
)

// publication is what a client publishes.
type publication struct {
	s       *session
	grant   *router.Grant
	demuxer *mpegtsbridge.Demuxer
	left    chan struct{} // closed when the client is gone

	pub *router.Publisher // nil until the tracks are known

	// what was damaged since it was logged last
	damaged uint64
	last    error
	warned  time.Time
	early   uint64 // before there was a stream that counts it

	media atomic.Uint64 // packets of elementary streams

	once sync.Once
}

func (s *session) acceptPublisher(grant *router.Grant) *srtcore.Answer {
	p := &publication{s: s, grant: grant, left: make(chan struct{})}
	p.demuxer = mpegtsbridge.NewDemuxer(mpegtsbridge.DemuxerOptions{Tracks: p.publish, Damaged: p.onDamaged})
	s.mu.Lock()
	s.pub = p
	s.mu.Unlock()
	return &srtcore.Answer{
		OnData:  p.data,
		OnOpen:  func(c *srtcore.Conn) { s.opened(c) },
		OnClose: s.closed,
	}
}

var errPublicationEnded = errors.New("the publication was ended by the router")

// data takes what the client sends.
func (p *publication) data(b []byte) {
	_, err := p.demuxer.Write(b)
	p.media.Store(p.demuxer.Received())
	if err == nil && p.pub != nil {
		if err = p.pub.Err(); errors.Is(err, router.ErrStreamClosed) {
			err = errPublicationEnded
		}
	}
	if err != nil {
		p.s.disconnect(err)
	}
}

func (s *session) disconnect(err error) {
	s.mu.Lock()
	c := s.conn
	s.mu.Unlock()
	if c != nil {
		c.Close(err)
	}
}

// publish is called when the tracks are known.
func (p *publication) publish(tracks []media.Track) (func(int, *media.Unit), error) {
	pub, err := p.grant.Publish(p.s.sv.ctx, tracks, router.PublishOptions{Peer: p.s.peer()})
	if err != nil {
		return nil, err
	}
	p.pub = pub
	pub.Stream().AddInboundErrors(p.early)
	p.s.setState("publish")
	p.s.sv.wg.Go(func() {
		select {
		case <-pub.Done():
			p.s.disconnect(pub.Err())
		case <-p.left:
		}
	})
	return pub.Write, nil
}

func (p *publication) onDamaged(err error) {
	if p.pub != nil {
		p.pub.Stream().AddInboundErrors(1)
	} else {
		p.early++
	}
	p.damaged++
	p.last = err
	if now := time.Now(); now.Sub(p.warned) >= warnPause {
		p.warn()
		p.warned = now
	}
}

func (p *publication) warn() {
	if p.damaged > 0 {
		p.s.log.Warn("media was damaged", "path", p.s.path, "count", p.damaged, "last", p.last)
		p.damaged = 0
	}
}

// close is called when no data comes any more.
func (p *publication) close() {
	p.once.Do(func() {
		_ = p.demuxer.Close()
		p.warn()
		close(p.left)
		if p.pub != nil {
			p.pub.Close()
		}
	})
}
