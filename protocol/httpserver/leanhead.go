package httpserver

import (
	"bytes"
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// maxRepeated bounds the header that a connection remembers.
const maxRepeated = 4 << 10

// repeated remembers the header of a request. Players send the same one with
// every request of a connection, to the byte; it is then read once.
type repeated struct {
	raw    []byte // what followed the request line, with the empty line at the end
	header http.Header
	host   string
	ctx    context.Context //nolint:containedctx // with what inspect has found
}

// headerOf finds the header behind a request line in what was received; nil if it
// is not complete.
func headerOf(b []byte) []byte {
	first := bytes.IndexByte(b, '\n')
	if first < 1 || b[first-1] != '\r' {
		return nil
	}
	b = b[first+1:]
	if bytes.HasPrefix(b, []byte("\r\n")) {
		return b[:2]
	}
	end := bytes.Index(b, []byte("\r\n\r\n"))
	if end < 0 {
		return nil
	}
	return b[:end+4]
}

// remember keeps the header of a request that net/http has read; raw is
// what it was made of.
func (p *repeated) remember(raw []byte, r *http.Request) {
	*p = repeated{}
	if bytes.Count(raw, []byte("\n")) != bytes.Count(raw, []byte("\r\n")) {
		return // net/http may have found an end that headerOf has not
	}
	if len(raw) == 0 || len(raw) > maxRepeated || r.Body != http.NoBody || r.Close || !strings.HasPrefix(r.RequestURI, "/") {
		return
	}
	*p = repeated{raw: raw, header: r.Header, host: r.Host, ctx: r.Context()}
}

// read makes a request of b, if its header is the one that is remembered, and
// returns its length; nil if it takes more to read it.
func (p *repeated) read(b []byte) (*http.Request, int) {
	if p.raw == nil {
		return nil, 0
	}
	first := bytes.IndexByte(b, '\n')
	if first < 0 || !bytes.HasPrefix(b[first+1:], p.raw) {
		return nil, 0
	}
	line, ok := bytes.CutSuffix(b[:first], []byte(" HTTP/1.1\r"))
	method, target, found := bytes.Cut(line, []byte(" "))
	if !ok || !found || len(target) == 0 || target[0] != '/' || bytes.IndexByte(target, ' ') >= 0 {
		return nil, 0
	}
	r := http.Request{
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: p.header, Body: http.NoBody,
		Host: p.host, RequestURI: string(target),
	}
	switch string(method) {
	case http.MethodGet:
		r.Method = http.MethodGet
	case http.MethodHead:
		r.Method = http.MethodHead
	default:
		return nil, 0
	}
	var err error
	if r.URL, err = url.ParseRequestURI(r.RequestURI); err != nil {
		return nil, 0
	}
	return r.WithContext(p.ctx), first + 1 + len(p.raw)
}

// deadline spares calls that would move a deadline by little.
type deadline struct {
	at    time.Time
	slack time.Duration
}

// move tells whether the deadline has to be set to t.
func (d *deadline) move(t time.Time) bool {
	if by := t.Sub(d.at); by >= 0 && by < d.slack {
		return false
	}
	d.at = t
	return true
}
