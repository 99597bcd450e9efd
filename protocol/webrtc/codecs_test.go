package webrtc

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/description"
	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/org/mtx/protocol/httpserver"
	"github.com/org/mtx/protocol/rtsp"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
	"github.com/org/mtx/router/routertest"
)

// Tracks that are converted, or that go over a data channel, are made from
// payloads; the others of the same stream are not touched.
func TestLPCMAndKLV(t *testing.T) {
	t.Parallel()
	g := newRig(t, Server{}, nil)
	klv := []byte("\x06\x0e\x2b\x34\x02\x0b\x01\x01\x0e\x01\x03\x01\x01\x00\x00\x00\x01\x41")
	g.publishUnits("cam", []media.Track{
		{Codec: &media.LPCM{BitDepth: 16, SampleRate: 48000, ChannelCount: 2}}, {Codec: &media.KLV{}}, {Codec: &media.H264{}},
	}, func(track, n int) *media.Unit {
		switch track {
		case 0:
			return &media.Unit{PTS: int64(n) * 960, Payload: [][]byte{make([]byte, 960*4)}}
		case 1:
			return &media.Unit{PTS: int64(n) * 1800, Payload: [][]byte{klv}}
		}
		return routertest.SampleUnit(0, n)
	})
	c := g.viewer()
	var got atomic.Int64
	if _, err := c.pc.CreateDataChannel("x", nil); err != nil {
		t.Fatal(err)
	}
	c.pc.OnDataChannel(func(d *webrtc.DataChannel) {
		d.OnMessage(func(m webrtc.DataChannelMessage) {
			if bytes.Equal(m.Data, klv) {
				got.Add(1)
			}
		})
	})
	c.open("/cam/whep")
	routertest.Eventually(t, "sound, metadata and video arrive", func() bool {
		return c.audio.Load() > 5 && got.Load() > 5 && c.markers.Load() > 5
	})
	for range 2 {
		if tr := <-c.tracks; tr.Kind() == webrtc.RTPCodecTypeAudio && !slices.Contains([]string{webrtc.MimeTypePCMU, webrtc.MimeTypePCMA}, tr.Codec().MimeType) {
			t.Errorf("audio is %s", tr.Codec().MimeType)
		}
	}
}

// Viewers with different codecs and payload types share a stream.
func TestDifferentViewers(t *testing.T) {
	t.Parallel()
	g := newRig(t, Server{}, nil)
	g.publishUnits("cam", []media.Track{{Codec: &media.LPCM{BitDepth: 16, SampleRate: 8000, ChannelCount: 1}}, {Codec: &media.VP8{}}},
		func(track, n int) *media.Unit {
			if track == 0 {
				return &media.Unit{PTS: int64(n) * 160, Payload: [][]byte{make([]byte, 320)}}
			}
			u := &media.Unit{PTS: int64(n) * 1800, Payload: [][]byte{{0x11, 2, 3, 4, 5, 6, 7, 8, 9, 10}}}
			if n%30 == 0 {
				u.Payload = [][]byte{{0x10, 2, 0, 0x9d, 1, 0x2a, 64, 0, 48, 0}}
			}
			return u
		})
	viewers := map[string]*client{}
	for _, codec := range []string{webrtc.MimeTypePCMU, webrtc.MimeTypePCMA, "both"} {
		c := g.newClient(false)
		c.receive()
		for _, tr := range c.pc.GetTransceivers() {
			if tr.Kind() == webrtc.RTPCodecTypeAudio && codec != "both" {
				pt := webrtc.PayloadType(0)
				if codec == webrtc.MimeTypePCMA {
					pt = 8
				}
				err := tr.SetCodecPreferences([]webrtc.RTPCodecParameters{{
					RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: codec, ClockRate: 8000}, PayloadType: pt,
				}})
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		c.open("/cam/whep")
		viewers[codec] = c
	}
	for codec, c := range viewers {
		routertest.Eventually(t, codec+" and video arrive", func() bool { return c.audio.Load() > 5 && c.markers.Load() > 5 })
		for range 2 {
			if tr := <-c.tracks; tr.Kind() == webrtc.RTPCodecTypeAudio && codec != "both" && tr.Codec().MimeType != codec {
				t.Errorf("%s: audio is %s", codec, tr.Codec().MimeType)
			}
		}
	}
}

// withRTSP is a rig that has an RTSP server too.
func withRTSP(t *testing.T) (g *rig, url string) {
	t.Helper()
	g = &rig{t: t, log: &routertest.Log{}, server: &Server{HTTP: httpserver.Listen{Addr: "127.0.0.1:0"}, UDPAddr: "127.0.0.1:0"}}
	g.Router = routertest.New(t, router.Config{
		Protocols: []router.Protocol{g.server, &rtsp.Server{Addr: "127.0.0.1:0", Transports: []rtsp.Transport{rtsp.TCP}}},
		Paths:     []router.PathConfig{{Name: router.AllOthers}},
	})
	g.url = "http://" + g.ProtocolAddrs("webrtc")[0].String()
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	g.http = &http.Client{Transport: tr, Timeout: patience}
	return g, "rtsp://" + g.ProtocolAddrs("rtsp")[0].String()
}

func rtspClient() *gortsplib.Client {
	tcp := gortsplib.ProtocolTCP
	return &gortsplib.Client{Protocol: &tcp, ReadTimeout: patience, WriteTimeout: patience}
}

// What is published by RTSP in packets that are too large for WebRTC is packed
// again.
func TestFromRTSP(t *testing.T) {
	t.Parallel()
	g, url := withRTSP(t)
	forma := &format.H264{PayloadTyp: 96, PacketizationMode: 1}
	desc := &description.Session{Medias: []*description.Media{{Type: description.MediaTypeVideo, Formats: []format.Format{forma}}}}
	c := rtspClient()
	if err := c.StartRecording(url+"/cam", desc); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	enc, err := forma.CreateEncoder()
	if err != nil {
		t.Fatal(err)
	}
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for n := 0; ; n++ {
			u := routertest.SampleUnit(0, n)
			last := len(u.Payload) - 1
			u.Payload[last] = append(u.Payload[last], bytes.Repeat([]byte{0x55}, 5000)...)
			pkts, err := enc.Encode(u.Payload)
			if err != nil {
				t.Error(err)
				return
			}
			for _, p := range pkts {
				p.Timestamp += uint32(u.PTS)
				if c.WritePacketRTP(desc.Medias[0], p) != nil {
					return
				}
			}
			select {
			case <-tick.C:
			case <-quit:
				return
			}
		}
	}()
	defer func() { close(quit); <-done }()
	routertest.WaitReady(t, g.Router, "cam")
	v := g.whep("/cam")
	routertest.Eventually(t, "video arrives", func() bool { return v.markers.Load() > 10 })
	if v.video.Load() < 5*v.markers.Load()-10 {
		t.Errorf("%d packets in %d pictures", v.video.Load(), v.markers.Load())
	}
	if n := v.largest.Load(); n > maxPacket {
		t.Errorf("a packet has %d bytes", n)
	}
}

func TestToRTSP(t *testing.T) {
	t.Parallel()
	g, url := withRTSP(t)
	g.whip("/cam")
	routertest.WaitReady(t, g.Router, "cam")
	u, err := base.ParseURL(url + "/cam")
	if err != nil {
		t.Fatal(err)
	}
	c := rtspClient()
	c.Scheme, c.Host = u.Scheme, u.Host
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	desc, _, err := c.Describe(u)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range desc.Medias {
		names = append(names, fmt.Sprintf("%T", m.Formats[0]))
	}
	if got := strings.Join(names, " "); got != "*format.H264 *format.Opus" {
		t.Errorf("formats %s", got)
	}
	if err := c.SetupAll(desc.BaseURL, desc.Medias); err != nil {
		t.Fatal(err)
	}
	var n [2]atomic.Int64
	c.OnPacketRTPAny(func(m *description.Media, _ format.Format, _ *rtp.Packet) { n[slices.Index(desc.Medias, m)].Add(1) })
	if _, err := c.Play(nil); err != nil {
		t.Fatal(err)
	}
	routertest.Eventually(t, "both tracks arrive", func() bool { return n[0].Load() > 10 && n[1].Load() > 10 })
}
