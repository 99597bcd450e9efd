//go:build e2e

package playback

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/org/mtx/record"
)

// These tests need ffmpeg, Chromium, node and npm.

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s\n%s", name, strings.Join(args, " "), err, stderr.String(), out)
	}
	if name == "ffmpeg" && stderr.Len() > 0 {
		t.Errorf("%s %s complains:\n%s", name, strings.Join(args, " "), stderr.String())
	}
	return string(out)
}

// counted is a stream whose pictures are as bright as their number tells. It is
// stored in segments of a duration, in seconds.
func counted(t *testing.T, g *rig, path string, f record.Format, bframes string, from, seconds int) {
	t.Helper()
	source := fmt.Sprintf("nullsrc=size=64x48:rate=30,geq=lum='20+2*mod(N+%d,100)':cb=128:cr=128", from*30)
	name := g.pattern.Name(path, filmStart.Add(time.Duration(from)*time.Second))
	if err := os.MkdirAll(filepath.Dir(name), 0o750); err != nil {
		t.Fatal(err)
	}
	args := []string{"-y", "-loglevel", "error", "-f", "lavfi", "-i", source, "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000",
		"-t", fmt.Sprint(seconds), "-c:v", "libx264", "-qp", "4", "-g", "60", "-keyint_min", "60", "-sc_threshold", "0", "-bf", bframes,
		"-pix_fmt", "yuv420p", "-c:a", "aac", "-b:a", "64k"}
	if f == record.FMP4 {
		args = append(args, "-f", "mp4", "-movflags", "frag_keyframe+delay_moov+default_base_moof", "-frag_duration", "1000000", name)
	} else {
		args = append(args, "-f", "mpegts", name)
	}
	run(t, "ffmpeg", args...)
}

// numbers decodes a video and reads the numbers of its pictures.
func numbers(t *testing.T, u string, args ...string) (out []int) {
	t.Helper()
	input := append([]string{"-nostdin", "-loglevel", "error"}, args...)
	filter := []string{"-map", "0:v"}
	if i := slices.Index(input, "-filter_complex"); i >= 0 {
		input, filter = slices.Clone(input[:i]), input[i:]
	}
	input = append(append(input, "-i", u), filter...)
	raw := run(t, "ffmpeg", append(input, "-fps_mode", "passthrough", "-enc_time_base", "-1", "-f", "rawvideo", "-pix_fmt", "gray", "-")...)
	const size = 64 * 48
	for i := 0; i+size <= len(raw); i += size {
		sum := 0
		for _, b := range []byte(raw[i : i+size]) {
			sum += int(b)
		}
		// gray has the full range, the picture the limited one
		luma := float64(sum)/size*219/255 + 16
		out = append(out, int(math.Round((luma-20)/2)))
	}
	return out
}

func TestFFmpegSeesTheRightPictures(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		format  record.Format
		bframes string
	}{{record.FMP4, "0"}, {record.FMP4, "2"}, {record.MPEGTS, "0"}} {
		t.Run(string(c.format)+c.bframes, func(t *testing.T) {
			t.Parallel()
			p := pattern(t, t.TempDir(), c.format)
			g := newRig(t, Server{Recordings: []Recording{{Name: "cam", Pattern: p}}}, nil)
			g.pattern = p
			counted(t, g, "cam", c.format, c.bframes, 0, 6)
			counted(t, g, "cam", c.format, c.bframes, 6, 6)
			lead := 0 // pictures: times of ffmpeg begin later if there is reordering
			for _, frame := range []int{0, 1, 47, 60, 100, 173, 185} {
				start := filmStart.Add(time.Duration(frame+lead) * time.Second / 30)
				for _, format := range []string{"fmp4", "mp4"} {
					var visible []string
					if format == "fmp4" { // ffmpeg knows edit lists of plain files only
						visible = []string{"-copyts", "-filter_complex", "[0:v]select=gte(t\\,0)"}
					}
					got := numbers(t, g.url+part("cam", start, 2*time.Second, format), visible...)
					if len(got) == 0 {
						t.Errorf("%s from %d: no pictures", format, frame)
						continue
					}
					for i, n := range got[:min(len(got), 60)] { // one more may be decoded before it is shown
						if n != (frame+i)%100 {
							t.Errorf("%s from %d: picture %d is number %d: %v", format, frame, i, n, got)
							break
						}
					}
					if len(got) < 60 || len(got) > 62 || len(got) != 60 && c.bframes == "0" {
						t.Errorf("%s from %d: %d pictures, want 60", format, frame, len(got))
					}
				}
			}
			if c.format == record.FMP4 {
				// seeking is for browsers: this ffmpeg reads nothing after a seek in any HLS
				// of fragmented MP4, be it its own
				got := numbers(t, g.url+"/vod/cam/index.m3u8")
				if len(got) != 360 {
					t.Errorf("HLS: %d pictures, want 360", len(got))
				}
				for i, n := range got {
					if n != i%100 {
						t.Errorf("HLS: picture %d is number %d", i, n)
						break
					}
				}
			}
		})
	}
}

// watchScript opens a page, waits for the picture, clicks into the time line, and
// reports dates and brightness.
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
  for (const ms of process.argv.slice(3).map(Number)) {
    await page.evaluate((ms) => playAt(ms), ms);
    await playing();
    seeks.push(await stop());
    // and inside of what is open
    await page.evaluate(() => new Promise((r) => { const v = document.getElementById('video'); v.addEventListener('seeked', r, { once: true }); v.currentTime += 2; }));
    await wait(500);
    seeks.push(await look());
  }
  await browser.close();
  console.log(JSON.stringify({ first, seeks, problems }));
})().catch((e) => { console.error(e); process.exit(1); });
`

type glance struct {
	Date, Time float64
	Light      int
	Text       string
	Spans      int
}

func TestBrowserSeeks(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "watch.js"), []byte(watchScript), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", dir, "playwright-core@1.64.1")
	script, err := os.ReadFile("../protocol/hls/web/hls.min.js")
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range []record.Format{record.FMP4, record.MPEGTS} {
		t.Run(string(format), func(t *testing.T) {
			p := pattern(t, t.TempDir(), format)
			g := newRig(t, Server{Recordings: []Recording{{Name: "a/cam", Pattern: p}}, Script: script}, nil)
			g.pattern = p
			counted(t, g, "a/cam", format, "0", 0, 20)
			counted(t, g, "a/cam", format, "0", 20, 20)
			counted(t, g, "a/cam", format, "0", 60, 20)
			at := func(s float64) float64 { return float64(filmStart.UnixMilli()) + s*1000 }
			args := []string{filepath.Join(dir, "watch.js"), g.url + "/a/cam/"}
			wanted := []float64{5.5, 17, 33, 65}
			for _, s := range wanted {
				args = append(args, fmt.Sprintf("%.0f", at(s)))
			}
			var w struct {
				First    glance
				Seeks    []glance
				Problems []string
			}
			out := run(t, "node", args...)
			if err := json.Unmarshal([]byte(out), &w); err != nil {
				t.Fatalf("%v in %s", err, out)
			}
			if len(w.Problems) != 0 || w.First.Spans != 2 || w.First.Text != "" || w.First.Date < at(20) {
				t.Errorf("%+v", w)
			}
			for i, s := range w.Seeks {
				begin := at(wanted[i/2]) + float64(i%2)*2000
				if s.Date < begin-50 || s.Date > begin+3000 || s.Text != "" {
					t.Errorf("seek %d: %.0f ms after the start, want %.0f: %+v", i, s.Date-at(0), begin-at(0), s)
				}
				// the picture tells its number: 100 of them come again
				luma := float64(s.Light)*219/255 + 16
				number, want := (luma-20)/2, math.Mod(math.Floor((s.Date-at(0))*30/1000), 100)
				if d := math.Abs(math.Remainder(number-want, 100)); d > 2.5 {
					t.Errorf("seek %d: picture %.1f, want %.1f", i, number, want)
				}
			}
		})
	}
}
