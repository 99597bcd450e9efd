//go:build e2e

package webrtc

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/org/mtx/protocol/internal/e2e"
	"github.com/org/mtx/router/routertest"
)

// TestBrowser drives Chromium. Its parts run one after another, because each
// takes what the machine has.
func TestBrowser(t *testing.T) {
	dir := playwright(t)
	for _, part := range []struct {
		name string
		run  func(t *testing.T, dir string)
	}{
		{"syntax", testSyntax},
		{"H264", func(t *testing.T, dir string) { testPages(t, dir, "video/H264") }},
		{"VP8", func(t *testing.T, dir string) { testPages(t, dir, "video/VP8") }},
		{"VP9", func(t *testing.T, dir string) { testPages(t, dir, "video/VP9") }},
		{"AV1", func(t *testing.T, dir string) { testPages(t, dir, "video/AV1") }},
		{"reconnect", testReconnect},
		{"two tabs", testTwoTabs},
		{"player parameters", testPlayerParameters},
		{"remembered choices", testRememberedChoices},
		{"sources that end", testSourceEnds},
		{"scripts of others", testMinimalScripts},
		{"other site", testOtherSite},
		{"credentials", testCredentials},
		{"TCP", testTCP},
		{"loss", testLoss},
		{"readers of other protocols", testOtherReaders},
		{"publishers of other protocols", testOtherPublishers},
	} {
		t.Run(part.name, func(t *testing.T) { part.run(t, dir) })
	}
}

// testSyntax checks what is embedded, as it is served.
func testSyntax(t *testing.T, _ string) {
	script := regexp.MustCompile(`(?s)<script>(.*?)</script>`)
	for _, name := range []string{readPage, publishPage, readerScript, publisherScript} {
		body, err := webFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, ".html") {
			m := script.FindSubmatch(body)
			if m == nil {
				t.Fatalf("%s has no script", name)
			}
			body = m[1]
		}
		file := filepath.Join(t.TempDir(), name+".js")
		if err := os.WriteFile(file, body, 0o600); err != nil {
			t.Fatal(err)
		}
		e2e.Run(t, "node", "--check", file)
	}
}

// testPages publishes with one page and reads with the other.
func testPages(t *testing.T, dir, codec string) {
	g := newRig(t, Server{}, nil)
	b := newBrowser(t, dir)
	b.publish(g.url+"/cam/", codec)
	v := b.watch("viewer", g.url+"/cam/")
	if !slices.Equal(v.Codecs, []string{"audio/opus", codec}) || v.Width == 0 || v.Keys == 0 || v.Protocol != "udp" || v.Lost != 0 {
		t.Errorf("viewer %+v", v)
	}
	if !v.Muted || !v.Controls || v.Paused || v.Title != "cam" {
		t.Errorf("player %+v", v)
	}
	// sound is decoded only when somebody wants to hear it
	b.do(nil, nil, `
		await pages.viewer.click('#unmute');
		await until('sound', async () => { const g = await look('viewer'); return !g.muted && g.energy > 0; });
		await until('the hint has gone', () => pages.viewer.isHidden('#unmute'));`)
	var tracks []string
	for _, tr := range routertest.WaitReady(t, g.Router, "cam").Tracks() {
		tracks = append(tracks, tr.Codec.Name())
	}
	slices.Sort(tracks)
	if want := []string{strings.TrimPrefix(codec, "video/"), "Opus"}; !slices.Equal(tracks, slices.Sorted(slices.Values(want))) {
		t.Errorf("tracks %q", tracks)
	}
}

// A viewer that is there before the publisher, and after it.
func testReconnect(t *testing.T, dir string) {
	g := newRig(t, Server{}, nil)
	b := newBrowser(t, dir)
	b.do(nil, g.url, `
		await open('viewer', args + '/cam/');
		await until('a message', async () => /^there is no stream \(.*cam.*\), will try again$/.test((await look('viewer')).message));`)
	b.publish(g.url+"/cam/", "video/VP8")
	b.do(nil, nil, `await until('pictures', async () => { const g = await look('viewer'); return g.decoded > 10 && g.message === ''; });
		await pages.publisher.click('#stop');
		await until('a message', async () => /will try again/.test((await look('viewer')).message));
		await pages.publisher.click('#start');
		await until('pictures again', async () => { const g = await look('viewer'); return g.decoded > 10 && g.message === ''; });`)
	// operators end sessions, and both come back
	for i := range g.Sessions(kind) {
		if err := g.Kick(i.Kind, i.ID); err != nil {
			t.Fatal(err)
		}
	}
	b.do(nil, nil, `
		await until('the viewer has noticed', async () => (await look('viewer')).live === 0);
		await until('pictures at last', async () => { const g = await look('viewer'); return g.live === 1 && g.decoded > 10 && g.message === ''; });`)
}

// A tab that is closed leaves nothing, and another one goes on.
func testTwoTabs(t *testing.T, dir string) {
	g := newRig(t, Server{}, nil)
	b := newBrowser(t, dir)
	b.publish(g.url+"/cam/", "video/VP8")
	b.watch("one", g.url+"/cam/")
	b.watch("two", g.url+"/cam/")
	if n := len(g.sessionsOf("read")); n != 2 {
		t.Fatalf("%d viewers", n)
	}
	b.do(nil, nil, `await pages.one.close({ runBeforeUnload: true }); await pages.one.context().close();`)
	routertest.WaitReaders(t, g.Router, "cam", 1)
	b.do(nil, nil, `
		const before = (await look('two')).decoded;
		await until('the other tab goes on', async () => (await look('two')).decoded > before + 20);
		await pages.two.goto('about:blank');
		await pages.publisher.close({ runBeforeUnload: true });`)
	routertest.Eventually(t, "all sessions end", func() bool { return len(g.sessionsOf("read")) == 0 && len(g.sessionsOf("publish")) == 0 })
}

func testPlayerParameters(t *testing.T, dir string) {
	g := newRig(t, Server{}, nil)
	b := newBrowser(t, dir)
	b.publish(g.url+"/cam/", "video/VP8")
	var v glance
	b.do(&v, g.url+"/cam/?controls=no&muted=0&autoplay=False&x=%3Cb%3E", `
		await open('viewer', args);
		await sleep(1500);
		return look('viewer');`)
	if v.Controls || v.Muted || !v.Paused || v.Live != 0 || v.Message != "" {
		t.Errorf("player %+v", v)
	}
	if n := len(g.sessionsOf("read")); n != 0 {
		t.Errorf("%d sessions of a player that must not play by itself", n)
	}
	b.do(nil, nil, `
		await pages.viewer.click('#play');
		await until('pictures', async () => { const g = await look('viewer'); return g.decoded > 10 && !g.paused && !g.muted && g.energy > 0; });`)
	if s := g.sessionsOf("read"); len(s) != 1 || s[0].Query != "x=%3Cb%3E" {
		t.Errorf("sessions %+v", s)
	}
	// browsers refuse sound before a click, but not headless ones: it plays
	// without, and says so
	b.do(&v, g.url+"/cam/?muted=false&playsInline=no&disablepictureinpicture=1", `
		await open('other', 'about:blank');
		await pages.other.addInitScript(() => {
			const play = HTMLMediaElement.prototype.play;
			HTMLMediaElement.prototype.play = function () {
				if (!this.muted) return Promise.reject(new DOMException('a click first', 'NotAllowedError'));
				return play.call(this);
			};
		});
		await pages.other.goto(args);
		await until('pictures', async () => (await look('other')).decoded > 10);
		await until('a hint', async () => (await look('other')).muted && pages.other.isVisible('#unmute'));
		if (!await pages.other.evaluate(() => video.disablePictureInPicture && !video.playsInline)) throw new Error('parameters');
		await pages.other.click('#unmute');
		return until('sound', async () => { const g = await look('other'); return g.energy > 0 && g; });`)
	if v.Muted || v.Paused {
		t.Errorf("player %+v", v)
	}
}

func testRememberedChoices(t *testing.T, dir string) {
	g := newRig(t, Server{}, nil)
	b := newBrowser(t, dir)
	var seen []string
	b.do(&seen, g.url, `
		const page = await open('publisher', args + '/cam/publish');
		await until('devices', () => page.isEnabled('#start'));
		await page.selectOption('select[name=videoCodec]', 'video/VP9');
		await page.selectOption('select[name=videoDevice]', 'none');
		await page.fill('input[name=audioBitrate]', '32');
		await page.uncheck('input[name=audioVoice]');
		await page.click('#start');
		await until('published', async () => (await look('publisher')).state === 'Publishing.');
		await page.reload();
		await until('devices', () => page.isEnabled('#start'));
		return page.evaluate(() => [field.videoCodec.value, field.videoDevice.value, field.audioBitrate.value, String(field.audioVoice.checked), document.title]);`)
	if !slices.Equal(seen, []string{"video/VP9", "none", "32", "false", "Publish to cam"}) {
		t.Errorf("choices %q", seen)
	}
}

func testSourceEnds(t *testing.T, dir string) {
	g := newRig(t, Server{}, nil)
	b := newBrowser(t, dir, "--auto-select-desktop-capture-source=Entire screen")
	b.publish(g.url+"/cam/", "video/VP8")
	b.do(nil, nil, `
		await pages.publisher.evaluate(() => captured.getVideoTracks()[0].dispatchEvent(new Event('ended')));
		const g = await look('publisher');
		if (g.error !== 'The video source has ended.' || g.state !== 'Not publishing.') throw new Error(JSON.stringify(g));`)
	routertest.Eventually(t, "the session ends", func() bool { return len(g.sessionsOf("publish")) == 0 })
	// nothing to send is said at once
	b.do(nil, nil, `
		const page = pages.publisher;
		await page.selectOption('select[name=videoDevice]', 'none');
		await page.selectOption('select[name=audioDevice]', 'none');
		await page.click('#start');
		await until('an error', async () => { const g = await look('publisher'); return /nothing to be sent/.test(g.error) && g.state === 'Not publishing.'; });`)
	if res, _ := g.do(http.MethodGet, "/cam/publish", ""); res.StatusCode != http.StatusOK {
		t.Errorf("status %d", res.StatusCode)
	}
}
