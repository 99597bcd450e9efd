package rtsp

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/base"

	"github.com/org/mtx/router/media"
	"github.com/org/mtx/router/routertest"
)

// A reader that takes nothing loses packets, then its connection. Others lose nothing.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	srv := plainServer()
	srv.WriteTimeout = 500 * time.Millisecond
	srv.WriteQueueSize = 16
	g := newRig(t, anyPath(), srv)
	p := g.publish("s", overTCP, oneVideo())
	slow := g.dial()
	_ = slow.Conn.(*net.TCPConn).SetReadBuffer(4096)
	slow.want(200, base.Setup, g.url("s")+"/trackID=0", nil, tcpTransport)
	slow.want(200, base.Play, g.url("s"), nil)
	id := g.sessions("read")[0].ID
	rd := g.read("s", overTCP)
	var discarded uint64
	n := 0
	for deadline := time.Now().Add(patience); ; n++ {
		if time.Now().After(deadline) {
			t.Fatal("the slow reader is not disconnected")
		}
		p.write(0, h264Frame(96, uint16(10*n), uint32(n)*3000, 10, 1300)...)
		rd.got(0, 96, 10*(n+1))
		info, err := g.r.Session("rtspSession", id)
		if err != nil {
			break // it is gone
		}
		discarded = max(discarded, info.Details.(*SessionDetails).OutboundRTPPacketsDiscarded)
	}
	if discarded == 0 {
		t.Error("no packets were counted as discarded")
	}
	for i, pkt := range rd.got(0, 96, 10*n) {
		if pkt.SequenceNumber != uint16(i) {
			t.Fatalf("packet %d has number %d", i, pkt.SequenceNumber)
		}
	}
	for _, d := range g.sessions("read") {
		if d.OutboundRTPPacketsDiscarded != 0 {
			t.Errorf("the other reader lost %d packets", d.OutboundRTPPacketsDiscarded)
		}
	}
	for _, s := range []string{"nothing was taken by the other side", "packets were discarded"} {
		routertest.Eventually(t, fmt.Sprintf("%q in the log", s), func() bool { return g.log.Count(s) == 1 })
	}
}

func TestCounters(t *testing.T) {
	t.Parallel()
	g := newRig(t, anyPath(), plainServer())
	p := g.publish("s?a=b", overTCP, oneVideo())
	c := g.dial()
	c.want(200, base.Setup, g.url("s")+"/trackID=0?x=y", nil, tcpTransport)
	c.want(200, base.Play, g.url("s"), nil)
	g.awaitMedia(0)
	const frames, perFrame, size = 20, 3, 500
	for n := range frames {
		p.write(0, h264Frame(96, uint16(perFrame*n), uint32(n)*3000, perFrame, size)...)
	}
	media := 0
	for media < frames*perFrame {
		what, err := c.c.Read()
		if err != nil {
			t.Fatal(err)
		}
		if f, ok := what.(*base.InterleavedFrame); ok && f.Channel == 0 {
			media++
		}
	}
	const packet = 12 + size
	routertest.Eventually(t, "the reader's counters are right", func() bool {
		d := g.sessions("read")[0]
		return d.OutboundRTPPackets == frames*perFrame
	})
	d := g.sessions("read")[0]
	if want := uint64(frames * perFrame * packet); d.OutboundRTCPPackets == 0 && d.OutboundBytes != want {
		t.Errorf("%d bytes to the reader, want %d", d.OutboundBytes, want)
	}
	if d.Path != "s" || d.Query != "x=y" || *d.Transport != "TCP" || *d.Profile != "AVP" || len(d.Conns) != 1 ||
		d.BytesSent != d.OutboundBytes || d.RTPPacketsSent != d.OutboundRTPPackets || d.RTCPPacketsSent != d.OutboundRTCPPackets {
		t.Errorf("%+v", d)
	}
	pd := g.sessions("publish")[0]
	if pd.InboundRTPPackets != frames*perFrame || pd.InboundRTPPacketsLost != 0 || pd.Query != "a=b" ||
		pd.InboundBytes < frames*perFrame*packet || pd.BytesReceived != pd.InboundBytes || pd.RTPPacketsReceived != pd.InboundRTPPackets {
		t.Errorf("%+v", pd)
	}
	if pd.InboundRTCPPackets == 0 && pd.InboundBytes != frames*perFrame*packet {
		t.Errorf("%d bytes from the publisher, want %d", pd.InboundBytes, frames*perFrame*packet)
	}

	// the connection: everything that went through it
	info, err := g.r.Session("rtspConn", d.Conns[0])
	if err != nil {
		t.Fatal(err)
	}
	cd := info.Details.(*ConnDetails)
	if cd.Session == nil || *cd.Session != d.ID || cd.Tunnel != "none" || cd.BytesSent != cd.OutboundBytes || cd.BytesReceived != cd.InboundBytes {
		t.Errorf("%+v", cd)
	}
	p.Close()
	if path, ok := g.r.Path("s"); ok && path.Stream() != nil {
		routertest.Eventually(t, "the stream ends", func() bool { return path.Stream() == nil })
	}
}

// Every byte that a connection takes is counted once.
func TestConnBytes(t *testing.T) {
	t.Parallel()
	g := newRig(t, anyPath(), plainServer())
	p := g.publish("s", overTCP, oneVideo())
	nc, err := net.Dial("tcp", g.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = nc.Close() }()
	u := g.url("s")
	sent := 0
	send := func(s string) {
		sent += len(s)
		if _, err := io.WriteString(nc, s); err != nil {
			t.Fatal(err)
		}
	}
	send("SETUP " + u + "/trackID=0 RTSP/1.0\r\nCSeq: 1\r\n" + tcpTransport + "\r\n\r\n")
	var id string
	routertest.Eventually(t, "there is a session", func() bool {
		for _, s := range g.sessions("idle") {
			if len(s.Conns) == 1 {
				id = s.Conns[0]
			}
		}
		return id != ""
	})
	buf := make([]byte, 4096)
	received, err := nc.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	var session string
	for line := range strings.Lines(string(buf[:received])) {
		if strings.HasPrefix(line, "Session: ") {
			session, _, _ = strings.Cut(line, ";")
		}
	}
	send("PLAY " + u + " RTSP/1.0\r\nCSeq: 2\r\n" + session + "\r\n\r\n")
	g.awaitMedia(0)
	for n := range 10 {
		p.write(0, h264Frame(96, uint16(n), uint32(n)*3000, 1, 300)...)
	}
	_ = nc.SetReadDeadline(time.Now().Add(patience))
	details := func() *ConnDetails {
		info, err := g.r.Session("rtspConn", id)
		if err != nil {
			t.Fatal(err)
		}
		return info.Details.(*ConnDetails)
	}
	routertest.Eventually(t, "everything was sent", func() bool { return details().OutboundBytes > 10*316 })
	for received < int(details().OutboundBytes) {
		n, err := nc.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		received += n
	}
	if d := details(); received != int(d.OutboundBytes) || sent != int(d.InboundBytes) {
		t.Errorf("counted %d and %d bytes; the client got %d and sent %d", d.OutboundBytes, d.InboundBytes, received, sent)
	}
}

// Field names of RTSPConn and RTSPSession of the Control API.
func TestFieldNames(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		value any
		want  []string
	}{
		"RTSPConn": {ConnDetails{}, []string{
			"id", "created", "remoteAddr", "session", "tunnel", "inboundBytes", "outboundBytes", "bytesReceived", "bytesSent",
		}},
		"RTSPSession": {SessionDetails{}, []string{
			"id", "created", "remoteAddr", "state", "path", "query", "user", "transport", "profile", "conns", "inboundBytes",
			"inboundRTPPackets", "inboundRTPPacketsLost", "inboundRTPPacketsInError", "inboundRTPPacketsJitter",
			"inboundRTCPPackets", "inboundRTCPPacketsInError", "outboundBytes", "outboundRTPPackets",
			"outboundRTPPacketsReportedLost", "outboundRTPPacketsDiscarded", "outboundRTCPPackets", "bytesReceived",
			"bytesSent", "rtpPacketsReceived", "rtpPacketsSent", "rtpPacketsLost", "rtpPacketsInError", "rtpPacketsJitter",
			"rtcpPacketsReceived", "rtcpPacketsSent", "rtcpPacketsInError",
		}},
	} {
		b, err := json.Marshal(c.value)
		if err != nil {
			t.Fatal(err)
		}
		var m map[string]any
		if err := json.Unmarshal(b, &m); err != nil {
			t.Fatal(err)
		}
		for _, k := range c.want {
			if _, ok := m[k]; !ok {
				t.Errorf("%s has no %q", name, k)
			}
			delete(m, k)
		}
		for k := range m {
			t.Errorf("%s has %q, which the contract has not", name, k)
		}
	}
}

// Packets over UDP are counted too, and losses that the reader reports.
func TestCountersUDP(t *testing.T) {
	t.Parallel()
	g := newRig(t, anyPath(), plainServer())
	p := g.publish("s", overUDP, oneVideo())
	rd := g.read("s", overUDP)
	for n := range 10 {
		p.write(0, h264Frame(96, uint16(n), uint32(n)*3000, 1, 300)...)
		rd.got(0, 96, n+1)
	}
	routertest.Eventually(t, "the counters are right", func() bool {
		d, pd := g.sessions("read")[0], g.sessions("publish")[0]
		return d.OutboundRTPPackets == 10 && *d.Transport == "UDP" && pd.InboundRTPPackets == 10 &&
			d.OutboundBytes >= 3120 && pd.InboundBytes >= 3120
	})
	if in, ok := g.r.Path("s"); !ok || in.Info().Out < 3120 || in.Info().In < 3000 {
		t.Errorf("%+v", in.Info())
	}
}

// The queue of the library has room for a key frame of a good camera, for all readers
// who come through tunnels: packets enter it faster than they are written.
func TestTunnelsLargeKeyFrame(t *testing.T) {
	t.Parallel()
	const size = 480_000 // bytes; 340 packets
	g := newRig(t, anyPath(), plainServer())
	pub, err := g.r.Publish(t.Context(), "s", []media.Track{{Codec: &media.H264{SPS: testSPS, PPS: testPPS}}})
	if err != nil {
		t.Fatal(err)
	}
	defer pub.Close()
	write := func(n, size int) {
		slice := make([]byte, size)
		slice[0] = 0x65
		pub.Write(0, &media.Unit{PTS: int64(n) * 3000, Payload: [][]byte{slice}, RandomAccess: true})
	}
	var readers []*reader
	for range 10 {
		readers = append(readers, g.read("s", mode{protocol: gortsplib.ProtocolTCP, tunnel: gortsplib.TunnelHTTP}))
	}
	marked := func(rd *reader) int {
		n := 0
		for _, pkt := range rd.packets[[2]int{0, 96}] {
			if pkt.Marker {
				n++
			}
		}
		return n
	}
	for n := range 4 {
		write(n, []int{100, 100, 100, size}[n]) // after the first ones they are written to at once
		for _, rd := range readers {
			rd.await("the picture", func() bool { return marked(rd) > n })
		}
	}
	if g.log.Count("discarded") != 0 {
		t.Error("packets were discarded")
	}
}
