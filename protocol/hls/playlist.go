package hls

import (
	"bytes"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/bluenviron/gohlslib/v2/pkg/playlist"
)

// indexFile is the multivariant playlist.
const indexFile = "index.m3u8"

// Playlists of further muxers are named v2_..., v3_... because gohlslib gives all
// of them the same names.
func muxerPrefix(n int) string {
	if n == 0 {
		return ""
	}
	return "v" + strconv.Itoa(n+1) + "_"
}

// splitName is the opposite of muxerPrefix.
func splitName(file string) (n int, name string) {
	if num, rest, ok := strings.Cut(file, "_"); ok && len(num) > 1 && num[0] == 'v' {
		if i, err := strconv.Atoi(num[1:]); err == nil && i >= 2 && muxerPrefix(i-1) == num+"_" {
			return i - 1, rest
		}
	}
	return 0, file
}

// renderIndex makes the multivariant playlist.
func (in *instance) renderIndex() *recorder {
	rec := in.mergeIndexes()
	if more := in.audioRate(); more > 0 && rec.status == http.StatusOK {
		rec.body = addBandwidth(rec.body, more)
	}
	if p := in.place.prefix(); p != "" && rec.status == http.StatusOK {
		rec.body = mapURIs(rec.body, func(out, uri []byte) []byte { return append(append(out, p...), uri...) })
	}
	return rec
}

// mergeIndexes makes one multivariant playlist of those of all muxers.
func (in *instance) mergeIndexes() *recorder {
	rec := handle(in.muxers[0].Handle, indexFile, "")
	if len(in.muxers) == 1 || rec.status != http.StatusOK {
		return rec
	}
	var index playlist.Multivariant
	if index.Unmarshal(rec.body) != nil || len(index.Variants) == 0 {
		return rec
	}
	first := index.Variants[0]
	for n, g := range in.muxers[1:] {
		more := handle(g.Handle, indexFile, "")
		var other playlist.Multivariant
		if more.status != http.StatusOK || other.Unmarshal(more.body) != nil {
			continue // it has no content
		}
		for _, v := range other.Variants {
			v.URI = muxerPrefix(n+1) + v.URI
			if v.Audio == "" && first.Audio != "" {
				v.Audio = first.Audio
				v.Codecs = append(v.Codecs, audioCodecs(first.Codecs)...)
			}
			index.Variants = append(index.Variants, v)
		}
	}
	body, err := index.Marshal()
	if err != nil {
		return rec
	}
	return &recorder{header: rec.header, status: rec.status, body: body}
}

// audioCodecs selects by the names of RFC 6381.
func audioCodecs(codecs []string) []string {
	var out []string
	for _, c := range codecs {
		switch name, _, _ := strings.Cut(c, "."); strings.ToLower(name) {
		case "mp4a", "opus", "flac", "fl":
			out = append(out, c)
		}
	}
	return out
}

// childQuery returns the part of a query that URLs in playlists repeat, so that
// tokens reach all requests: everything but the parameters of HLS itself.
func childQuery(raw string) string {
	if onlyDirectives(raw) { // which is what most players send
		return ""
	}
	q, err := url.ParseQuery(raw)
	if err != nil {
		return ""
	}
	for name := range q {
		if strings.HasPrefix(name, "_HLS_") {
			delete(q, name)
		}
	}
	return q.Encode()
}

// onlyDirectives tells whether a query has no other parameters than those of HLS.
func onlyDirectives(raw string) bool {
	for raw != "" {
		var pair string
		if pair, raw, _ = strings.Cut(raw, "&"); !strings.HasPrefix(pair, "_HLS_") {
			return false
		}
	}
	return true
}

// addQuery appends a query to all URLs of a playlist.
func addQuery(body []byte, query string) []byte {
	return mapURIs(body, func(out, uri []byte) []byte {
		sep := byte('?')
		if bytes.IndexByte(uri, '?') >= 0 {
			sep = '&'
		}
		return append(append(append(out, uri...), sep), query...)
	})
}

// mapURIs replaces the URLs of a playlist: whole lines, and URI attributes of
// tags. f appends what stands for a URL.
func mapURIs(body []byte, f func(out, uri []byte) []byte) []byte {
	out := make([]byte, 0, 2*len(body))
	for line := range bytes.Lines(body) {
		text := bytes.TrimRight(line, "\r\n")
		end := line[len(text):]
		switch {
		case len(text) == 0:
		case text[0] != '#':
			out = f(out, text)
			text = nil
		default:
			head, tail, ok := bytes.Cut(text, []byte(`URI="`))
			uri, rest, closed := bytes.Cut(tail, []byte(`"`))
			if ok && closed {
				out = append(append(out, head...), `URI="`...)
				out = append(f(out, uri), '"')
				text = rest
			}
		}
		out = append(append(out, text...), end...)
	}
	return out
}
