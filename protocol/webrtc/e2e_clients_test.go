//go:build e2e

package webrtc

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/org/mtx/protocol/hls"
	"github.com/org/mtx/protocol/httpserver"
	"github.com/org/mtx/protocol/internal/e2e"
	"github.com/org/mtx/protocol/rtmp"
	"github.com/org/mtx/protocol/rtsp"
	"github.com/org/mtx/protocol/srt"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/routertest"
)

// testMinimalScripts publishes and reads with the least that a script needs:
// no trickle, no credentials, no library.
func testMinimalScripts(t *testing.T, dir string) {
	g := newRig(t, Server{}, nil)
	b := newBrowser(t, dir)
	for _, codec := range []string{"H264", "VP8", "VP9", "AV1"} {
		var v glance
		b.do(&v, []string{g.url + "/" + codec + "/", "video/" + codec}, `
			const connect = ([url, codec]) => {
				const post = async (pc, endpoint) => {
					await pc.setLocalDescription(await pc.createOffer());
					while (pc.iceGatheringState !== 'complete') await new Promise((r) => setTimeout(r, 20));
					const headers = { 'Content-Type': 'application/sdp' };
					for (;;) {
						const res = await fetch(url + endpoint, { method: 'POST', headers, body: pc.localDescription.sdp });
						if (res.status === 404) { await new Promise((r) => setTimeout(r, 100)); continue; }
						if (res.status !== 201) throw new Error(res.status + ' ' + await res.text());
						await pc.setRemoteDescription({ type: 'answer', sdp: await res.text() });
						return;
					}
				};
				window.run = async () => {
					const whip = new RTCPeerConnection();
					const stream = await navigator.mediaDevices.getUserMedia({ video: { width: 320, height: 240 }, audio: true });
					for (const track of stream.getTracks()) {
						const tr = whip.addTransceiver(track, { direction: 'sendonly' });
						if (track.kind === 'video') tr.setCodecPreferences(RTCRtpSender.getCapabilities('video').codecs.filter((c) => c.mimeType === codec));
					}
					await post(whip, 'whip');
					const whep = new RTCPeerConnection();
					whep.addTransceiver('video', { direction: 'recvonly' });
					whep.addTransceiver('audio', { direction: 'recvonly' });
					whep.addEventListener('track', (e) => { const v = document.createElement(e.track.kind); v.srcObject = new MediaStream([e.track]); v.autoplay = true; document.body.append(v); });
					await post(whep, 'whep');
				};
				return window.run();
			};
			const page = await open('script', args[0] + '?autoplay=0&muted=0');
			await page.click('main'); // so that there may be sound
			await page.evaluate(connect, args);
			const v = await until('pictures and sound', async () => { const g = await look('script'); return g.decoded > 30 && g.energy > 0 && g; });
			await page.close();
			return v;`)
		if !slices.Contains(v.Codecs, "video/"+codec) || v.Keys == 0 || v.Lost != 0 {
			t.Errorf("%s: %+v", codec, v)
		}
	}
}

// site is a website of somebody else, with both scripts on an empty page.
func site(t *testing.T, g *rig) (url string) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `<!DOCTYPE html><title>site</title><link rel="icon" href="data:,"><video id="video" autoplay muted playsinline></video>
			<p id="message"></p><p id="error"></p><script src="%[1]s/any/reader.js"></script><script src="%[1]s/any/publisher.js"></script>`, g.url)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// siteScript has functions that publish and read on a page of a site. What is
// given to them is added to the configuration.
const siteScript = `
	const publish = (name, conf) => pages[name].evaluate(async (conf) => {
		const stream = await navigator.mediaDevices.getUserMedia({ video: { width: 320, height: 240 }, audio: true });
		window.publisher = new MediaMTXWebRTCPublisher({ ...conf, stream, videoBitrate: 500,
			onConnected: () => { window.onAir = true; }, onError: (text, info) => { document.getElementById('error').textContent = text + JSON.stringify(info); } });
	}, conf);
	const read = (name, conf) => pages[name].evaluate((conf) => {
		window.reader = new MediaMTXWebRTCReader({ ...conf, onDataChannel: () => {},
			onTrack: (e) => { document.getElementById('video').srcObject = e.streams[0]; },
			onError: (text, info) => { document.getElementById('message').textContent = text + JSON.stringify(info); } });
	}, conf);`

// testOtherSite uses the scripts as websites do, from another origin.
func testOtherSite(t *testing.T, dir string) {
	g := newRig(t, Server{
		HTTP:       httpserver.Listen{Addr: "127.0.0.1:0", AllowOrigins: []string{"*"}},
		ICEServers: []ICEServer{{URL: "stun:127.0.0.1:9"}, {URL: "turn:127.0.0.1:9", Username: `a"b,c`, Password: `p\;"w`}},
	}, nil)
	b := newBrowser(t, dir)
	var servers []struct {
		URLs                 []string
		Username, Credential string
	}
	b.do(&servers, []string{site(t, g), g.url}, siteScript+`
		await open('site', args[0]);
		await publish('site', { url: args[1] + '/cam/whip', videoCodec: 'h264/90000', audioCodec: 'opus' });
		await read('site', { url: args[1] + '/cam/whep?x=1' });
		await until('pictures', async () => { const g = await look('site'); return g.live === 2 && g.decoded > 20 && g.encoded > 20; });
		return pages.site.evaluate(() => window.connections.find((pc) => pc.connectionState === 'connected').getConfiguration().iceServers);`)
	if len(servers) != 2 || servers[1].Username != `a"b,c` || servers[1].Credential != `p\;"w` || servers[0].URLs[0] != "stun:127.0.0.1:9" {
		t.Errorf("ICE servers %+v", servers)
	}
	b.do(nil, nil, `await pages.site.evaluate(() => { reader.close(); publisher.close(); });
		await until('the end', async () => (await look('site')).live === 0);
		await sleep(3000); // longer than the pause before another try
		const g = await look('site');
		if (g.live !== 0 || g.error !== '' || await pages.site.evaluate(() => window.connections.some((pc) => pc.connectionState !== 'closed'))) throw new Error(JSON.stringify(g));`)
	routertest.Eventually(t, "both sessions end", func() bool { return len(g.sessionsOf("read"))+len(g.sessionsOf("publish")) == 0 })
	// a codec that nobody has is an error at once
	b.do(nil, g.url, siteScript+`
		await publish('site', { url: args + '/cam/whip', videoCodec: 'video/nonsense' });
		await until('an error', async () => (await look('site')).error === 'this browser cannot send video/nonsense{"status":0,"retryIn":null}');`)
}

func testCredentials(t *testing.T, dir string) {
	auth := router.AuthenticatorFunc(func(_ context.Context, q *router.AccessRequest) (router.Identity, error) {
		if q.User == "ü" && q.Pass == "p:ß" || q.Token == "tok.en" {
			return router.Identity{User: "u"}, nil
		}
		return router.Identity{}, &router.AuthError{Err: errors.New("no"), AskCredentials: !q.HasCredentials()}
	})
	g := newRig(t, Server{HTTP: httpserver.Listen{Addr: "127.0.0.1:0", AllowOrigins: []string{"*"}}}, auth)
	b := newBrowser(t, dir)
	b.do(nil, []string{site(t, g), g.url}, siteScript+`
		await open('site', args[0]);
		const seen = (text) => until(text, async () => { const g = await look('site'); return (g.message + g.error).includes(text); });
		const url = args[1] + '/cam/';
		await read('site', { url: url + 'whep' });
		await seen('asks for a user name and a password');
		await seen('"status":401');
		for (const conf of [{ user: 'ü', pass: 'wrong' }, { token: 'wrong' }]) {
			await pages.site.evaluate(() => { reader.close(); document.getElementById('message').textContent = ''; });
			await read('site', { url: url + 'whep', ...conf });
			await seen('or those given are wrong');
			await publish('site', { url: url + 'whip', ...conf });
			await seen('"status":401');
			await pages.site.evaluate(() => { publisher.close(); document.getElementById('error').textContent = ''; });
		}
		await publish('site', { url: url + 'whip', token: 'tok.en' });
		await until('published', () => pages.site.evaluate(() => window.onAir));
		const played = () => until('pictures', async () => (await look('site')).decoded > 20);
		for (const conf of [{ user: 'ü', pass: 'p:ß' }, { token: 'tok.en' }, { url: url.replace('//', '//%C3%BC:p%3A%C3%9F@') + 'whep' }]) {
			await pages.site.evaluate(() => { reader.close(); });
			await read('site', { url: url + 'whep', ...conf });
			await played();
		}
		await pages.site.evaluate(() => { reader.close(); });`)
	routertest.Eventually(t, "viewers leave", func() bool { return len(g.sessionsOf("read")) == 0 && len(g.sessionsOf("publish")) == 1 })
	// with the page, the browser asks for them
	b.do(nil, g.url, `
		await open('viewer', args + '/cam/', { httpCredentials: { username: 'ü', password: 'p:ß' } });
		await until('pictures', async () => (await look('viewer')).decoded > 20);`)
	if strings.Contains(g.log.String(), "p:ß") || strings.Contains(g.log.String(), "tok.en") {
		t.Error("the log has secrets")
	}
}

func testTCP(t *testing.T, dir string) {
	g := newRig(t, Server{NoUDP: true, TCPAddr: "127.0.0.1:0"}, nil)
	b := newBrowser(t, dir)
	b.publish(g.url+"/cam/", "video/VP8")
	if v := b.watch("viewer", g.url+"/cam/"); v.Protocol != "tcp" || v.Lost != 0 {
		t.Errorf("viewer %+v", v)
	}
	for _, s := range append(g.sessionsOf("read"), g.sessionsOf("publish")...) {
		if !strings.HasPrefix(s.LocalCandidate, "host/tcp/") {
			t.Errorf("candidate %s", s.LocalCandidate)
		}
	}
}

// lossyConn loses packets in both directions, the same ones in every run.
type lossyConn struct {
	net.PacketConn
	mu    sync.Mutex
	dice  *rand.Rand
	count atomic.Int64
}

func (c *lossyConn) lost() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dice.IntN(100) >= 5 {
		return false
	}
	c.count.Add(1)
	return true
}

func (c *lossyConn) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, addr, err := c.PacketConn.ReadFrom(b)
		if err != nil || !c.lost() {
			return n, addr, err
		}
	}
}

func (c *lossyConn) WriteTo(b []byte, addr net.Addr) (int, error) {
	if c.lost() {
		return len(b), nil
	}
	return c.PacketConn.WriteTo(b, addr)
}

func testLoss(t *testing.T, dir string) {
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	lossy := &lossyConn{PacketConn: udp, dice: rand.New(rand.NewPCG(1, 2))}
	g := newRig(t, Server{UDP: lossy}, nil)
	b := newBrowser(t, dir)
	b.publish(g.url+"/cam/", "video/VP8")
	b.watch("viewer", g.url+"/cam/")
	var seen struct {
		Before, After glance
		Seconds       float64
	}
	b.do(&seen, nil, `
		const before = await look('viewer'), began = Date.now();
		await sleep(8000);
		return { before, after: await look('viewer'), seconds: (Date.now() - began) / 1000 };`)
	pictures := seen.After.Decoded - seen.Before.Decoded
	t.Logf("%d packets lost on the way, %d pictures in %.1f s, viewer %+v", lossy.count.Load(), pictures, seen.Seconds, seen.After)
	// the camera has 20 pictures per second
	if rate := float64(pictures) / seen.Seconds; rate < 12 || seen.After.Live != 1 || seen.After.Nacks == 0 || lossy.count.Load() < 20 {
		t.Errorf("%.1f pictures per second, %d packets lost, viewer %+v", rate, lossy.count.Load(), seen.After)
	}
}

// others is a router with servers of all protocols.
func others(t *testing.T) *rig {
	t.Helper()
	local := httpserver.Listen{Addr: "127.0.0.1:0"}
	g := &rig{t: t, log: &routertest.Log{}, server: &Server{HTTP: local, UDPAddr: "127.0.0.1:0"}}
	g.Router = routertest.New(t, router.Config{
		Protocols: []router.Protocol{
			g.server, &rtsp.Server{Addr: "127.0.0.1:0", Transports: []rtsp.Transport{rtsp.TCP}}, &rtmp.Server{Addr: "127.0.0.1:0"},
			&hls.Server{HTTP: local}, &srt.Server{Addr: "127.0.0.1:0"},
		},
		Paths: []router.PathConfig{{Name: router.AllOthers}},
	})
	g.url = "http://" + g.ProtocolAddrs("webrtc")[0].String()
	return g
}

// testOtherReaders publishes with Chromium and reads with FFmpeg.
func testOtherReaders(t *testing.T, dir string) {
	g := others(t)
	b := newBrowser(t, dir)
	b.publish(g.url+"/cam/", "video/H264")
	routertest.WaitReady(t, g.Router, "cam")
	// FFmpeg 5.1, which knows no Opus in RTMP, would look for it for ever
	b.do(nil, g.url, `
		await open('silent', args + '/silent/publish');
		await pages.silent.evaluate(async (url) => {
			const stream = await navigator.mediaDevices.getUserMedia({ video: { width: 320, height: 240 } });
			window.silent = new MediaMTXWebRTCPublisher({ url, stream, videoCodec: 'H264', videoBitrate: 500 });
		}, args + '/silent/whip');`)
	routertest.WaitReady(t, g.Router, "silent")
	addr := func(protocol string) string { return g.ProtocolAddrs(protocol)[0].String() }
	for _, c := range []struct {
		name, url string
		audio     bool
	}{
		{"RTSP", "rtsp://" + addr("rtsp") + "/cam", true},
		{"RTMP", "rtmp://" + addr("rtmp") + "/silent", false},
		{"HLS", "http://" + addr("hls") + "/cam/index.m3u8", true},
		{"SRT", "srt://" + addr("srt") + "?streamid=read:cam", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := []string{"-nostdin", "-loglevel", "error"}
			if c.name == "RTSP" {
				args = append(args, "-rtsp_transport", "tcp")
			}
			args = append(args, "-i", c.url, "-t", "3", "-map", "0:v")
			if c.audio {
				args = append(args, "-map", "0:a")
			}
			out, stderr := e2e.Run(t, "ffmpeg", append(args, "-f", "framemd5", "-")...)
			video, audio := strings.Count(out, "\n0, "), strings.Count(out, "\n1, ")
			if video < 40 || video > 70 || c.audio && audio < 100 {
				t.Errorf("3 seconds have %d pictures and %d packets of audio; %s", video, audio, stderr)
			}
		})
	}
}

// testOtherPublishers publishes with FFmpeg by RTSP and reads with Chromium.
func testOtherPublishers(t *testing.T, dir string) {
	g := others(t)
	b := newBrowser(t, dir, "--autoplay-policy=no-user-gesture-required")
	h264 := []string{"-c:v", "libx264", "-preset", "ultrafast", "-profile:v", "baseline", "-bf", "0", "-g", "25", "-pix_fmt", "yuv420p"}
	vp8 := []string{"-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-g", "25", "-b:v", "500k"}
	opus := []string{"-c:a", "libopus", "-b:a", "64k", "-ac", "2"}
	for _, c := range []struct {
		path   string
		args   []string
		codecs []string
	}{
		{"h264", slices.Concat(h264, opus), []string{"audio/opus", "video/H264"}},
		{"vp8", slices.Concat(vp8, opus), []string{"audio/opus", "video/VP8"}},
		{"g711", slices.Concat(h264, []string{"-c:a", "pcm_mulaw", "-ar", "8000", "-ac", "1"}), []string{"audio/PCMU", "video/H264"}},
		{"g722", slices.Concat(h264, []string{"-c:a", "g722", "-ar", "16000", "-ac", "1"}), []string{"audio/G722", "video/H264"}},
		{"lpcm", slices.Concat(h264, []string{"-c:a", "pcm_s16be", "-ar", "48000", "-ac", "2"}), []string{"audio/L16", "video/H264"}},
	} {
		t.Run(c.path, func(t *testing.T) {
			stop := g.ffmpeg(t, c.path, c.args...)
			defer stop()
			b.t = t
			v := b.watch(c.path, g.url+"/"+c.path+"/?muted=0")
			b.do(&v, c.path, `return until('sound', async () => { const g = await look(args); return g.energy > 0 && g.decoded > 40 && g; });`)
			if !slices.Equal(v.Codecs, c.codecs) || v.Muted {
				t.Errorf("viewer %+v", v)
			}
			b.do(nil, c.path, `await pages[args].close();`)
		})
	}
	t.Run("B-frames", func(t *testing.T) {
		stop := g.ffmpeg(t, "b", "-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", "25", "-pix_fmt", "yuv420p", "-c:a", "libopus")
		defer stop()
		b.t = t
		b.do(nil, g.url, `await open('b', args + '/b/');
			await until('a reason', async () => /B-frames/.test((await look('b')).message));`)
	})
}

// ffmpeg publishes pictures and a tone by RTSP.
func (g *rig) ffmpeg(t *testing.T, path string, codecs ...string) (stop func()) {
	t.Helper()
	stop = e2e.Start(t, "ffmpeg", slices.Concat([]string{
		"-hide_banner", "-loglevel", "error", "-nostdin", "-re",
		"-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000",
	}, codecs, []string{"-f", "rtsp", "-rtsp_transport", "tcp", "rtsp://" + g.ProtocolAddrs("rtsp")[0].String() + "/" + path})...)
	routertest.WaitReady(t, g.Router, path)
	return stop
}
