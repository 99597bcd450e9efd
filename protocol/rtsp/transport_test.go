package rtsp

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/bluenviron/gortsplib/v5/pkg/headers"
	"github.com/bluenviron/gortsplib/v5/pkg/ntp"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"github.com/org/mtx/router/routertest"
)

// manyTracks are two tracks of video and three of audio, of which two share a
// media section.
func manyTracks() []([]format.Format) {
	return [][]format.Format{
		{h264Format(96)},
		{&format.VP8{PayloadTyp: 97}},
		{&format.Opus{PayloadTyp: 98, ChannelCount: 2}},
		{&format.Opus{PayloadTyp: 99, ChannelCount: 2}, &format.G711{PayloadTyp: 0, MULaw: true, SampleRate: 8000, ChannelCount: 1}},
	}
}

// round number n of packets, by media section.
func round(n int) [4][]*rtp.Packet {
	seq, ts := uint16(65530+3*n), uint32(n)*3000
	vp8 := audioPacket(97, uint16(n), ts, 900)
	vp8.Payload[0], vp8.Marker = 0x10, true
	return [4][]*rtp.Packet{
		h264Frame(96, seq, ts, 3, 300+100*(n%10)),
		{vp8},
		{audioPacket(98, uint16(1000+n), uint32(n)*960, 20+n)},
		{audioPacket(99, uint16(2000+n), uint32(n)*960, 30+n), audioPacket(0, uint16(3000+n), uint32(n)*160, 160)},
	}
}

// checkCarries publishes all tracks and checks that readers get every byte.
func checkCarries(t *testing.T, g *rig, pm mode, rms ...mode) {
	t.Helper()
	desc := newSession()
	for i, f := range manyTracks() {
		m := audio(f...)
		if i < 2 {
			m = video(f...)
		}
		desc.Medias = append(desc.Medias, m)
	}
	p := g.publish("many", pm, desc)
	routertest.WaitReady(t, g.r, "many")
	var readers []*reader
	for _, m := range rms {
		readers = append(readers, g.read("many", m))
	}
	want := map[[2]int][]*rtp.Packet{}
	for n := range 15 {
		for i, pkts := range round(n) {
			p.write(i, pkts...)
			for _, pkt := range pkts {
				key := [2]int{i, int(pkt.PayloadType)}
				want[key] = append(want[key], pkt)
			}
		}
		for _, rd := range readers { // one round at a time, as UDP loses bursts
			for i, m := range rd.desc.Medias {
				for j, f := range m.Formats {
					pt := int(manyTracks()[i][j].PayloadType())
					rd.got(i, int(f.PayloadType()), len(want[[2]int{i, pt}]))
				}
			}
		}
	}
	for k, rd := range readers {
		if len(rd.desc.Medias) != 4 || len(rd.desc.Medias[3].Formats) != 2 {
			t.Fatalf("the reader sees %d sections", len(rd.desc.Medias))
		}
		for i, m := range rd.desc.Medias {
			for j, f := range m.Formats {
				pt := int(manyTracks()[i][j].PayloadType())
				what := fmt.Sprintf("reader %d, section %d, format %d", k, i, j)
				samePackets(t, what, want[[2]int{i, pt}], rd.got(i, int(f.PayloadType()), 15))
			}
		}
	}
	g.noPanic()
}

func TestTransports(t *testing.T) {
	t.Parallel()
	all := []mode{overTCP, overUDP,
		{protocol: gortsplib.ProtocolTCP, tunnel: gortsplib.TunnelHTTP},
		{protocol: gortsplib.ProtocolTCP, tunnel: gortsplib.TunnelWebSocket},
	}
	for name, m := range map[string]mode{"tcp": all[0], "udp": all[1], "http": all[2], "websocket": all[3]} {
		t.Run("publish by "+name, func(t *testing.T) {
			t.Parallel()
			checkCarries(t, newRig(t, anyPath(), plainServer()), m, all...)
		})
	}
}

// canMulticast tells whether datagrams to a group come back here.
func canMulticast() error {
	group := &net.UDPAddr{IP: net.IPv4(224, 1, 250, 250), Port: 0}
	in, err := net.ListenMulticastUDP("udp4", nil, group)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	group.Port = in.LocalAddr().(*net.UDPAddr).Port
	out, err := net.DialUDP("udp4", nil, group)
	if err != nil {
		return err
	}
	defer func() { _ = out.Close() }()
	if _, err := out.Write([]byte("x")); err != nil {
		return err
	}
	_ = in.SetReadDeadline(time.Now().Add(time.Second))
	_, err = in.Read(make([]byte, 1))
	return err
}

func TestMulticast(t *testing.T) {
	t.Parallel()
	if err := canMulticast(); err != nil {
		t.Skipf("this machine has no multicast: %v", err)
	}
	ip := outboundIP(t)
	srv := &Server{
		Addr: ip + ":0", Transports: []Transport{TCP, Multicast},
		MulticastRange: "224.1.77.0/24", MulticastRTPPort: 37002, MulticastRTCPPort: 37003,
	}
	checkCarries(t, newRig(t, anyPath(), srv), overTCP, mode{protocol: gortsplib.ProtocolUDPMulticast}, overTCP,
		mode{protocol: gortsplib.ProtocolTCP, tunnel: gortsplib.TunnelHTTP}) // which the library writes to at once with multicast
}

// outboundIP is an address of an interface with multicast.
func outboundIP(t *testing.T) string {
	t.Helper()
	ifs, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range ifs {
		if i.Flags&net.FlagMulticast == 0 || i.Flags&net.FlagUp == 0 {
			continue
		}
		addrs, _ := i.Addrs()
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil {
				return n.IP.String()
			}
		}
	}
	t.Skip("no interface has multicast and an IPv4 address")
	return ""
}

// The client chooses the channels.
func TestChannels(t *testing.T) {
	t.Parallel()
	g := newRig(t, anyPath(), plainServer())
	p := g.publish("s", overTCP, newSession(video(h264Format(96)), audio(&format.Opus{PayloadTyp: 97, ChannelCount: 2})))
	c := g.dial()
	u := g.url("s")
	c.want(200, base.Describe, u, nil)
	for i, ch := range []string{"4-5", "2-3"} {
		res := c.want(200, base.Setup, fmt.Sprintf("%s/trackID=%d", u, i), nil, "Transport: RTP/AVP/TCP;unicast;interleaved="+ch)
		if !strings.Contains(res.Header["Transport"][0], "interleaved="+ch) {
			t.Errorf("answer %q", res.Header["Transport"])
		}
	}
	c.want(200, base.Play, u, nil)
	g.awaitMedia(0)
	p.write(0, h264Frame(96, 1, 0, 1, 100)...)
	p.write(1, audioPacket(97, 1, 0, 50))
	seen := map[int]int{}
	for seen[4] == 0 || seen[2] == 0 {
		what, err := c.c.Read()
		if err != nil {
			t.Fatal(err)
		}
		if f, ok := what.(*base.InterleavedFrame); ok {
			seen[f.Channel]++
			if want := map[int]int{4: 112, 2: 62}[f.Channel]; want != 0 && len(f.Payload) != want {
				t.Errorf("channel %d: %d bytes, want %d", f.Channel, len(f.Payload), want)
			}
		}
	}
	for ch := range seen {
		if ch < 2 || ch > 5 {
			t.Errorf("a frame came on channel %d", ch)
		}
	}
}

// Sender reports let a client align the tracks from the start. Of video it is not
// known, when PLAY is answered, where it will begin.
func TestStartOfReading(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]mode{"tcp": overTCP, "udp": overUDP} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newRig(t, anyPath(), plainServer())
			p := g.publish("s", overTCP, newSession(video(h264Format(96)), audio(&format.Opus{PayloadTyp: 97, ChannelCount: 2})))
			first := g.read("s", m)
			p.write(0, h264Frame(96, 500, 90000, 2, 100)...)
			p.write(1, audioPacket(97, 700, 48000, 50))
			first.got(0, 96, 2)
			first.got(1, 97, 1)

			rd := g.read("s", m)
			for _, i := range rtpInfo(t, rd, 2) {
				if i.SequenceNumber != nil || i.Timestamp != nil {
					t.Errorf("RTP-Info tells a position: %v", rd.play.Header["RTP-Info"])
				}
			}
			p.write(1, audioPacket(97, 701, 48960, 50)) // is of no use without a picture
			p.write(0, h264Frame(96, 502, 93000, 2, 100)...)
			p.write(1, audioPacket(97, 702, 49920, 50))
			cname := ""
			for i, pt := range []int{96, 97} {
				pkt := rd.got(i, pt, 1)[0]
				if want := []uint16{502, 702}[i]; pkt.SequenceNumber != want {
					t.Errorf("section %d: the first packet has number %d, want %d", i, pkt.SequenceNumber, want)
				}
				checkReports(t, rd.reported(i), pkt.SSRC, []uint32{93000, 48960}[i], &cname)
			}
		})
	}
}

// Audio alone begins at once, where RTP-Info says.
func TestStartOfAudio(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]mode{"tcp": overTCP, "udp": overUDP} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newRig(t, anyPath(), plainServer())
			p := g.publish("s", overTCP, newSession(audio(&format.Opus{PayloadTyp: 96, ChannelCount: 2})))
			first := g.read("s", m)
			p.write(0, audioPacket(96, 700, 48000, 50))
			first.got(0, 96, 1)

			rd := g.read("s", m)
			info := rtpInfo(t, rd, 1)[0]
			reports := rd.reported(0)
			p.write(0, audioPacket(96, 701, 48960, 50))
			pkt := rd.got(0, 96, 1)[0]
			if s := info.SequenceNumber; s == nil || *s != pkt.SequenceNumber {
				t.Errorf("RTP-Info has sequence number %v, the first packet %d", s, pkt.SequenceNumber)
			}
			if ts := info.Timestamp; ts == nil || int32(pkt.Timestamp-*ts) < 0 {
				t.Errorf("RTP-Info has time %v, the first packet %d", ts, pkt.Timestamp)
			}
			cname := ""
			checkReports(t, reports, pkt.SSRC, 48000, &cname)
		})
	}
}

// rtpInfo returns what the answer to PLAY tells about n sections.
func rtpInfo(t *testing.T, rd *reader, n int) headers.RTPInfo {
	t.Helper()
	var info headers.RTPInfo
	if err := info.Unmarshal(rd.play.Header["RTP-Info"]); err != nil || len(info) != n {
		t.Fatalf("RTP-Info %v: %v", rd.play.Header["RTP-Info"], err)
	}
	return info
}

func checkReports(t *testing.T, pkts []rtcp.Packet, ssrc, rtpTime uint32, cname *string) {
	t.Helper()
	sr, ok := pkts[0].(*rtcp.SenderReport)
	if !ok {
		t.Fatalf("the first report is a %T", pkts[0])
	}
	if sr.SSRC != ssrc || sr.RTPTime != rtpTime {
		t.Errorf("report about %x at %d, want %x at %d", sr.SSRC, sr.RTPTime, ssrc, rtpTime)
	}
	if d := time.Since(ntp.Decode(sr.NTPTime)); d.Abs() > patience { // as the publisher's clock runs
		t.Errorf("the report is from %v ago", d)
	}
	if sr.PacketCount == 0 || sr.OctetCount == 0 {
		t.Errorf("report of %d packets, %d octets", sr.PacketCount, sr.OctetCount)
	}
	sdes, ok := pkts[1].(*rtcp.SourceDescription)
	if !ok || len(sdes.Chunks) != 1 || sdes.Chunks[0].Source != ssrc || len(sdes.Chunks[0].Items) != 1 ||
		sdes.Chunks[0].Items[0].Type != rtcp.SDESCNAME {
		t.Fatalf("second packet: %v", pkts[1])
	}
	name := sdes.Chunks[0].Items[0].Text
	if name == "" || *cname != "" && name != *cname {
		t.Errorf("CNAME %q, of the other track %q", name, *cname)
	}
	*cname = name
}

func TestPauseAndPlayAgain(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]mode{
		"tcp": overTCP, "udp": overUDP, "http": {protocol: gortsplib.ProtocolTCP, tunnel: gortsplib.TunnelHTTP},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newRig(t, anyPath(), plainServer())
			p := g.publish("s", overTCP, oneVideo())
			rd, other := g.read("s", m), g.read("s", overTCP)
			p.write(0, h264Frame(96, 1, 0, 1, 100)...)
			rd.got(0, 96, 1)
			if _, err := rd.Pause(); err != nil {
				t.Fatal(err)
			}
			p.write(0, h264Frame(96, 2, 3000, 1, 100)...)
			other.got(0, 96, 2)
			before := g.log.Count("is reading")
			if _, err := rd.Play(nil); err != nil {
				t.Fatal(err)
			}
			g.awaitMedia(before)
			// clients wait for the missing packet while they have few others
			for n := 3; n < 83; n++ {
				p.write(0, h264Frame(96, uint16(n), uint32(n)*3000, 1, 100)...)
				other.got(0, 96, n)
			}
			pkts := rd.got(0, 96, 81)
			if pkts[1].SequenceNumber != 3 {
				t.Errorf("after PAUSE came number %d", pkts[1].SequenceNumber)
			}
			continuous(t, "after PAUSE", pkts[1:])
			routertest.Eventually(t, "counters cover both times", func() bool {
				for _, s := range g.sessions("read") {
					if s.OutboundRTPPackets == 81 {
						return true
					}
				}
				return false
			})
		})
	}
}

// A publisher may pause, and record again.
func TestPublisherPauses(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]mode{"tcp": overTCP, "udp": overUDP} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newRig(t, anyPath(), plainServer())
			p := g.publish("s", m, oneVideo())
			rd := g.read("s", overTCP)
			if _, err := p.Pause(); err != nil {
				t.Fatal(err)
			}
			if err := over(t, "reader", rd.done); err == nil {
				t.Error("the reader ended without an error")
			}
			if _, err := p.Record(); err != nil {
				t.Fatal(err)
			}
			rd = g.read("s", overTCP)
			p.write(0, h264Frame(96, 1, 0, 1, 100)...)
			rd.got(0, 96, 1)
		})
	}
}

func TestRequestsWhilePlaying(t *testing.T) {
	t.Parallel()
	g := newRig(t, anyPath(), plainServer())
	p := g.publish("s", overTCP, oneVideo())
	u := g.url("s")
	c := g.dial()
	c.want(200, base.Options, u, nil)
	c.want(200, base.GetParameter, u, nil)
	c.want(200, base.Describe, u, nil)
	c.want(200, base.Setup, u+"/trackID=0", nil, "Transport: RTP/AVP/TCP;unicast;interleaved=0-1")
	c.want(200, base.Play, u, nil)
	for n := range 3 { // keep-alives, and a PLAY that changes nothing
		p.write(0, h264Frame(96, uint16(n), uint32(n)*3000, 1, 100)...)
		c.want(200, base.Play, u, nil)
		c.want(200, base.Options, u, nil)
		c.want(200, base.GetParameter, u, nil)
		c.want(200, base.SetParameter, u, []byte("x: y"))
	}
	if n := len(g.sessions("read")); n != 1 {
		t.Errorf("%d sessions", n)
	}
	c.want(200, base.Teardown, u, nil)
	routertest.WaitReaders(t, g.r, "s", 0)
	c.session = ""
	// the connection can be used for another session
	c.want(200, base.Setup, u+"/trackID=0", nil, "Transport: RTP/AVP/TCP;unicast;interleaved=0-1")
	c.want(200, base.Play, u, nil)
	routertest.WaitReaders(t, g.r, "s", 1)
}

// Readers over UDP stay when their connection is used by somebody else's requests.
func TestSeveralSessions(t *testing.T) {
	t.Parallel()
	g := newRig(t, anyPath(), plainServer())
	a, b := g.publish("a", overUDP, oneVideo()), g.publish("b", overTCP, oneVideo())
	ra, rb, ra2 := g.read("a", overUDP), g.read("b", overUDP), g.read("a", overTCP)
	for n := range 10 {
		a.write(0, h264Frame(96, uint16(n), uint32(n)*3000, 1, 100)...)
		b.write(0, h264Frame(96, uint16(n), uint32(n)*3000, 1, 200)...)
		for _, rd := range []*reader{ra, rb, ra2} {
			rd.got(0, 96, n+1)
		}
	}
	for rd, size := range map[*reader]int{ra: 100, rb: 200, ra2: 100} {
		for _, pkt := range rd.got(0, 96, 10) {
			if len(pkt.Payload) != size {
				t.Fatalf("packet of %d bytes, want %d", len(pkt.Payload), size)
			}
		}
	}
}
