package rtsp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/pion/rtp"

	"github.com/org/mtx/router/routertest"
)

// healthy is a stream with readers that must not miss anything, whatever others
// do to the server.
type healthy struct {
	feed    *feed
	readers []*reader
}

func (g *rig) healthy() *healthy {
	p := g.publish("healthy", overTCP, oneVideo())
	f := g.feed(p, 2*time.Millisecond)
	return &healthy{f, []*reader{g.read("healthy", overTCP), g.read("healthy", overUDP)}}
}

func (h *healthy) check(t *testing.T) {
	t.Helper()
	n := h.feed.stop()
	for _, rd := range h.readers {
		samePrefix(t, rd, n)
	}
}

// quickServer gives up on silent clients soon.
func quickServer() *Server {
	s := plainServer()
	s.ReadTimeout = time.Second
	return s
}

func TestGarbage(t *testing.T) {
	t.Parallel()
	g := newRig(t, anyPath(), quickServer())
	h := g.healthy()
	u := g.url("s")
	long := strings.Repeat("x", 10<<20)
	inputs := map[string]string{
		"zeros":                   strings.Repeat("\x00", 100000),
		"text":                    strings.Repeat("hello\r\n", 1000),
		"half a request":          "OPTIONS " + u + " RTSP/1.0\r\nCSeq: 1\r\n",
		"one byte":                "O",
		"long method":             "OPTIONS" + long,
		"long URL":                "OPTIONS rtsp://" + long,
		"long protocol":           "OPTIONS * " + long,
		"10 MB of header":         "OPTIONS * RTSP/1.0\r\nCSeq: 1\r\nX: " + long,
		"many headers":            "OPTIONS * RTSP/1.0\r\n" + strings.Repeat("X: y\r\n", 100000),
		"huge body":               "ANNOUNCE " + u + " RTSP/1.0\r\nCSeq: 1\r\nContent-Length: 18446744073709551615\r\n\r\n",
		"large body":              "ANNOUNCE " + u + " RTSP/1.0\r\nCSeq: 1\r\nContent-Length: 1000000000\r\n\r\n",
		"negative body":           "ANNOUNCE " + u + " RTSP/1.0\r\nCSeq: 1\r\nContent-Length: -1\r\n\r\n",
		"body that does not come": "ANNOUNCE " + u + " RTSP/1.0\r\nCSeq: 1\r\nContent-Length: 1000\r\n\r\nabc",
		"wrong version":           "OPTIONS * RTSP/9.0\r\nCSeq: 1\r\n\r\n",
		"invalid URL":             "DESCRIBE rtsp://user:pass1234@[::1/x RTSP/1.0\r\nCSeq: 1\r\n\r\n",
		"relative URL":            "DESCRIBE /s RTSP/1.0\r\nCSeq: 1\r\n\r\n",
		"URL without a path":      "DESCRIBE * RTSP/1.0\r\nCSeq: 1\r\n\r\n",
		"no CSeq":                 "OPTIONS * RTSP/1.0\r\n\r\n",
		"response":                "RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n",
		"frame":                   "$\x00\x00\x04abcd",
		"half a frame":            "$\x00\xff\xffabcd",
		"HTTP":                    "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"HTTP without end":        "GET / HTTP/1.1\r\nHost: x\r\n",
		"HTTP with a long header": "GET / HTTP/1.1\r\nX: " + long,
		"HTTP post":               "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n",
		"HTTP nonsense":           "GET \x00\x01\x02\r\n\r\n",
		"half a tunnel":           "GET /s HTTP/1.0\r\nX-Sessioncookie: a\r\nAccept: application/x-rtsp-tunnelled\r\n\r\n",
		"other half of a tunnel":  "POST /s HTTP/1.0\r\nX-Sessioncookie: b\r\nContent-Type: application/x-rtsp-tunnelled\r\n\r\n!!!!",
		"TLS":                     "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("\x55", 600),
		"WebSocket without key":   "GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Protocol: rtsp.onvif.org\r\n\r\n",
		"WebSocket garbage":       webSocketHello + "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
	}
	t.Run("clients", func(t *testing.T) {
		for name, in := range inputs {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				c := g.dial()
				c.t = t
				go func() { _, _ = io.WriteString(c, in) }()
				_, _ = io.Copy(io.Discard, c) // until it is closed
				var timeout net.Error
				if _, err := c.Read(make([]byte, 1)); errors.As(err, &timeout) && timeout.Timeout() {
					t.Error("the connection is not closed")
				}
			})
		}
	})
	h.check(t)
	g.noPanic()
	if g.log.Count("pass1234") != 0 {
		t.Error("the log tells a password")
	}
	routertest.Eventually(t, "one line for each connection", func() bool {
		return g.log.Count("connection opened") == g.log.Count("connection closed")+3
	})
	if n, m := strings.Count(g.log.String(), "\n"), g.log.Count("connection opened"); n > 3*m {
		t.Errorf("%d lines for %d connections", n, m)
	}
}

const webSocketHello = "GET /s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
	"Sec-WebSocket-Protocol: rtsp.onvif.org\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

// Clients that send the request of a WebSocket, and are gone when it is answered.
func TestWebSocketVanishes(t *testing.T) {
	t.Parallel()
	g := newRig(t, anyPath(), plainServer())
	h := g.healthy()
	for n := range 50 {
		c := g.dial()
		in := webSocketHello
		if n%3 == 0 {
			in = strings.ReplaceAll(in, "\r\n", "\n") + "\x82"
		}
		_, _ = io.WriteString(c, in)
		_ = c.Conn.(*net.TCPConn).SetLinger(0) // reset
		_ = c.Close()
	}
	h.check(t)
}

// A WebSocket cannot make the server keep a message of any size.
func TestHugeWebSocketMessage(t *testing.T) {
	t.Parallel()
	g := newRig(t, anyPath(), plainServer())
	c := g.dial()
	if _, err := io.WriteString(c, webSocketHello); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	if n, err := c.Read(buf); err != nil || !bytes.Contains(buf[:n], []byte(" 101 ")) {
		t.Fatalf("%q: %v", buf[:n], err)
	}
	// a request, so that the limit of the beginning does not count
	frame := func(first byte, payload []byte) {
		b := []byte{first, 0x80 | 127}
		b = binary.BigEndian.AppendUint64(b, uint64(len(payload)))
		b = append(b, 0, 0, 0, 0) // mask
		if _, err := c.Write(append(b, payload...)); err != nil {
			return // closed
		}
	}
	frame(0x82, []byte("OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n"))
	if n, err := c.Read(buf); err != nil || !bytes.Contains(buf[:n], []byte("200 OK")) {
		t.Fatalf("%q: %v", buf[:n], err)
	}
	frame(0x02, make([]byte, 1000))
	for range 20 {
		frame(0x00, make([]byte, 100000)) // parts of one message
	}
	c.closed()
	routertest.Eventually(t, "the reason is logged", func() bool { return g.log.Count(errWSMessage.Error()) == 1 })
}

func TestWSGuard(t *testing.T) {
	t.Parallel()
	small := append([]byte{0x82, 0x85, 1, 2, 3, 4}, "hello"...)
	medium := append([]byte{0x82, 0xfe, 1, 0, 1, 2, 3, 4}, make([]byte, 256)...)
	for name, c := range map[string]struct {
		in []byte
		ok bool
	}{
		"small":         {small, true},
		"several":       {slices.Concat(small, medium, []byte{0x89, 0}, small), true},
		"largest":       {append([]byte{0x82, 0x7f, 0, 0, 0, 0, 0, 0x10, 0, 0}, make([]byte, maxWSMessage)...), true},
		"too large":     {[]byte{0x82, 0x7f, 0, 0, 0, 0, 0, 0x10, 0, 1}, false},
		"overflow":      {[]byte{0x82, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, false},
		"long control":  {[]byte{0x89, 0x7e, 1, 0}, false},
		"many parts":    {slices.Concat([]byte{0x02, 0}, bytes.Repeat(append([]byte{0, 0x7e, 0xff, 0xff}, make([]byte, 65535)...), 17)), false},
		"parts in time": {slices.Concat([]byte{0x02, 0}, bytes.Repeat(append([]byte{0x82, 0x7e, 0xff, 0xff}, make([]byte, 65535)...), 17)), true},
	} {
		for _, step := range []int{1, 7, len(c.in)} {
			g, ok := &wsGuard{}, true
			for b := range slices.Chunk(c.in, step) {
				ok = ok && g.take(b)
			}
			if ok != c.ok {
				t.Errorf("%s, %d bytes at a time: %v", name, step, ok)
			}
		}
	}
}

// Connections that say nothing, or not enough, are closed, and leave nothing.
func TestSilentConnections(t *testing.T) {
	g := newRig(t, anyPath(), quickServer())
	h := g.healthy()
	before := runtime.NumGoroutine()
	const n = 1000
	var conns []*raw
	for i := range n {
		c := g.dial()
		switch i % 4 {
		case 1:
			_, _ = io.WriteString(c, "OPT")
		case 2:
			_, _ = io.WriteString(c, "OPTIONS * RTSP/1.0\r\nCSeq: 1\r\nX: y")
		case 3:
			_, _ = io.WriteString(c, "SETUP")
		}
		conns = append(conns, c)
	}
	for _, c := range conns {
		c.closed()
	}
	routertest.Eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= before+5 })
	routertest.Eventually(t, "the reason is logged", func() bool { return g.log.Count("no request came in time") == n })
	h.check(t)
}

// A request every now and then keeps a connection.
func TestPatientConnection(t *testing.T) {
	t.Parallel()
	g := newRig(t, anyPath(), quickServer())
	c := g.dial()
	c.want(200, base.Options, g.url("s"), nil)
	time.Sleep(2 * quickServer().ReadTimeout) // longer than what is given to those that say nothing
	c.want(200, base.Options, g.url("s"), nil)
}

// A publisher that is silent is closed.
func TestSilentPublisher(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]mode{"tcp": overTCP, "udp": overUDP} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := plainServer()
			srv.ReadTimeout = time.Second
			g := newRig(t, anyPath(), srv)
			p := g.publish("s", m, oneVideo())
			_ = over(t, "publisher", p.done)
			routertest.Eventually(t, "the stream ends", func() bool {
				path, ok := g.r.Path("s")
				return !ok || path.Stream() == nil
			})
		})
	}
}

// Bad packets are counted and reported, few times, and the good ones go on.
func TestBadPackets(t *testing.T) {
	t.Parallel()
	g := newRig(t, anyPath(), plainServer())
	h := g.healthy()
	p := g.recordRaw("s", h264SDP, 1)
	rd := g.read("s", overTCP)
	good := func(seq uint16) {
		p.packet(0, h264Frame(96, seq, uint32(seq)*3000, 1, 100)[0])
	}
	head := []byte{0x80, 0xe0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 1}
	with := func(first byte, rest ...byte) []byte {
		b := append(bytes.Clone(head), rest...)
		b[0] = first
		return b
	}
	good(1)
	for range 200 {
		for _, bad := range [][]byte{
			nil, {0x80}, head[:11], with(0x40, 1), with(0x8f, 1, 2, 3), // truncated, wrong version, missing CSRC
			with(0xa0, 1, 2, 200),                 // padding longer than the payload
			with(0xa0, 0),                         // padding of nothing
			with(0xa0),                            // padding, no payload
			with(0x90, 0xbe, 0xde, 0xff, 0xff, 1), // extension longer than the packet
			{0x80, 0x61, 0, 9, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2}, // unknown payload type
		} {
			p.frame(0, bad)
		}
		p.frame(1, []byte{0x80, 0xc8, 0xff, 0xff})   // RTCP, truncated
		p.frame(1, bytes.Repeat([]byte{0x81}, 5000)) // too large
		p.frame(77, []byte("a channel of nobody"))
	}
	good(2)
	rd.await("the good packets", func() bool {
		pkts := rd.packets[[2]int{0, 96}]
		return len(pkts) >= 2 && slices.ContainsFunc(pkts, func(p *rtp.Packet) bool { return p.SequenceNumber == 2 })
	})
	d := g.sessions("publish")
	i := slices.IndexFunc(d, func(d *SessionDetails) bool { return d.Path == "s" })
	if d[i].InboundRTPPacketsInError == 0 || d[i].InboundRTCPPacketsInError == 0 {
		t.Errorf("%+v", d[i])
	}
	if n := g.log.Count("invalid packets"); n != 1 {
		t.Errorf("%d lines about invalid packets", n)
	}
	_ = p.Close()
	h.check(t)
	g.noPanic()
}

// Connections that are cut in the middle of a frame.
func TestCutConnections(t *testing.T) {
	t.Parallel()
	g := newRig(t, anyPath(), plainServer())
	h := g.healthy()
	for n := range 20 {
		p := g.recordRaw("s", h264SDP, 1)
		b, err := h264Frame(96, 1, 0, 1, 1000)[0].Marshal()
		if err != nil {
			t.Fatal(err)
		}
		b = append([]byte{'$', 0, byte(len(b) >> 8), byte(len(b))}, b...)
		_, _ = p.Write(b[:1+n*50])
		if n%2 == 0 {
			_ = p.Conn.(*net.TCPConn).SetLinger(0) // reset
		}
		_ = p.Close()
		routertest.Eventually(t, "the path is free", func() bool {
			path, ok := g.r.Path("s")
			return !ok || path.Stream() == nil
		})
	}
	h.check(t)
	g.noPanic()
}

func TestAbsurdDescriptions(t *testing.T) {
	t.Parallel()
	g := newRig(t, anyPath(), plainServer())
	h := g.healthy()
	many := func(n int, lines string) []string {
		var out []string
		for i := range n {
			out = append(out, strings.ReplaceAll(lines, "#", fmt.Sprint(i)))
		}
		return out
	}
	for name, body := range map[string][]byte{
		"nothing":                   {},
		"zeros":                     make([]byte, 1000),
		"text":                      []byte("hello"),
		"header only":               []byte(sdpHeader),
		"MPEG-4 ending in 00 00 01": sdp("m=video 0 RTP/AVP 96", "a=rtpmap:96 MP4V-ES/90000", "a=fmtp:96 config=000001B0303030000001"),
		"clock rate zero":           sdp("m=video 0 RTP/AVP 96", "a=rtpmap:96 X/0"),
		"clock rate negative":       sdp("m=video 0 RTP/AVP 96", "a=rtpmap:96 X/-90000"),
		"clock rate huge":           sdp("m=audio 0 RTP/AVP 96", "a=rtpmap:96 L16/99999999999999999999/2"),
		"no formats":                sdp("m=video 0 RTP/AVP"),
		"payload type 300":          sdp("m=video 0 RTP/AVP 300", "a=rtpmap:300 H264/90000"),
		"payload type -1":           sdp("m=video 0 RTP/AVP -1"),
		"payload type twice":        sdp("m=video 0 RTP/AVP 96 96", "a=rtpmap:96 H264/90000", "a=fmtp:96 packetization-mode=1"),
		"payload type many times":   sdp("m=audio 0 RTP/AVP" + strings.Repeat(" 0", 30000)),
		"port -1":                   sdp("m=video -1 RTP/AVP 96", "a=rtpmap:96 H264/90000"),
		"port 99999":                sdp("m=video 99999 RTP/AVP x"),
		"5000 sections":             sdp(many(5000, "m=audio 0 RTP/AVP 0")...),
		"10000 sections":            sdp(many(10000, "m=audio 0 RTP/AVP 0")...)[:128*1024],
		"129 sections":              sdp(many(129, "m=audio 0 RTP/AVP 0\r\na=control:trackID=#")...),
		"many names":                sdp(many(2500, "m=audio 0 RTP/AVP 0\r\na=mid:m#")...),
		"mid twice":                 sdp("m=audio 0 RTP/AVP 0", "a=mid:x", "m=audio 0 RTP/AVP 0", "a=mid:x"),
		"AAC without config":        sdp("m=audio 0 RTP/AVP 96", "a=rtpmap:96 mpeg4-generic/48000/2", "a=fmtp:96 sizelength=99;config="),
		"AAC with odd sizes":        sdp("m=audio 0 RTP/AVP 96", "a=rtpmap:96 mpeg4-generic/48000/2", "a=fmtp:96 sizelength=999999;indexlength=-3;config=1190"),
		"key-mgmt":                  sdp("a=key-mgmt:mikey AQAFAP1td", "m=audio 0 RTP/AVP 0"),
		"FEC group of nobody":       sdp("a=group:FEC a b", "m=audio 0 RTP/AVP 0"),
		"back channel":              sdp("m=audio 0 RTP/AVP 0", "m=audio 0 RTP/AVP 8", "a=sendonly"),
		"mode 0 many times":         sdp("m=video 0 RTP/AVP 96\r\n" + strings.Repeat("a=rtpmap:96 H264/\r\n", 6000)),
	} {
		t.Run(name, func(t *testing.T) {
			c := g.dial()
			c.t = t
			start := time.Now()
			if res := c.do(base.Announce, g.url("s"), body, contentSDP); res.StatusCode != base.StatusBadRequest {
				t.Errorf("status %d", res.StatusCode)
			}
			if d := time.Since(start); d > 5*time.Second {
				t.Errorf("it took %v", d)
			}
			c.closed()
		})
	}
	// tracks that cannot be received are left out, the others work
	p := g.recordRaw("s", sdp("m=audio 0 RTP/AVP 96", "a=rtpmap:96 X/0", "a=control:trackID=0",
		"m=video 0 RTP/AVP 97", "a=rtpmap:97 h264/90000", "a=fmtp:97 packetization-mode=0", "a=control:trackID=1"), 2)
	rd := g.read("s", overTCP)
	p.packet(2, h264Frame(97, 1, 0, 1, 100)[0])
	rd.got(0, 96, 1)
	h.check(t)
	g.noPanic()
}

// As many sections as there are channels.
func TestManySections(t *testing.T) {
	t.Parallel()
	g := newRig(t, anyPath(), plainServer())
	var lines []string
	for i := range maxMedias {
		lines = append(lines, "m=audio 0 RTP/AVP 0", fmt.Sprintf("a=control:trackID=%d", i))
	}
	p := g.recordRaw("s", sdp(lines...), maxMedias)
	c := g.dial()
	u := g.url("s")
	for i := range maxMedias { // the server chooses the channels
		c.want(200, base.Setup, fmt.Sprintf("%s/trackID=%d", u, i), nil, "Transport: RTP/AVP/TCP;unicast")
	}
	if res := c.want(200, base.Play, u, nil); res.Header["RTP-Info"] != nil {
		t.Errorf("a header of %d bytes", len(res.Header["RTP-Info"][0]))
	}
	g.awaitMedia(0)
	for _, i := range []int{0, 1, 127} {
		p.packet(byte(2*i), audioPacket(0, 5, 0, 100+i))
		for {
			what, err := c.c.Read()
			if err != nil {
				t.Fatal(err)
			}
			if f, ok := what.(*base.InterleavedFrame); ok && f.Channel == 2*i {
				if len(f.Payload) != 112+i {
					t.Errorf("section %d: %d bytes", i, len(f.Payload))
				}
				break
			}
		}
	}
}

// A publisher by UDP that cannot be sent to must not keep the path.
func TestUnreachablePublisher(t *testing.T) {
	t.Parallel()
	g := newRig(t, anyPath(), plainServer())
	u := g.url("s")
	for _, ports := range []string{"0-1", "0-0", "1-0", "65536-65537"} {
		c := g.dial()
		c.want(200, base.Announce, u, h264SDP, contentSDP)
		c.want(400, base.Setup, u+"/trackID=0", nil, "Transport: RTP/AVP;unicast;client_port="+ports+";mode=record")
		c.closed()
	}
	g.publish("s", overUDP, oneVideo())
}

// Reports of publishers come while their sessions end.
func TestReportsWhileSessionsEnd(t *testing.T) {
	t.Parallel()
	g := newRig(t, anyPath(), plainServer())
	h := g.healthy()
	in, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	port := in.LocalAddr().(*net.UDPAddr).Port
	sr := []byte{0x80, 200, 0, 6, 0, 0, 0, 1, 0xe8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	for range 30 {
		c := g.dial()
		u := g.url("s")
		c.want(200, base.Announce, u, sdp("m=audio 0 RTP/AVP 0 8", "a=control:trackID=0"), contentSDP)
		res := c.want(200, base.Setup, u+"/trackID=0", nil,
			fmt.Sprintf("Transport: RTP/AVP;unicast;client_port=%d-%d;mode=record", port, port))
		var rtpPort, rtcpPort int
		_, ports, _ := strings.Cut(res.Header["Transport"][0], "server_port=")
		if _, err := fmt.Sscanf(ports, "%d-%d", &rtpPort, &rtcpPort); err != nil {
			t.Fatal(err)
		}
		c.want(200, base.Record, u, nil)
		quit, done := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(done)
			for {
				select {
				case <-quit:
					return
				default:
					_, _ = in.WriteToUDP(sr, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: rtcpPort})
				}
			}
		}()
		c.want(200, base.Teardown, u, nil)
		routertest.Eventually(t, "the path is free", func() bool {
			path, ok := g.r.Path("s")
			return !ok || path.Stream() == nil
		})
		close(quit)
		<-done
		_ = c.Close()
	}
	h.check(t)
}

// Requests without end from somebody who reads no answers.
func TestRequestFlood(t *testing.T) {
	t.Parallel()
	srv := plainServer()
	srv.WriteTimeout = 500 * time.Millisecond
	g := newRig(t, anyPath(), srv)
	h := g.healthy()
	c := g.dial()
	_ = c.Conn.(*net.TCPConn).SetReadBuffer(4096)
	req := []byte(strings.Repeat("OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n", 1000))
	for {
		if _, err := c.Write(req); err != nil {
			break
		}
	}
	h.check(t)
	g.noPanic()
}

// Tunnels of readers that vanish.
func TestTunnelsVanish(t *testing.T) {
	t.Parallel()
	g := newRig(t, anyPath(), plainServer())
	h := g.healthy()
	for range 5 {
		for _, tun := range []gortsplib.Tunnel{gortsplib.TunnelHTTP, gortsplib.TunnelWebSocket} {
			g.read("healthy", mode{protocol: gortsplib.ProtocolTCP, tunnel: tun}).Close()
		}
	}
	routertest.WaitReaders(t, g.r, "healthy", 2)
	h.check(t)
	g.noPanic()
}
