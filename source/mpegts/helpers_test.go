package mpegts

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
	"github.com/org/mtx/router/routertest"
)

const patience = 20 * time.Second

// logs collects what is logged.
type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// pull runs a router with a source.
func pull(t *testing.T, src Source) (*router.Router, *logs) {
	t.Helper()
	l := &logs{}
	r := routertest.New(t, router.Config{
		Paths:            []router.PathConfig{{Name: "cam", Source: src}},
		SourceRetryPause: 10 * time.Millisecond,
	}, router.WithLogger(slog.New(slog.NewTextHandler(l, nil))))
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log:\n%.3000s", l)
		}
	})
	return r, l
}

// freePort returns a UDP port that nobody uses.
func freePort(t testing.TB) int {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = pc.Close() }()
	return pc.LocalAddr().(*net.UDPAddr).Port
}

const testSources = "-f lavfi -i testsrc2=size=320x240:rate=25 -f lavfi -i sine=sample_rate=48000 -pix_fmt yuv420p "

// encode makes a transport stream of 25 frames a second, with key frames every
// 10.
func encode(t testing.TB, args string) []byte {
	t.Helper()
	ffmpeg, err := exec.LookPath("ffmpeg")
	if err != nil {
		t.Skip("ffmpeg is not installed")
	}
	out, err := exec.Command(ffmpeg, strings.Fields("-hide_banner -loglevel error "+testSources+args+" -f mpegts -")...).Output()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

const h264AAC = "-t 2 -c:v libx264 -preset ultrafast -bf 2 -g 10 -c:a aac"

// send runs ffmpeg as a sender until the end of the test.
func send(t testing.TB, args string) {
	t.Helper()
	ffmpeg, err := exec.LookPath("ffmpeg")
	if err != nil {
		t.Skip("ffmpeg is not installed")
	}
	var errs bytes.Buffer
	cmd := exec.Command(ffmpeg, strings.Fields("-hide_banner -loglevel error -re "+args)...)
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() && errs.Len() > 0 {
			t.Logf("ffmpeg: %.500s", &errs)
		}
	})
}

// feeder sends data in pieces, again and again, until the end of the test.
func feeder(t testing.TB, network, addr string, pieces [][]byte) {
	t.Helper()
	quit := make(chan struct{})
	var task sync.WaitGroup
	task.Go(func() {
		var c net.Conn
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-quit:
				if c != nil {
					_ = c.Close()
				}
				return
			case <-tick.C:
			}
			if c == nil {
				if d, err := net.Dial(network, addr); err == nil {
					c, i = d, 0
				} else {
					continue
				}
			}
			if _, err := c.Write(pieces[i%len(pieces)]); err != nil && network == "unix" {
				_ = c.Close()
				c = nil
			}
		}
	})
	t.Cleanup(func() { close(quit); task.Wait() })
}

// cut returns pieces of a stream.
func cut(stream []byte, size int) [][]byte {
	var out [][]byte
	for len(stream) > size {
		out, stream = append(out, stream[:size]), stream[size:]
	}
	return append(out, stream)
}

// received is what a subscription got of each track.
type received struct {
	tracks []media.Track
	units  [][]*media.Unit
}

// read collects units until video has n of them, or the stream ends.
func read(t *testing.T, r *router.Router, n int) received {
	t.Helper()
	s := routertest.WaitReady(t, r, "cam")
	sub, err := s.Subscribe(router.SubscribeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	out := received{s.Tracks(), make([][]*media.Unit, len(s.Tracks()))}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for len(out.units[0]) < n {
		track, u, err := sub.Next(ctx)
		if err != nil {
			t.Fatalf("%d units of video: %v", len(out.units[0]), err)
		}
		out.units[track] = append(out.units[track], u)
	}
	return out
}

// names returns the codecs.
func names(tracks []media.Track) string {
	var out []string
	for _, t := range tracks {
		out = append(out, t.Codec.Name())
	}
	return strings.Join(out, ",")
}

// socketPath returns the name of a socket, short enough.
func socketPath(t testing.TB) string { return filepath.Join(t.TempDir(), "s") }

func udpURL(port int) string { return fmt.Sprintf("udp+mpegts://127.0.0.1:%d", port) }
