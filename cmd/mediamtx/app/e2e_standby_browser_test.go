//go:build e2e

package app_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/org/mtx/router/routertest"
)

// pageScript opens a page of the server in Chromium, and prints what it shows ten times
// a second.
const pageScript = `
const { chromium } = require('playwright-core');
(async () => {
  const browser = await chromium.launch({ executablePath: process.argv[3], headless: true, args: [
    '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--autoplay-policy=no-user-gesture-required',
    '--disable-features=WebRtcHideLocalIpsWithMdns' ] });
  const page = await browser.newPage();
  page.on('console', (m) => console.error(m.text()));
  page.on('pageerror', (e) => console.error(String(e)));
  await page.addInitScript(() => {
    window.opened = 0; // connections of WebRTC, players of HLS
    window.RTCPeerConnection = class extends RTCPeerConnection {
      constructor(...a) {
        super(...a); // which may be there only to find codecs
        this.addEventListener('connectionstatechange', () => { if (this.connectionState === 'connected') window.opened++; });
      }
    };
    let player;
    Object.defineProperty(window, 'Hls', {
      get: () => player,
      set: (v) => { player = new Proxy(v, { construct(t, a) { window.opened++; return new t(...a); } }); },
    });
  });
  await page.goto(process.argv[2]);
  process.stdin.on('end', () => browser.close().then(() => process.exit(0))).resume();
  for (;;) {
    console.log(JSON.stringify(await page.evaluate(() => {
      const v = document.querySelector('video');
      return { time: v.currentTime, width: v.videoWidth, opened: window.opened, at: Date.now() };
    })));
    await new Promise((r) => setTimeout(r, 100));
  }
})().catch((e) => { console.error(e); process.exit(1); });
`

// pageView is what a page shows.
type pageView struct {
	Time   float64
	Width  int
	Opened int
	At     float64 // milliseconds
}

// page is a page in a browser.
type page struct {
	name  string
	views chan pageView
	last  pageView
	moved float64 // when its time advanced last, milliseconds
	stall float64 // the longest time in which it did not, once it had begun, milliseconds
	log   *routertest.Log
}

// openPage shows a page until the end of the test.
func openPage(t *testing.T, dir, name, url string) *page {
	t.Helper()
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("node", filepath.Join(dir, "page.js"), url, chromium)
	p := &page{name: name, views: make(chan pageView, 4096), log: &routertest.Log{}}
	cmd.Stderr = p.log
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		defer close(p.views)
		for sc := bufio.NewScanner(out); sc.Scan(); {
			var v pageView
			if json.Unmarshal(sc.Bytes(), &v) == nil {
				p.views <- v
			}
		}
		_ = cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = in.Close() // the browser ends
		late := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
		for range p.views { // until it has
		}
		<-over
		late.Stop()
		if t.Failed() {
			t.Logf("%s: %+v\n%s", name, p.last, tail(p.log.String()))
		}
	})
	return p
}

// until waits until the page shows pictures of a width, which move on for two seconds.
func (p *page) until(t *testing.T, width int) {
	t.Helper()
	expired := time.After(patience)
	from := -1.0
	for from < 0 || p.last.Time < from+2 {
		select {
		case v, ok := <-p.views:
			if !ok {
				t.Fatalf("%s: the browser ended", p.name)
			}
			if v.Time > p.last.Time {
				p.moved = v.At
			}
			if p.moved > 0 {
				p.stall = max(p.stall, v.At-p.moved)
			}
			if v.Time < p.last.Time {
				t.Errorf("%s: the time went back from %.3f to %.3f s", p.name, p.last.Time, v.Time)
			}
			p.last = v
			switch {
			case v.Width != width:
				from = -1
			case from < 0:
				from = v.Time
			}
		case <-expired:
			t.Fatalf("%s: no pictures that are %d wide: %+v", p.name, width, p.last)
		}
	}
}

// The pages of WebRTC and HLS show offline, online, offline, and neither connects again
// nor stops.
func TestStandbyInBrowser(t *testing.T) {
	needs(t, "ffmpeg", "chromium", "node", "npm")
	takeSlot(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "page.js"), []byte(pageScript), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", dir, "playwright-core@1.64.1")
	const offline, online, maxStall = 1280, 320, 5000
	src := makeSource(t, "320x240", strings.Fields("-c:v libx264 -preset ultrafast -profile:v baseline -bf 0 -g 25 -c:a libopus -ar 48000 -ac 2")...)
	in := startCommand(t, ports{}, "hlsVariant: lowLatency\npaths:\n  cam:\n    alwaysAvailable: yes\n    alwaysAvailableTracks: [{codec: H264}, {codec: Opus}]\n")
	eventually(t, "WebRTC listens", func() bool { return len(in.router.ProtocolAddrs("webrtc")) > 0 })
	pages := []*page{
		openPage(t, dir, "WebRTC", fmt.Sprintf("http://%s/cam/", in.router.ProtocolAddrs("webrtc")[0])),
		openPage(t, dir, "HLS", fmt.Sprintf("http://127.0.0.1:%s/cam/", in.ports.hls)),
	}
	show := func(width int) {
		t.Helper()
		for _, p := range pages {
			p.until(t, width)
		}
	}
	show(offline)
	for range 2 {
		publisher := in.publish(t, "rtsp", "cam", src)
		show(online)
		publisher.stop()
		show(offline)
	}
	for _, p := range pages {
		t.Logf("%s: %.1f s, the longest pause took %.0f ms", p.name, p.last.Time, p.stall)
		if p.last.Opened != 1 {
			t.Errorf("%s: %d connections or players", p.name, p.last.Opened)
		}
		if p.stall > maxStall {
			t.Errorf("%s: it stood still for %.0f ms", p.name, p.stall)
		}
	}
}
