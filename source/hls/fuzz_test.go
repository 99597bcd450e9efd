package hls

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// FuzzCheck passes answers of servers through the guard.
func FuzzCheck(f *testing.F) {
	f.Add([]byte("#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:1.0,\na.mp4\n"))
	f.Add([]byte("#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"x\",URI=\"x.m3u8\"\n#EXT-X-STREAM-INF:BANDWIDTH=1\nx.m3u8\n"))
	f.Add([]byte("\xef\xbb\xbf#EXTM3U x\r\n#EXT-X-TARGETDURATION:1\r\n#EXT-X-MEDIA-SEQUENCE:1700000000000\r\n#EXT-X-MAP:URI=\"i\"\r\n" +
		"#EXTINF: 0.000001 \r\n#EXT-X-BYTERANGE:5@7\r\na.mp4\r\n#EXTINF:1,\r\n#EXT-X-BYTERANGE:5\r\na.mp4\r\n" +
		"#EXT-X-MAP:URI=\"j\",BYTERANGE=\"1@2\"\r\n#EXTINF:1,\r\nb.mp4\r\n#EXT-X-GAP\r\n#EXTINF:1,\r\nc.mp4\r\n#EXT-X-ENDLIST"))
	f.Add([]byte("\x00\x00\x00\x10ftypxxxxyyyy"))
	f.Add([]byte("\x00\x00\x00\x10moofxxxxyyyy"))
	f.Add(bytes.Repeat(append([]byte{0x47, 0x40, 0, 0x10}, make([]byte, 184)...), 3))
	f.Fuzz(func(t *testing.T, body []byte) {
		g := newGuard(t.Context(), Source{}.withDefaults(), nil, slog.New(slog.DiscardHandler))
		req := &http.Request{URL: &url.URL{Scheme: "http", Host: "h", Path: "/i"}}
		res := &http.Response{StatusCode: 200, Body: io.NopCloser(bytes.NewReader(body))}
		wait, err := g.check(req, res, 0)
		if err != nil || wait > 0 {
			return
		}
		got, err := io.ReadAll(res.Body)
		switch {
		case err != nil:
			t.Error(err)
		case !isPlaylist(body):
			if !bytes.Equal(got, body) {
				t.Errorf("the client gets %d of %d bytes", len(got), len(body))
			}
		default:
			if _, err := parse(got); err != nil {
				t.Errorf("the client gets %q: %v", got, err)
			}
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
