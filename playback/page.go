package playback

import (
	"bytes"
	"compress/gzip"
	_ "embed" // the page
	"html"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

//go:embed web/index.html
var pageHTML string

// scriptFile is hls.js, beside every page.
const scriptFile = "hls.min.js"

// page serves what browsers need.
type page struct {
	script []byte
	gzip   func() []byte
}

func newPage(script []byte) *page {
	return &page{script: script, gzip: sync.OnceValue(func() []byte {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		_, _ = w.Write(script)
		_ = w.Close()
		return b.Bytes()
	})}
}

func (s *server) servePage(w http.ResponseWriter, r *request) error {
	// the page does not know which part of its URL is the name
	body := strings.NewReplacer(
		"{{path}}", html.EscapeString(r.path),
		"{{root}}", strings.Repeat("../", strings.Count(r.path, "/")+1),
	).Replace(pageHTML)
	h := w.Header()
	h.Set("Cache-Control", "no-cache")
	h.Set("Content-Type", "text/html; charset=utf-8")
	sendBytes(w, r, []byte(body))
	return nil
}

func (s *server) serveScript(w http.ResponseWriter, r *request) error {
	if len(s.page.script) == 0 {
		return errNoRecording
	}
	h := w.Header()
	h.Set("Cache-Control", "private, max-age=3600, immutable")
	h.Set("Content-Type", "text/javascript; charset=utf-8")
	h.Add("Vary", "Accept-Encoding")
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		sendBytes(w, r, s.page.gzip())
		return nil
	}
	sendBytes(w, r, s.page.script)
	return nil
}

func sendBytes(w http.ResponseWriter, r *request, b []byte) {
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		_, _ = w.Write(b)
	}
}
