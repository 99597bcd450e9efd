package httpserver

import (
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// leanBuffer is how much of an answer without Content-Length is collected.
const leanBuffer = 16 << 10

// leanWriter is the http.ResponseWriter of connections that were taken over.
type leanWriter struct {
	conn   net.Conn
	header http.Header
	status int
	head   []byte // buffer of the header, used again
	limit  *deadline

	noBody  bool  // there is none in answers to this request
	sent    bool  // the header
	chunked bool  // the length is not known
	left    int64 // bytes that were promised
	buf     []byte
	close   bool // the connection ends with this answer
	old     bool // HTTP/1.0
	err     error
}

// reset prepares for a request; nil if it could not be read.
func (w *leanWriter) reset(r *http.Request) {
	clear(w.header)
	*w = leanWriter{conn: w.conn, header: w.header, head: w.head[:0], buf: w.buf[:0], limit: w.limit}
	if r != nil {
		w.noBody = r.Method == http.MethodHead
		w.old = !r.ProtoAtLeast(1, 1)
		w.close = r.Close || w.old || r.Body != http.NoBody // what is left of a body is not looked for
	}
}

// Header implements http.ResponseWriter.
func (w *leanWriter) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *leanWriter) WriteHeader(status int) {
	if w.status == 0 && status >= http.StatusOK {
		w.status = status
		if status == http.StatusNoContent || status == http.StatusNotModified {
			w.noBody = true
		}
	}
}

// Write implements http.ResponseWriter.
func (w *leanWriter) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	switch {
	case w.err != nil:
		return 0, w.err
	case w.noBody:
		return len(p), nil
	case w.sent && w.chunked:
		return w.writeChunk(p)
	case w.sent:
		return w.writeBody(p)
	}
	if v := w.header["Content-Length"]; len(v) == 1 {
		if n, err := strconv.ParseInt(v[0], 10, 64); err == nil && n >= 0 {
			w.left = n
			return w.writeBody(p)
		}
		delete(w.header, "Content-Length")
	}
	w.buf = append(w.buf, p...)
	if len(w.buf) > leanBuffer {
		w.err = w.startChunks()
	}
	return len(p), w.err
}

// writeBody writes a piece of a body whose length was promised, together with
// the header if that was not sent yet.
func (w *leanWriter) writeBody(p []byte) (int, error) {
	if int64(len(p)) > w.left {
		return 0, http.ErrContentLength
	}
	if w.sent {
		n, err := w.conn.Write(p)
		w.left -= int64(n)
		w.err = err
		return n, err
	}
	w.appendHead(p)
	bufs := net.Buffers{w.head, p}
	n, err := bufs.WriteTo(w.conn)
	n = max(n-int64(len(w.head)), 0)
	w.left -= n
	w.err = err
	return int(n), err
}

func (w *leanWriter) startChunks() error {
	if w.old { // the end of the connection is that of the body
		w.left = 1 << 62
		_, err := w.writeBody(w.buf)
		return err
	}
	w.chunked = true
	w.header["Transfer-Encoding"] = []string{"chunked"}
	w.appendHead(w.buf)
	if _, err := w.conn.Write(w.head); err != nil {
		return err
	}
	_, err := w.writeChunk(w.buf)
	return err
}

func (w *leanWriter) writeChunk(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	size := append(strconv.AppendInt(nil, int64(len(p)), 16), "\r\n"...)
	bufs := net.Buffers{size, p, []byte("\r\n")}
	_, w.err = bufs.WriteTo(w.conn)
	if w.err != nil {
		return 0, w.err
	}
	return len(p), nil
}

// FlushError is for http.ResponseController.
func (w *leanWriter) FlushError() error {
	w.WriteHeader(http.StatusOK)
	if w.sent || w.noBody || w.err != nil || w.header["Content-Length"] != nil {
		return w.err
	}
	w.err = w.startChunks()
	return w.err
}

// SetWriteDeadline is for http.ResponseController.
func (w *leanWriter) SetWriteDeadline(t time.Time) error {
	if !w.limit.move(t) {
		return nil
	}
	return w.conn.SetWriteDeadline(t)
}

// SetReadDeadline is for http.ResponseController.
func (w *leanWriter) SetReadDeadline(t time.Time) error { return w.conn.SetReadDeadline(t) }

// errShort: the handler promised more.
var errShort = errors.New("the answer is shorter than its Content-Length")

// finish completes the answer.
func (w *leanWriter) finish() error {
	w.WriteHeader(http.StatusOK)
	switch {
	case w.err != nil:
		return w.err
	case w.sent && w.chunked:
		_, err := w.conn.Write([]byte("0\r\n\r\n"))
		return err
	case w.sent && w.left != 0:
		return errShort
	case w.sent:
		return nil
	}
	promised := w.header["Content-Length"] != nil
	switch {
	case promised && !w.noBody && w.header["Content-Length"][0] != "0":
		w.close = true // nothing was written
	case !promised && !(w.noBody && (w.status == http.StatusNoContent || len(w.buf) == 0)):
		w.header["Content-Length"] = []string{strconv.Itoa(len(w.buf))}
	}
	w.appendHead(w.buf)
	bufs := net.Buffers{w.head}
	if len(w.buf) > 0 {
		bufs = append(bufs, w.buf)
	}
	_, err := bufs.WriteTo(w.conn)
	return err
}

// appendHead makes the status line and the header. body is its beginning.
func (w *leanWriter) appendHead(body []byte) {
	w.sent = true
	b := w.head
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(w.status), 10)
	b = append(append(append(b, ' '), http.StatusText(w.status)...), "\r\n"...)
	if w.header["Date"] == nil {
		b = append(b, "Date: "...)
		b = append(time.Now().UTC().AppendFormat(b, http.TimeFormat), "\r\n"...)
	}
	if w.header["Content-Type"] == nil && len(body) > 0 {
		b = append(append(append(b, "Content-Type: "...), http.DetectContentType(body)...), "\r\n"...)
	}
	if w.close {
		b = append(b, "Connection: close\r\n"...)
	}
	for name, values := range w.header {
		for _, v := range values {
			b = append(append(append(b, name...), ": "...), headerValue(v)...)
			b = append(b, "\r\n"...)
		}
	}
	b = append(b, "\r\n"...)
	w.head = b
}

// headerValue keeps values on their line.
func headerValue(v string) string {
	if strings.ContainsAny(v, "\r\n") {
		return strings.NewReplacer("\r", " ", "\n", " ").Replace(v)
	}
	return v
}
