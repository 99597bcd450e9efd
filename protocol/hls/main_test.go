package hls

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
	"go.uber.org/goleak"

	"github.com/org/mtx/protocol/httpserver"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
	"github.com/org/mtx/router/routertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds what must happen; nothing waits that long unless a test fails.
const patience = 20 * time.Second

// rig is a router with an HLS server.
type rig struct {
	*router.Router
	t    testing.TB
	url  string // without a slash at the end
	log  *routertest.Log
	http *http.Client
}

// newRig starts a server with short segments. Without paths it accepts all.
func newRig(t testing.TB, s Server, auth router.Authenticator, paths ...router.PathConfig) *rig {
	t.Helper()
	if s.HTTP == nil {
		s.HTTP = httpserver.Listen{Addr: "127.0.0.1:0"}
	}
	if s.SegmentDuration == 0 {
		s.SegmentDuration = 500 * time.Millisecond
	}
	if s.PartDuration == 0 {
		s.PartDuration = 100 * time.Millisecond
	}
	if len(paths) == 0 {
		paths = []router.PathConfig{{Name: "all_others", Override: true}}
	}
	g := &rig{t: t, log: &routertest.Log{}}
	g.Router = routertest.New(t, router.Config{Protocols: []router.Protocol{&s}, Auth: auth, AuthPause: -1, Paths: paths},
		router.WithLogger(slog.New(slog.NewTextHandler(g.log, &slog.HandlerOptions{Level: slog.LevelDebug}))))
	if addrs := g.ProtocolAddrs("hls"); len(addrs) > 0 {
		g.url = "http://" + addrs[0].String()
	}
	tr := &http.Transport{DisableCompression: true}
	t.Cleanup(tr.CloseIdleConnections)
	g.http = &http.Client{
		Transport: tr, Timeout: patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return g
}

// get returns an answer with its body.
func (g *rig) get(path string, header ...string) (*http.Response, string) {
	g.t.Helper()
	return g.do(http.MethodGet, path, header...)
}

func (g *rig) do(method, path string, header ...string) (*http.Response, string) {
	g.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, g.url+path, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	res, err := g.http.Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return res, string(b)
}

// Parameter sets of H264 of 1920x1080, and of 64x48.
const (
	sps1080 = "\x67\x42\xc0\x28\xd9\x00\x78\x02\x27\xe5\x84\x00\x00\x03\x00\x04\x00\x00\x03\x00\xf0\x3c\x60\xc9\x20"
	sps48   = "\x67\x42\xc0\x0a\xd9\x04\x7b\x01\x10\x00\x00\x03\x00\x10\x00\x00\x03\x00\xa0\xf1\x22\x64\x80"
	pps     = "\x68\x08"
)

func aac() *media.MPEG4Audio {
	return &media.MPEG4Audio{Config: &mpeg4audio.AudioSpecificConfig{
		Type: mpeg4audio.ObjectTypeAACLC, SampleRate: 48000, ChannelConfig: 2,
	}}
}

// videoAudio are tracks that every variant can carry.
func videoAudio() []media.Track { return []media.Track{{Codec: &media.H264{}}, {Codec: aac()}} }

const (
	fps      = 30
	keyEvery = 15 // frames
)

// videoUnit is an access unit of H264.
func videoUnit(n int, sps string, size int) *media.Unit {
	u := &media.Unit{PTS: int64(n) * 90000 / fps}
	slice := append([]byte{0x41, 0x9a, 0x24, 0x00, byte(n)}, make([]byte, size)...)
	if n%keyEvery == 0 {
		slice[0] = 0x65
		u.Payload = [][]byte{[]byte(sps), []byte(pps), slice}
	} else {
		u.Payload = [][]byte{slice}
	}
	return u
}

// unitOf makes unit n, of 1/fps second, of a track.
func unitOf(c media.Codec, n int, sps string) *media.Unit {
	switch c := c.(type) {
	case *media.H264:
		return videoUnit(n, sps, 100)
	case *media.MPEG4Audio:
		// 1600 samples per picture do not divide into access units of 1024: the
		// clock of the audio is that of the video, with jitter
		return &media.Unit{PTS: int64(n) * 1600, Payload: [][]byte{{1, 2, 3, byte(n)}}}
	case *media.Opus:
		return &media.Unit{PTS: int64(n) * 1600, Payload: [][]byte{{0xfc, 0xff, 0xfe, byte(n)}}}
	default:
		return &media.Unit{PTS: int64(n) * int64(c.ClockRate()) / fps, Payload: [][]byte{{1, 2, 3, 4, 5}}}
	}
}

// publish writes units in real time until the test ends or stop is called.
func (g *rig) publish(path string, tracks []media.Track, sps string) (stop func()) {
	g.t.Helper()
	pub, err := g.Publish(context.Background(), path, tracks)
	if err != nil {
		g.t.Fatal(err)
	}
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		defer pub.Close()
		tick := time.NewTicker(time.Second / fps)
		defer tick.Stop()
		for n := 0; ; n++ {
			for i, t := range tracks {
				pub.Write(i, unitOf(t.Codec, n, sps))
			}
			select {
			case <-tick.C:
			case <-quit:
				return
			case <-pub.Done():
				return
			}
		}
	}()
	stop = sync.OnceFunc(func() { close(quit); <-done })
	g.t.Cleanup(stop)
	return stop
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

// muxer returns what operators see of the only muxer, or nil.
func (g *rig) muxer() *Details {
	for i := range g.Sessions("hlsMuxer") {
		return i.Details.(*Details)
	}
	return nil
}
