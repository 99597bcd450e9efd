//go:build e2e

package hls_test

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/org/mtx/protocol/hls"
	"github.com/org/mtx/protocol/httpserver"
	"github.com/org/mtx/protocol/rtsp"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/routertest"
)

// These tests need ffmpeg, GStreamer, Chromium, node and npm.

var variants = []hls.Variant{hls.MPEGTS, hls.FMP4, hls.LowLatency}

// start runs a server with the default durations, and ffmpeg that publishes
// H264 and AAC by RTSP on the path "cam".
func start(t *testing.T, variant hls.Variant) (url string) {
	t.Helper()
	r, url := serve(t, variant)
	publish(t, r, "320x240")
	return url
}

// serve runs a server without a stream.
func serve(t *testing.T, variant hls.Variant) (r *router.Router, url string) {
	t.Helper()
	r = routertest.New(t, router.Config{
		Protocols: []router.Protocol{
			&rtsp.Server{Addr: "127.0.0.1:0", Transports: []rtsp.Transport{rtsp.TCP}},
			&hls.Server{HTTP: httpserver.Listen{Addr: "127.0.0.1:0"}, Variant: variant},
		},
		Paths: []router.PathConfig{{Name: "cam"}, {Name: "empty"}},
	})
	return r, "http://" + r.ProtocolAddrs("hls")[0].String() + "/cam/"
}

// publish starts ffmpeg and waits for its stream. After stop there is none.
func publish(t *testing.T, r *router.Router, size string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "ffmpeg", "-hide_banner", "-loglevel", "error", "-re",
		"-f", "lavfi", "-i", "testsrc2=size="+size+":rate=30", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000",
		"-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "30", "-bf", "0", "-pix_fmt", "yuv420p",
		"-c:a", "aac", "-b:a", "64k", "-f", "rtsp", "-rtsp_transport", "tcp",
		"rtsp://"+r.ProtocolAddrs("rtsp")[0].String()+"/cam")
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	until := func(there bool) {
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			if p, ok := r.Path("cam"); ok && (p.Stream() != nil) == there {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("the stream of ffmpeg should be there: %v", there)
			}
		}
	}
	kill := sync.OnceFunc(func() {
		cancel()
		_ = cmd.Wait()
	})
	t.Cleanup(kill)
	until(true)
	return func() { kill(); until(false) }
}

// run returns what a command prints.
func run(t *testing.T, timeout time.Duration, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s\n%s", name, err, stderr.String(), out)
	}
	if name == "ffmpeg" && stderr.Len() > 0 {
		t.Errorf("%s complains:\n%s", name, stderr.String())
	}
	return string(out)
}

func TestFFmpegReads(t *testing.T) {
	t.Parallel()
	for _, v := range variants {
		t.Run(string(v), func(t *testing.T) {
			t.Parallel()
			url := start(t, v)
			out := run(t, time.Minute, "ffmpeg", "-nostdin", "-loglevel", "error", "-i", url+"index.m3u8", "-t", "4",
				"-map", "0:v", "-map", "0:a", "-f", "framemd5", "-")
			video, audio := strings.Count(out, "\n0, "), strings.Count(out, "\n1, ")
			if video < 100 || video > 125 || audio < 170 {
				t.Errorf("4 seconds have %d pictures and %d audio frames", video, audio)
			}
		})
	}
}

// GStreamer's own demuxers, not uridecodebin3, which does not always end: here it
// is killed when it has decoded enough.
func TestGStreamerReads(t *testing.T) {
	t.Parallel()
	for _, v := range variants {
		t.Run(string(v), func(t *testing.T) {
			t.Parallel()
			demux := "qtdemux"
			if v == hls.MPEGTS {
				demux = "tsdemux"
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, "gst-launch-1.0", "-v", "souphttpsrc", "location="+start(t, v)+"index.m3u8",
				"!", "hlsdemux", "!", demux, "!", "h264parse", "!", "avdec_h264", "!", "fakesink", "silent=false")
			var stderr strings.Builder
			cmd.Stderr = &stderr
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			const enough = 90
			pictures := 0
			for sc := bufio.NewScanner(out); pictures < enough && sc.Scan(); {
				if strings.Contains(sc.Text(), "last-message = chain") {
					pictures++
				}
			}
			cancel()
			_ = cmd.Wait() // it is killed
			if pictures < enough || strings.Contains(stderr.String(), "ERROR") {
				t.Errorf("%d pictures, want %d:\n%s", pictures, enough, stderr.String())
			}
		})
	}
}

// watchScript plays a page and reports, as JSON, what happened.
const watchScript = `
const { chromium } = require('playwright-core');
(async () => {
  const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', headless: true, args: [
    '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--autoplay-policy=no-user-gesture-required' ] });
  const page = await browser.newPage();
  const problems = [];
  page.on('pageerror', (e) => problems.push(String(e)));
  await page.addInitScript(() => {
    let script;
    Object.defineProperty(window, 'Hls', {
      get: () => script,
      set: (v) => { script = class extends v { constructor(c) { super(c); window.player = this; } }; },
    });
  });
  if (process.argv[3] === 'native') { // a browser with HLS of its own, and nothing for scripts
    await page.addInitScript(() => {
      delete window.MediaSource; delete window.ManagedMediaSource; delete window.WebKitMediaSource;
      HTMLMediaElement.prototype.canPlayType = () => 'maybe';
    });
  }
  await page.goto(process.argv[2]);
  const look = () => page.evaluate(() => {
    const v = document.getElementById('video');
    const q = v.getVideoPlaybackQuality();
    const date = window.player ? window.player.playingDate : null;
    return { time: v.currentTime, frames: q.totalVideoFrames, dropped: q.droppedVideoFrames, paused: v.paused, source: v.src,
      controls: v.controls, muted: v.muted, width: v.videoWidth, text: document.getElementById('message').textContent,
      title: document.title, elements: document.querySelectorAll('*').length, latency: date ? Date.now() - date.getTime() : -1,
      rate: v.playbackRate, target: window.player ? window.player.targetLatency : 0, behind: window.player ? window.player.latency : 0 };
  });
  const wait = (ms) => new Promise((r) => setTimeout(r, ms));
  for (let i = 0; i < 200 && process.argv[3] === 'play' && (await look()).time < 1; i++) await wait(100);
  await wait(4000);
  const first = await look();
  await wait(3000);
  const second = await look();
  await browser.close();
  console.log(JSON.stringify({ first, second, problems }));
})().catch((e) => { console.error(e); process.exit(1); });
`

type glance struct {
	Time, Latency, Rate, Target, Behind float64
	Frames, Dropped, Width, Elements    int
	Paused, Controls, Muted             bool
	Text, Title, Source                 string
}

// pageElements is how many elements the page has, when nobody adds some.
const pageElements = 11

type watched struct {
	First, Second glance
	Problems      []string
}

// browse plays a page in Chromium.
func browse(t *testing.T, dir, url, mode string) (w watched) {
	t.Helper()
	out := run(t, 2*time.Minute, "node", filepath.Join(dir, "watch.js"), url, mode)
	if err := json.Unmarshal([]byte(out), &w); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	return w
}

// player installs what drives the browser.
func player(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "watch.js"), []byte(watchScript), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, 3*time.Minute, "npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", dir, "playwright-core@1.64.1")
	return dir
}

func TestBrowser(t *testing.T) {
	dir := player(t)
	for _, v := range variants {
		t.Run(string(v), func(t *testing.T) {
			if v != hls.LowLatency { // whose latency is measured: nothing else runs then
				t.Parallel()
			}
			w := browse(t, dir, start(t, v), "play")
			advanced, frames := w.Second.Time-w.First.Time, w.Second.Frames-w.First.Frames
			if advanced < 2 || frames < 45 || w.Second.Width != 320 || w.Second.Paused || len(w.Problems) != 0 {
				t.Errorf("in 3 seconds: %.2f s and %d pictures: %+v", advanced, frames, w)
			}
			t.Logf("latency %v ms (the player thinks %.2f s, and wants %.2f), rate %v, %d pictures, %d of %d dropped",
				w.Second.Latency, w.Second.Behind, w.Second.Target, w.Second.Rate, frames, w.Second.Dropped, w.Second.Frames)
			if v == hls.LowLatency && (w.Second.Latency < 0 || w.Second.Latency > 1500) {
				t.Errorf("latency %v ms, want less than 1500", w.Second.Latency)
			}
			if !w.Second.Controls || !w.Second.Muted || w.Second.Text != "" || w.Second.Title != "cam" {
				t.Errorf("page: %+v", w.Second)
			}
		})
	}
	t.Run("query", func(t *testing.T) {
		t.Parallel()
		w := browse(t, dir, start(t, hls.LowLatency)+"?autoplay=false&autoplay=false&controls=no&muted=0&disablepictureinpicture&x=%3Cb%3E#<img src=x onerror=alert(1)>", "look")
		if !w.Second.Paused || w.Second.Time != w.First.Time || w.Second.Controls || w.Second.Muted {
			t.Errorf("page: %+v", w)
		}
		if w.Second.Elements != pageElements || len(w.Problems) != 0 {
			t.Errorf("%d elements, want %d; problems: %v", w.Second.Elements, pageElements, w.Problems)
		}
	})
	t.Run("native", func(t *testing.T) {
		t.Parallel()
		url := start(t, hls.LowLatency)
		w := browse(t, dir, url+"?jwt=x", "native")
		if w.Second.Source != url+"index.m3u8?jwt=x" || !w.Second.Muted {
			t.Errorf("page: %+v", w)
		}
	})
	t.Run("native, no stream", func(t *testing.T) {
		t.Parallel()
		_, url := serve(t, hls.LowLatency)
		if w := browse(t, dir, strings.Replace(url, "/cam/", "/empty/", 1), "native"); w.Second.Source != "" || !strings.Contains(w.Second.Text, "no stream") {
			t.Errorf("page without a stream: %+v", w)
		}
	})
	t.Run("no path", func(t *testing.T) {
		t.Parallel()
		_, url := serve(t, hls.LowLatency)
		url = strings.Replace(url, "/cam/", "/~(img,src=x)'!*/", 1)
		if out := run(t, time.Minute, "curl", "-s", "-o", os.DevNull, "-w", "%{http_code}", url); out != "404" {
			t.Errorf("a path that is not configured: %s", out)
		}
	})
}
