//go:build e2e

package rtmp_test

import (
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/org/mtx/protocol/internal/e2e"
	"github.com/org/mtx/protocol/rtmp"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/routertest"
)

// Players that know nothing of enhanced RTMP play the first track of each kind of
// a stream that has several.
func TestE2EMultitrack(t *testing.T) {
	s := serveAll(t)
	file := makeFile(t, slices.Concat([]string{"-map", "0:v", "-map", "0:v", "-map", "1:a", "-map", "1:a"}, h264, aac)...)
	s.publishFile(t, "rtsp", "test", file, "-map", "0")
	p, _ := s.Path("test")
	if n := len(p.Info().Tracks); n != 4 {
		t.Fatalf("%d tracks", n)
	}
	checkSync(t, s.record(t, "rtmp", "test"))
	checkStart(t, s.probe(t, "rtmp", "test", 2))
}

// Codecs of enhanced RTMP, which this FFmpeg does not know: they come by RTSP, go
// through RTMP to another path, and are read by RTSP.
func TestE2EEnhanced(t *testing.T) {
	for name, codecs := range map[string][]string{
		"H265 and Opus": {
			"-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "keyint=25:bframes=2:b-adapt=0:log-level=error",
			"-pix_fmt", "yuv420p", "-c:a", "libopus",
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := serveAll(t)
			file := makeFile(t, codecs...)
			forward := rtmp.Forward{URL: s.url("rtmp", "copy")}
			err := s.AddPath(t.Context(), router.PathConfig{Name: "test", Sinks: []router.Sink{forward}})
			if err != nil {
				t.Fatal(err)
			}
			s.publishFile(t, "rtsp", "test", file, "-strict", "experimental")
			stream := routertest.WaitReady(t, s.Router, "copy")
			if a, b := stream.Tracks()[0].Codec.Name(), stream.Tracks()[1].Codec.Name(); !strings.Contains(name, a) || !strings.Contains(name, b) {
				t.Errorf("tracks: %s, %s", a, b)
			}
			checkSync(t, s.record(t, "rtsp", "copy"))
		})
	}
}

// FFmpeg logs in by query, and by challenge, and speaks RTMPS.
func TestE2ELogin(t *testing.T) {
	cert, key, _ := certificate(t)
	var seen sync.Map
	for name, ca := range map[string]struct {
		server *rtmp.Server
		url    string
	}{
		"query":         {&rtmp.Server{}, "rtmp://ADDR/cam?user=bob&pass=s3cret"},
		"query of key":  {&rtmp.Server{}, "rtmp://ADDR/live/cam?user=bob&pass=s3cret"},
		"three levels":  {&rtmp.Server{}, "rtmp://ADDR/live/cam/one?jwt=t0ken"},
		"challenge":     {&rtmp.Server{AskCredentials: true}, "rtmp://bob:s3cret@ADDR/live/cam"},
		"query, asking": {&rtmp.Server{AskCredentials: true}, "rtmp://ADDR/cam?user=bob&pass=s3cret"},
		"RTMPS":         {&rtmp.Server{CertFile: cert, KeyFile: key}, "rtmps://ADDR/cam?user=bob&pass=s3cret"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e2e.Needs(t, "ffmpeg", "ffprobe")
			_, addr := start(t, ca.server, func(c *router.Config) { c.Auth = guard(&seen) })
			url := strings.ReplaceAll(ca.url, "ADDR", addr)
			e2e.Start(t, "ffmpeg", strings.Fields(
				"-loglevel warning -nostdin -re -f lavfi -i testsrc=size=64x48:rate=25 -c:v libx264 -preset ultrafast -g 25 -f flv "+url)...)
			routertest.Eventually(t, "a reader gets pictures", func() bool {
				out, err := exec.CommandContext(t.Context(), "ffprobe", "-loglevel", "error", "-show_packets", "-read_intervals", "%+#5", url).Output()
				return err == nil && strings.Count(string(out), "[PACKET]") >= 5
			})
		})
	}
}
