package hls

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// FuzzCheck passes answers of servers through the guard.
func FuzzCheck(f *testing.F) {
	f.Add([]byte("#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:1.0,\na.mp4\n"))
	f.Add([]byte("#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"x\",URI=\"x.m3u8\"\n#EXT-X-STREAM-INF:BANDWIDTH=1\nx.m3u8\n"))
	f.Add([]byte("\x00\x00\x00\x10ftypxxxxyyyy"))
	f.Add([]byte("\x00\x00\x00\x10moofxxxxyyyy"))
	f.Add(bytes.Repeat(append([]byte{0x47, 0x40, 0, 0x10}, make([]byte, 184)...), 3))
	f.Fuzz(func(t *testing.T, body []byte) {
		g := newGuard(t.Context(), Source{}.withDefaults(), nil)
		req := &http.Request{URL: &url.URL{Scheme: "http", Host: "h", Path: "/i"}}
		res := &http.Response{StatusCode: 200, Body: io.NopCloser(bytes.NewReader(body))}
		wait, err := g.check(req, res, 0)
		if err != nil || wait > 0 {
			return
		}
		if got, err := io.ReadAll(res.Body); err != nil || !bytes.Equal(got, body) {
			t.Errorf("the client gets %d of %d bytes", len(got), len(body))
		}
		// a second time nothing is new: only playlists that go on are held back
		res.Body = io.NopCloser(bytes.NewReader(body))
		if again, err := g.check(req, res, 0); err == nil && again > 0 && !bytes.Contains(body, []byte("#EXTINF")) {
			t.Error("held back without segments")
		}
	})
}

func TestRedact(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"http://u:p@h/x?jwt=y&a=b": "http://h/x?jwt=***&a=b",
		"http://h/x":               "http://h/x",
		"http://u:p@h:x/%zz":       "invalid URL",
	} {
		if got := redact(in); got != want || strings.Contains(got, "p@") {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}
