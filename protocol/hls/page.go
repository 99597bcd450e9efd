package hls

import (
	"bytes"
	"compress/gzip"
	_ "embed" // the page and its script
	"net/http"
	"strconv"
	"sync"
)

//go:embed web/index.html
var pageHTML []byte

// pageScript is hls.js 1.7.0, unmodified; its licence is beside it.
//
//go:embed web/hls.min.js
var pageScript []byte

// Script returns hls.js, for pages of other parts of a program. It must not be
// changed.
func Script() []byte { return pageScript }

// page serves what browsers need.
type page struct {
	scriptGzip func() []byte
}

func newPage() *page {
	return &page{scriptGzip: sync.OnceValue(func() []byte {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		_, _ = w.Write(pageScript)
		_ = w.Close()
		return b.Bytes()
	})}
}

func (p *page) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h["Cache-Control"], h["X-Content-Type-Options"] = headerNoCache, headerNoSniff
	h.Set("Content-Type", "text/html; charset=utf-8")
	send(w, r, pageHTML)
}

func (p *page) serveScript(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h["Cache-Control"], h["X-Content-Type-Options"], h["Vary"] = headerImmutable, headerNoSniff, append(h["Vary"], headerVary...)
	h.Set("Content-Type", "text/javascript; charset=utf-8")
	if acceptsGzip(r) {
		h["Content-Encoding"] = headerGzip
		send(w, r, p.scriptGzip())
		return
	}
	send(w, r, pageScript)
}

func send(w http.ResponseWriter, r *http.Request, body []byte) {
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body)
	}
}
