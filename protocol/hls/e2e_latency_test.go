//go:build e2e

package hls_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/org/mtx/protocol/hls"
	"github.com/org/mtx/router"
)

const (
	clockWidth, clockHeight = 320, 240
	clockBits               = 16 // of the time in milliseconds
)

// clockPicture is a grey picture of a time: white columns are ones.
func clockPicture(at time.Time) []byte {
	ms := at.UnixMilli()
	p := make([]byte, clockWidth*clockHeight)
	for i := range p {
		if ms>>(i%clockWidth/(clockWidth/clockBits))&1 == 1 {
			p[i] = 255
		}
	}
	return p
}

// publishClock publishes pictures of the time at which they were taken.
func publishClock(t *testing.T, r *router.Router) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "ffmpeg", "-hide_banner", "-loglevel", "error",
		"-probesize", "32", "-fflags", "nobuffer", "-f", "rawvideo", "-pix_fmt", "gray", "-video_size", "320x240", "-framerate", "30", "-i", "pipe:0",
		"-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "30", "-bf", "0", "-pix_fmt", "yuv420p",
		"-f", "rtsp", "-rtsp_transport", "tcp", "rtsp://"+r.ProtocolAddrs("rtsp")[0].String()+"/cam")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(time.Second / 30)
		defer tick.Stop()
		for {
			if _, err := in.Write(clockPicture(time.Now())); err != nil {
				return
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // it is killed
		<-done
	})
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if p, ok := r.Path("cam"); ok && p.Stream() != nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("ffmpeg does not publish")
		}
	}
}

// latencyScript reads the pictures of a page, and prints how old they are, as
// JSON, in milliseconds.
const latencyScript = `
const { chromium } = require('playwright-core');
(async () => {
  const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', headless: true, args: [
    '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--autoplay-policy=no-user-gesture-required' ] });
  const page = await browser.newPage();
  await page.goto(process.argv[2]);
  const ages = await page.evaluate(async () => {
    const wait = (ms) => new Promise((r) => setTimeout(r, ms));
    const v = document.getElementById('video');
    for (let i = 0; i < 200 && v.getVideoPlaybackQuality().totalVideoFrames < 30; i++) await wait(100);
    await wait(8000); // until the player is as near as it wants to be
    const canvas = document.createElement('canvas');
    canvas.width = 320; canvas.height = 240;
    const c = canvas.getContext('2d', { willReadFrequently: true });
    const out = [];
    for (let i = 0; i < 30; i++) {
      c.drawImage(v, 0, 0, 320, 240);
      const now = Date.now();
      const row = c.getImageData(0, 120, 320, 1).data;
      let ms = 0;
      for (let b = 0; b < 16; b++) if (row[(b * 20 + 10) * 4] > 127) ms |= 1 << b;
      out.push(((now - ms) % 65536 + 65536) % 65536);
      await wait(130);
    }
    return out;
  });
  await browser.close();
  console.log(JSON.stringify(ages));
})().catch((e) => { console.error(e); process.exit(1); });
`

// Glass to glass: from the picture before the encoder to the one on the screen.
func TestLatency(t *testing.T) {
	dir := player(t)
	if err := os.WriteFile(filepath.Join(dir, "latency.js"), []byte(latencyScript), 0o600); err != nil {
		t.Fatal(err)
	}
	r, url := serve(t, hls.LowLatency)
	publishClock(t, r)
	var ages []int
	if err := json.Unmarshal([]byte(run(t, 2*time.Minute, "node", filepath.Join(dir, "latency.js"), url)), &ages); err != nil {
		t.Fatal(err)
	}
	slices.Sort(ages)
	if len(ages) == 0 || ages[0] == ages[len(ages)-1] {
		t.Fatalf("no ages of pictures: %v", ages)
	}
	t.Logf("milliseconds: at least %d, median %d, at most %d", ages[0], ages[len(ages)/2], ages[len(ages)-1])
	if most := ages[len(ages)*9/10]; most > 1500 {
		t.Errorf("one of ten pictures is older than %d ms, want at most 1500: %v", most, ages)
	}
}
