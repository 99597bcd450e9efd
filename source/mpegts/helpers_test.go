package mpegts

import (
	"fmt"
	"net"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/org/mtx/source/internal/pulltest"
)

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
	out, err := exec.Command(pulltest.FFmpeg(t), strings.Fields("-hide_banner -loglevel error "+testSources+args+" -f mpegts -")...).Output()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

const h264AAC = "-t 2 -c:v libx264 -preset ultrafast -bf 2 -g 10 -c:a aac"

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

func udpURL(port int) string { return fmt.Sprintf("udp+mpegts://127.0.0.1:%d", port) }
