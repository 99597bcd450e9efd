package webrtc

import (
	"io/fs"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

func TestPageHeaders(t *testing.T) {
	t.Parallel()
	g := newRig(t, Server{}, nil)
	for path, want := range map[string]struct{ ctype, policy string }{
		"/cam/":                   {"text/html; charset=utf-8", "script-src 'self' 'sha256-"},
		"/cam/publish":            {"text/html; charset=utf-8", "script-src 'self' 'sha256-"},
		"/cam/reader.js":          {"text/javascript; charset=utf-8", ""},
		"/some/cam/publisher.js":  {"text/javascript; charset=utf-8", ""},
		"/cam/?controls=0&x=%3Cb": {"text/html; charset=utf-8", "default-src 'none'"},
	} {
		res, body := g.do(http.MethodGet, path, "")
		h := res.Header
		if res.StatusCode != http.StatusOK || h.Get("Content-Type") != want.ctype || h.Get("X-Content-Type-Options") != "nosniff" ||
			h.Get("Cache-Control") != "no-cache" || body == "" {
			t.Errorf("%s: %d %v", path, res.StatusCode, h)
		}
		if p := h.Get("Content-Security-Policy"); !strings.Contains(p, want.policy) || (p == "") != (want.policy == "") {
			t.Errorf("%s: policy %q", path, p)
		}
		if strings.Contains(h.Get("Content-Security-Policy"), "unsafe") {
			t.Errorf("%s: the policy allows what is unsafe", path)
		}
		again, body := g.do(http.MethodGet, path, "", "If-None-Match", h.Get("ETag"))
		if again.StatusCode != http.StatusNotModified || body != "" {
			t.Errorf("%s: %d for a browser that has it", path, again.StatusCode)
		}
		head, body := g.do(http.MethodHead, path, "")
		if head.StatusCode != http.StatusOK || head.ContentLength != res.ContentLength || body != "" {
			t.Errorf("HEAD %s: %d, %d bytes", path, head.StatusCode, head.ContentLength)
		}
	}
}

// What pages refer to exists, and nothing comes from elsewhere.
func TestPageReferences(t *testing.T) {
	t.Parallel()
	reference := regexp.MustCompile(`(?:src|href)="([^"]*)"`)
	inHandler := regexp.MustCompile(`\son[a-z]+=|\sstyle=|innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(`)
	ids := regexp.MustCompile(`(?:byId|getElementById)\('([^']+)'\)`)
	for _, name := range []string{readPage, publishPage} {
		body, err := webFiles.ReadFile("web/" + name)
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		for _, m := range reference.FindAllStringSubmatch(string(body), -1) {
			if m[1] == "data:," { // no icon
				continue
			}
			found++
			if _, err := fs.Stat(webFiles, "web/"+m[1]); err != nil {
				t.Errorf("%s refers to %s: %v", name, m[1], err)
			}
		}
		if found == 0 {
			t.Errorf("%s has no script", name)
		}
		if m := inHandler.FindString(string(body)); m != "" {
			t.Errorf("%s has %q, which the policy forbids or which makes markup of text", name, m)
		}
		for _, m := range ids.FindAllStringSubmatch(string(body), -1) {
			if !strings.Contains(string(body), `id="`+m[1]+`"`) {
				t.Errorf("%s: there is no element %q", name, m[1])
			}
		}
	}
}

// Each script works alone: what they have in common is in both.
func TestScriptsAreWhole(t *testing.T) {
	t.Parallel()
	common, err := webFiles.ReadFile("web/" + connectionScript)
	if err != nil {
		t.Fatal(err)
	}
	g := newRig(t, Server{}, nil)
	for _, name := range []string{readerScript, publisherScript} {
		_, body := g.do(http.MethodGet, "/cam/"+name, "")
		if strings.Count(body, string(common)) != 1 || strings.Contains(body, connectionMark) {
			t.Errorf("%s is not whole", name)
		}
	}
}
