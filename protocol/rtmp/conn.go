package rtmp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/google/uuid"

	"github.com/org/mtx/protocol/bridge/rtmpconn"
	"github.com/org/mtx/protocol/internal/egress"
	"github.com/org/mtx/router"
)

// lingerTime is how long a client that was told something gets to read it.
const lingerTime = time.Second

var (
	errLeft   = errors.New("the client left")
	errSilent = errors.New("the client did not say in time what it wants")
)

// conn is a client.
type conn struct {
	sv      *server
	id      string
	created time.Time
	log     *slog.Logger
	remote  net.Addr
	raw     net.Conn
	net     net.Conn // raw, or TLS on top of it
	rw      *meter
	rtmp    *rtmpconn.Server
	cancel  context.CancelCauseFunc

	mu     sync.Mutex
	state  string // "idle", "read", "publish"
	query  string
	grant  *router.Grant
	out    *egress.TCPConn // nil: not reading
	reader *reader         // the same
}

// handle serves a connection, and logs why it is over.
func (sv *server) handle(ctx context.Context, nc net.Conn) (err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	id := uuid.NewString()
	c := &conn{
		sv: sv, id: id, created: time.Now(), log: sv.log.With("conn", id[:8]), remote: nc.RemoteAddr(),
		raw: nc, net: nc, cancel: cancel, state: "idle",
	}
	c.log.Info("connection opened", "remote", c.remote.String())
	defer func() {
		attrs := []any{"reason", c.explain(ctx, err)}
		if path := c.pathNow(); path != "" {
			attrs = append(attrs, "path", path)
		}
		c.log.Info("connection closed", attrs...)
		err = nil // told
	}()
	// the whole of what precedes media has one deadline
	if err := nc.SetDeadline(time.Now().Add(sv.cfg.ReadTimeout)); err != nil {
		return err
	}
	if sv.tls != nil {
		c.net = tls.Server(nc, sv.tls)
	}
	c.rw = &meter{Conn: c.net}
	defer sv.host.AddSession(c)()
	return c.serve(ctx)
}

// explain finds the reason behind an error of a connection that was closed.
func (c *conn) explain(ctx context.Context, err error) error {
	var ne net.Error
	switch {
	case ctx.Err() != nil && errors.Is(context.Cause(ctx), context.Canceled):
		return errors.New("the server stops")
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err == nil, errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return errLeft
	case errors.Is(err, egress.ErrWriteTimeout):
		return fmt.Errorf("the client took nothing for %v", c.sv.cfg.WriteTimeout)
	case errors.As(err, &ne) && ne.Timeout():
		if c.stateNow() == "idle" {
			return errSilent
		}
		return fmt.Errorf("the client sent nothing for %v", c.sv.cfg.ReadTimeout)
	}
	return err
}

func (c *conn) serve(ctx context.Context) error {
	if tc, ok := c.net.(*tls.Conn); ok {
		if err := tc.HandshakeContext(ctx); err != nil {
			return fmt.Errorf("TLS: %w", err)
		}
	}
	var err error
	if c.rtmp, err = rtmpconn.Accept(c.rw); err != nil {
		return err
	}
	if err := c.rtmp.Challenge(c.sv.secret, c.sv.cfg.AskCredentials); err != nil {
		c.linger()
		return err
	}
	if err := c.rtmp.AcceptConnect(); err != nil {
		return err
	}
	req, err := c.rtmp.ReadRequest()
	if err != nil {
		return err
	}
	if err := c.net.SetDeadline(time.Time{}); err != nil {
		return err
	}
	c.rw.write.Store(int64(c.sv.cfg.WriteTimeout))
	if req.Publish {
		c.rw.read.Store(int64(c.sv.cfg.ReadTimeout))
		return c.publish(ctx, req)
	}
	return c.play(ctx, req)
}

// linger lets the client read the last words before the connection is closed:
// closing it while data of the client is unread would discard them. What the
// client still sends is thrown away.
func (c *conn) linger() {
	c.rw.read.Store(0)
	_ = c.net.SetDeadline(time.Now().Add(lingerTime))
	if w, ok := c.net.(interface{ CloseWrite() error }); ok {
		_ = w.CloseWrite()
	}
	c.drain()
}

// awaitClose lets a client that has said good-bye close the connection: GStreamer takes
// it for an error if the server does.
func (c *conn) awaitClose() {
	c.rw.read.Store(0)
	_ = c.net.SetDeadline(time.Now().Add(lingerTime))
	c.drain()
}

func (c *conn) drain() { _, _ = io.Copy(io.Discard, io.LimitReader(c.net, 1<<20)) }

// recoverPanic ends the connection with what went wrong in a goroutine of its own.
func (c *conn) recoverPanic() {
	if v := recover(); v != nil {
		c.log.Error("panic", "error", v, "stack", string(debug.Stack()))
		c.fail(fmt.Errorf("panic: %v", v))
	}
}

// fail ends the connection from elsewhere, without the courtesies of TLS, which
// may take long.
func (c *conn) fail(err error) {
	c.cancel(err)
	_ = c.raw.Close()
}

// peer tells operators who this is.
func (c *conn) peer() router.Peer { return router.Peer{Type: c.kind(), ID: c.id} }

func (c *conn) kind() string { return c.sv.cfg.Name() + "Conn" }

func (c *conn) stateNow() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// pathNow is the path that the client publishes or reads, if any.
func (c *conn) pathNow() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.grant == nil {
		return ""
	}
	return c.grant.Path()
}

// begins records what the client was allowed to do.
func (c *conn) begins(state string, g *router.Grant, query string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state, c.grant, c.query = state, g, query
}

// Details is what the Control API shows about connections; see RTMPConn there.
// The deprecated fields repeat newer ones.
type Details struct {
	ID                      string    `json:"id"`
	Created                 time.Time `json:"created"`
	RemoteAddr              string    `json:"remoteAddr"`
	State                   string    `json:"state"` // "idle", "read", "publish"
	Path                    string    `json:"path"`
	Query                   string    `json:"query"`
	User                    string    `json:"user"`
	InboundBytes            uint64    `json:"inboundBytes"`
	OutboundBytes           uint64    `json:"outboundBytes"`
	OutboundFramesDiscarded uint64    `json:"outboundFramesDiscarded"`
	BytesReceived           uint64    `json:"bytesReceived"`
	BytesSent               uint64    `json:"bytesSent"`
}

// Info implements router.Session.
func (c *conn) Info() router.SessionInfo {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := &Details{ID: c.id, Created: c.created, RemoteAddr: c.remote.String(), State: c.state, Query: c.query}
	if c.grant != nil {
		d.Path, d.User = c.grant.Path(), c.grant.Identity().User
	}
	d.InboundBytes, d.OutboundBytes = c.rw.in.Load(), c.rw.out.Load()
	if c.out != nil {
		d.OutboundBytes += c.out.Written()
	}
	if c.reader != nil {
		d.OutboundFramesDiscarded = c.reader.Stats().Discarded
	}
	d.BytesReceived, d.BytesSent = d.InboundBytes, d.OutboundBytes
	return router.SessionInfo{
		ID: c.id, Kind: c.kind(), Created: c.created, RemoteAddr: d.RemoteAddr,
		Path: d.Path, Query: d.Query, User: d.User, State: d.State,
		In: d.InboundBytes, Out: d.OutboundBytes, Details: d,
	}
}

// Close implements router.Session.
func (c *conn) Close() error {
	c.fail(router.ErrKicked)
	return nil
}

// meter counts bytes, and gives operations deadlines.
type meter struct {
	net.Conn
	in, out     atomic.Uint64
	read, write atomic.Int64 // time.Duration; zero: none of its own
}

// Read implements io.Reader.
func (m *meter) Read(p []byte) (int, error) {
	if d := time.Duration(m.read.Load()); d != 0 {
		if err := m.SetReadDeadline(time.Now().Add(d)); err != nil {
			return 0, err
		}
	}
	n, err := m.Conn.Read(p)
	m.in.Add(uint64(n))
	return n, err
}

// Write implements io.Writer.
func (m *meter) Write(p []byte) (int, error) {
	if d := time.Duration(m.write.Load()); d != 0 {
		if err := m.SetWriteDeadline(time.Now().Add(d)); err != nil {
			return 0, err
		}
	}
	n, err := m.Conn.Write(p)
	m.out.Add(uint64(n))
	return n, err
}
