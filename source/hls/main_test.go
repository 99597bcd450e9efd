package hls_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
	"go.uber.org/goleak"

	"github.com/org/mtx/protocol/hls"
	"github.com/org/mtx/protocol/httpserver"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
	"github.com/org/mtx/router/routertest"
	srchls "github.com/org/mtx/source/hls"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds what must happen; nothing waits that long unless a test fails.
const patience = 30 * time.Second

// eventually waits for a condition.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !f(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

// pull starts a router whose path "in" has the source.
func pull(t testing.TB, s srchls.Source) (*router.Router, *routertest.Log) {
	t.Helper()
	log := &routertest.Log{}
	r := routertest.New(t, router.Config{
		Paths:            []router.PathConfig{{Name: "in", Source: s, GOPCache: router.GOPCache{MaxBytes: 1 << 20}}},
		SourceRetryPause: 200 * time.Millisecond,
	}, router.WithLogger(slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))))
	return r, log
}

// Parameter sets of H264 of 1920x1080.
const (
	sps = "\x67\x42\xc0\x28\xd9\x00\x78\x02\x27\xe5\x84\x00\x00\x03\x00\x04\x00\x00\x03\x00\xf0\x3c\x60\xc9\x20"
	pps = "\x68\x08"
)

func aac() *media.MPEG4Audio {
	return &media.MPEG4Audio{Config: &mpeg4audio.AudioSpecificConfig{
		Type: mpeg4audio.ObjectTypeAACLC, SampleRate: 48000, ChannelConfig: 2,
	}}
}

// serve starts an HLS server whose path "cam" has a stream.
func serve(t testing.TB, s hls.Server, addr string) (url string, stop func()) {
	t.Helper()
	s.HTTP = httpserver.Listen{Addr: addr}
	s.SegmentDuration, s.PartDuration = 500*time.Millisecond, 100*time.Millisecond
	r, err := router.New(router.Config{
		Protocols: []router.Protocol{&s},
		Paths:     []router.PathConfig{{Name: "cam", Override: true}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	tracks := []media.Track{{Codec: &media.H264{}}, {Codec: aac()}}
	pub, err := r.Publish(context.Background(), "cam", tracks)
	if err != nil {
		t.Fatal(err)
	}
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(time.Second / 30)
		defer tick.Stop()
		for n := 0; ; n++ {
			u := &media.Unit{PTS: int64(n) * 3000, Payload: [][]byte{{0x41, 0x9a, 0x24, 0, byte(n)}}}
			if n%15 == 0 {
				u.Payload = [][]byte{[]byte(sps), []byte(pps), {0x65, 0x88, 0x84, 0, byte(n)}}
			}
			pub.Write(0, u)
			pub.Write(1, &media.Unit{PTS: int64(n) * 1600, Payload: [][]byte{{1, 2, 3, byte(n)}}})
			select {
			case <-tick.C:
			case <-quit:
				return
			}
		}
	}()
	stop = sync.OnceFunc(func() {
		close(quit)
		<-done
		_ = r.Close()
	})
	t.Cleanup(stop)
	return "http://" + r.ProtocolAddrs("hls")[0].String() + "/cam/index.m3u8", stop
}

// fake serves fixed files, by path.
func fake(t *testing.T, files map[string]http.HandlerFunc) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h := files[strings.TrimPrefix(r.URL.Path, "/")]; h != nil {
			h(w, r)
			return
		}
		http.NotFound(w, r)
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

// text answers with a fixed text.
func text(s string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(s)) }
}
