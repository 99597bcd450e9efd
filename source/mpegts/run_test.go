package mpegts

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
	"github.com/org/mtx/router/routertest"
	"github.com/org/mtx/source/internal/pulltest"
)

// Streams of ffmpeg, with frames counted: none is lost and time goes by as it
// should.
func TestFFmpeg(t *testing.T) {
	t.Parallel()
	for _, ca := range []struct{ name, codecs, want string }{
		{"h264 and aac", "-c:v libx264 -preset ultrafast -tune zerolatency -g 10 -c:a aac", "H264,MPEG-4 Audio"},
		{"h264 with b-frames and ac-3", "-c:v libx264 -preset ultrafast -bf 2 -g 10 -c:a ac3", "H264,AC3"},
		{"h265 and opus", "-c:v libx265 -preset ultrafast -x265-params log-level=none:keyint=10 -c:a libopus", "H265,Opus"},
		{"mpeg-2 and mp2", "-c:v mpeg2video -g 10 -c:a mp2", "MPEG-1/2 Video,MPEG-1/2 Audio"},
	} {
		t.Run(ca.name, func(t *testing.T) {
			t.Parallel()
			port := freePort(t)
			r, _ := pulltest.Run(t, Source{URL: udpURL(port), UDPReadBufferSize: 1 << 17})
			pulltest.Send(t, testSources+ca.codecs+fmt.Sprintf(" -f mpegts udp://127.0.0.1:%d?pkt_size=1316", port))
			got := pulltest.Read(t, r, 40)
			if got.Names() != ca.want {
				t.Fatalf("tracks %s, want %s", got.Names(), ca.want)
			}
			checkTime(t, got, 40)
			if p, _ := r.Path("cam"); p.Info().InErrors != 0 {
				t.Errorf("%d faults", p.Info().InErrors)
			}
		})
	}
}

// checkTime checks that n frames of 25 a second have no gap, and that audio goes
// along.
func checkTime(t *testing.T, got pulltest.Received, n int) {
	t.Helper()
	seen := map[int64]bool{}
	first, last := got.Units[0][0].PTS, got.Units[0][0].PTS
	for _, u := range got.Units[0] {
		first, last = min(first, u.PTS), max(last, u.PTS)
		seen[(u.PTS+1800)/3600] = true
	}
	if len(seen) != n || last-first > int64(n+3)*3600 {
		t.Errorf("%d frames from %d to %d, want %d", len(seen), first, last, n)
	}
	if !got.Units[0][0].RandomAccess {
		t.Error("the first frame is no key frame")
	}
	if len(got.Units) < 2 {
		return
	}
	rate := got.Tracks[1].Codec.ClockRate()
	prev := int64(-1 << 62)
	for _, u := range got.Units[1] {
		if u.PTS <= prev {
			t.Errorf("audio goes back from %d to %d", prev, u.PTS)
		}
		prev = u.PTS
	}
	if d := media.Duration(prev, rate) - media.Duration(last, 90000); d > time.Second || d < -time.Second {
		t.Errorf("audio is %v ahead of video", d)
	}
}

func TestTransports(t *testing.T) {
	t.Parallel()
	stream := encode(t, h264AAC)
	aligned := cut(stream, 1316)
	for _, ca := range []struct {
		name   string
		url    string // with the port for %d, or the socket for %s
		dial   string // network
		pieces [][]byte
	}{
		{"udp", "udp+mpegts://127.0.0.1:%d", "udp", aligned},
		{"old scheme", "udp://127.0.0.1:%d", "udp", aligned},
		{"all addresses", "udp+mpegts://:%d", "udp", aligned},
		{"wanted source", "udp+mpegts://0.0.0.0:%d?source=127.0.0.1", "udp", aligned},
		{"one packet per datagram", "udp+mpegts://127.0.0.1:%d", "udp", cut(stream, 188)},
		{"packets torn apart", "udp+mpegts://127.0.0.1:%d", "udp", cut(stream, 1000)},
		{"large datagrams", "udp+mpegts://127.0.0.1:%d", "udp", cut(stream, 20*1316+5)},
		{"rtp inside udp", "udp+mpegts://127.0.0.1:%d", "udp", inRTP(aligned)},
		{"unix", "unix+mpegts://%s", "unix", cut(stream, 5000)},
		{"unix datagrams", "unix+mpegts://%s?type=datagram", "unixgram", aligned},
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
			r, _ := pulltest.Run(t, Source{URL: url})
			feeder(t, ca.dial, addr, ca.pieces)
			got := pulltest.Read(t, r, 20)
			if got.Names() != "H264,MPEG-4 Audio" {
				t.Errorf("tracks %s", got.Names())
			}
			_ = r.Close()
			if ca.dial != "udp" {
				if _, err := os.Lstat(addr); err == nil {
					t.Error("the socket is left")
				}
			}
		})
	}
}

// inRTP packs pieces as RFC 2250 does, with RTCP in between.
func inRTP(pieces [][]byte) [][]byte {
	var out [][]byte
	for i, p := range pieces {
		h := []byte{0x80, 33, byte(i >> 8), byte(i), 0, 0, 0, 0, 1, 2, 3, 4}
		switch i % 3 {
		case 1: // CSRC and extension
			h[0] |= 0x11
			h = append(h, 9, 9, 9, 9, 0xbe, 0xde, 0, 1, 0, 0, 0, 0)
		case 2: // padding
			h[0] |= 0x20
			p = append(bytes.Clone(p), 0, 0, 3)
		}
		out = append(out, append(h, p...))
		if i%10 == 0 {
			out = append(out, []byte{0x80, 200, 0, 6, 1, 2, 3, 4, 0, 0, 0, 0})
		}
	}
	return out
}

func TestMulticast(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	r, _ := pulltest.Run(t, Source{URL: fmt.Sprintf("udp+mpegts://239.77.3.1:%d?source=127.0.0.1&interface=127.0.0.1", port)})
	pulltest.Send(t, testSources+"-c:v libx264 -preset ultrafast -tune zerolatency -g 10 -c:a aac "+
		fmt.Sprintf("-f mpegts udp://239.77.3.1:%d?pkt_size=1316&localaddr=127.0.0.1", port))
	checkTime(t, pulltest.Read(t, r, 20), 20)
}

func TestUnixFFmpeg(t *testing.T) {
	t.Parallel()
	path := pulltest.SocketPath(t)
	r, l := pulltest.Run(t, Source{URL: "unix+mpegts://" + path})
	routertest.Eventually(t, "the socket is there", func() bool { _, err := os.Lstat(path); return err == nil })
	pulltest.Send(t, testSources+"-t 2 -c:v libx264 -preset ultrafast -tune zerolatency -g 10 -c:a aac -f mpegts unix:"+path)
	checkTime(t, pulltest.Read(t, r, 40), 40)
	routertest.Eventually(t, "the end is noticed", func() bool {
		return strings.Contains(l.String(), "the sender closed the connection")
	})
	feeder(t, "unix", path, cut(encode(t, h264AAC), 5000)) // the router starts it again
	pulltest.Read(t, r, 5)
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	r, l := pulltest.Run(t, Source{URL: udpURL(port), ReadTimeout: 300 * time.Millisecond})
	routertest.Eventually(t, "the source gives up", func() bool { return strings.Contains(l.String(), "nothing arrived for 300ms") })
	pieces := cut(encode(t, h264AAC), 1316)
	for range 2 { // senders come and go
		t.Run("sender", func(t *testing.T) {
			feeder(t, "udp", fmt.Sprintf("127.0.0.1:%d", port), pieces)
			pulltest.Read(t, r, 5)
		})
		routertest.Eventually(t, "the stream is over", func() bool { p, ok := r.Path("cam"); return ok && p.Stream() == nil })
	}
}

// Datagrams of the wrong sender do not count.
func TestSourceFilter(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	_, l := pulltest.Run(t, Source{URL: fmt.Sprintf("udp://127.0.0.1:%d?source=127.0.0.77", port), ReadTimeout: 300 * time.Millisecond})
	feeder(t, "udp", fmt.Sprintf("127.0.0.1:%d", port), cut(encode(t, h264AAC), 1316))
	routertest.Eventually(t, "the source gives up", func() bool { return strings.Contains(l.String(), "nothing arrived") })
	if strings.Contains(l.String(), "stream is available") {
		t.Error("it was published")
	}
}

// A program with other tracks: the stream ends and begins anew.
func TestProgramChange(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	c, err := net.Dial("udp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	one := cut(encode(t, h264AAC), 1316)
	two := cut(encode(t, "-t 2 -c:v mpeg2video -g 10 -c:a mp2"), 1316)
	r, l := pulltest.Run(t, Source{URL: udpURL(port)})
	for _, ca := range []struct {
		pieces [][]byte
		want   string
	}{{one, "H264,MPEG-4 Audio"}, {two, "MPEG-1/2 Video,MPEG-1/2 Audio"}, {one, "H264,MPEG-4 Audio"}} {
		i := 0
		routertest.Eventually(t, ca.want, func() bool {
			_, _ = c.Write(ca.pieces[i%len(ca.pieces)])
			i++
			p, ok := r.Path("cam")
			return ok && p.Stream() != nil && pulltest.Names(p.Stream().Tracks()) == ca.want
		})
	}
	if !strings.Contains(l.String(), "have changed") {
		t.Error("the reason is missing")
	}
}

// A sender that starts over: time goes on.
func TestTimeJump(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	long := strings.Replace(h264AAC, "-t 2", "-t 6", 1)
	early, late := encode(t, long), encode(t, long+" -output_ts_offset 5000")
	pieces := append(append(cut(late, 1316), cut(early, 1316)...), cut(late, 1316)...)
	r, _ := pulltest.Run(t, Source{URL: udpURL(port)})
	feeder(t, "udp", fmt.Sprintf("127.0.0.1:%d", port), pieces)
	got := pulltest.Read(t, r, 600) // more than all of it
	for track, units := range got.Units {
		rate := got.Tracks[track].Codec.ClockRate()
		for i, u := range units[1:] {
			if d := media.Duration(u.PTS-units[i].PTS, rate); d > 3*time.Second || d < -3*time.Second {
				t.Fatalf("track %d: unit %d is %v after the one before", track, i+1, d)
			}
		}
	}
}

// Garbage, bit errors and lost packets cost frames and nothing else.
func TestDamage(t *testing.T) {
	t.Parallel()
	stream := encode(t, h264AAC)
	var pieces [][]byte // long enough that the damage is elsewhere each time
	for range 5 {
		pieces = append(pieces, cut(stream, 1316)...)
	}
	for _, ca := range []struct {
		name   string
		damage func(i int, p []byte) [][]byte
	}{
		{"lost packets", func(i int, p []byte) [][]byte {
			if i%31 == 3 {
				return nil
			}
			return [][]byte{p}
		}},
		{"garbage in between", func(i int, p []byte) [][]byte {
			if i%31 == 2 {
				return [][]byte{bytes.Repeat([]byte{0x13, 0x47, 0x80}, 100+i%500), p}
			}
			return [][]byte{p}
		}},
		{"bit errors", func(i int, p []byte) [][]byte {
			p = bytes.Clone(p)
			for k := range 5 {
				if i%17 == 2 {
					p[(i*31+k*257)%len(p)] ^= 1 << (k % 8)
				}
			}
			return [][]byte{p}
		}},
		{"torn packets", func(i int, p []byte) [][]byte {
			if i%31 == 2 {
				return [][]byte{p[:len(p)*2/3]}
			}
			return [][]byte{p}
		}},
		{"wrong clock", func(i int, p []byte) [][]byte {
			p = bytes.Clone(p)
			for k := 0; i > 20 && k+188 <= len(p); k += 188 {
				if p[k+3]&0x20 != 0 && p[k+4] > 6 && p[k+5]&0x10 != 0 {
					binary.BigEndian.PutUint32(p[k+6:], uint32(i)*2654435761)
				}
			}
			return [][]byte{p}
		}},
	} {
		t.Run(ca.name, func(t *testing.T) {
			t.Parallel()
			var bad [][]byte
			for i, p := range pieces {
				bad = append(bad, ca.damage(i, p)...)
			}
			port := freePort(t)
			r, l := pulltest.Run(t, Source{URL: udpURL(port)})
			feeder(t, "udp", fmt.Sprintf("127.0.0.1:%d", port), bad)
			got := pulltest.Read(t, r, 50)
			if got.Names() != "H264,MPEG-4 Audio" {
				t.Errorf("tracks %s", got.Names())
			}
			p, _ := r.Path("cam")
			if n := p.Info().InErrors; n == 0 && ca.name != "wrong clock" {
				t.Error("no fault is counted")
			}
			_ = r.Close()
			if n := strings.Count(l.String(), "level=WARN"); n > 6 || strings.Contains(l.String(), "panic") {
				t.Errorf("%d warnings", n)
			}
		})
	}
}

// Nothing but garbage: no stream, few lines, and it is not waited for longer than silence is.
func TestGarbage(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	garbage := make([][]byte, 97)
	for i := range garbage {
		garbage[i] = bytes.Repeat([]byte{byte(i), 0x47, byte(i * 7)}, i*i)
	}
	r, l := pulltest.Run(t, Source{URL: udpURL(port), ReadTimeout: time.Second})
	feeder(t, "udp", fmt.Sprintf("127.0.0.1:%d", port), garbage)
	routertest.Eventually(t, "a warning", func() bool { return strings.Contains(l.String(), "data are lost or invalid") })
	routertest.Eventually(t, "the source gives up", func() bool { return strings.Contains(l.String(), "no media arrived for 1s") })
	_ = r.Close()
	if n := strings.Count(l.String(), "level=WARN"); n > 3 || strings.Contains(l.String(), "stream is available") {
		t.Errorf("%d warnings:\n%s", n, l)
	}
}

func TestExpand(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	src := Source{URL: "udp+mpegts://127.0.0.1:$G1"}
	if err := src.Validate(); err != nil {
		t.Fatal(err)
	}
	r := routertest.New(t, router.Config{Paths: []router.PathConfig{{
		Name: "~^on-(.+)$", Source: src, OnDemand: router.OnDemand{Enabled: true},
	}}})
	feeder(t, "udp", fmt.Sprintf("127.0.0.1:%d", port), cut(encode(t, h264AAC), 1316))
	rd, err := r.Read(t.Context(), fmt.Sprintf("on-%d", port), router.SubscribeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer rd.Close()
	if _, _, err := rd.Next(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for _, ca := range []struct {
		src  Source
		want string // in the error; empty if valid
	}{
		{Source{URL: "udp://:1"}, ""},
		{Source{URL: "udp+mpegts://[ff02::1]:1?interface=a"}, ""},
		{Source{URL: "unix+mpegts:///a"}, ""},
		{Source{URL: "udp+mpegts://$G1"}, ""},
		{Source{}, "udp+mpegts://"},
		{Source{URL: "udp+rtp://:1"}, "udp+mpegts://"},
		{Source{URL: "udp://:0"}, `port "0"`},
		{Source{URL: "udp://:1", UDPReadBufferSize: -1}, "UDP read buffer size -1"},
		{Source{URL: "udp://:1", ReadTimeout: -time.Second}, "read timeout -1s"},
	} {
		err := ca.src.Validate()
		if (err == nil) != (ca.want == "") || err != nil && !strings.Contains(err.Error(), ca.want) {
			t.Errorf("%+v: %v", ca.src, err)
		}
	}
}

func TestConformance(t *testing.T) {
	stream := cut(encode(t, h264AAC), 1316)
	t.Run("udp", func(t *testing.T) {
		port := freePort(t)
		routertest.TestSource(t, func() router.Source { return Source{URL: udpURL(port)} },
			func(t testing.TB) { feeder(t, "udp", fmt.Sprintf("127.0.0.1:%d", port), stream) })
	})
	t.Run("unix", func(t *testing.T) {
		path := pulltest.SocketPath(t)
		routertest.TestSource(t, func() router.Source { return Source{URL: "unix+mpegts://" + path} },
			func(t testing.TB) { feeder(t, "unix", path, stream) })
	})
}
