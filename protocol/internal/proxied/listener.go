// Package proxied tells who the clients are whose TCP connections come through
// proxies, such as HAProxy, nginx and the load balancers of clouds: by the PROXY
// protocol, versions 1 and 2, which puts a header before what the client sends.
// See https://www.haproxy.org/download/3.4/doc/proxy-protocol.txt.
package proxied

import (
	"bufio"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/pires/go-proxyproto"
)

const (
	// headerTime is how long a header may take. Proxies send it at once.
	headerTime = 5 * time.Second

	// maxPending bounds the connections whose header is waited for.
	maxPending = 4096
)

// Listen returns a listener for servers behind proxies: a connection from one of
// the trusted networks that begins with a header is that of the client which the
// header names. Others, with a header or without, are as they came. Without
// trusted networks it returns ln.
//
// Accept never waits for a header. Close closes what it waits for.
func Listen(ln net.Listener, trusted []netip.Prefix, log *slog.Logger) net.Listener {
	if len(trusted) == 0 {
		return ln
	}
	l := &listener{
		Listener: ln, trusted: trusted, log: log,
		accepted: make(chan result), done: make(chan struct{}), pending: map[net.Conn]struct{}{},
	}
	l.wg.Go(l.run)
	return l
}

// listener accepts connections in a goroutine of its own.
type listener struct {
	net.Listener
	trusted  []netip.Prefix
	log      *slog.Logger
	accepted chan result
	done     chan struct{} // closed by Close
	wg       sync.WaitGroup

	mu      sync.Mutex
	pending map[net.Conn]struct{} // nil: closed
}

type result struct {
	conn net.Conn
	err  error
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case r := <-l.accepted:
		return r.conn, r.err
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. It returns when nothing is left of the listener.
func (l *listener) Close() error {
	l.mu.Lock()
	pending := l.pending
	if pending != nil {
		l.pending = nil
		close(l.done)
	}
	for c := range pending {
		_ = c.Close()
	}
	l.mu.Unlock()
	err := l.Listener.Close()
	l.wg.Wait()
	return err
}

// run accepts until there is an error after Close. Others are left to who calls
// Accept, who waits as long as it likes before it is called again.
func (l *listener) run() {
	for {
		c, err := l.Listener.Accept()
		switch {
		case err != nil:
			if !l.give(result{err: err}) {
				return
			}
		case !l.isTrusted(c.RemoteAddr()):
			l.give(result{conn: c})
		case !l.enter(c):
			_ = c.Close()
		default:
			l.wg.Go(func() { l.await(c) })
		}
	}
}

// give hands something to Accept. After Close it closes it.
func (l *listener) give(r result) bool {
	select {
	case l.accepted <- r:
		return true
	case <-l.done:
		if r.conn != nil {
			_ = r.conn.Close()
		}
		return false
	}
}

func (l *listener) isTrusted(a net.Addr) bool {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return false
	}
	ip := t.AddrPort().Addr().Unmap().WithZone("")
	return slices.ContainsFunc(l.trusted, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// enter notes that a header is waited for. It refuses too many of them.
func (l *listener) enter(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.pending == nil {
		return false
	}
	if len(l.pending) >= maxPending {
		l.log.Warn("too many connections of proxies without a header", "remote", c.RemoteAddr().String(), "limit", maxPending)
		return false
	}
	l.pending[c] = struct{}{}
	return true
}

// leave takes back enter.
func (l *listener) leave(c net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.pending, c)
}

// await reads the header of a connection and hands it on.
func (l *listener) await(c net.Conn) {
	client, err := identify(c)
	l.leave(c)
	switch {
	case err == nil:
		l.give(result{conn: client})
	case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed):
		_ = c.Close() // the proxy asked whether there is somebody, or the server stops
	default:
		l.log.Info("connection closed", "remote", c.RemoteAddr().String(), "reason", err)
		_ = c.Close()
	}
}

// identify reads the header at the beginning of a connection, if there is one.
func identify(c net.Conn) (net.Conn, error) {
	in := bufio.NewReader(c)
	if err := c.SetReadDeadline(time.Now().Add(headerTime)); err != nil {
		return nil, err
	}
	if _, err := in.Peek(1); err != nil {
		if isTimeout(err) { // not a proxy after all; it is bounded by the protocol now
			return c, c.SetReadDeadline(time.Time{})
		}
		return nil, err
	}
	h, err := proxyproto.Read(in)
	switch {
	case errors.Is(err, proxyproto.ErrNoProxyProtocol):
		h = nil
	case err != nil:
		return nil, &headerError{err}
	}
	out := &conn{Conn: c, remote: c.RemoteAddr()}
	if h != nil && h.Command.IsProxy() {
		if from, _, ok := h.TCPAddrs(); ok {
			out.remote = from
		}
	}
	out.rest, _ = in.Peek(in.Buffered())
	return out, c.SetReadDeadline(time.Time{})
}

func isTimeout(err error) bool {
	ne, ok := errors.AsType[net.Error](err)
	return ok && ne.Timeout()
}

// headerError is a header that cannot be read.
type headerError struct{ err error }

func (e *headerError) Error() string {
	if isTimeout(e.err) {
		return "the header of the PROXY protocol did not come in time"
	}
	return "wrong header of the PROXY protocol: " + e.err.Error()
}

func (e *headerError) Unwrap() error { return e.err }

// conn is a connection whose beginning was read already.
type conn struct {
	net.Conn
	remote net.Addr
	rest   []byte // not read yet
}

// RemoteAddr implements net.Conn: the address of the client.
func (c *conn) RemoteAddr() net.Addr { return c.remote }

// Socket returns the connection that data is written to.
func (c *conn) Socket() net.Conn { return c.Conn }

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.rest)
	if c.rest = c.rest[n:]; len(c.rest) == 0 {
		c.rest = nil
	}
	return n, nil
}
