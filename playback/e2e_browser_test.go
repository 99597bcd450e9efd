//go:build e2e

package playback

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/org/mtx/record"
)

// watchScript opens a page, waits for the picture, clicks into the time line, and
// reports dates and brightness; then it plays for a while from the last place
// ("latest": the button of that name), and reports how long the picture stood still.
const watchScript = `
const { chromium } = require('playwright-core');
(async () => {
  const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', headless: true, args: [
    '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--autoplay-policy=no-user-gesture-required' ] });
  const page = await browser.newPage();
  const problems = [];
  page.on('pageerror', (e) => problems.push(String(e)));
  await page.goto(process.argv[2]);
  const wait = (ms) => new Promise((r) => setTimeout(r, ms));
  const look = () => page.evaluate(() => {
    const v = document.getElementById('video'), c = document.createElement('canvas');
    c.width = 64; c.height = 48;
    const x = c.getContext('2d');
    x.drawImage(v, 0, 0, 64, 48);
    return { date: now(), time: v.currentTime, light: x.getImageData(32, 24, 1, 1).data[1], text: document.getElementById('message').textContent,
      buffered: v.buffered.length, spans: spans.length };
  });
  const playing = async () => {
    const begin = (await look()).time;
    for (let i = 0; i < 100; i++) {
      const l = await look();
      if (l.time > 0 && l.time !== begin && !isNaN(l.date)) return;
      await wait(100);
    }
  };
  const stop = async () => { await page.evaluate(() => document.getElementById('video').pause()); await wait(300); return look(); };
  await playing();
  const first = await stop();
  const seeks = [];
  for (const ms of process.argv.slice(4).map(Number)) {
    await page.evaluate((ms) => playAt(ms), ms);
    await playing();
    seeks.push(await stop());
    // and inside of what is open
    await page.evaluate(() => new Promise((r) => { const v = document.getElementById('video'); v.addEventListener('seeked', r, { once: true }); v.currentTime += 2; }));
    await wait(500);
    seeks.push(await look());
  }
  const last = process.argv[3];
  if (last === 'latest') {
    await page.click('#live');
  } else {
    await page.evaluate((ms) => playAt(ms), Number(last));
  }
  await playing();
  const begin = await look();
  let still = 0, at = begin.time, since = Date.now();
  while (Date.now() - since < 30000) {
    await wait(50);
    const l = await look();
    if (l.time !== at) {
      at = l.time;
      since = Date.now();
    }
    still = Math.max(still, Date.now() - since);
    if (l.date > begin.date + (last === 'latest' ? 12000 : 3000)) {
      break;
    }
  }
  const end = await stop();
  await browser.close();
  console.log(JSON.stringify({ first, seeks, problems, begin, end, still, now: Date.now() }));
})().catch((e) => { console.error(e); process.exit(1); });
`

type glance struct {
	Date, Time float64
	Light      int
	Text       string
	Spans      int
}

// check compares the picture with the date. The picture tells its number: 100 of
// them come again.
func (l glance) check(t *testing.T, name string, first float64) {
	t.Helper()
	luma := float64(l.Light)*219/255 + 16
	number, want := (luma-20)/2, math.Mod(math.Floor((l.Date-first)*30/1000), 100)
	if d := math.Abs(math.Remainder(number-want, 100)); d > 2.5 {
		t.Errorf("%s: picture %.1f, want %.1f", name, number, want)
	}
}

type watched struct {
	First, Begin, End glance
	Seeks             []glance
	Problems          []string
	Still, Now        float64 // ms
}

func watch(t *testing.T, args ...string) (w watched) {
	t.Helper()
	out := run(t, "node", args...)
	if err := json.Unmarshal([]byte(out), &w); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	return w
}

// browser installs what is needed, and returns a folder with watch.js, and hls.js.
func browser(t *testing.T) (dir string, script []byte) {
	t.Helper()
	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "watch.js"), []byte(watchScript), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", dir, "playwright-core@1.64.1")
	script, err := os.ReadFile("../protocol/hls/web/hls.min.js")
	if err != nil {
		t.Fatal(err)
	}
	return dir, script
}

// A browser follows a file that is being written, in a window.
func TestBrowserFollowsTheEdge(t *testing.T) {
	dir, script := browser(t)
	p := pattern(t, t.TempDir(), record.FMP4)
	g := newRig(t, Server{Recordings: []Recording{{Name: "cam", Pattern: p}}, Script: script}, nil)
	g.pattern = p
	const seconds, ahead = 90, 25
	counted(t, g, "cam", record.FMP4, "0", 0, seconds)
	made := p.Name("cam", filmStart)
	forPlayers(t, made)
	whole, err := os.ReadFile(made)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(made); err != nil {
		t.Fatal(err)
	}
	var parts []int // ends of the fragments
	for at := 0; ; {
		i := bytes.Index(whole[at+1:], []byte("moof"))
		if i < 0 {
			break
		}
		at += 1 + i
		parts = append(parts, at-4)
	}
	start := time.Now().Add(-ahead * time.Second).Truncate(time.Microsecond)
	name := g.store("cam", start, whole[:parts[ahead]])
	over, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- func() error {
			f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
			if err != nil {
				return err
			}
			defer func() { _ = f.Close() }()
			tick := time.NewTicker(time.Second)
			defer tick.Stop()
			for i := ahead; i+1 < len(parts); i++ {
				select {
				case <-tick.C:
				case <-over:
					return nil
				}
				if _, err := f.Write(whole[parts[i]:parts[i+1]]); err != nil {
					return err
				}
			}
			return nil
		}()
	}()
	w := watch(t, filepath.Join(dir, "watch.js"), g.url+"/cam/", "latest")
	close(over)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	first := float64(start.UnixMicro()) / 1000
	w.End.check(t, "at the edge", first)
	if len(w.Problems) != 0 || w.End.Text != "" || w.Still > 1500 || w.End.Date < w.Begin.Date+11000 {
		t.Errorf("%+v", w)
	}
	if late := w.Now - w.End.Date; late > 25000 {
		t.Errorf("it is %.0f ms late", late)
	}
}

func TestBrowserSeeks(t *testing.T) {
	dir, script := browser(t)
	for name, format := range map[string]record.Format{"byte ranges": record.FMP4, "made": record.FMP4, "transport stream": record.MPEGTS} {
		t.Run(name, func(t *testing.T) {
			p := pattern(t, t.TempDir(), format)
			g := newRig(t, Server{Recordings: []Recording{{Name: "a/cam", Pattern: p}}, Script: script}, nil)
			g.pattern = p
			counted(t, g, "a/cam", format, "0", 0, 20)
			counted(t, g, "a/cam", format, "0", 20, 20)
			counted(t, g, "a/cam", format, "0", 60, 20)
			if name == "byte ranges" {
				for _, s := range []int{0, 20, 60} {
					forPlayers(t, p.Name("a/cam", filmStart.Add(time.Duration(s)*time.Second)))
				}
			}
			if list := g.playlist("/vod/a/cam/index.m3u8"); (list.ranges[0] != "") != (name == "byte ranges") {
				t.Errorf("%s:\n%s", name, list.text)
			}
			at := func(s float64) float64 { return float64(filmStart.UnixMilli()) + s*1000 }
			args := []string{filepath.Join(dir, "watch.js"), g.url + "/a/cam/", fmt.Sprintf("%.0f", at(18.5))} // over a join
			wanted := []float64{5.5, 17, 33, 65}
			for _, s := range wanted {
				args = append(args, fmt.Sprintf("%.0f", at(s)))
			}
			w := watch(t, args...)
			if len(w.Problems) != 0 || w.First.Spans != 2 || w.First.Text != "" || w.First.Date < at(20) {
				t.Errorf("%+v", w)
			}
			for i, s := range w.Seeks {
				begin := at(wanted[i/2]) + float64(i%2)*2000
				if s.Date < begin-50 || s.Date > begin+3000 || s.Text != "" {
					t.Errorf("seek %d: %.0f ms after the start, want %.0f: %+v", i, s.Date-at(0), begin-at(0), s)
				}
				s.check(t, fmt.Sprintf("seek %d", i), at(0))
			}
			w.End.check(t, "after the join", at(0))
			if w.End.Date < at(21.5) || w.Begin.Date > at(20) || w.Still > 1000 {
				t.Errorf("from %.0f to %.0f ms, after a pause of %.0f ms", w.Begin.Date-at(0), w.End.Date-at(0), w.Still)
			}
		})
	}
}
