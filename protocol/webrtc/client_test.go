package webrtc

import (
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media"
)

// client is a peer connection of pion with the default codecs, and its session.
type client struct {
	t        testing.TB
	g        *rig
	pc       *webrtc.PeerConnection
	location string
	id       string

	connected chan struct{}
	video     atomic.Int64 // RTP packets
	audio     atomic.Int64
	markers   atomic.Int64 // of video
	largest   atomic.Int64 // packet of video, bytes
	first     atomic.Pointer[[]byte]
	plis      atomic.Int64 // key frames that we were asked for
	tracks    chan *webrtc.TrackRemote
	wg        sync.WaitGroup
}

// api makes peer connections that use the loopback interface only.
func clientAPI(t testing.TB, tcp bool, opts ...func(*webrtc.API)) *webrtc.API {
	t.Helper()
	m := &webrtc.MediaEngine{}
	if err := m.RegisterDefaultCodecs(); err != nil {
		t.Fatal(err)
	}
	s := webrtc.SettingEngine{}
	s.SetIncludeLoopbackCandidate(true)
	s.SetIPFilter(net.IP.IsLoopback)
	s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	if tcp {
		s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeTCP4})
	}
	return webrtc.NewAPI(append([]func(*webrtc.API){webrtc.WithMediaEngine(m), webrtc.WithSettingEngine(s)}, opts...)...)
}

// newClient makes a client that is closed at the end of the test.
func (g *rig) newClient(tcp bool, opts ...func(*webrtc.API)) *client {
	g.t.Helper()
	c := g.bareClient(tcp, opts...)
	g.t.Cleanup(c.close)
	return c
}

func (g *rig) bareClient(tcp bool, opts ...func(*webrtc.API)) *client {
	g.t.Helper()
	pc, err := clientAPI(g.t, tcp, opts...).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		g.t.Fatal(err)
	}
	c := &client{t: g.t, g: g, pc: pc, connected: make(chan struct{}), tracks: make(chan *webrtc.TrackRemote, 16)}
	var once sync.Once
	pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		if s == webrtc.PeerConnectionStateConnected {
			once.Do(func() { close(c.connected) })
		}
	})
	return c
}

func (c *client) close() {
	_ = c.pc.GracefulClose()
	c.wg.Wait()
}

// offer makes an offer with all candidates.
func (c *client) offer() string {
	c.t.Helper()
	offer, err := c.pc.CreateOffer(nil)
	if err != nil {
		c.t.Fatal(err)
	}
	done := webrtc.GatheringCompletePromise(c.pc)
	if err := c.pc.SetLocalDescription(offer); err != nil {
		c.t.Fatal(err)
	}
	<-done
	return c.pc.LocalDescription().SDP
}

// post opens the session. It returns the status, and the body unless it is an
// answer.
func (c *client) post(path string, header ...string) (int, string) {
	c.t.Helper()
	status, body, err := c.tryPost(path, header...)
	if err != nil {
		c.t.Fatal(err)
	}
	return status, body
}

func (c *client) tryPost(path string, header ...string) (int, string, error) {
	res, body, err := c.g.try(http.MethodPost, path, c.offer(), append([]string{"Content-Type", "application/sdp"}, header...)...)
	if err != nil {
		return 0, "", err
	}
	if res.StatusCode != http.StatusCreated {
		return res.StatusCode, body, nil
	}
	c.location, c.id = res.Header.Get("Location"), res.Header.Get("ID")
	return res.StatusCode, "", c.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: body})
}

// open is post and the connection.
func (c *client) open(path string, header ...string) {
	c.t.Helper()
	if status, body := c.post(path, header...); status != http.StatusCreated {
		c.t.Fatalf("%s: %d %s", path, status, body)
	}
	select {
	case <-c.connected:
	case <-time.After(patience):
		c.t.Fatalf("%s: not connected", path)
	}
}

// whip publishes H264 and Opus until the client is closed.
func (g *rig) whip(path string, header ...string) *client {
	g.t.Helper()
	c := g.newClient(false)
	video, err := webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeH264}, "video", "s")
	if err != nil {
		g.t.Fatal(err)
	}
	audio, err := webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus}, "audio", "s")
	if err != nil {
		g.t.Fatal(err)
	}
	sender, err := c.pc.AddTrack(video)
	if err != nil {
		g.t.Fatal(err)
	}
	if _, err := c.pc.AddTrack(audio); err != nil {
		g.t.Fatal(err)
	}
	c.open(path+"/whip", header...)
	c.wg.Go(func() {
		for {
			pkts, _, err := sender.ReadRTCP()
			if err != nil {
				return
			}
			for _, p := range pkts {
				if _, ok := p.(*rtcp.PictureLossIndication); ok {
					c.plis.Add(1)
				}
			}
		}
	})
	c.wg.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		asked := int64(-1)
		for n := 0; c.pc.ConnectionState() != webrtc.PeerConnectionStateClosed; n++ {
			<-tick.C
			// like an encoder that makes key frames only if it is asked
			key := c.plis.Load() != asked
			asked = c.plis.Load()
			if video.WriteSample(media.Sample{Data: annexB(key, n), Duration: 20 * time.Millisecond}) != nil ||
				audio.WriteSample(media.Sample{Data: []byte{0xfc, 0xff, 0xfe, byte(n)}, Duration: 20 * time.Millisecond}) != nil {
				return
			}
		}
	})
	return c
}

// annexB is an access unit with start codes.
func annexB(key bool, n int) []byte {
	const sps = "\x67\x42\xc0\x28\xd9\x00\x78\x02\x27\xe5\x84\x00\x00\x03\x00\x04\x00\x00\x03\x00\xf0\x3c\x60\xc9\x20"
	if key {
		return fmt.Appendf(nil, "\x00\x00\x00\x01%s\x00\x00\x00\x01\x68\x08\x00\x00\x00\x01\x65\x88\x84\x10%c", sps, 0x40+n%64)
	}
	return fmt.Appendf(nil, "\x00\x00\x00\x01\x41\x9a\x24\x10%c", 0x40+n%64)
}

// viewer prepares a client that reads video and audio.
func (g *rig) viewer() *client { g.t.Helper(); return g.viewerOver(false) }

func (g *rig) viewerOver(tcp bool) *client {
	g.t.Helper()
	c := g.newClient(tcp)
	c.receive()
	return c
}

// receive prepares for some kinds of tracks, or for video and audio.
func (c *client) receive(kinds ...webrtc.RTPCodecType) {
	c.t.Helper()
	if len(kinds) == 0 {
		kinds = []webrtc.RTPCodecType{webrtc.RTPCodecTypeVideo, webrtc.RTPCodecTypeAudio}
	}
	for _, k := range kinds {
		if _, err := c.pc.AddTransceiverFromKind(k, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
			c.t.Fatal(err)
		}
	}
	c.pc.OnTrack(func(t *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		select {
		case c.tracks <- t:
		default:
		}
		for {
			pkt, _, err := t.ReadRTP()
			if err != nil {
				return
			}
			if t.Kind() == webrtc.RTPCodecTypeAudio {
				c.audio.Add(1)
				continue
			}
			c.video.Add(1)
			c.largest.Store(max(c.largest.Load(), int64(pkt.MarshalSize())))
			if pkt.Marker {
				c.markers.Add(1)
			}
			c.first.CompareAndSwap(nil, &pkt.Payload)
		}
	})
}

// whep reads.
func (g *rig) whep(path string, header ...string) *client {
	g.t.Helper()
	c := g.viewer()
	c.open(path+"/whep", header...)
	return c
}

func (c *client) requestKeyFrame(t *webrtc.TrackRemote) {
	_ = c.pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: uint32(t.SSRC())}})
}

// fingerprint is that of no certificate.
const fingerprint = "00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF"

// offerFor is an offer by hand for an endpoint, of a client that is not there.
func offerFor(path string) string {
	direction := "recvonly"
	if path[len(path)-1] == 'p' && path[len(path)-2] == 'i' {
		direction = "sendonly"
	}
	return "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\na=msid-semantic: WMS *\r\n" +
		"m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=rtcp-mux\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n" +
		"a=fingerprint:sha-256 " + fingerprint + "\r\na=setup:actpass\r\na=mid:0\r\na=" + direction + "\r\n" +
		"a=rtpmap:96 H264/90000\r\na=fmtp:96 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\r\n"
}

// offerText is the offer of a publisher that is not there.
var offerText = offerFor("/whip")
