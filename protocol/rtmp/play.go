package rtmp

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/org/mtx/protocol/bridge/rtmpconn"
	"github.com/org/mtx/protocol/internal/egress"
)

// play serves a client that reads. From now on a goroutine of its own hears what
// the client says; it may leave at any time.
func (c *conn) play(ctx context.Context, req *rtmpconn.Request) error {
	var hearing sync.WaitGroup
	gone := make(chan struct{}) // the client is
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	hearing.Go(func() {
		defer close(gone)
		defer c.recoverPanic()
		err := c.hear()
		if errors.Is(err, net.ErrClosed) {
			awaitReason(ctx)
		}
		cancel(err)
	})
	defer hearing.Wait()
	defer func() { // before hearing.Wait
		cancel(nil)
		_ = c.raw.Close()
	}()

	target := c.rtmp.Target(req.Key)
	att, grant, err := c.attach(ctx, target)
	if err != nil {
		return c.refuseReader(ctx, req, err, gone)
	}
	defer att.Close()
	f, err := c.sv.join(att.Stream())
	if err != nil {
		return c.refuseReader(ctx, req, err, gone)
	}
	defer f.leave()
	if err := f.settle(ctx); err != nil {
		return c.refuseReader(ctx, req, err, gone)
	}
	out := egress.NewTCPConn(c.net, egress.TCPOptions{
		QueueBytes:   c.sv.cfg.WriteQueueSize * bytesPerMessage,
		WriteTimeout: c.sv.cfg.WriteTimeout,
		OnError:      func(err error) { cancel(err) },
	})
	defer func() { _ = out.Close() }()
	c.begins("read", grant, target.Query)
	c.rtmp.SetWriter(out)
	if err := c.rtmp.AcceptRequest(req); err != nil {
		return err
	}
	r := f.newReader(out, c.rtmp.Enhanced)
	c.mu.Lock()
	c.out, c.reader = out, r
	c.mu.Unlock()
	c.log.Info("is reading", "path", grant.Path(), "remote", c.remote.String())
	f.play(r)
	defer f.stop(r)
	defer func() {
		if n := r.Stats().Discarded; n > 0 {
			c.log.Warn("reader was too slow: messages were discarded", "count", n)
		}
	}()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-att.Stream().Done():
		f.stop(r)
		c.sayEnd(gone)
		return att.Stream().Err()
	}
}

// awaitReason leaves who closed the connection on our side the time to tell why.
func awaitReason(ctx context.Context) {
	t := time.NewTimer(lingerTime)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// hear returns when the client has left, and why.
func (c *conn) hear() error {
	for {
		m, err := c.rtmp.Read()
		if err != nil {
			return err
		}
		if cmd, ok, err := m.Command(); ok && err == nil && cmd.IsEnd() {
			return errLeft
		}
	}
}

// refuseReader is refuse for clients that are heard by another goroutine.
func (c *conn) refuseReader(ctx context.Context, req *rtmpconn.Request, err error, gone <-chan struct{}) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	err = c.reject(req, err)
	c.part(gone)
	return err
}

// sayEnd tells the client that the stream is over.
func (c *conn) sayEnd(gone <-chan struct{}) {
	if c.rtmp.End() != nil {
		return
	}
	t := time.NewTimer(lingerTime / 2)
	defer t.Stop()
	select {
	case <-gone:
	case <-t.C: // it waits for the end of the connection
		c.part(gone)
	}
}

// part closes our half of the connection and waits for the client to do the same.
func (c *conn) part(gone <-chan struct{}) {
	if w, ok := c.net.(interface{ CloseWrite() error }); ok {
		_ = c.net.SetWriteDeadline(time.Now().Add(lingerTime))
		_ = w.CloseWrite()
	}
	t := time.NewTimer(lingerTime)
	defer t.Stop()
	select {
	case <-gone:
	case <-t.C:
	}
}
