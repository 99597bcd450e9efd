package rtsp

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/conn"
	"github.com/bluenviron/gortsplib/v5/pkg/description"
	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"go.uber.org/goleak"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/routertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds waits; none lasts that long unless a test fails.
const patience = 20 * time.Second

// rig is a router with an RTSP server.
type rig struct {
	t    testing.TB
	r    *router.Router
	name string
	addr string
	log  *routertest.Log
}

// plainServer listens on free ports of the local machine.
func plainServer() *Server {
	return &Server{
		Addr: "127.0.0.1:0", RTPAddr: "127.0.0.1:0", RTCPAddr: "127.0.0.1:0",
		Transports: []Transport{UDP, TCP},
	}
}

// anyPath accepts every path.
func anyPath() router.Config {
	return router.Config{Paths: []router.PathConfig{{Name: router.AllOthers}}, AuthPause: -1}
}

func newRig(t testing.TB, cfg router.Config, srv *Server) *rig {
	t.Helper()
	log := &routertest.Log{}
	cfg.Protocols = append(cfg.Protocols, srv)
	r := routertest.New(t, cfg, router.WithLogger(log.Logger()))
	return &rig{t: t, r: r, name: srv.Name(), addr: r.ProtocolAddrs(srv.Name())[0].String(), log: log}
}

func (g *rig) url(path string) string { return g.name + "://" + g.addr + "/" + path }

// noPanic fails the test if a panic was logged.
func (g *rig) noPanic() {
	g.t.Helper()
	if s := g.log.String(); strings.Contains(s, "panic") {
		g.t.Errorf("a panic was logged:\n%s", s)
	}
}

// mode is how a client is connected.
type mode struct {
	protocol gortsplib.Protocol
	tunnel   gortsplib.Tunnel
	insecure bool // with RTSPS: plain RTP inside TLS instead of SRTP
}

var (
	overTCP = mode{protocol: gortsplib.ProtocolTCP}
	overUDP = mode{protocol: gortsplib.ProtocolUDP}
)

func (m mode) client() *gortsplib.Client {
	return &gortsplib.Client{
		Protocol: &m.protocol, Tunnel: m.tunnel, TLSConfig: &tls.Config{InsecureSkipVerify: true},
		OnDecodeError: func(error) {}, OnPacketsLost: func(uint64) {},
		OnTransportSwitch: func(error) {},
	}
}

// publisher is a client that publishes.
type publisher struct {
	*gortsplib.Client
	t    testing.TB
	desc *description.Session
	done chan error
}

func (g *rig) publish(path string, m mode, desc *description.Session) *publisher {
	g.t.Helper()
	p, err := g.tryPublish(path, m, desc)
	if err != nil {
		g.t.Fatalf("publish: %v", err)
	}
	return p
}

func (g *rig) tryPublish(path string, m mode, desc *description.Session) (*publisher, error) {
	c := m.client()
	if strings.HasPrefix(g.name, "rtsps") && !m.insecure {
		for _, md := range desc.Medias {
			md.Profile = 1 // SAVP
		}
	}
	if err := c.StartRecording(g.url(path), desc); err != nil {
		return nil, err
	}
	g.t.Cleanup(c.Close)
	return &publisher{Client: c, t: g.t, desc: desc, done: waitOf(c)}, nil
}

// waitOf tells when a client is over.
func waitOf(c *gortsplib.Client) chan error {
	done := make(chan error, 1)
	go func() { done <- c.Wait() }()
	return done
}

// write sends copies of packets on a media section.
func (p *publisher) write(media int, pkts ...*rtp.Packet) {
	p.t.Helper()
	for _, pkt := range pkts {
		if err := p.WritePacketRTP(p.desc.Medias[media], pkt.Clone()); err != nil {
			p.t.Fatalf("write: %v", err)
		}
	}
}

// reader is a client that reads and keeps everything.
type reader struct {
	*gortsplib.Client
	t    testing.TB
	desc *description.Session
	play *base.Response // answer to PLAY
	done chan error

	mu      sync.Mutex
	packets map[[2]int][]*rtp.Packet // by media section and payload type
	reports map[int][]rtcp.Packet    // by media section
	changed chan struct{}
}

func (g *rig) read(path string, m mode) *reader {
	g.t.Helper()
	rd, err := g.tryRead(path, m)
	if err != nil {
		g.t.Fatalf("read: %v", err)
	}
	return rd
}

func (g *rig) tryRead(path string, m mode) (*reader, error) {
	rd := &reader{
		Client: m.client(), t: g.t, changed: make(chan struct{}),
		packets: map[[2]int][]*rtp.Packet{}, reports: map[int][]rtcp.Packet{},
	}
	c := rd.Client
	u, err := base.ParseURL(g.url(path))
	if err != nil {
		return nil, err
	}
	c.Scheme, c.Host = u.Scheme, u.Host
	if err := c.Start(); err != nil {
		return nil, err
	}
	fail := func(err error) (*reader, error) {
		c.Close()
		return nil, err
	}
	if rd.desc, _, err = c.Describe(u); err != nil {
		return fail(err)
	}
	if m.insecure {
		for _, md := range rd.desc.Medias {
			md.Profile = 0 // AVP
		}
	}
	if err := c.SetupAll(rd.desc.BaseURL, rd.desc.Medias); err != nil {
		return fail(err)
	}
	for i, md := range rd.desc.Medias {
		for _, f := range md.Formats {
			key := [2]int{i, int(f.PayloadType())}
			c.OnPacketRTP(md, f, func(pkt *rtp.Packet) {
				rd.update(func() { rd.packets[key] = append(rd.packets[key], pkt) })
			})
		}
		c.OnPacketRTCP(md, func(pkt rtcp.Packet) {
			rd.update(func() { rd.reports[i] = append(rd.reports[i], pkt) })
		})
	}
	before := g.log.Count("is reading")
	if rd.play, err = c.Play(nil); err != nil {
		return fail(err)
	}
	g.awaitMedia(before)
	g.t.Cleanup(c.Close)
	rd.done = waitOf(c)
	return rd, nil
}

// awaitMedia waits until one more session is sent media, which begins just after
// the answer to PLAY was written.
func (g *rig) awaitMedia(before int) {
	g.t.Helper()
	routertest.Eventually(g.t, "media begins", func() bool { return g.log.Count("is reading") > before })
}

func (rd *reader) update(f func()) {
	rd.mu.Lock()
	defer rd.mu.Unlock()
	f()
	close(rd.changed)
	rd.changed = make(chan struct{})
}

// await waits until cond, called with the lock held, is true.
func (rd *reader) await(what string, cond func() bool) {
	rd.t.Helper()
	expired := time.After(patience)
	for {
		rd.mu.Lock()
		ok, changed := cond(), rd.changed
		rd.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case err := <-rd.done:
			rd.done <- err
			rd.t.Fatalf("%s: the reader is over: %v", what, err)
		case <-expired:
			rd.t.Fatalf("%s: not reached", what)
		}
	}
}

// got returns the packets of a format of a media section, at least n.
func (rd *reader) got(media, payloadType, n int) []*rtp.Packet {
	rd.t.Helper()
	key := [2]int{media, payloadType}
	rd.await(fmt.Sprintf("%d packets of section %d, payload type %d", n, media, payloadType),
		func() bool { return len(rd.packets[key]) >= n })
	rd.mu.Lock()
	defer rd.mu.Unlock()
	return rd.packets[key]
}

// reported waits for a report of a section, with what comes along, and returns all.
func (rd *reader) reported(media int) []rtcp.Packet {
	rd.t.Helper()
	rd.await("a report", func() bool { return len(rd.reports[media]) > 1 })
	rd.mu.Lock()
	defer rd.mu.Unlock()
	return rd.reports[media]
}

// over waits for the end of a client.
func over(t testing.TB, what string, done chan error) error {
	t.Helper()
	select {
	case err := <-done:
		done <- err
		return err
	case <-time.After(patience):
		t.Fatalf("%s is not over", what)
		return nil
	}
}

// samePackets compares all but what the server changes.
func samePackets(t testing.TB, what string, want, got []*rtp.Packet) {
	t.Helper()
	if len(want) != len(got) {
		t.Fatalf("%s: %d packets, want %d", what, len(got), len(want))
	}
	for i := range want {
		w, g := want[i].Clone(), got[i].Clone()
		w.SSRC, w.PayloadType = g.SSRC, g.PayloadType
		wb, _ := w.Marshal()
		gb, _ := g.Marshal()
		if !bytes.Equal(wb, gb) {
			t.Fatalf("%s: packet %d is %x, want %x", what, i, gb[:min(40, len(gb))], wb[:min(40, len(wb))])
		}
		if i > 0 && got[i].SequenceNumber != got[i-1].SequenceNumber+1 {
			t.Fatalf("%s: sequence number %d follows %d", what, got[i].SequenceNumber, got[i-1].SequenceNumber)
		}
	}
}

// Formats of the tests.

func h264Format(pt uint8) *format.H264 {
	return &format.H264{PayloadTyp: pt, PacketizationMode: 1, SPS: testSPS, PPS: testPPS}
}

var (
	testSPS = []byte{
		0x67, 0x42, 0xc0, 0x28, 0xd9, 0x00, 0x78, 0x02, 0x27, 0xe5, 0x84, 0x00, 0x00, 0x03, 0x00, 0x04,
		0x00, 0x00, 0x03, 0x00, 0xf0, 0x3c, 0x60, 0xc9, 0x20,
	}
	testPPS = []byte{0x68, 0x08}
)

func video(f ...format.Format) *description.Media {
	return &description.Media{Type: description.MediaTypeVideo, Formats: f}
}

func audio(f ...format.Format) *description.Media {
	return &description.Media{Type: description.MediaTypeAudio, Formats: f}
}

// oneVideo is a stream of one H264 track.
func oneVideo() *description.Session { return newSession(video(h264Format(96))) }

func newSession(m ...*description.Media) *description.Session { return &description.Session{Medias: m} }

// h264Frame is an access unit of n packets: FU-A if n is more than one.
func h264Frame(pt uint8, seq uint16, ts uint32, n, size int) []*rtp.Packet {
	var out []*rtp.Packet
	for i := range n {
		payload := bytes.Repeat([]byte{byte(seq) + byte(i)}, size)
		if n == 1 {
			payload[0] = 0x65
		} else {
			payload[0], payload[1] = 0x7c, 0x05
			if i == 0 {
				payload[1] |= 0x80
			}
			if i == n-1 {
				payload[1] |= 0x40
			}
		}
		out = append(out, &rtp.Packet{
			Header: rtp.Header{
				Version: 2, PayloadType: pt, SequenceNumber: seq + uint16(i), Timestamp: ts, Marker: i == n-1,
			},
			Payload: payload,
		})
	}
	return out
}

// audioPacket is a packet of audio.
func audioPacket(pt uint8, seq uint16, ts uint32, size int) *rtp.Packet {
	return &rtp.Packet{
		Header:  rtp.Header{Version: 2, PayloadType: pt, SequenceNumber: seq, Timestamp: ts},
		Payload: bytes.Repeat([]byte{byte(seq)}, size),
	}
}

// raw is a client that speaks RTSP by hand.
type raw struct {
	net.Conn
	t       testing.TB
	c       *conn.Conn
	cseq    int
	session string
}

func (g *rig) dial() *raw {
	g.t.Helper()
	var d net.Dialer
	ctx, cancel := context.WithTimeout(g.t.Context(), patience)
	defer cancel()
	nc, err := d.DialContext(ctx, "tcp", g.addr)
	if err != nil {
		g.t.Fatal(err)
	}
	_ = nc.SetDeadline(time.Now().Add(patience))
	g.t.Cleanup(func() { _ = nc.Close() })
	return &raw{Conn: nc, t: g.t, c: conn.NewConn(bufio.NewReader(nc), nc)}
}

// try sends a request and returns the answer. header is "Key: value".
func (c *raw) try(method base.Method, u string, body []byte, header ...string) (*base.Response, error) {
	c.cseq++
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s RTSP/1.0\r\nCSeq: %d\r\n", method, u, c.cseq)
	if c.session != "" {
		fmt.Fprintf(&b, "Session: %s\r\n", c.session)
	}
	for _, h := range header {
		b.WriteString(h + "\r\n")
	}
	if body != nil {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body))
	}
	b.WriteString("\r\n")
	b.Write(body)
	if _, err := c.Write(b.Bytes()); err != nil {
		return nil, err
	}
	return c.answer()
}

// answer reads up to the next response.
func (c *raw) answer() (*base.Response, error) {
	for {
		what, err := c.c.Read()
		if err != nil {
			return nil, err
		}
		if res, ok := what.(*base.Response); ok {
			if s := res.Header["Session"]; len(s) == 1 {
				c.session, _, _ = strings.Cut(s[0], ";")
			}
			return res, nil
		}
	}
}

func (c *raw) do(method base.Method, u string, body []byte, header ...string) *base.Response {
	c.t.Helper()
	res, err := c.try(method, u, body, header...)
	if err != nil {
		c.t.Fatalf("%s: %v", method, err)
	}
	return res
}

// want sends a request and checks the status.
func (c *raw) want(code base.StatusCode, method base.Method, u string, body []byte, header ...string) *base.Response {
	c.t.Helper()
	res := c.do(method, u, body, header...)
	if res.StatusCode != code {
		c.t.Fatalf("%s %s: status %d, want %d", method, u, res.StatusCode, code)
	}
	return res
}

// closed waits for the end of the connection.
func (c *raw) closed() {
	c.t.Helper()
	for {
		if _, err := c.c.Read(); err != nil {
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() {
				c.t.Fatal("the connection is not closed")
			}
			return
		}
	}
}

const sdpHeader = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns= \r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n"

// sdp makes a session description of media sections.
func sdp(lines ...string) []byte { return []byte(sdpHeader + strings.Join(lines, "\r\n") + "\r\n") }

var h264SDP = sdp("m=video 0 RTP/AVP 96", "a=rtpmap:96 H264/90000", "a=fmtp:96 packetization-mode=1", "a=control:trackID=0")

const contentSDP = "Content-Type: application/sdp"

// recordRaw publishes one H264 track by hand over TCP; frames go to channel 0.
func (g *rig) recordRaw(path string, body []byte, tracks int) *raw {
	g.t.Helper()
	c := g.dial()
	u := g.url(path)
	c.want(200, base.Announce, u, body, contentSDP)
	for i := range tracks {
		c.want(200, base.Setup, fmt.Sprintf("%s/trackID=%d", u, i), nil,
			fmt.Sprintf("Transport: RTP/AVP/TCP;unicast;interleaved=%d-%d;mode=record", 2*i, 2*i+1))
	}
	c.want(200, base.Record, u, nil)
	return c
}

// frame sends an interleaved frame.
func (c *raw) frame(channel byte, p []byte) {
	c.t.Helper()
	if _, err := c.Write(append([]byte{'$', channel, byte(len(p) >> 8), byte(len(p))}, p...)); err != nil {
		c.t.Fatal(err)
	}
}

// packet sends an RTP packet.
func (c *raw) packet(channel byte, pkt *rtp.Packet) {
	c.t.Helper()
	b, err := pkt.Marshal()
	if err != nil {
		c.t.Fatal(err)
	}
	c.frame(channel, b)
}

// withQuery adds a query to a path.
func withQuery(path string, kv ...string) string {
	q := url.Values{}
	for i := 0; i < len(kv); i += 2 {
		q.Set(kv[i], kv[i+1])
	}
	return path + "?" + q.Encode()
}

// sessionsOf returns the details of the sessions in a state.
func (g *rig) sessions(state string) []*SessionDetails {
	var out []*SessionDetails
	for i := range g.r.Sessions(g.name + "Session") {
		if d, ok := i.Details.(*SessionDetails); ok && d.State == state {
			out = append(out, d)
		}
	}
	return out
}

// feed keeps publishing frames of one packet, one at a time, until stop is called.
// Every packet reaches the readers that are given, without a gap.
type feed struct {
	n    int
	stop func() int
}

func (g *rig) feed(p *publisher, every time.Duration) *feed {
	f := &feed{}
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		t := time.NewTicker(every)
		defer t.Stop()
		for {
			select {
			case <-quit:
				return
			case <-p.done:
				return
			case <-t.C:
			}
			pkt := h264Frame(96, uint16(f.n), uint32(f.n)*3000, 1, 200)[0]
			if p.WritePacketRTP(p.desc.Medias[0], pkt) != nil {
				return
			}
			f.n++
		}
	}()
	var once sync.Once
	f.stop = func() int {
		once.Do(func() { close(quit) })
		<-done
		return f.n
	}
	g.t.Cleanup(func() { f.stop() })
	return f
}

// continuous fails if a sequence number is missing.
func continuous(t testing.TB, what string, pkts []*rtp.Packet) {
	t.Helper()
	for i := 1; i < len(pkts); i++ {
		if pkts[i].SequenceNumber != pkts[i-1].SequenceNumber+1 {
			t.Fatalf("%s: sequence number %d follows %d", what, pkts[i].SequenceNumber, pkts[i-1].SequenceNumber)
		}
	}
}
