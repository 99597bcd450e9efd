package httpserver

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Lean marks a handler of many small requests for content that is in memory, as
// those of HLS viewers are. On plain HTTP/1.1 connections of a [Listen], its
// requests are read and answered by a loop of this package in place of that of
// net/http: without a background read per request, and with one system call per
// answer that has a Content-Length. Everything else stays the same for the
// handler, except that a client that leaves is noticed after a second, and that
// requests of a connection can have one Header in common: it must not be changed.
func Lean(h http.Handler) http.Handler { return lean{h} }

type lean struct{ http.Handler }

// watchAfter is how long a handler works before somebody looks whether the
// client is still there.
const watchAfter = time.Second

// takeOver serves the connection of a request to its end, if it can.
func (g *guard) takeOver(rw http.ResponseWriter, r *http.Request) bool {
	if r.TLS != nil || r.ProtoMajor != 1 || r.ProtoMinor != 1 || r.Body != http.NoBody || r.Close || g.ctx.Err() != nil {
		return false
	}
	hj, ok := rw.(http.Hijacker)
	if !ok {
		return false
	}
	conn, buf, err := hj.Hijack()
	if err != nil {
		return false
	}
	g.wg.Add(1)
	defer g.wg.Done()
	c := &leanConn{g: g, conn: conn, remote: r.RemoteAddr, read: deadline{slack: min(time.Second, g.readTimeout/8)}}
	rest, _ := buf.Reader.Peek(buf.Reader.Buffered())
	c.in.r = io.MultiReader(bytes.NewReader(bytes.Clone(rest)), conn)
	c.br = bufio.NewReader(&c.in)
	c.serve(r)
	return true
}

// leanConn is a connection that was taken over.
type leanConn struct {
	g      *guard
	conn   net.Conn
	remote string
	in     headReader
	br     *bufio.Reader
	last   repeated
	read   deadline        // of the connection, while nobody watches it
	ctx    context.Context //nolint:containedctx // ends with the connection
	cancel context.CancelFunc
	watch  *time.Timer

	mu       sync.Mutex
	watching chan struct{} // closed when the watch is over; nil if there is none
	working  bool
}

// headReader bounds headers.
type headReader struct {
	r    io.Reader
	left int64
}

var errHeaderTooLarge = errors.New("header too large")

func (h *headReader) Read(p []byte) (int, error) {
	if h.left <= 0 {
		return 0, errHeaderTooLarge
	}
	n, err := h.r.Read(p[:min(int64(len(p)), h.left)])
	h.left -= int64(n)
	return n, err
}

func (c *leanConn) serve(r *http.Request) {
	defer func() { _ = c.conn.Close() }()
	c.ctx, c.cancel = context.WithCancel(c.g.ctx)
	defer c.cancel()
	defer context.AfterFunc(c.g.ctx, func() {
		_ = c.conn.SetReadDeadline(time.Unix(1, 0)) // who waits for a request
		time.AfterFunc(grace, func() { _ = c.conn.Close() })
	})()
	c.watch = time.AfterFunc(math.MaxInt64, c.startWatch)
	defer c.watch.Stop()
	c.in.left = math.MaxInt64
	w := &leanWriter{conn: c.conn, header: http.Header{}, limit: &deadline{slack: min(time.Second, c.g.writeTimeout/8)}}
	r = c.inspected(r)
	for {
		if !c.answer(w, r) {
			return
		}
		var status int
		if r, status = c.next(); r == nil {
			if status != 0 {
				_ = c.conn.SetWriteDeadline(time.Now().Add(c.g.writeTimeout))
				w.reset(nil)
				w.header["Server"] = serverHeader
				http.Error(w, http.StatusText(status), status)
				w.close = true
				_ = w.finish()
			}
			return
		}
	}
}

// answer returns false if the connection cannot be used anymore.
func (c *leanConn) answer(w *leanWriter, r *http.Request) (ok bool) {
	defer func() {
		if v := recover(); v != nil { // the guard has logged it
			ok = false
		}
	}()
	w.reset(r)
	if r.Body == http.NoBody { // otherwise the handler reads
		c.begin()
	}
	c.g.serveOne(w, r)
	c.end()
	if err := w.finish(); err != nil || w.close || c.g.ctx.Err() != nil {
		return false
	}
	return true
}

// next reads a request; nil at the end of the connection. A status is what the
// client should be told.
func (c *leanConn) next() (*http.Request, int) {
	if t := time.Now().Add(idleTimeout); c.read.move(t) {
		_ = c.conn.SetReadDeadline(t)
	}
	if c.g.ctx.Err() != nil {
		return nil, 0
	}
	c.in.left = maxHeaderBytes
	if _, err := c.br.Peek(1); err != nil {
		return nil, 0
	}
	got, _ := c.br.Peek(c.br.Buffered())
	if r, n := c.last.read(got); r != nil {
		_, _ = c.br.Discard(n)
		c.in.left = math.MaxInt64
		r.RemoteAddr = c.remote
		return r, 0
	}
	return c.readRequest(bytes.Clone(headerOf(got)))
}

// readRequest reads a request by net/http. raw is its header, if all of it is
// there already.
func (c *leanConn) readRequest(raw []byte) (*http.Request, int) {
	c.setReadDeadline(time.Now().Add(c.g.readTimeout))
	r, err := http.ReadRequest(c.br)
	switch {
	case errors.Is(err, errHeaderTooLarge):
		return nil, http.StatusRequestHeaderFieldsTooLarge
	case err != nil:
		var ne net.Error
		if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.As(err, &ne) {
			return nil, 0
		}
		return nil, http.StatusBadRequest
	case r.ProtoMajor != 1:
		return nil, http.StatusHTTPVersionNotSupported
	case !hasValidHost(r) || !validNames(r.Header):
		return nil, http.StatusBadRequest
	}
	c.in.left = math.MaxInt64
	r.RemoteAddr = c.remote
	if r.Body != http.NoBody && strings.EqualFold(r.Header.Get("Expect"), "100-continue") {
		_ = c.conn.SetWriteDeadline(time.Now().Add(c.g.writeTimeout))
		if _, err := io.WriteString(c.conn, "HTTP/1.1 100 Continue\r\n\r\n"); err != nil {
			return nil, 0
		}
	}
	c.setReadDeadline(time.Time{})
	r = c.inspected(r)
	c.last.remember(raw, r)
	return r, 0
}

// inspected gives a request the context that serve would give it.
func (c *leanConn) inspected(r *http.Request) *http.Request {
	return r.WithContext(context.WithValue(c.ctx, infoKey{}, c.g.inspect(r)))
}

// setReadDeadline is for when no request is awaited.
func (c *leanConn) setReadDeadline(t time.Time) {
	c.read.at = time.Time{}
	_ = c.conn.SetReadDeadline(t)
}

// validNames refuses header names with spaces and the like, as http.Server does
// beside http.ReadRequest.
func validNames(h http.Header) bool {
	for name := range h {
		if strings.ContainsFunc(name, func(c rune) bool { // RFC 9110 section 5.6.2
			return c <= ' ' || c >= 0x7f || strings.ContainsRune("\"(),/:;<=>?@[\\]{}", c)
		}) {
			return false
		}
	}
	return true
}

// hasValidHost does the same for the Host header.
func hasValidHost(r *http.Request) bool {
	if r.Host == "" {
		return !r.ProtoAtLeast(1, 1)
	}
	return validHost(r.Host)
}

// begin and end surround the work of the handler. If it takes long, somebody
// looks whether the client is still there.
func (c *leanConn) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.working = true
	c.watch.Reset(watchAfter)
}

func (c *leanConn) end() {
	c.watch.Stop()
	c.mu.Lock()
	c.working = false
	w := c.watching
	c.watching = nil
	c.mu.Unlock()
	if w != nil {
		c.setReadDeadline(time.Unix(1, 0))
		<-w
	}
}

// startWatch waits for the next request, or the end of the connection. What it
// reads stays in the buffer.
func (c *leanConn) startWatch() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.working || c.watching != nil {
		return
	}
	done := make(chan struct{})
	c.watching = done
	_ = c.conn.SetReadDeadline(time.Time{}) // a handler may take longer than the next request; see end
	go func() {
		defer close(done)
		_, err := c.br.Peek(1)
		var ne net.Error
		if err != nil && !(errors.As(err, &ne) && ne.Timeout()) {
			c.cancel()
		}
	}()
}
