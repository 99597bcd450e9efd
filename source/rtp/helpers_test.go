package rtp

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtp"

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
func pull(t *testing.T, src Source, edit ...func(*router.PathConfig)) (*router.Router, *logs) {
	t.Helper()
	l := &logs{}
	pc := router.PathConfig{Name: "cam", Source: src}
	for _, f := range edit {
		f(&pc)
	}
	r := routertest.New(t, router.Config{
		Paths:            []router.PathConfig{pc},
		SourceRetryPause: 10 * time.Millisecond,
	}, router.WithLogger(slog.New(slog.NewTextHandler(l, nil))))
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log:\n%.3000s", l)
		}
	})
	return r, l
}

// freePort returns an even UDP port that nobody uses, nor the next one.
func freePort(t testing.TB) int {
	t.Helper()
	for range 100 {
		pc, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := pc.LocalAddr().(*net.UDPAddr).Port
		next, err := net.ListenPacket("udp", fmt.Sprintf("127.0.0.1:%d", port+1))
		_ = pc.Close()
		if err == nil {
			_ = next.Close()
		}
		if err == nil && port%2 == 0 {
			return port
		}
	}
	t.Fatal("no two ports are free")
	return 0
}

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

// sticky remembers that a write failed.
type sticky struct {
	net.Conn
	err error
}

func (s *sticky) Write(b []byte) (int, error) {
	n, err := s.Conn.Write(b)
	if err != nil {
		s.err = err
	}
	return n, err
}

// feeder calls write every 2 ms with a connection, until the end of the test.
func feeder(t testing.TB, network, addr string, write func(c net.Conn, n int)) {
	t.Helper()
	quit := make(chan struct{})
	var task sync.WaitGroup
	task.Go(func() {
		var c *sticky
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-quit:
				if c != nil {
					_ = c.Close()
				}
				return
			case <-tick.C:
			}
			if c == nil {
				d, err := net.Dial(network, addr)
				if err != nil {
					continue
				}
				c = &sticky{Conn: d}
			}
			write(c, n)
			if c.err != nil && network != "udp" {
				_ = c.Close()
				c = nil
			}
		}
	})
	t.Cleanup(func() { close(quit); task.Wait() })
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

func udpURL(port int) string { return fmt.Sprintf("udp+rtp://127.0.0.1:%d", port) }

// Parameter sets of a stream of 1920x1080, and the start of a key frame.
var (
	testSPS = []byte{
		0x67, 0x42, 0xc0, 0x28, 0xd9, 0x00, 0x78, 0x02, 0x27, 0xe5, 0x84, 0x00, 0x00, 0x03, 0x00, 0x04,
		0x00, 0x00, 0x03, 0x00, 0xf0, 0x3c, 0x60, 0xc9, 0x20,
	}
	testPPS = []byte{0x68, 0x08}
	testIDR = []byte{0x65, 0x88, 0x84, 0x00, 0x10}
)

const (
	videoSDP = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=-\nt=0 0\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\na=fmtp:96 packetization-mode=1\n"
	bothSDP  = videoSDP + "m=audio 5006 RTP/AVP 97\na=rtpmap:97 opus/48000/2\n"
)

// packet returns packet n of a video, three to a key frame.
func packet(ssrc uint32, n int) *rtp.Packet {
	return &rtp.Packet{
		Header: rtp.Header{
			Version: 2, PayloadType: 96, SequenceNumber: uint16(n), Timestamp: uint32(n / 3 * 3600), SSRC: ssrc, Marker: n%3 == 2,
		},
		Payload: [][]byte{testSPS, testPPS, testIDR}[n%3],
	}
}

func marshal(p *rtp.Packet) []byte {
	b, err := p.Marshal()
	if err != nil {
		panic(err) // packets of tests are valid
	}
	return b
}

// keyFrame writes key frame n, one packet a time.
func keyFrame(c net.Conn, n int) {
	for i := range 3 {
		_, _ = c.Write(marshal(packet(1, 3*n+i)))
	}
}

// isKeyFrame checks a unit.
func isKeyFrame(u *media.Unit) bool {
	return reflect.DeepEqual(u.Payload, [][]byte{testSPS, testPPS, testIDR})
}
