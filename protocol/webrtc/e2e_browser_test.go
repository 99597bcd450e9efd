//go:build e2e

package webrtc

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/org/mtx/protocol/internal/e2e"
)

// driverScript runs code in node that drives Chromium: one JSON object in a line
// of the input, one in a line of the output.
const driverScript = `
const { chromium } = require('playwright-core');
const AsyncFunction = (async () => {}).constructor;
const sleep = (ms) => new Promise((r) => setTimeout(r, ms));
(async () => {
  const browser = await chromium.launch({ executablePath: process.argv[2], headless: true, args: [
    '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream',
    '--disable-background-timer-throttling', '--disable-backgrounding-occluded-windows', '--disable-renderer-backgrounding',
    '--disable-features=WebRtcHideLocalIpsWithMdns', ...process.argv.slice(3) ] });
  const problems = [], pages = {};
  // open shows a URL in a tab with a name; options are those of contexts.
  const open = async (name, url, options = {}) => {
    const page = pages[name] = await (await browser.newContext(options)).newPage();
    page.on('pageerror', (e) => problems.push(name + ': ' + e));
    page.on('console', (m) => { if (/Content Security|Refused to/.test(m.text())) problems.push(name + ': ' + m.text()); });
    await page.addInitScript(() => {
      window.connections = [];
      if (!window.RTCPeerConnection) return;
      window.RTCPeerConnection = class extends RTCPeerConnection {
        constructor(...args) { super(...args); window.connections.push(this); }
      };
    });
    await page.goto(url);
    return page;
  };
  // look tells what the peer connections of a tab do.
  const look = (name) => pages[name].evaluate(async () => {
    const o = { decoded: 0, keys: 0, energy: 0, encoded: 0, lost: 0, width: 0, codecs: [], fmtp: [], protocol: '', nacks: 0, live: 0 };
    for (const pc of window.connections) {
      if (pc.connectionState === 'connected') o.live++;
      if (pc.connectionState === 'closed') continue;
      const stats = await pc.getStats();
      for (const s of stats.values()) {
        if (s.type === 'inbound-rtp') {
          o.decoded += s.framesDecoded ?? 0; o.keys += s.keyFramesDecoded ?? 0; o.energy += s.totalAudioEnergy ?? 0;
          o.lost += s.packetsLost; o.nacks += s.nackCount ?? 0; o.width = Math.max(o.width, s.frameWidth ?? 0);
        }
        if (s.type === 'outbound-rtp') { o.encoded += s.framesEncoded ?? 0; o.nacks += s.nackCount ?? 0; }
        if (/^(in|out)bound-rtp$/.test(s.type) && stats.get(s.codecId)) {
          o.codecs.push(stats.get(s.codecId).mimeType); o.fmtp.push(stats.get(s.codecId).sdpFmtpLine ?? '');
        }
        if (s.type === 'candidate-pair' && s.nominated && s.state === 'succeeded') o.protocol = stats.get(s.localCandidateId).protocol;
      }
    }
    o.codecs.sort();
    const video = document.querySelector('video');
    if (video) Object.assign(o, { time: video.currentTime, paused: video.paused, muted: video.muted, controls: video.controls });
    const text = (id) => document.getElementById(id)?.textContent ?? '';
    return Object.assign(o, { message: text('message'), state: text('state'), error: text('error'), title: document.title });
  });
  // until waits for a condition, and gives what it gave.
  const until = async (what, f, ms = 30000) => {
    const end = Date.now() + ms;
    for (;;) {
      const v = await f();
      if (v) return v;
      if (Date.now() > end) {
        const seen = {};
        for (const n in pages) if (!pages[n].isClosed()) seen[n] = await look(n);
        throw new Error('not seen: ' + what + '; ' + JSON.stringify({ problems, seen }));
      }
      await sleep(100);
    }
  };
  for await (const line of require('readline').createInterface({ input: process.stdin })) {
    const { code, args } = JSON.parse(line);
    let answer;
    try {
      const run = new AsyncFunction('browser', 'pages', 'problems', 'open', 'look', 'until', 'sleep', 'args', code);
      answer = { value: await run(browser, pages, problems, open, look, until, sleep, args) ?? null, problems };
    } catch (e) {
      answer = { error: String(e.stack), problems };
    }
    console.log(JSON.stringify(answer));
  }
  await browser.close();
})().catch((e) => { console.error(e); process.exit(1); });
`

// browserTime bounds one piece of code in the browser.
const browserTime = 90 * time.Second

// playwright installs what drives the browser.
func playwright(t *testing.T) (dir string) {
	t.Helper()
	e2e.Needs(t, "chromium", "node", "npm", "ffmpeg")
	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "driver.js"), []byte(driverScript), 0o600); err != nil {
		t.Fatal(err)
	}
	e2e.Run(t, "npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", dir, "playwright-core@1.64.1")
	return dir
}

// browser is a Chromium with a camera and a microphone that are not real.
type browser struct {
	t   *testing.T
	in  io.Writer
	out *bufio.Scanner
}

// glance is what the function look sees in a tab.
type glance struct {
	Decoded, Keys, Encoded, Lost, Width, Nacks, Live int
	Energy, Time                                     float64
	Codecs, Fmtp                                     []string
	Paused, Muted, Controls                          bool
	Protocol, Message, State, Error, Title           string
}

// newBrowser starts a browser, which ends with the test.
func newBrowser(t *testing.T, dir string, flags ...string) *browser {
	t.Helper()
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "node", append([]string{filepath.Join(dir, "driver.js"), chromium}, flags...)...)
	in, err := cmd.StdinPipe()
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	var stderr strings.Builder
	cmd.Stderr, cmd.WaitDelay = &stderr, time.Second
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close() // it closes the browser then
		late := time.AfterFunc(10*time.Second, cancel)
		_ = cmd.Wait()
		late.Stop()
		cancel()
		if t.Failed() {
			t.Logf("node: %s", stderr.String())
		}
	})
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	return &browser{t: t, in: in, out: lines}
}

// do runs code, in which args is what is given, and puts what it returns into v
// unless that is nil.
func (b *browser) do(v, args any, code string) {
	b.t.Helper()
	request, err := json.Marshal(map[string]any{"code": code, "args": args})
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.in.Write(append(request, '\n')); err != nil {
		b.t.Fatal(err)
	}
	done := make(chan bool, 1)
	go func() { done <- b.out.Scan() }()
	select {
	case ok := <-done:
		if !ok {
			b.t.Fatalf("the browser has ended: %v", b.out.Err())
		}
	case <-time.After(browserTime):
		b.t.Fatal("the browser does not answer")
	}
	var answer struct {
		Value    json.RawMessage
		Error    string
		Problems []string
	}
	if err := json.Unmarshal(b.out.Bytes(), &answer); err != nil {
		b.t.Fatalf("%v in %s", err, b.out.Bytes())
	}
	if answer.Error != "" {
		b.t.Fatal(answer.Error)
	}
	if len(answer.Problems) != 0 {
		b.t.Fatalf("scripts have failed: %q", answer.Problems)
	}
	if v == nil {
		return
	}
	if err := json.Unmarshal(answer.Value, v); err != nil {
		b.t.Fatalf("%v in %s", err, answer.Value)
	}
}

// publish publishes with the page, with a codec such as "video/H264".
func (b *browser) publish(url, codec string) {
	b.t.Helper()
	b.do(nil, []string{url, codec}, `
		const page = await open('publisher', args[0] + 'publish');
		await until('devices', () => page.isEnabled('#start'));
		await page.selectOption('select[name=videoCodec]', args[1]);
		await page.selectOption('select[name=resolution]', '320x240');
		await page.fill('input[name=videoBitrate]', '500');
		await page.click('#start');
		await until('published', async () => (await look('publisher')).state === 'Publishing.');`)
}

// watch plays with the page, in a tab with a name, until there are pictures.
func (b *browser) watch(tab, url string) (g glance) {
	b.t.Helper()
	b.do(&g, []string{tab, url}, `
		await open(args[0], args[1]);
		return until('pictures', async () => { const g = await look(args[0]); return g.decoded > 30 && g.time > 1 && g.message === '' && g; });`)
	return g
}
