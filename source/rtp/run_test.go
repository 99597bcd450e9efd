package rtp

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
	"github.com/org/mtx/router/routertest"
	"github.com/org/mtx/source/internal/pulltest"
)

const h264 = "-c:v libx264 -preset ultrafast -tune zerolatency -g 10"

// ffmpegSDP asks ffmpeg how it describes what it sends.
func ffmpegSDP(t *testing.T, args string) string {
	t.Helper()
	ffmpeg, err := exec.LookPath("ffmpeg")
	if err != nil {
		t.Skip("ffmpeg is not installed")
	}
	file := t.TempDir() + "/sdp"
	args = "-hide_banner -loglevel error " + args + " -t 0.1 -sdp_file " + file + " -f rtp rtp://127.0.0.1:9"
	if out, err := exec.Command(ffmpeg, strings.Fields(args)...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	sdp, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(sdp)
}

// checkFrames checks n frames of 25 a second.
func checkFrames(t *testing.T, units []*media.Unit, n int) {
	t.Helper()
	seen := map[int64]bool{}
	for _, u := range units {
		seen[(u.PTS-units[0].PTS+1800)/3600] = true
	}
	if len(seen) != n || !seen[0] || !seen[int64(n-1)] || !units[0].RandomAccess {
		t.Errorf("%d frames from %d to %d, want %d", len(seen), units[0].PTS, units[len(units)-1].PTS, n)
	}
}

// Senders of ffmpeg: RTCP on the next port (rtp://), or on the same (udp://).
func TestFFmpeg(t *testing.T) {
	t.Parallel()
	const video = "-f lavfi -i testsrc2=size=320x240:rate=25 -pix_fmt yuv420p "
	for _, ca := range []struct{ name, args, url, want string }{
		{"h264", video + h264, "rtp://127.0.0.1:%d", "H264"},
		{"h264 and rtcp on one port", video + h264, "udp://127.0.0.1:%d?pkt_size=1316", "H264"},
		{"h265", video + "-c:v libx265 -preset ultrafast -tune zerolatency -x265-params log-level=none:keyint=10", "rtp://127.0.0.1:%d", "H265"},
		{"vp8", video + "-c:v libvpx -deadline realtime -g 10", "rtp://127.0.0.1:%d", "VP8"},
	} {
		t.Run(ca.name, func(t *testing.T) {
			t.Parallel()
			sdp := ffmpegSDP(t, ca.args)
			port := freePort(t)
			r, _ := pulltest.Run(t, Source{URL: udpURL(port), SDP: sdp, UDPReadBufferSize: 1 << 17})
			pulltest.Send(t, ca.args+" -f rtp "+fmt.Sprintf(ca.url, port))
			got := pulltest.Read(t, r, 40)
			if got.Names() != ca.want {
				t.Fatalf("tracks %s, want %s", got.Names(), ca.want)
			}
			checkFrames(t, got.Units[0], 40)
			if p, _ := r.Path("cam"); p.Info().InErrors != 0 {
				t.Errorf("%d faults", p.Info().InErrors)
			}
		})
	}
}

func TestUnixFFmpeg(t *testing.T) {
	t.Parallel()
	const video = "-f lavfi -i testsrc2=size=320x240:rate=25 -pix_fmt yuv420p " + h264
	path := pulltest.SocketPath(t)
	r, l := pulltest.Run(t, Source{URL: "unix+rtp://" + path, SDP: ffmpegSDP(t, video)})
	routertest.Eventually(t, "the socket is there", func() bool { _, err := os.Lstat(path); return err == nil })
	pulltest.Send(t, video+" -t 2 -packetsize 1200 -f rtp unix:"+path)
	checkFrames(t, pulltest.Read(t, r, 40).Units[0], 40)
	routertest.Eventually(t, "the end is noticed", func() bool {
		return strings.Contains(l.String(), "the sender closed the connection")
	})
	if strings.Contains(l.String(), "level=WARN msg=\"data are") {
		t.Error("there are faults")
	}
}

func TestMulticast(t *testing.T) {
	t.Parallel()
	const video = "-f lavfi -i testsrc2=size=320x240:rate=25 -pix_fmt yuv420p " + h264
	port := freePort(t)
	r, _ := pulltest.Run(t, Source{
		URL: fmt.Sprintf("udp+rtp://239.77.4.1:%d?source=127.0.0.1&interface=127.0.0.1", port), SDP: ffmpegSDP(t, video),
	})
	pulltest.Send(t, video+fmt.Sprintf(" -f rtp rtp://239.77.4.1:%d?localaddr=127.0.0.1", port))
	checkFrames(t, pulltest.Read(t, r, 20).Units[0], 20)
}

func TestTransports(t *testing.T) {
	t.Parallel()
	framed := func(c net.Conn, n int) {
		var b []byte
		for i := range 3 {
			p := marshal(packet(1, 3*n+i))
			b = append(binary.BigEndian.AppendUint16(b, uint16(len(p))), p...)
		}
		half := n % len(b)
		_, _ = c.Write(b[:half])
		_, _ = c.Write(b[half:])
	}
	for _, ca := range []struct {
		name, url, dial string
		write           func(net.Conn, int)
	}{
		{"udp", "udp+rtp://127.0.0.1:%d", "udp", keyFrame},
		{"all addresses", "udp+rtp://:%d?source=127.0.0.1", "udp", keyFrame},
		{"unix datagrams", "unix+rtp://%s?type=datagram", "unixgram", keyFrame},
		{"unix, one write per packet", "unix+rtp://%s", "unix", keyFrame},
		{"unix, framed", "unix+rtp://%s", "unix", framed},
	} {
		t.Run(ca.name, func(t *testing.T) {
			t.Parallel()
			var url, addr string
			if ca.dial == "udp" {
				port := freePort(t)
				url, addr = fmt.Sprintf(ca.url, port), fmt.Sprintf("127.0.0.1:%d", port)
			} else {
				addr = pulltest.SocketPath(t)
				url = fmt.Sprintf(ca.url, addr)
			}
			r, _ := pulltest.Run(t, Source{URL: url, SDP: videoSDP})
			feeder(t, ca.dial, addr, ca.write)
			for i, u := range pulltest.Read(t, r, 20).Units[0] {
				if !isKeyFrame(u) {
					t.Fatalf("unit %d: %x", i, u.Payload)
				}
			}
			if p, _ := r.Path("cam"); p.Info().InErrors != 0 {
				t.Errorf("%d faults", p.Info().InErrors)
			}
		})
	}
}

// Several media on one port, in a network that reorders, duplicates and pads.
func TestPayloadTypes(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	r, l := pulltest.Run(t, Source{URL: udpURL(port), SDP: bothSDP})
	feeder(t, "udp", fmt.Sprintf("127.0.0.1:%d", port), func(c net.Conn, n int) {
		for _, i := range []int{0, 2, 1, 1} {
			p := packet(1, 3*n+i)
			if n > 0 && i == 1 {
				p.Padding, p.PaddingSize = true, 5
				p.Header.PaddingSize = 5
			}
			_, _ = c.Write(marshal(p))
		}
		_, _ = c.Write(marshal(&rtp.Packet{
			Header:  rtp.Header{Version: 2, PayloadType: 97, SequenceNumber: uint16(n), Timestamp: uint32(n * 960), SSRC: 2},
			Payload: []byte{0xfc, 1, byte(n)},
		}))
		_, _ = c.Write(marshal(&rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: 98}, Payload: []byte{1}}))
	})
	got := pulltest.Read(t, r, 50)
	if got.Names() != "H264,Opus" || len(got.Units[1]) < 40 {
		t.Errorf("tracks %s, %d units of audio", got.Names(), len(got.Units[1]))
	}
	for i, u := range got.Units[0] {
		if !isKeyFrame(u) || i > 0 && u.PTS != got.Units[0][i-1].PTS+3600 {
			t.Fatalf("unit %d: %d %x", i, u.PTS, u.Payload)
		}
	}
	_ = r.Close()
	if s := l.String(); strings.Count(s, "level=WARN") > 3 || !strings.Contains(s, "payload type 98 is not in the SDP") {
		t.Errorf("log: %s", s)
	}
}

// Sender reports align the tracks, on the next port and on the same.
func TestSenderReports(t *testing.T) {
	t.Parallel()
	for _, next := range []int{0, 1} {
		t.Run(fmt.Sprint("port+", next), func(t *testing.T) {
			t.Parallel()
			port := freePort(t)
			past := time.Date(2010, 1, 2, 3, 4, 5, 0, time.UTC)
			ntp := uint64(past.Unix()+2208988800) << 32
			r, _ := pulltest.Run(t, Source{URL: udpURL(port), SDP: bothSDP}, func(c *router.PathConfig) { c.UseAbsoluteTimestamp = true })
			reports, err := net.Dial("udp", fmt.Sprintf("127.0.0.1:%d", port+next))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = reports.Close() }()
			feeder(t, "udp", fmt.Sprintf("127.0.0.1:%d", port), func(c net.Conn, n int) {
				keyFrame(c, n)
				// audio is a second behind: what it plays now was captured with frame n-25
				_, _ = c.Write(marshal(&rtp.Packet{
					Header:  rtp.Header{Version: 2, PayloadType: 97, SequenceNumber: uint16(n), Timestamp: uint32(n * 1920), SSRC: 2},
					Payload: []byte{0xfc, 1, byte(n)},
				}))
				for ssrc, ts := range map[uint32]uint32{1: 0, 2: 48000} {
					sr := rtcp.SenderReport{SSRC: ssrc, NTPTime: ntp, RTPTime: ts}
					if b, err := sr.Marshal(); err == nil {
						_, _ = reports.Write(b)
					}
				}
			})
			routertest.Eventually(t, "tracks are aligned", func() bool {
				got := pulltest.Read(t, r, 5)
				if len(got.Units[1]) == 0 {
					return false
				}
				v, a := got.Units[0][4], got.Units[1][len(got.Units[1])-1]
				behind := media.Duration(v.PTS, 90000) - media.Duration(a.PTS, 48000)
				return v.NTP.UTC().Year() == 2010 && behind > 900*time.Millisecond && behind < 1100*time.Millisecond
			})
		})
	}
}

// Another sender takes over when the first one has gone; until then it is kept
// apart.
func TestSenders(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	r, l := pulltest.Run(t, Source{URL: udpURL(port), SDP: videoSDP})
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	t.Run("two", func(t *testing.T) {
		feeder(t, "udp", addr, func(c net.Conn, n int) {
			for i := range 3 {
				_, _ = c.Write(marshal(packet(1, 3*n+i)))
				p := packet(2, 3*n+i+30000)
				p.Payload = testPPS
				_, _ = c.Write(marshal(p))
			}
		})
		for _, u := range pulltest.Read(t, r, 50).Units[0] {
			if !isKeyFrame(u) {
				t.Fatalf("%x", u.Payload)
			}
		}
	})
	t.Run("successor", func(t *testing.T) {
		s := routertest.WaitReady(t, r, "cam")
		feeder(t, "udp", addr, func(c net.Conn, n int) {
			for i := range 3 {
				_, _ = c.Write(marshal(packet(3, 3*n+i+40000-40000%3)))
			}
		})
		pulltest.Read(t, r, 50)
		if s.Err() != nil {
			t.Errorf("the stream ended: %v", s.Err())
		}
	})
	_ = r.Close()
	if !strings.Contains(l.String(), "another sender") {
		t.Error("no warning")
	}
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	r, l := pulltest.Run(t, Source{URL: udpURL(port), SDP: videoSDP, ReadTimeout: 300 * time.Millisecond})
	routertest.Eventually(t, "the source gives up", func() bool { return strings.Contains(l.String(), "nothing arrived for 300ms") })
	for range 2 { // senders come and go
		t.Run("sender", func(t *testing.T) {
			feeder(t, "udp", addr, keyFrame)
			pulltest.Read(t, r, 5)
		})
		routertest.Eventually(t, "the stream is over", func() bool { p, ok := r.Path("cam"); return ok && p.Stream() == nil })
	}
	feeder(t, "udp", addr, func(c net.Conn, n int) { _, _ = c.Write([]byte{byte(n), 2, 3}) })
	routertest.Eventually(t, "garbage does not count", func() bool {
		return strings.Contains(l.String(), "no valid packet arrived for 300ms")
	})
}

func TestGarbage(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	r, l := pulltest.Run(t, Source{URL: udpURL(port), SDP: bothSDP})
	feeder(t, "udp", fmt.Sprintf("127.0.0.1:%d", port), func(c net.Conn, n int) {
		b := make([]byte, n%200)
		for i := range b {
			b[i] = byte(i * n)
		}
		if len(b) > 1 && n%2 == 0 {
			b[0], b[1] = 0x80|byte(n)&0x3f, 96+byte(n&1)
		}
		_, _ = c.Write(b)
		keyFrame(c, n)
	})
	for _, u := range pulltest.Read(t, r, 300).Units[0] {
		if len(u.Payload) == 0 {
			t.Error("an empty unit")
		}
	}
	_ = r.Close()
	if s := l.String(); strings.Contains(s, "panic") || strings.Count(s, "level=WARN") > 3 {
		t.Errorf("log: %s", s)
	}
}

// The port of RTCP is taken: nothing else is missing.
func TestPortTaken(t *testing.T) {
	t.Parallel()
	for range 20 {
		port := freePort(t)
		c, err := net.ListenPacket("udp", fmt.Sprintf("127.0.0.1:%d", port+1))
		if err != nil {
			continue
		}
		t.Cleanup(func() { _ = c.Close() })
		r, l := pulltest.Run(t, Source{URL: udpURL(port), SDP: videoSDP})
		feeder(t, "udp", fmt.Sprintf("127.0.0.1:%d", port), keyFrame)
		pulltest.Read(t, r, 5)
		if !strings.Contains(l.String(), "RTCP on its own port cannot be received") {
			t.Error("no warning")
		}
		return
	}
	t.Fatal("no two ports are free")
}

func TestConformance(t *testing.T) {
	t.Run("udp", func(t *testing.T) {
		port := freePort(t)
		routertest.TestSource(t, func() router.Source { return Source{URL: udpURL(port), SDP: bothSDP} },
			func(t testing.TB) { feeder(t, "udp", fmt.Sprintf("127.0.0.1:%d", port), keyFrame) })
	})
	t.Run("unix", func(t *testing.T) {
		path := pulltest.SocketPath(t)
		routertest.TestSource(t, func() router.Source { return Source{URL: "unix+rtp://" + path, SDP: bothSDP} },
			func(t testing.TB) { feeder(t, "unix", path, keyFrame) })
	})
}
