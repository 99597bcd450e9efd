package webrtcpeer

import (
	"bytes"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/org/mtx/protocol/internal/rtcegress"
	"github.com/org/mtx/router/media"
)

// lossyConn drops a part of the RTP and RTCP packets in both directions.
type lossyConn struct {
	net.PacketConn
	rate float64

	mu sync.Mutex
	r  *rand.Rand
}

func (c *lossyConn) drops(p []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(p) > 0 && p[0]>>6 == 2 && c.r.Float64() < c.rate
}

func (c *lossyConn) ReadFrom(p []byte) (int, net.Addr, error) {
	for {
		n, a, err := c.PacketConn.ReadFrom(p)
		if err != nil || !c.drops(p[:n]) {
			return n, a, err
		}
	}
}

func (c *lossyConn) WriteTo(p []byte, a net.Addr) (int, error) {
	if c.drops(p) {
		return len(p), nil
	}
	return c.PacketConn.WriteTo(p, a)
}

func TestLoss(t *testing.T) {
	t.Parallel()
	for _, direction := range []string{"publish", "read"} {
		t.Run(direction, func(t *testing.T) {
			t.Parallel()
			ctx := testContext(t)
			pc, err := net.ListenPacket("udp4", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			conn, err := rtcegress.Wrap(&lossyConn{PacketConn: pc, rate: 0.05, r: rand.New(rand.NewPCG(1, 2))})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.Close() })
			server := newEngine(t, func(c *EngineConfig) { c.UDP = conn })
			client := newEngine(t, nil)
			c := h264Case()
			var s *Sender
			var r *Receiver
			if direction == "publish" {
				s, r = publish(ctx, t, client, server, tracksOf(c), ReceiveOptions{})
			} else {
				s, r = read(ctx, t, client, server, tracksOf(c))
			}
			f := newFeeder(t, c)
			f.run(t, s.Outputs())
			f.serve(ctx, t, s)
			_, col := collect(ctx, t, r)
			col.wait(ctx, t, "300 access units", func() bool { return len(col.payloads[0]) >= 300 })
			st := r.Stats()
			if st.InboundRTPPackets < 500 || st.InboundRTPPacketsLost*100 > st.InboundRTPPackets {
				t.Errorf("%d of %d packets could not be repaired", st.InboundRTPPacketsLost, st.InboundRTPPackets)
			}
			if s.Viewer().Stats().Retransmitted == 0 {
				t.Error("nothing was lost: the test tests nothing")
			}
		})
	}
}

func TestTracks(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	server, client := newServer(t, nil), newEngine(t, nil)
	all := codecCases()
	cases := []codecCase{all[5], all[4], all[2], all[8], all[0]} // opus, h264, vp8, g722, av1
	s, r := publish(ctx, t, client, server, tracksOf(cases...), ReceiveOptions{})
	f := newFeeder(t, cases...)
	f.run(t, s.Outputs())
	f.serve(ctx, t, s)
	tracks, col := collect(ctx, t, r)
	if got := codecNames(tracks); got != "Opus, H264, VP8, G722, AV1" {
		t.Fatal(got)
	}
	col.wait(ctx, t, "units of all tracks", func() bool {
		for i := range cases {
			if !slices.ContainsFunc(col.payloads[i], func(p [][]byte) bool { return bytes.Equal(flat(p), flat(cases[i].payload)) }) {
				return false
			}
		}
		return true
	})
	// the parameters of H264 are found in-band
	col.wait(ctx, t, "parameters", func() bool {
		h, ok := col.codecs[1].(*media.H264)
		return ok && bytes.Equal(h.SPS, h264SPS)
	})
}

// TestReadMany asks for more sections than there are tracks, and the other way
// round.
func TestReadMany(t *testing.T) {
	t.Parallel()
	all := codecCases()
	h264, vp8, opus := all[4], all[2], all[5]
	for _, ca := range []struct {
		name         string
		video, audio int
		cases        []codecCase
		want         string
		skipped      int
	}{
		{"more sections", 3, 2, []codecCase{vp8, h264, opus}, "VP8, H264, Opus", 0},
		{"audio only", 1, 1, []codecCase{opus}, "Opus", 0},
		{"video only", 1, 1, []codecCase{h264}, "H264", 0},
		{"more tracks", 1, 1, []codecCase{h264, vp8, opus}, "H264, Opus", 1},
	} {
		t.Run(ca.name, func(t *testing.T) {
			t.Parallel()
			ctx := testContext(t)
			server, client := newServer(t, nil), newEngine(t, nil)
			r, offer, err := client.OfferReceive(ctx, ReceiveOptions{VideoSections: ca.video, AudioSections: ca.audio})
			if err != nil {
				t.Fatal(err)
			}
			s, answer, err := server.AnswerSend(ctx, offer, SendOptions{Tracks: tracksOf(ca.cases...)})
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(answer, "a=sendonly"); n != len(s.Outputs()) {
				t.Errorf("%d sections are sendonly\n%s", n, answer)
			}
			if len(s.Skipped()) != ca.skipped {
				t.Errorf("skipped: %v", s.Skipped())
			}
			if err := r.SetAnswer(answer); err != nil {
				t.Fatal(err)
			}
			f := newFeeder(t, ca.cases...)
			f.run(t, s.Outputs())
			f.serve(ctx, t, s)
			tracks, _ := collect(ctx, t, r)
			if got := codecNames(tracks); got != ca.want {
				t.Errorf("tracks %s, want %s", got, ca.want)
			}
		})
	}
}

func TestKeyFrameRequests(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	server, client := newServer(t, nil), newEngine(t, nil)
	c := h264Case()
	s, r := publish(ctx, t, client, server, tracksOf(c), ReceiveOptions{})
	f := newFeeder(t, c)
	f.run(t, s.Outputs())
	f.serve(ctx, t, s)
	_, col := collect(ctx, t, r)
	col.wait(ctx, t, "media", func() bool { return col.units[0] > 0 })
	for range 100 {
		r.RequestKeyFrame()
	}
	eventually(t, "a request", func() bool { return f.keys.Load() > 0 })
	if n := f.keys.Load(); n > 2 {
		t.Errorf("%d requests: they are not throttled", n)
	}
	eventually(t, "the request of those that came too soon", func() bool { return f.keys.Load() >= 2 })
	eventually(t, "counting RTCP", func() bool {
		// two requests, and receiver reports once per second
		return r.Stats().OutboundRTCPPackets > 3 && s.Stats().InboundRTCPPackets > 3
	})
}

func TestConversion(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	server, client := newServer(t, nil), newEngine(t, nil)
	c := codecCase{"lpcm", &media.LPCM{BitDepth: 24, SampleRate: 48000, ChannelCount: 2}, [][]byte{make([]byte, 480*6)}}
	s, r := read(ctx, t, client, server, tracksOf(c))
	if o := s.Outputs()[0]; o.Convert == nil || o.Codec.Name() != "G711" {
		t.Fatalf("%+v", o)
	}
	f := newFeeder(t, c)
	f.run(t, s.Outputs())
	f.serve(ctx, t, s)
	tracks, col := collect(ctx, t, r)
	if g, ok := tracks[0].Codec.(*media.G711); !ok || !g.MULaw || g.SampleRate != 8000 || g.ChannelCount != 1 {
		t.Fatalf("%+v", tracks[0].Codec)
	}
	col.wait(ctx, t, "samples", func() bool { return len(col.payloads[0]) > 5 })
}

func TestAbsoluteTimestamp(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	server, client := newServer(t, nil), newEngine(t, nil)
	c := h264Case()
	s, r := publish(ctx, t, client, server, tracksOf(c), ReceiveOptions{UseAbsoluteTimestamp: true})
	f := newFeeder(t, c)
	f.run(t, s.Outputs())
	f.serve(ctx, t, s)
	_, col := collect(ctx, t, r)
	col.wait(ctx, t, "absolute time", func() bool { return !col.lastNTP.IsZero() })
	if d := time.Since(col.lastNTP).Abs(); d > 5*time.Second {
		t.Errorf("off by %v", d)
	}
}

func TestKLV(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	server, client := newServer(t, nil), newEngine(t, nil)
	klv := codecCase{"klv", &media.KLV{}, [][]byte{filled([]byte{6, 14, 43, 52}, 100)}}
	cases := []codecCase{h264Case(), klv}
	r, _, err := client.OfferReceive(ctx, ReceiveOptions{})
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	// a reader that takes data channels
	settings := &peerSettings{codecs: receivableCodecs(allVideo())}
	p, err := client.newPeer(settings, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if _, err := p.pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo, webrtc.RTPTransceiverInit{
		Direction: webrtc.RTPTransceiverDirectionRecvonly,
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.pc.CreateDataChannel("", nil); err != nil { // so that there is a section
		t.Fatal(err)
	}
	got := make(chan []byte, 1)
	p.pc.OnDataChannel(func(d *webrtc.DataChannel) {
		if d.Label() == klvLabel {
			d.OnMessage(func(m webrtc.DataChannelMessage) {
				select {
				case got <- m.Data:
				default:
				}
			})
		}
	})
	offer, err := p.offer(ctx)
	if err != nil {
		t.Fatal(err)
	}
	s, answer, err := server.AnswerSend(ctx, offer, SendOptions{Tracks: tracksOf(cases...)})
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Outputs()) != 2 || s.Outputs()[1].Data == nil {
		t.Fatalf("%+v %v", s.Outputs(), s.Skipped())
	}
	if err := p.setAnswer(answer); err != nil {
		t.Fatal(err)
	}
	f := newFeeder(t, cases...)
	f.run(t, s.Outputs())
	f.serve(ctx, t, s)
	select {
	case b := <-got:
		if !bytes.Equal(b, klv.payload[0]) {
			t.Errorf("%x", b)
		}
	case <-ctx.Done():
		t.Fatal("no KLV")
	}
}

// TestSimulcast publishes two layers, as browsers and OBS do.
func TestSimulcast(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	server, client := newServer(t, nil), newEngine(t, nil)
	codec, _ := ownCodec(&media.VP8{}, 96)
	settings := &peerSettings{codecs: []registeredCodec{codec.register(sendFeedback...)}, extensions: receiveExtensions}
	p, err := client.newPeer(settings, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	layer := func(rid string) *webrtc.TrackLocalStaticRTP {
		l, err := webrtc.NewTrackLocalStaticRTP(
			webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8}, "video", "s", webrtc.WithRTPStreamID(rid))
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	layers := []*webrtc.TrackLocalStaticRTP{layer("hi"), layer("lo")}
	tr, err := p.pc.AddTransceiverFromTrack(layers[0], webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
	if err != nil {
		t.Fatal(err)
	}
	if err := tr.Sender().AddEncoding(layers[1]); err != nil {
		t.Fatal(err)
	}
	offer, err := p.offer(ctx)
	if err != nil {
		t.Fatal(err)
	}
	r, answer, err := server.Answer(ctx, offer, ReceiveOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.setAnswer(answer); err != nil {
		t.Fatal(err)
	}
	if err := p.Connected(ctx); err != nil {
		t.Fatal(err)
	}
	ids := map[string]uint8{}
	for _, e := range tr.Sender().GetParameters().HeaderExtensions {
		ids[e.URI] = uint8(e.ID)
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(stop)
	wg.Go(func() {
		for n := uint16(0); ; n++ {
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
			for i, l := range layers {
				pkt := &rtp.Packet{
					Header:  rtp.Header{Version: 2, SequenceNumber: n, Timestamp: uint32(n) * 450, Marker: true},
					Payload: []byte{0x10, 0x10, byte(i), 0, 0x9d, 0x01, 0x2a, 0, 1, 0, 1},
				}
				_ = pkt.SetExtension(ids["urn:ietf:params:rtp-hdrext:sdes:mid"], []byte(tr.Mid()))
				_ = pkt.SetExtension(ids["urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"], []byte(l.RID()))
				_ = l.WriteRTP(pkt)
			}
		}
	})
	tracks, col := collect(ctx, t, r)
	if len(tracks) != 2 || tracks[0].Name != "hi" || tracks[1].Name != "lo" {
		t.Fatalf("%+v", tracks)
	}
	col.wait(ctx, t, "both layers", func() bool { return col.units[0] > 10 && col.units[1] > 10 })
	if got := col.payloads[1][0][0]; got[1] != 1 {
		t.Errorf("layers are mixed up: %x", got)
	}
}
