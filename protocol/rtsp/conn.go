package rtsp

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/liberrors"
	"github.com/google/uuid"

	"github.com/org/mtx/protocol/internal/egress"
	"github.com/org/mtx/router"
)

// listen opens the listener of the library.
func (sv *server) listen(network, addr string) (net.Listener, error) {
	ln, err := sv.host.Listen(network, addr)
	if err != nil {
		return nil, err
	}
	return &listener{Listener: ln, sv: sv}, nil
}

// listener prepares accepted connections. Unlike the library, it survives a
// shortage of file descriptors.
type listener struct {
	net.Listener
	sv *server
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	pause := 5 * time.Millisecond
	for {
		c, err := l.Listener.Accept()
		switch {
		case err == nil:
			return l.prepare(c), nil
		case errors.Is(err, net.ErrClosed) || l.sv.ctx.Err() != nil:
			return nil, err
		}
		l.sv.log.Error("cannot accept connections", "error", err, "pause", pause)
		if !wait(l.sv.ctx, pause) {
			return nil, net.ErrClosed
		}
		pause = min(2*pause, time.Second)
	}
}

func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (l *listener) prepare(c net.Conn) net.Conn {
	if l.sv.secure {
		return c
	}
	return &tcpConn{Conn: c, out: egress.NewTCPConn(c, egress.TCPOptions{
		QueueBytes:   l.sv.cfg.WriteQueueSize * l.sv.cfg.UDPMaxPayloadSize,
		WriteTimeout: l.sv.cfg.WriteTimeout,
	})}
}

// tcpConn is a plain connection. The library writes RTSP messages to it, the
// fan-out writes media.
type tcpConn struct {
	net.Conn
	intake
	out *egress.TCPConn

	// afterResponse runs once, when the next RTSP response has been written.
	afterResponse atomic.Pointer[func()]
}

// Read implements net.Conn.
func (c *tcpConn) Read(p []byte) (int, error) { return c.read(c.Conn, p) }

// Write implements net.Conn.
func (c *tcpConn) Write(p []byte) (int, error) {
	n, err := c.intake.write(p, c.out.Write)
	if bytes.HasPrefix(p, []byte("RTSP/")) {
		if f := c.afterResponse.Swap(nil); f != nil && err == nil {
			(*f)()
		}
	}
	return n, err
}

// Close implements net.Conn.
func (c *tcpConn) Close() error { return c.out.Close() }

// SetWriteDeadline implements net.Conn. Writes have a timeout of their own.
func (c *tcpConn) SetWriteDeadline(time.Time) error { return nil }

// SetDeadline implements net.Conn.
func (c *tcpConn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

// tlsListener puts TLS on top of connections, and joins what the library writes
// packet by packet.
type tlsListener struct {
	net.Listener
	conf *tls.Config
}

// Accept implements net.Listener.
func (l tlsListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &coalescer{Conn: tls.Server(c, l.conf)}, nil
}

// flushAfter bounds how long a packet waits for the end of its access unit.
const flushAfter = 2 * time.Millisecond

// maxCoalesced bounds what is joined, bytes.
const maxCoalesced = 128 << 10

// coalescer joins the interleaved frames of an access unit into one write.
type coalescer struct {
	net.Conn
	intake

	mu    sync.Mutex
	buf   []byte
	timer *time.Timer
	err   error // of the last delayed write
}

// Read implements net.Conn.
func (c *coalescer) Read(p []byte) (int, error) { return c.read(c.Conn, p) }

// Write implements net.Conn.
func (c *coalescer) Write(p []byte) (int, error) { return c.intake.write(p, c.join) }

func (c *coalescer) join(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return 0, c.err
	}
	c.buf = append(c.buf, p...)
	// $, channel, length, RTP header: media packets have an even channel, the
	// last one of an access unit has the marker bit (RFC 3550 section 5.1)
	isMedia := len(p) > 5 && p[0] == '$' && p[1]&1 == 0
	if !isMedia || p[5]&0x80 != 0 || len(c.buf) > maxCoalesced {
		return len(p), c.flushLocked()
	}
	if c.timer == nil {
		c.timer = time.AfterFunc(flushAfter, func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			_ = c.flushLocked()
		})
	} else if len(c.buf) == len(p) {
		c.timer.Reset(flushAfter)
	}
	return len(p), nil
}

func (c *coalescer) flushLocked() error {
	if len(c.buf) == 0 {
		return c.err
	}
	_, c.err = c.Conn.Write(c.buf)
	c.buf = c.buf[:0]
	return c.err
}

// Close implements net.Conn.
func (c *coalescer) Close() error {
	err := c.Conn.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timer != nil {
		c.timer.Stop()
	}
	c.err = net.ErrClosed
	return err
}

// connState is what the server knows about a connection.
type connState struct {
	sv      *server
	c       *gortsplib.ServerConn
	id      string
	created time.Time
	log     *slog.Logger
	remove  func()

	// limit ends connections that do not send a request in time. The library
	// gives them a minute, and those that send nothing for ever.
	limit *time.Timer
	mute  atomic.Bool // limit did

	// of the goroutine of the connection
	asked    time.Time     // the last DESCRIBE came
	grant    *router.Grant // the last one
	grantKey grantKey
	setup    *session // SETUP is being answered
	play     *session // PLAY is being answered
	record   *session // RECORD is being answered
	held     func()   // lets others go on when SETUP has been answered
}

// ConnDetails is what the Control API shows about connections; see RTSPConn
// there. The deprecated fields repeat newer ones.
type ConnDetails struct {
	ID            string    `json:"id"`
	Created       time.Time `json:"created"`
	RemoteAddr    string    `json:"remoteAddr"`
	Session       *string   `json:"session"`
	Tunnel        string    `json:"tunnel"` // "none", "http", "websocket"
	InboundBytes  uint64    `json:"inboundBytes"`
	OutboundBytes uint64    `json:"outboundBytes"`
	BytesReceived uint64    `json:"bytesReceived"`
	BytesSent     uint64    `json:"bytesSent"`
}

// OnConnOpen implements gortsplib.ServerHandlerOnConnOpen.
func (sv *server) OnConnOpen(ctx *gortsplib.ServerHandlerOnConnOpenCtx) {
	id := uuid.NewString()
	cs := &connState{sv: sv, c: ctx.Conn, id: id, created: time.Now(), log: sv.log.With("conn", id[:8])}
	ctx.Conn.SetUserData(cs)
	cs.log.Info("connection opened", "remote", ctx.Conn.NetConn().RemoteAddr().String())
	cs.remove = sv.host.AddSession(cs)
	cs.limit = time.AfterFunc(sv.cfg.ReadTimeout, func() {
		cs.mute.Store(true)
		ctx.Conn.Close()
	})
}

// spoke is called with every request.
func (cs *connState) spoke() {
	cs.limit.Stop()
	if c, ok := cs.c.NetConn().(interface{ trust() }); ok {
		c.trust()
	}
}

// OnConnClose implements gortsplib.ServerHandlerOnConnClose.
func (sv *server) OnConnClose(ctx *gortsplib.ServerHandlerOnConnCloseCtx) {
	cs, ok := ctx.Conn.UserData().(*connState)
	if !ok {
		return
	}
	cs.spoke() // as part of a tunnel, it may live on
	cs.remove()
	cs.log.Info("connection closed", "reason", cs.reason(ctx.Error))
}

// reason phrases why the connection is over.
func (cs *connState) reason(err error) string {
	if cs.mute.Load() {
		return "no request came in time"
	}
	if c, ok := cs.c.NetConn().(*tcpConn); ok {
		// the library only knows that somebody closed the connection
		if _, failure := c.out.Write(nil); errors.Is(failure, egress.ErrWriteTimeout) {
			err = failure
		}
	}
	return reason(cs.sv.ctx, err)
}

// reason phrases why a connection or a session is over.
func reason(ctx context.Context, err error) string {
	var terminated liberrors.ErrServerTerminated
	switch {
	case err == nil:
		return "done"
	case errors.As(err, &terminated) && ctx.Err() == nil:
		return "closed by the server"
	case ctx.Err() != nil:
		return "the server stops"
	}
	text := err.Error()
	if kind, _, ok := strings.Cut(text, " ("); ok && kind == "invalid URL" {
		return kind // without the URL, which may hold credentials
	}
	return text
}

// Info implements router.Session.
func (cs *connState) Info() router.SessionInfo {
	stats := cs.c.Stats()
	d := &ConnDetails{
		ID: cs.id, Created: cs.created, RemoteAddr: cs.c.NetConn().RemoteAddr().String(), Tunnel: "none",
		InboundBytes: stats.InboundBytes, OutboundBytes: stats.OutboundBytes,
	}
	switch cs.c.Transport().Tunnel {
	case gortsplib.TunnelHTTP:
		d.Tunnel = "http"
	case gortsplib.TunnelWebSocket:
		d.Tunnel = "websocket"
	}
	if ss := cs.c.Session(); ss != nil {
		if s, ok := ss.UserData().(*session); ok {
			d.Session = &s.id
		}
	}
	if c, ok := cs.c.NetConn().(*tcpConn); ok {
		d.OutboundBytes = c.out.Written() // with media, which the library does not see
	}
	d.BytesReceived, d.BytesSent = d.InboundBytes, d.OutboundBytes
	return router.SessionInfo{
		ID: cs.id, Kind: cs.sv.kind("Conn"), Created: cs.created, RemoteAddr: d.RemoteAddr,
		In: d.InboundBytes, Out: d.OutboundBytes, Details: d,
	}
}

// Close implements router.Session.
func (cs *connState) Close() error {
	cs.c.Close()
	return nil
}

// kind is "rtspConn", "rtspsSession"...
func (sv *server) kind(suffix string) string { return sv.cfg.Name() + suffix }
