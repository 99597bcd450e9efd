package rtsp

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/description"
	"github.com/bluenviron/gortsplib/v5/pkg/liberrors"
	"github.com/google/uuid"

	"github.com/org/mtx/protocol/internal/egress"
	"github.com/org/mtx/protocol/internal/proxied"
	"github.com/org/mtx/router"
)

// listen opens the listener of the library.
func (sv *server) listen(network, addr string) (net.Listener, error) {
	ln, err := sv.host.Listen(network, addr)
	if err != nil {
		return nil, err
	}
	return &listener{Listener: proxied.Listen(ln, sv.cfg.TrustedProxies, sv.log), sv: sv}, nil
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
	return &tcpConn{Conn: c, out: l.sv.newOut(c), timeout: l.sv.cfg.WriteTimeout}
}

// newOut makes what the fan-out writes to a connection with.
func (sv *server) newOut(c net.Conn) *egress.TCPConn {
	return egress.NewTCPConn(c, egress.TCPOptions{
		QueueBytes:   sv.cfg.WriteQueueSize * sv.cfg.UDPMaxPayloadSize,
		WriteTimeout: sv.cfg.WriteTimeout,
	})
}

// mediaConn is a connection that the fan-out can write media to, past the library.
type mediaConn interface {
	net.Conn

	// media returns what media is written to. From then on the library writes RTSP
	// messages only.
	media() *egress.TCPConn

	// afterResponse makes f run once, when the next RTSP response has been written.
	// Nil takes that back.
	afterResponse(f func())

	// sent counts bytes.
	sent() uint64

	// failure is why the connection was closed, if it is because of a write.
	failure() error
}

// answers runs a function when an RTSP response has been written.
type answers struct{ next atomic.Pointer[func()] }

func (a *answers) afterResponse(f func()) {
	if f == nil {
		a.next.Store(nil)
		return
	}
	a.next.Store(&f)
}

// wrote is called after each write.
func (a *answers) wrote(p []byte, err error) {
	if isResponse(p) {
		if f := a.next.Swap(nil); f != nil && err == nil {
			(*f)()
		}
	}
}

func isResponse(p []byte) bool { return bytes.HasPrefix(p, []byte("RTSP/")) }

// tcpConn is a plain connection. The library writes RTSP messages to it, the
// fan-out writes media; those of tunnels come from the library.
type tcpConn struct {
	net.Conn
	intake
	answers
	out     *egress.TCPConn
	timeout time.Duration // of writes
}

// Read implements net.Conn.
func (c *tcpConn) Read(p []byte) (int, error) { return c.read(c.Conn, p) }

// Write implements net.Conn.
func (c *tcpConn) Write(p []byte) (int, error) {
	n, err := c.intake.write(p, func(p []byte) (int, error) { return writeWith(c.out, c.timeout, p) })
	c.wrote(p, err)
	return n, err
}

// writePause is how long media of the library waits for room, and then again.
const writePause = 5 * time.Millisecond

// writeWith writes what the library does. Media waits until the client takes what
// was written before; meanwhile more of it waits, or is discarded, in the queue of
// the library.
func writeWith(out *egress.TCPConn, timeout time.Duration, p []byte) (int, error) {
	for deadline := time.Now().Add(timeout); ; {
		n, err := out.Write(p)
		switch {
		case !errors.Is(err, egress.ErrControlQueueFull) || isResponse(p):
			return n, err
		case time.Now().After(deadline):
			return 0, egress.ErrWriteTimeout
		}
		time.Sleep(writePause)
	}
}

// Close implements net.Conn.
func (c *tcpConn) Close() error { return c.out.Close() }

func (c *tcpConn) media() *egress.TCPConn { return c.out }
func (c *tcpConn) sent() uint64           { return c.out.Written() }

// failure implements mediaConn: the library only knows that somebody closed the
// connection.
func (c *tcpConn) failure() error { return writeFailure(c.out) }

func writeFailure(out *egress.TCPConn) error {
	if _, err := out.Write(nil); errors.Is(err, egress.ErrWriteTimeout) {
		return err
	}
	return nil
}

// SetWriteDeadline implements net.Conn. Writes have a timeout of their own.
func (c *tcpConn) SetWriteDeadline(time.Time) error { return nil }

// SetDeadline implements net.Conn.
func (c *tcpConn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

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
	setup    *session           // SETUP is being answered
	play     *session           // PLAY is being answered
	record   *session           // RECORD is being answered
	drop     *description.Media // TEARDOWN of it is being answered
	held     func()             // lets others go on when SETUP has been answered
	nonce    string             // of Digest that the client was told
	stale    bool               // the request has another one
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
	if c, ok := cs.c.NetConn().(mediaConn); ok {
		err = cmp.Or(c.failure(), err)
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
	if version, ok := strings.CutPrefix(text, "expected 'RTSP/1.0', got "); ok {
		return badVersion(version)
	}
	return text
}

// maxVersion is how long the version of a protocol may be to be shown, bytes.
const maxVersion = 16

// badVersion phrases what follows the URL of a request in place of the version; the
// library prints the bytes as numbers. If that is not a version, it is the rest of a
// URL with a space, which may hold credentials.
func badVersion(numbers string) string {
	const wrong = "invalid request line: "
	var version []byte
	for f := range strings.FieldsSeq(strings.Trim(numbers, "[]")) {
		b, err := strconv.ParseUint(f, 10, 8)
		if err != nil {
			return wrong + "it does not end with RTSP/1.0"
		}
		version = append(version, byte(b))
	}
	name, _, ok := strings.Cut(string(version), "/")
	isWord := func(r rune) bool { return r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '/' || r == '.' }
	if ok && name != "" && len(version) <= maxVersion && strings.TrimFunc(string(version), isWord) == "" {
		return fmt.Sprintf("%sthe version is %s, RTSP/1.0 is expected", wrong, version)
	}
	return wrong + "after the URL, RTSP/1.0 is expected; a space in a URL is written %20"
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
	if c, ok := cs.c.NetConn().(mediaConn); ok {
		d.OutboundBytes = c.sent() // with media, which the library does not see
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
