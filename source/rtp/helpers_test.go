package rtp

import (
	"fmt"
	"net"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtp"

	"github.com/org/mtx/router/media"
)

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
