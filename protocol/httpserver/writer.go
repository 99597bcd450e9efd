package httpserver

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// piece is how much is written under one deadline: with the default timeout, a
// client slower than 25 KiB/s is given up.
const piece = 256 << 10

// errEnding is what handlers get that go on writing after the end.
var errEnding = errors.New("the server is ending")

// writer gives every write its own deadline, and counts.
type writer struct {
	http.ResponseWriter
	rc      *http.ResponseController
	timeout time.Duration
	http2   bool

	status  int
	bytes   uint64
	logPath string // see LogPath

	mu     sync.Mutex
	over   bool // the request is over, the connection belongs to others
	killed bool
}

func newWriter(w http.ResponseWriter, r *http.Request, timeout time.Duration) *writer {
	return &writer{ResponseWriter: w, rc: http.NewResponseController(w), timeout: timeout, http2: r.ProtoMajor >= 2}
}

// Unwrap is for http.ResponseController.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (w *writer) WriteHeader(status int) {
	if w.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status) // writes nothing yet
}

// Write implements http.ResponseWriter.
func (w *writer) Write(p []byte) (n int, err error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	for {
		part := p[:min(len(p), piece)]
		if !w.extend() {
			return n, errEnding
		}
		m, err := w.ResponseWriter.Write(part)
		n += m
		w.bytes += uint64(m)
		p = p[len(part):]
		if err != nil || len(p) == 0 {
			w.relax()
			return n, err
		}
	}
}

// Flush implements http.Flusher.
func (w *writer) Flush() { _ = w.FlushError() }

// FlushError is for http.ResponseController.
func (w *writer) FlushError() error {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	if !w.extend() {
		return errEnding
	}
	defer w.relax()
	return w.rc.Flush()
}

// Hijack implements http.Hijacker.
func (w *writer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := w.rc.Hijack()
	if err == nil {
		w.status = http.StatusSwitchingProtocols
		_ = c.SetDeadline(time.Time{})
		w.mu.Lock()
		w.over = true
		w.mu.Unlock()
	}
	return c, rw, err
}

// extend moves the deadline; false if nothing may be written anymore.
func (w *writer) extend() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.killed {
		return false
	}
	if !w.over {
		_ = w.rc.SetWriteDeadline(time.Now().Add(w.timeout))
	}
	return true
}

// relax removes the deadline while nothing is written: in HTTP/2 it would end
// the stream of a handler that just waits.
func (w *writer) relax() {
	if !w.http2 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.over && !w.killed {
		_ = w.rc.SetWriteDeadline(time.Time{})
	}
}

// finish is called when the handler has returned. What it wrote may still wait
// in a buffer.
func (w *writer) finish() {
	w.extend()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
}

// kill breaks the connection.
func (w *writer) kill() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.killed = true
	if !w.over {
		_ = w.rc.SetWriteDeadline(time.Unix(1, 0))
		_ = w.rc.SetReadDeadline(time.Unix(1, 0))
	}
}

// body bounds the size of a body and the time that it takes.
type body struct {
	io.ReadCloser
	w    *writer
	once sync.Once
}

func newBody(w *writer, b io.ReadCloser, limit int64, timeout time.Duration) *body {
	_ = w.rc.SetReadDeadline(time.Now().Add(timeout))
	return &body{ReadCloser: http.MaxBytesReader(w.ResponseWriter, b, limit), w: w}
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		// the server reads on to find out whether the client leaves, without end
		b.once.Do(func() {
			b.w.mu.Lock()
			defer b.w.mu.Unlock()
			if !b.w.over && !b.w.killed {
				_ = b.w.rc.SetReadDeadline(time.Time{})
			}
		})
	}
	return n, err
}
