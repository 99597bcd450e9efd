package hls

import (
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

func testGuard(t *testing.T, origin string) *guard {
	t.Helper()
	g := newGuard(t.Context(), Source{}.withDefaults(), nil, slog.New(slog.DiscardHandler))
	u, err := url.Parse(origin)
	if err != nil {
		t.Fatal(err)
	}
	g.origin = u
	return g
}

func TestCredentials(t *testing.T) {
	t.Parallel()
	g := testGuard(t, "http://user:pa%40ss@cam:8080/x/i.m3u8")
	for to, want := range map[string]bool{
		"http://cam:8080/seg.ts":     true,
		"http://CAM:8080/a?b":        true,
		"http://cam/seg.ts":          false,
		"http://cam:8081/seg.ts":     false,
		"https://cam:8080/seg.ts":    false,
		"http://evil:8080/seg.ts":    false,
		"http://cam:8080@evil/x":     false,
		"http://sub.cam:8080/seg.ts": false,
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, to, nil)
		if err != nil {
			t.Fatal(err)
		}
		user, pass, ok := g.withCredentials(req.WithContext(t.Context())).BasicAuth()
		if ok != want || ok && (user != "user" || pass != "pa@ss") {
			t.Errorf("%s: %v %q %q", to, ok, user, pass)
		}
		if _, _, ok := req.BasicAuth(); ok {
			t.Errorf("%s: the request was changed", to)
		}
	}
}

// checked returns what the client gets of an answer.
func (g *guard) checked(t *testing.T, at, body string, waited time.Duration) (string, time.Duration, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, at, nil)
	if err != nil {
		t.Fatal(err)
	}
	res := &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(body))}
	wait, err := g.check(req, res, waited)
	out, _ := io.ReadAll(res.Body)
	return string(out), wait, err
}

func TestChoose(t *testing.T) {
	t.Parallel()
	const begin = "#EXTM3U\n"
	for name, c := range map[string]struct{ in, want, err string }{
		"AV1":        {"#EXT-X-STREAM-INF:BANDWIDTH=1,CODECS=\"av01.0.08M.08,Opus\"\nv\n", "\nv\n", ""},
		"VP9, FLAC":  {"#EXT-X-STREAM-INF:BANDWIDTH=1,CODECS=\"vp09.00.31.08,fLaC\"\nv\n", "\nv\n", ""},
		"spaces":     {"#EXT-X-STREAM-INF:BANDWIDTH=1,CODECS=\"avc1.42e01e, mp4a.40.2\"\n\nv\n", "\nv\n", ""},
		"none named": {"#EXT-X-STREAM-INF:BANDWIDTH=1\nv\n", "\nv\n", ""},
		"best":       {"#EXT-X-STREAM-INF:BANDWIDTH=1\na\n#EXT-X-STREAM-INF:BANDWIDTH=9,CODECS=\"dvh1\"\nb\n#EXT-X-STREAM-INF:BANDWIDTH=5\nc\n", "\nc\n", ""},
		"none":       {"#EXT-X-STREAM-INF:BANDWIDTH=1,CODECS=\"ec-3\"\na\n", "", "\"ec-3\""},
		"no group":   {"#EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO=\"x\"\nv\n", "\nv\n", ""},
		"group": {
			"#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"x\",NAME=\"s\",URI=\"s\"\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"x\",NAME=\"n\",URI=\"?q=1\"\n" +
				"#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"y\",NAME=\"n\",URI=\"no\"\n#EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO=\"x\"\nv\n", "URI=\"?q=1\"", "",
		},
	} {
		out, wait, err := testGuard(t, "http://h/").checked(t, "http://h/d/i", begin+c.in, 0)
		if wait != 0 || err != nil && (c.err == "" || !strings.Contains(err.Error(), c.err)) || c.err != "" && err == nil || !strings.Contains(out, c.want) {
			t.Errorf("%s: %q %v", name, out, err)
		}
		if strings.Contains(out, "SUBTITLES") || strings.Contains(out, "\"no\"") || strings.Count(out, "STREAM-INF") > 1 {
			t.Errorf("%s: %q", name, out)
		}
		if _, err := parse([]byte(out)); out != "" && err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func list(sequence string, segments int) string {
	return "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:" + sequence + "\n" + strings.Repeat("#EXTINF:2,\nx\n", segments)
}

// Copies of a playlist that are older than what was seen are passed over.
func TestOldPlaylist(t *testing.T) {
	t.Parallel()
	g := testGuard(t, "http://h/")
	const at = "http://h/i"
	for i, c := range []struct {
		list   string
		waited time.Duration
		wait   bool
		err    string
	}{
		{list("10", 2), 0, true, ""}, // too few
		{list("10", 3), 0, false, ""},
		{list("10", 3), 0, true, ""}, // the same
		{list("9", 3), time.Second, true, ""},
		{list("11", 3), 0, false, ""},
		{list("0", 3), 3 * time.Second, false, "goes back from 13 to 2"},
		{list("11", 3), time.Minute, false, "does not change"},
	} {
		out, wait, err := g.checked(t, at, c.list, c.waited)
		if wait > 0 != c.wait || (err != nil) != (c.err != "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%d: %v %v", i, wait, err)
		}
		if !c.wait && err == nil && !strings.Contains(out, "EXTINF") {
			t.Errorf("%d: %q", i, out)
		}
	}
}

// With low latency the part that was announced last is asked for once.
func TestSameHint(t *testing.T) {
	t.Parallel()
	g := testGuard(t, "http://h/")
	ll := func(part string) string {
		return "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1,CAN-SKIP-UNTIL=12\n#EXT-X-PART-INF:PART-TARGET=0.5\n" +
			"#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-MAP:URI=\"init\"\n#EXTINF:2,\nx\n#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"" + part + "\"\n#EXT-X-PRELOAD-HINT:TYPE=MAP,URI=\"m\"\n"
	}
	for i, c := range []struct {
		url, part string
		wait      bool
	}{{"http://h/i", "a", false}, {"http://h/i?_HLS_skip=YES", "a", true}, {"http://h/i?_HLS_skip=YES", "b", false}} {
		if _, wait, err := g.checked(t, c.url, ll(c.part), 0); wait > 0 != c.wait || err != nil {
			t.Errorf("%d: %v %v", i, wait, err)
		}
	}
}

func TestUnsupported(t *testing.T) {
	t.Parallel()
	for want, body := range map[string]string{
		"encrypted by AES-128":        list("0", 3) + "#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n",
		"encrypted by SAMPLE-AES-CTR": "\ufeff" + list("0", 3) + "#EXT-X-KEY:URI=\"k\",METHOD=SAMPLE-AES-CTR,IV=0x00\r\n",
		"absurd byte range":           list("0", 3) + "#EXTINF:1,\n#EXT-X-BYTERANGE:0@5\nx\n",
		"at most 2m0s":                list("0", 3) + "#EXTINF:1e300,\nx\n",
		"a segment of -":              list("0", 3) + "#EXTINF:-1,\nx\n",
		"invalid syntax":              list("0", 3) + "#EXTINF:a,\nx\n",
	} {
		if _, _, err := testGuard(t, "http://h/").checked(t, "http://h/i", body, 0); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
	for _, body := range [][]byte{[]byte("ID3\x04xxx"), {0xff, 0xf1, 0x4c, 0x80}} {
		if _, _, err := checkTransportStream(body); err == nil || !strings.Contains(err.Error(), "without a container") {
			t.Errorf("%q: %v", body, err)
		}
	}
	// an initialization segment is one wherever its box begins
	g := testGuard(t, "http://h/")
	if _, _, err := g.checked(t, "http://h/i", strings.Replace(list("0", 3), "#EXTINF", "#EXT-X-MAP:URI=\"init\"\n#EXTINF", 1), 0); err != nil {
		t.Fatal(err)
	}
	if _, _, err := g.checked(t, "http://h/init", "\x00\x00\x00\x08free"+strings.Repeat("\x00", 500), 0); err == nil ||
		!strings.Contains(err.Error(), "invalid initialization segment") {
		t.Errorf("got %v", err)
	}
}
