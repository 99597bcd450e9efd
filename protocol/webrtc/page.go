package webrtc

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"net/http"
	"regexp"
	"strings"
	"time"
)

// Files that browsers get. The scripts lie beside the pages of every path, so
// that "reader.js" on the page "/PATH/" is "/PATH/reader.js".
const (
	readPage        = "read.html"    // at /PATH/
	publishPage     = "publish.html" // at /PATH/publish
	readerScript    = "reader.js"
	publisherScript = "publisher.js"
)

// connectionScript is what the scripts have in common. It takes the place of
// connectionMark in them.
const (
	connectionScript = "connection.js"
	connectionMark   = "  // connection.js is inserted here\n"
)

//go:embed web/*.html web/*.js
var webFiles embed.FS

// pages serves the pages and their scripts. They hold nothing of a path: the
// name of the stream is read from the URL by the scripts, as text.
type pages struct {
	files map[string]pageFile
}

type pageFile struct {
	body        []byte
	contentType string
	etag        string
	policy      string // Content-Security-Policy, of pages
}

func newPages() (*pages, error) {
	p := &pages{files: map[string]pageFile{}}
	for _, name := range []string{readPage, publishPage, readerScript, publisherScript} {
		body, err := webFile(name)
		if err != nil {
			return nil, err
		}
		f := pageFile{body: body, contentType: "text/javascript; charset=utf-8", etag: `"` + digest(body)[:22] + `"`}
		if strings.HasSuffix(name, ".html") {
			f.contentType, f.policy = "text/html; charset=utf-8", securityPolicy(body)
		}
		p.files[name] = f
	}
	return p, nil
}

// webFile returns a file as browsers get it.
func webFile(name string) ([]byte, error) {
	body, err := webFiles.ReadFile("web/" + name)
	if err != nil || !bytes.Contains(body, []byte(connectionMark)) {
		return body, err
	}
	common, err := webFiles.ReadFile("web/" + connectionScript)
	return bytes.Replace(body, []byte(connectionMark), common, 1), err
}

// serve answers GET and HEAD with one of the files named above. Browsers ask
// each time whether it is still the same, because a new version of the server
// has new scripts under the same names.
func (p *pages) serve(w http.ResponseWriter, r *http.Request, name string) {
	f, ok := p.files[name]
	if !ok {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", f.contentType)
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", f.etag)
	h.Set("X-Content-Type-Options", "nosniff")
	if f.policy != "" {
		h.Set("Content-Security-Policy", f.policy)
		h.Set("Referrer-Policy", "no-referrer") // a query may hold a token
	}
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(f.body))
}

// inline matches the scripts and styles that are written into a page.
var inline = regexp.MustCompile(`(?s)<(script|style)>(.*?)</(?:script|style)>`)

// securityPolicy allows what is written in a page, and the scripts and the
// endpoints of this server; nothing else. Pages may be put into the frames of
// other sites, hence there is no frame-ancestors.
func securityPolicy(page []byte) string {
	sources := map[string]string{"script": "'self'", "style": ""}
	for _, m := range inline.FindAllSubmatch(page, -1) {
		sources[string(m[1])] += " 'sha256-" + digest(m[2]) + "'"
	}
	return "default-src 'none'; script-src " + sources["script"] + "; style-src" + sources["style"] +
		"; connect-src 'self'; img-src data:; media-src 'self' blob:; base-uri 'none'; form-action 'none'"
}

func digest(b []byte) string {
	d := sha256.Sum256(b)
	return base64.StdEncoding.EncodeToString(d[:])
}
