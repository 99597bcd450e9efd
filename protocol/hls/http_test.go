package hls

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/org/mtx/protocol/httpserver"
	"github.com/org/mtx/router"
)

func listenOn(addr string) httpserver.Endpoint { return httpserver.Listen{Addr: addr} }

// tickerSource publishes in real time.
type tickerSource struct{}

func (*tickerSource) Type() string { return "tickerSource" }

func (*tickerSource) Run(ctx context.Context, run *router.SourceRun) error {
	tracks := videoAudio()
	pub, err := run.Publish(ctx, tracks, router.PublishOptions{})
	if err != nil {
		return err
	}
	defer pub.Close()
	tick := time.NewTicker(time.Second / fps)
	defer tick.Stop()
	for n := 0; ; n++ {
		for i, t := range tracks {
			pub.Write(i, unitOf(t.Codec, n, sps1080))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	g := newRig(t, Server{}, nil, router.PathConfig{Name: "cam"}, router.PathConfig{Name: "empty"}, router.PathConfig{Name: "cam/inner.mp4"},
		router.PathConfig{Name: "moved", Fallback: "/cam"}, router.PathConfig{Name: "away", Fallback: "https://example.com/x"},
		router.PathConfig{Name: "elsewhere", Fallback: "https://example.com/x?y"})
	for _, c := range []struct {
		method, path string
		status       int
		location     string
	}{
		{"GET", "/", 404, ""},
		{"GET", "/favicon.ico", 404, ""},
		{"GET", "/cam", 302, "/cam/"},
		{"GET", "/cam?a=b&c", 302, "/cam/?a=b&c"},
		{"GET", "/nowhere", 302, "/nowhere/"},
		{"GET", "/cam/", 200, ""},
		{"HEAD", "/cam/", 200, ""},
		{"GET", "/empty/", 200, ""},
		{"GET", "/nowhere/", 404, ""},
		{"GET", "/empty/index.m3u8", 404, ""},
		{"GET", "/nowhere/index.m3u8", 404, ""},
		{"GET", "/empty/x_seg1.mp4", 404, ""},
		{"GET", "/cam/inner.mp4/", 200, ""},
		{"GET", "/moved/index.m3u8?a=b", 302, "/cam/index.m3u8?a=b"},
		{"GET", "/away/index.m3u8", 302, "https://example.com/x"},
		{"GET", "/elsewhere/index.m3u8?a=b", 302, "https://example.com/x?y&a=b"},
		{"POST", "/cam/index.m3u8", 405, ""},
		{"DELETE", "/cam/", 405, ""},
		{"OPTIONS", "/cam/index.m3u8", 204, ""},
		{"GET", "//evil.org", 400, ""},
		{"GET", "//evil.org/", 400, ""},
		{"GET", "/%2f/evil.org", 400, ""},
		{"GET", "/a//index.m3u8", 400, ""},
		{"GET", "/cam%0aX/", 400, ""},
		{"GET", "/cam%22/", 400, ""},
		{"GET", "/%3cscript%3e/", 400, ""},
		{"GET", "/..%2f..%2fetc/index.m3u8", 400, ""},
		{"GET", "/a/..%2findex.m3u8", 400, ""},
		{"GET", "/~x/./index.m3u8", 400, ""},
		{"GET", "/cam/hls.min.js", 200, ""},
		{"GET", "/hls.min.js", 302, "/hls.min.js/"},
	} {
		res, body := g.do(c.method, c.path)
		if res.StatusCode != c.status || res.Header.Get("Location") != c.location {
			t.Errorf("%s %s: got %d %q, want %d %q (%.100s)", c.method, c.path, res.StatusCode, res.Header.Get("Location"), c.status, c.location, body)
		}
	}
	if g.muxer() != nil {
		t.Error("a muxer without a stream")
	}
}

// Every request needs permission.
func TestAuth(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	asked := map[string]int{}
	auth := router.AuthenticatorFunc(func(_ context.Context, q *router.AccessRequest) (router.Identity, error) {
		mu.Lock()
		asked[q.Protocol+" "+string(q.Action)+" "+q.Path+" "+q.Addr.String()]++
		mu.Unlock()
		if q.User == "u" && q.Pass == "p" || q.Token == "tok" {
			return router.Identity{User: "u"}, nil
		}
		return router.Identity{}, &router.AuthError{Err: errors.New("no"), AskCredentials: !q.HasCredentials()}
	})
	g := newRig(t, Server{QueryToken: true}, auth)
	g.publish("cam", videoAudio(), sps1080)
	basic := []string{"Authorization", "Basic dTpw"}
	for _, c := range []struct {
		path   string
		header []string
		want   int
	}{
		{"/cam/index.m3u8", nil, 401},
		{"/cam/", nil, 401},
		{"/cam/video1_stream.m3u8", nil, 401},
		{"/cam/x_part1.mp4", nil, 401},
		{"/cam/index.m3u8", []string{"Authorization", "Basic dTp4"}, 401},
		{"/cam/index.m3u8", []string{"Authorization", "Bearer u:x"}, 401},
		{"/cam/index.m3u8?jwt=bad", nil, 401},
		{"/cam/index.m3u8", basic, 200},
		{"/cam/index.m3u8", []string{"Authorization", "Bearer u:p"}, 200},
		{"/cam/index.m3u8", []string{"Authorization", "Bearer tok"}, 200},
		{"/cam/", basic, 200},
	} {
		res, body := g.get(c.path, c.header...)
		if res.StatusCode != c.want {
			t.Errorf("%s %v: status %d, want %d", c.path, c.header, res.StatusCode, c.want)
		}
		if c.want == 401 && (res.Header.Get("WWW-Authenticate") != `Basic realm="mediamtx"` || strings.TrimSpace(body) != "authentication error") {
			t.Errorf("%s: %v %q", c.path, res.Header, body)
		}
	}
	mu.Lock()
	if asked["hls read cam 127.0.0.1"] == 0 || len(asked) != 1 {
		t.Errorf("asked: %v", asked)
	}
	mu.Unlock()
	// a token in the query reaches every URL
	_, index := g.get("/cam/index.m3u8?jwt=tok")
	list := regexp.MustCompile(`(?m)^[^#\s].*$`).FindString(index)
	if !strings.HasSuffix(list, "?jwt=tok") {
		t.Fatalf("no token in %s", index)
	}
	res, media := g.get("/cam/" + list)
	if res.StatusCode != 200 {
		t.Fatalf("%s: %d", list, res.StatusCode)
	}
	uris := regexp.MustCompile(`(?m)(URI="([^"]+)"|^[^#\s]+$)`).FindAllStringSubmatch(media, -1)
	for _, u := range uris {
		if !strings.HasSuffix(strings.TrimSuffix(u[1], `"`), "?jwt=tok") {
			t.Errorf("no token in %s", u[1])
		}
	}
	if len(uris) < 3 {
		t.Errorf("only %d URLs in\n%s", len(uris), media)
	}
	init := regexp.MustCompile(`MAP:URI="([^"]+)"`).FindStringSubmatch(media)
	if init == nil {
		t.Fatalf("no initialization segment in\n%s", media)
	}
	res, _ = g.get("/cam/" + init[1])
	if res.StatusCode != 200 || res.Header.Get("Cache-Control") != "private, max-age=3600, immutable" {
		t.Errorf("%s: %d %v", init[1], res.StatusCode, res.Header)
	}
	if strings.Contains(g.log.String(), "tok") {
		t.Error("the log holds the token")
	}
}

// Without QueryToken a token in the query is nothing.
func TestNoQueryToken(t *testing.T) {
	t.Parallel()
	auth := router.AuthenticatorFunc(func(_ context.Context, q *router.AccessRequest) (router.Identity, error) {
		if q.Token != "" {
			t.Error("the token was used")
		}
		return router.Identity{}, &router.AuthError{AskCredentials: true}
	})
	g := newRig(t, Server{}, auth)
	if res, _ := g.get("/cam/index.m3u8?jwt=tok"); res.StatusCode != 401 {
		t.Errorf("status %d", res.StatusCode)
	}
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	g := newRig(t, Server{HTTP: httpserver.Listen{Addr: "127.0.0.1:0", AllowOrigins: []string{"*"}}}, nil)
	g.publish("cam", videoAudio(), sps1080)
	res, plain := g.get("/cam/index.m3u8", "Origin", "https://a.com")
	for k, want := range map[string]string{
		"Content-Type": "application/vnd.apple.mpegurl", "Cache-Control": "no-cache", "Server": "mediamtx",
		"Access-Control-Allow-Origin": "*", "Vary": "Accept-Encoding", "Content-Length": strconv.Itoa(len(plain)), "Content-Encoding": "",
	} {
		if got := res.Header.Get(k); got != want {
			t.Errorf("%s: %q, want %q", k, got, want)
		}
	}
	res, packed := g.get("/cam/video1_stream.m3u8", "Accept-Encoding", "br, gzip;q=0.8")
	if res.Header.Get("Content-Encoding") != "gzip" {
		t.Fatalf("not compressed: %v", res.Header)
	}
	zr, err := gzip.NewReader(strings.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	list, err := io.ReadAll(zr)
	if err != nil || !bytes.HasPrefix(list, []byte("#EXTM3U")) {
		t.Errorf("got %.20q, %v", list, err)
	}
	if res, _ := g.get("/cam/index.m3u8", "Accept-Encoding", "br", "Accept-Encoding", "deflate, GZIP"); res.Header.Get("Content-Encoding") != "gzip" {
		t.Error("only the first header counts")
	}
	if res, _ := g.get("/cam/index.m3u8", "Accept-Encoding", "gzip;q=0"); res.Header.Get("Content-Encoding") != "" {
		t.Error("compressed against the will of the client")
	}
	for _, what := range []string{`MAP:URI="([^"]+)"`, `PART:[^\n]*URI="([^"]+)"`, `(?m)^(\w+_seg\d+.mp4)$`} {
		var file []string
		eventually(t, what, func() bool {
			_, list := g.get("/cam/video1_stream.m3u8")
			file = regexp.MustCompile(what).FindStringSubmatch(list)
			return file != nil
		})
		res, body := g.get("/cam/"+file[1], "Accept-Encoding", "gzip")
		if res.StatusCode != 200 || res.Header.Get("Cache-Control") != "public, max-age=3600, immutable" ||
			res.Header.Get("Content-Type") != "video/mp4" || res.Header.Get("Content-Encoding") != "" || body == "" {
			t.Errorf("%s: %d %v, %d bytes", file[1], res.StatusCode, res.Header, len(body))
		}
		if head, empty := g.do(http.MethodHead, "/cam/"+file[1]); head.ContentLength != int64(len(body)) || empty != "" {
			t.Errorf("HEAD: %d bytes, want %d", head.ContentLength, len(body))
		}
	}
}

// The script is the one that was published, so that nobody changes it by mistake.
func TestScript(t *testing.T) {
	t.Parallel()
	sum := sha256.Sum256(pageScript)
	const want = "1f28c6a43deedddbd59aea4c119bd788f5e2347772c19da1f6f92f8d0032d9dc" // dist/hls.min.js of hls.js 1.7.0
	if got := hex.EncodeToString(sum[:]); got != want {
		t.Errorf("SHA-256 of hls.min.js: %s, want %s", got, want)
	}
	g := newRig(t, Server{}, nil)
	res, packed := g.get("/cam/hls.min.js?v=1.7.0", "Accept-Encoding", "gzip")
	zr, err := gzip.NewReader(strings.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(zr); err != nil || !bytes.Equal(b, pageScript) {
		t.Errorf("%v, %d bytes", err, len(b))
	}
	if ct := res.Header.Get("Content-Type"); ct != "text/javascript; charset=utf-8" {
		t.Errorf("type %q", ct)
	}
}

// The page must not make markup of anything that comes from outside.
func TestPageIsSafe(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"innerHTML", "outerHTML", "document.write", "insertAdjacentHTML", "eval(", "srcdoc"} {
		if bytes.Contains(pageHTML, []byte(bad)) {
			t.Errorf("the page uses %s", bad)
		}
	}
	g := newRig(t, Server{}, nil)
	_, one := g.get("/cam/")
	_, two := g.get("/other/?x=%3Cscript%3E")
	if one != two || one != string(pageHTML) {
		t.Error("the page depends on the request")
	}
}

// HTTP/2 and TLS, behind a proxy.
func TestTLS(t *testing.T) {
	t.Parallel()
	pair := httptest.NewUnstartedServer(nil)
	pair.StartTLS()
	pair.Close()
	var seen atomic.Value
	auth := router.AuthenticatorFunc(func(_ context.Context, q *router.AccessRequest) (router.Identity, error) {
		seen.Store(q.Addr.String())
		return router.Identity{}, nil
	})
	g := newRig(t, Server{HTTP: httpserver.Listen{
		Addr: "127.0.0.1:0", TLS: &tls.Config{Certificates: pair.TLS.Certificates}, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	}}, auth)
	g.url = strings.Replace(g.url, "http:", "https:", 1)
	tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}
	t.Cleanup(tr.CloseIdleConnections)
	g.http.Transport = tr
	g.publish("cam", videoAudio(), sps1080)
	_, list := g.get("/cam/video1_stream.m3u8")
	for range 5 { // each waits for a part
		hint := regexp.MustCompile(`PRELOAD-HINT:TYPE=PART,URI="([^"]+)"`).FindStringSubmatch(list)
		if hint == nil {
			t.Fatalf("no hint in\n%s", list)
		}
		res, body := g.get("/cam/"+hint[1], "X-Forwarded-For", "192.0.2.7")
		if res.ProtoMajor != 2 || res.StatusCode != 200 || len(body) == 0 {
			t.Errorf("HTTP/%d %d, %d bytes", res.ProtoMajor, res.StatusCode, len(body))
		}
		_, list = g.get("/cam/video1_stream.m3u8", "X-Forwarded-For", "192.0.2.7")
	}
	if seen.Load() != "192.0.2.7" {
		t.Errorf("the client has address %v", seen.Load())
	}
}

// Blocking requests are not cut by the deadlines of the connection.
func TestLongPoll(t *testing.T) {
	t.Parallel()
	g := newRig(t, Server{
		HTTP:            httpserver.Listen{Addr: "127.0.0.1:0", ReadTimeout: 150 * time.Millisecond, WriteTimeout: 150 * time.Millisecond},
		SegmentDuration: 2 * time.Second, PartDuration: time.Second,
	}, nil)
	g.publish("cam", videoAudio(), sps1080)
	g.get("/cam/index.m3u8")
	_, list := g.get("/cam/video1_stream.m3u8")
	msn := lastMSN(t, list) + 1
	began := time.Now()
	res, list := g.get("/cam/video1_stream.m3u8?_HLS_msn=" + strconv.Itoa(msn))
	if res.StatusCode != 200 || lastMSN(t, list) < msn && !strings.Contains(list, "#EXT-X-PART:") {
		t.Errorf("got %d\n%s", res.StatusCode, list)
	}
	if time.Since(began) < 300*time.Millisecond {
		t.Skip("the answer came at once: the machine was too slow for this test to mean anything")
	}
}

// lastMSN returns the media sequence number of the last segment of a playlist.
func lastMSN(t *testing.T, list string) int {
	t.Helper()
	first := regexp.MustCompile(`#EXT-X-MEDIA-SEQUENCE:(\d+)`).FindStringSubmatch(list)
	if first == nil {
		t.Fatalf("no media sequence in\n%s", list)
	}
	n, _ := strconv.Atoi(first[1])
	return n + strings.Count(list, "#EXTINF:") - 1
}

func TestBadQueries(t *testing.T) {
	t.Parallel()
	g := newRig(t, Server{}, nil)
	g.publish("cam", videoAudio(), sps1080)
	g.get("/cam/index.m3u8")
	for _, q := range []string{
		"_HLS_msn=x", "_HLS_msn=-1", "_HLS_msn=99999999999999999999", "_HLS_msn=1000", "_HLS_part=1",
		"_HLS_msn=8&_HLS_part=x", "_HLS_msn=8&_HLS_part=1001",
	} {
		if res, body := g.get("/cam/video1_stream.m3u8?" + q); res.StatusCode != 400 {
			t.Errorf("%s: %d %s", q, res.StatusCode, body)
		}
	}
	for _, f := range []string{"other_stream.m3u8", "v2_video1_stream.m3u8", "v9999999_x.m3u8", "x.mp4", "x.ts", "gap.mp4"} {
		if res, _ := g.get("/cam/" + f); res.StatusCode != 404 {
			t.Errorf("%s: %d", f, res.StatusCode)
		}
	}
}

// Waiting for many different parts does not start goroutines without end.
func TestManyWaiters(t *testing.T) {
	t.Parallel()
	g := newRig(t, Server{SegmentDuration: time.Hour}, nil)
	pub, err := g.Publish(t.Context(), "cam", videoAudio()[:1])
	if err != nil {
		t.Fatal(err)
	}
	defer pub.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	busy := make(chan struct{}, 1000)
	for i := range 3 * maxBlocked {
		wg.Go(func() {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, g.url+"/cam/video1_stream.m3u8?_HLS_msn=8&_HLS_part="+strconv.Itoa(i), nil)
			if err != nil {
				t.Error(err)
				return
			}
			res, err := g.http.Do(req)
			if err != nil {
				return // cancelled
			}
			_ = res.Body.Close()
			if res.StatusCode == http.StatusServiceUnavailable {
				busy <- struct{}{}
			}
		})
	}
	select {
	case <-busy:
	case <-time.After(patience):
		t.Error("nobody was refused")
	}
}

// Who waits for what is far away is in nobody's way.
func TestFarRequests(t *testing.T) {
	t.Parallel()
	g := newRig(t, Server{}, nil)
	g.publish("cam", videoAudio()[:1], sps1080)
	l := g.strict("/cam/video1_stream.m3u8", nil)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	for range 3 {
		busy := make(chan struct{}, 3*maxBlocked)
		for part := range 3 * maxBlocked {
			answer := g.pollList(ctx, fmt.Sprintf("/cam/video1_stream.m3u8?_HLS_msn=%d&_HLS_part=%d", l.complete()+1, part+1))
			wg.Go(func() {
				if strings.HasPrefix(<-answer, "503 ") {
					busy <- struct{}{}
				}
			})
		}
		select {
		case <-busy:
		case <-time.After(patience):
			t.Fatal("nobody was refused")
		}
		for range 3 {
			next, parts := l.complete(), 0
			if s := l.at(next); s != nil {
				parts = len(s.parts)
			}
			g.file(l.hint)
			l = g.strict(fmt.Sprintf("/cam/video1_stream.m3u8?_HLS_skip=YES&_HLS_msn=%d&_HLS_part=%d", next, parts), l)
		}
	}
}

func TestDirectory(t *testing.T) {
	t.Parallel()
	for _, variant := range []Variant{MPEGTS, FMP4, LowLatency} {
		dir := t.TempDir()
		g := newRig(t, Server{Variant: variant, Directory: dir}, nil)
		stop := g.publish("a/cam", videoAudio(), sps1080)
		g.watch("/a/cam/index.m3u8", 10)
		cam := filepath.Join(dir, "a", "cam")
		files, _ := filepath.Glob(filepath.Join(cam, "*_seg*"))
		if len(files) == 0 {
			t.Errorf("%s: no segments on disk", variant)
		}
		var foreign []string
		if variant == FMP4 {
			foreign = []string{"2026-11-22_10-20-30-000000.mp4"} // a recording
			if err := os.WriteFile(filepath.Join(cam, foreign[0]), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		stop()
		eventually(t, "removal of what is ours", func() bool {
			list, err := os.ReadDir(cam)
			if len(foreign) == 0 {
				return os.IsNotExist(err)
			}
			return len(list) == 1 && list[0].Name() == foreign[0]
		})
	}
}

// A disk that cannot be written to is tried again, without a panic in between:
// gohlslib is broken after such an error.
func TestDiskFails(t *testing.T) {
	t.Parallel()
	for _, variant := range []Variant{MPEGTS, LowLatency} {
		t.Run(string(variant), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			g := newRig(t, Server{Variant: variant, Directory: dir}, nil)
			g.publish("cam", videoAudio(), sps1080)
			g.get("/cam/index.m3u8")
			if err := os.RemoveAll(filepath.Join(dir, "cam")); err != nil {
				t.Fatal(err)
			}
			eventually(t, "another attempt", func() bool {
				files, _ := filepath.Glob(filepath.Join(dir, "cam", "*_seg*"))
				return len(files) > 1
			})
			if res, _ := g.get("/cam/index.m3u8"); res.StatusCode != 200 {
				t.Errorf("status %d", res.StatusCode)
			}
			if log := g.log.String(); strings.Contains(log, "panic") || strings.Count(log, "starts again") != 1 {
				t.Error(log)
			}
		})
	}
}

// A segment that is too large does not end the muxer for good.
func TestSegmentMaxSize(t *testing.T) {
	t.Parallel()
	g := newRig(t, Server{Variant: FMP4, SegmentMaxSize: 20000}, nil)
	pub, err := g.Publish(t.Context(), "cam", videoAudio()[:1])
	if err != nil {
		t.Fatal(err)
	}
	defer pub.Close()
	got := make(chan int, 1)
	go func() { res, _ := g.get("/cam/index.m3u8"); got <- res.StatusCode }()
	for n := range 20 * fps {
		size := 100
		if n < fps {
			size = 5000
		}
		pub.Write(0, videoUnit(n, sps1080, size))
		select {
		case status := <-got:
			if status != 200 {
				t.Errorf("status %d", status)
			}
			if n < fps {
				t.Errorf("a playlist after %d pictures", n)
			}
			return
		case <-time.After(time.Second / fps):
		}
	}
	t.Error("no playlist")
}

// The server on a mux of the program, below a prefix.
func TestOnMux(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	g := newRig(t, Server{HTTP: httpserver.OnMux{Mux: mux, Prefix: "/video"}}, nil,
		router.PathConfig{Name: "cam"}, router.PathConfig{Name: "moved", Fallback: "/cam"})
	g.url = srv.URL
	g.publish("cam", videoAudio(), sps1080)
	if res, _ := g.get("/video/cam?x=y"); res.Header.Get("Location") != "/video/cam/?x=y" {
		t.Errorf("location %q", res.Header.Get("Location"))
	}
	if res, _ := g.get("/video/moved/index.m3u8"); res.Header.Get("Location") != "/video/cam/index.m3u8" {
		t.Errorf("location %q", res.Header.Get("Location"))
	}
	if res, _ := g.get("/video/cam/index.m3u8"); res.StatusCode != 200 {
		t.Errorf("status %d", res.StatusCode)
	}
	cfg := g.Config()
	cfg.Protocols = nil
	if _, err := g.Apply(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if res, _ := g.get("/video/cam/index.m3u8"); res.StatusCode != 404 {
		t.Errorf("after the end: %d", res.StatusCode)
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]Server{
		"variant":  {Variant: "x"},
		"count":    {SegmentCount: 6},
		"negative": {SegmentCount: -1, Variant: MPEGTS},
		"few":      {SegmentCount: 2, Variant: FMP4},
		"part":     {PartDuration: 2 * time.Second},
		"segment":  {SegmentDuration: -1},
		"close":    {MuxerCloseAfter: -1},
	} {
		if err := s.Validate(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if err := (&Server{}).Validate(); err != nil {
		t.Error(err)
	}
}

func FuzzRequest(f *testing.F) {
	for _, s := range []string{"/cam", "/cam/index.m3u8", "/a/b/x_part1.mp4", "//x", "/../x", "/cam/v2_video1_stream.m3u8", "/~a/"} {
		f.Add(s, "_HLS_msn=1&_HLS_part=2&jwt=x")
	}
	f.Fuzz(func(t *testing.T, p, query string) {
		name, file := splitPath(p)
		if router.ValidatePathName(name) == nil && strings.Contains(name, "..") && strings.Contains("/"+name+"/", "/../") {
			t.Errorf("%q: name %q climbs", p, name)
		}
		if file != pageFile && strings.ContainsAny(file, "/") {
			t.Errorf("%q: file %q", p, file)
		}
		if n, rest := splitName(file); n < 0 || muxerPrefix(n)+rest != file {
			t.Errorf("%q became %d %q", file, n, rest)
		}
		q := childQuery(query)
		if strings.ContainsAny(q, "\"\r\n #") || strings.Contains("&"+q, "&_HLS_") {
			t.Errorf("query %q became %q", query, q)
		}
		list := "#EXTM3U\n#EXT-X-MAP:URI=\"a.mp4\"\n\n" + strings.ReplaceAll(p, "\n", "") + "\n#EXT-X-END"
		if got := addQuery([]byte(list), "k=v"); strings.Count(string(got), "\n") != strings.Count(list, "\n") {
			t.Errorf("%q became %q", list, got)
		}
	})
}
