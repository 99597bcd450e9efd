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
	"sync/atomic"
	"testing"
	"time"

	"github.com/org/mtx/protocol/hls"
	"github.com/org/mtx/router/routertest"
)

// away is how long the publisher is gone.
const away = 2 * time.Second

// maxReturn bounds how long readers need to show the stream again, from the
// moment when it is there: two segments, which the variants other than low
// latency wait for, a request or two, and what a busy machine adds.
const maxReturn = 5 * time.Second

// maxPageReturn is that of the page, whose player is started again if it finds no
// way out by itself.
const maxPageReturn = 8 * time.Second

// restarts are sizes of a stream before and after.
var restarts = map[string][2]string{"same": {"320x240", "320x240"}, "other": {"320x240", "640x360"}}

// A reader that does not notice more than a pause goes on soon.
func TestFFmpegGoesOn(t *testing.T) {
	t.Parallel()
	for _, v := range variants {
		for name, sizes := range restarts {
			t.Run(string(v)+" "+name, func(t *testing.T) {
				t.Parallel()
				r, url := serve(t, v)
				stop := publish(t, r, sizes[0])
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				cmd := exec.CommandContext(ctx, "ffmpeg", "-nostdin", "-loglevel", "warning", "-i", url+"index.m3u8",
					"-map", "0:v", "-vf", "scale=64:48", "-f", "framemd5", "-flush_packets", "1", "-")
				var stderr routertest.Log
				cmd.Stderr = &stderr
				out, err := cmd.StdoutPipe()
				if err != nil {
					t.Fatal(err)
				}
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				var frames atomic.Int64
				over := make(chan struct{})
				go func() {
					defer close(over)
					for sc := bufio.NewScanner(out); sc.Scan(); {
						if strings.HasPrefix(sc.Text(), "0,") {
							frames.Add(1)
						}
					}
					_ = cmd.Wait()
				}()
				reach := func(n int64) {
					t.Helper()
					for deadline := time.Now().Add(40 * time.Second); frames.Load() < n; time.Sleep(10 * time.Millisecond) {
						select {
						case <-over:
							t.Fatalf("ffmpeg ended after %d pictures: %s", frames.Load(), stderr.String())
						default:
						}
						if time.Now().After(deadline) {
							t.Fatalf("only %d of %d pictures: %s", frames.Load(), n, stderr.String())
						}
					}
				}
				reach(200)
				stop()
				time.Sleep(away)
				publish(t, r, sizes[1])
				began := time.Now()
				seen := frames.Load()
				reach(seen + 15)
				first := time.Since(began)
				reach(seen + 100)
				t.Logf("goes on after %v\n%s", first.Round(10*time.Millisecond), stderr.String())
				if first > maxReturn {
					t.Errorf("goes on after %v, want at most %v", first, maxReturn)
				}
				cancel()
				<-over
			})
		}
	}
}

// restartScript plays a page, and prints what it sees ten times a second.
const restartScript = `
const { chromium } = require('playwright-core');
(async () => {
  const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', headless: true, args: [
    '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--autoplay-policy=no-user-gesture-required' ] });
  const page = await browser.newPage();
  page.on('console', (m) => console.error(m.text()));
  if (process.env.HLS_DEBUG) {
    await page.addInitScript(() => {
      let script;
      Object.defineProperty(window, 'Hls', {
        get: () => script,
        set: (v) => { script = class extends v { constructor(c) { super({ ...c, debug: true }); } };
          for (const k of ['Events']) Object.defineProperty(script, k, { get: () => v[k] }); script.isSupported = v.isSupported; },
      });
    });
  }
  await page.goto(process.argv[2]);
  for (;;) {
    console.log(JSON.stringify(await page.evaluate(() => {
      const v = document.getElementById('video');
      return { time: v.currentTime, frames: v.getVideoPlaybackQuality().totalVideoFrames, width: v.videoWidth,
        text: document.getElementById('message').textContent };
    })));
    await new Promise((r) => setTimeout(r, 100));
  }
})().catch((e) => { console.error(e); process.exit(1); });
`

// The page goes on soon.
func TestBrowserGoesOn(t *testing.T) {
	t.Parallel()
	dir := player(t)
	if err := os.WriteFile(filepath.Join(dir, "restart.js"), []byte(restartScript), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, v := range variants {
		for name, sizes := range restarts {
			if (v == hls.MPEGTS) != (name == "other") && v != hls.LowLatency {
				continue // one is enough: what differs is on our side, which FFmpeg sees too
			}
			t.Run(string(v)+" "+name, func(t *testing.T) {
				t.Parallel()
				r, url := serve(t, v)
				stop := publish(t, r, sizes[0])
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				cmd := exec.CommandContext(ctx, "node", filepath.Join(dir, "restart.js"), url)
				cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // the browser ends too
				var stderr routertest.Log
				cmd.Stderr = &stderr
				out, err := cmd.StdoutPipe()
				if err != nil {
					t.Fatal(err)
				}
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				looks := make(chan glance)
				go func() {
					defer close(looks)
					for sc := bufio.NewScanner(out); sc.Scan(); {
						var g glance
						if json.Unmarshal(sc.Bytes(), &g) == nil {
							select {
							case looks <- g:
							case <-ctx.Done():
								return
							}
						}
					}
				}()
				start, texts := time.Now(), map[string]bool{}
				until := func(what string, f func(g glance) bool) (last glance) {
					t.Helper()
					timer := time.NewTimer(40 * time.Second)
					defer timer.Stop()
					for {
						select {
						case g, ok := <-looks:
							if !ok {
								t.Fatalf("the browser ended: %s", stderr.String())
							}
							texts[g.Text] = true
							if last = g; f(g) {
								return g
							}
						case <-timer.C:
							t.Fatalf("not in time: %s, after %v: %+v, messages %v\n%s", what, time.Since(start).Round(time.Second), last, texts, stderr.String())
						}
					}
				}
				until("playing", func(g glance) bool { return g.Frames > 60 })
				stop()
				gone := time.Now()
				until("pause", func(glance) bool { return time.Since(gone) > away })
				publish(t, r, sizes[1])
				began := time.Now()
				width := 320
				if name == "other" {
					width = 640
				}
				// what was left in the buffer does not count
				still := until("all that was there", func(glance) bool { return time.Since(began) > 500*time.Millisecond })
				until("pictures", func(g glance) bool { return g.Width == width && g.Frames != still.Frames && g.Time != still.Time })
				first := time.Since(began)
				mark := until("more", func(glance) bool { return time.Since(began) > first+time.Second })
				until("many more", func(g glance) bool { return g.Time > mark.Time+2 || g.Time < mark.Time && g.Time > 2 })
				t.Logf("goes on after %v, messages %v\n%s", first.Round(10*time.Millisecond), texts, stderr.String())
				if first > maxPageReturn {
					t.Errorf("goes on after %v, want at most %v", first, maxPageReturn)
				}
				cancel()
				_ = cmd.Wait()
			})
		}
	}
}

// stallScript plays a page, leaves its requests for audio without an answer, and
// then answers again.
const stallScript = `
const { chromium } = require('playwright-core');
(async () => {
  const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', headless: true, args: [
    '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--autoplay-policy=no-user-gesture-required' ] });
  const page = await browser.newPage();
  await page.goto(process.argv[2]);
  const until = (f) => page.waitForFunction(f, null, { timeout: 30000 });
  await until(() => document.getElementById('video').getVideoPlaybackQuality().totalVideoFrames > 60);
  await page.route(/audio/, () => {});
  await until(() => document.getElementById('message').textContent.includes('has stopped'));
  await page.unrouteAll({ behavior: 'ignoreErrors' });
  await until(() => document.getElementById('message').textContent === '' && document.getElementById('video').getVideoPlaybackQuality().totalVideoFrames > 60);
  await browser.close();
})().catch((e) => { console.error(e); process.exit(1); });
`

// A player that is stuck is started again.
func TestBrowserStalls(t *testing.T) {
	t.Parallel()
	dir := player(t)
	if err := os.WriteFile(filepath.Join(dir, "stall.js"), []byte(stallScript), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, 2*time.Minute, "node", filepath.Join(dir, "stall.js"), start(t, hls.LowLatency))
}
