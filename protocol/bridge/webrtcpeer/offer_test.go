package webrtcpeer

import (
	_ "embed"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/pion/webrtc/v4"

	"github.com/org/mtx/router/media"
)

// chromeOffer is what Chromium offers to read.
//
//go:embed testdata/chrome-whep.sdp
var chromeOffer string

func TestAnswerToBrowser(t *testing.T) {
	t.Parallel()
	server := newServer(t, nil)
	sps := func(profile, constraints byte) []byte { return []byte{0x67, profile, constraints, 31} }
	for _, ca := range []struct {
		name  string
		codec media.Codec
		pt    uint8
		out   string
	}{
		{"h264 unknown", &media.H264{}, 103, "H264"},
		{"h264 baseline", &media.H264{SPS: sps(66, 0)}, 103, "H264"},
		{"h264 constrained baseline", &media.H264{SPS: sps(66, 0xc0)}, 109, "H264"},
		{"h264 main", &media.H264{SPS: sps(77, 0)}, 117, "H264"},
		{"h264 high", &media.H264{SPS: sps(100, 0)}, 39, "H264"},
		{"h264 high 4:2:2", &media.H264{SPS: sps(122, 0)}, 103, "H264"},
		{"vp9", &media.VP9{}, 98, "VP9"},
		{"vp9 profile 2", &media.VP9{Profile: 2}, 100, "VP9"},
		{"h265", &media.H265{SPS: h265SPS}, 49, "H265"},
		{"av1", &media.AV1{}, 45, "AV1"},
		{"vp8", &media.VP8{}, 96, "VP8"},
		{"opus", &media.Opus{ChannelCount: 2}, 111, "Opus"},
		{"g722", &media.G722{}, 9, "G722"},
		{"pcma", &media.G711{SampleRate: 8000, ChannelCount: 1}, 8, "G711"},
		{"lpcm", &media.LPCM{BitDepth: 16, SampleRate: 48000, ChannelCount: 2}, 0, "G711"},
	} {
		t.Run(ca.name, func(t *testing.T) {
			t.Parallel()
			s, answer, err := server.AnswerSend(testContext(t), chromeOffer, SendOptions{Tracks: []media.Track{{Codec: ca.codec}}})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			o := s.Outputs()[0]
			if o.PayloadType != ca.pt || o.Codec.Name() != ca.out || o.SSRC == 0 {
				t.Errorf("%+v", o)
			}
			if pt, ssrc, ok := s.tracks[0].Negotiated(); !ok || pt != o.PayloadType || ssrc != o.SSRC {
				t.Errorf("bound to %d %d %v", pt, ssrc, ok)
			}
			// of the two sections one is used, and the candidates are in the first one
			first, _, _ := strings.Cut(answer, "m=audio")
			if strings.Count(answer, "a=sendonly") != 1 || strings.Count(answer, "a=inactive") != 1 ||
				!strings.Contains(first, "a=candidate:") || strings.Contains(answer, "rtx") {
				t.Errorf("answer:\n%s", answer)
			}
		})
	}
}

func TestNoUsableTracks(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	server := newServer(t, nil)
	for _, ca := range []struct {
		codec media.Codec
		want  string
	}{
		{&media.VP9{Profile: 3}, "the stream has VP9, the reader takes VP8, H264"},
		{&media.MPEG1Audio{}, "the stream has MPEG-1/2 Audio, the reader takes"},
		{&media.KLV{}, "KLV"},
		{&media.Opus{ChannelCount: 6}, "opus"},
	} {
		_, _, err := server.AnswerSend(ctx, chromeOffer, SendOptions{Tracks: []media.Track{{Codec: ca.codec}}})
		if !errors.Is(err, ErrNoUsableTracks) || !strings.Contains(err.Error(), ca.want) {
			t.Errorf("%s: %v", ca.codec.Name(), err)
		}
	}
	// a reader's offer is no publisher's
	if _, _, err := server.Answer(ctx, chromeOffer, ReceiveOptions{}); !errors.Is(err, ErrNoUsableTracks) {
		t.Error(err)
	}
	unknown := strings.NewReplacer("a=recvonly", "a=sendonly", "opus", "x-opus", "PCM", "XCM", "G722", "X722",
		"VP8/", "XP8/", "VP9/", "XP9/", "H26", "X26", "AV1", "XV1").Replace(chromeOffer)
	_, _, err := server.Answer(ctx, unknown, ReceiveOptions{})
	if !errors.Is(err, ErrNoUsableTracks) || !strings.Contains(err.Error(), "XV1") || !strings.Contains(err.Error(), "supported are AV1") {
		t.Error(err)
	}
	if _, _, err := server.OfferSend(ctx, SendOptions{Tracks: []media.Track{{Codec: &media.MJPEG{}}}}); !errors.Is(err, ErrNoUsableTracks) {
		t.Error(err)
	}
	if n := server.Peers(); n != 0 {
		t.Errorf("%d peers are left", n)
	}
}

func TestBadOffers(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	server := newServer(t, nil)
	_, section, _ := strings.Cut(chromeOffer, "m=audio")
	section = "m=audio" + section
	head, _, _ := strings.Cut(chromeOffer, "m=")
	many := func(n int, line string) string { return chromeOffer + strings.Repeat(line+"\r\n", n) }
	var sections strings.Builder
	sections.WriteString(chromeOffer)
	for i := range 100 {
		sections.WriteString(strings.Replace(section, "a=mid:1", fmt.Sprintf("a=mid:%d", i+2), 1))
	}
	for name, offer := range map[string]string{
		"empty":             "",
		"garbage":           "hello",
		"json":              `{"type":"offer"}`,
		"no section":        head,
		"size":              chromeOffer + strings.Repeat("a=x\r\n", maxSDPSize/5),
		"sections":          sections.String(),
		"candidates":        many(2000, "a=candidate:1 1 udp 1 192.0.2.1 1 typ host"),
		"attributes":        many(9000, "a=x"),
		"layers":            many(100, "a=rid:a send"),
		"no mid":            strings.ReplaceAll(chromeOffer, "a=mid:", "a=mud:"),
		"same mid":          strings.ReplaceAll(chromeOffer, "a=mid:1", "a=mid:0"),
		"no ice":            strings.ReplaceAll(chromeOffer, "a=ice-", "a=nice-"),
		"no fingerprint":    strings.ReplaceAll(chromeOffer, "a=fingerprint", "a=finger"),
		"broken line":       strings.Replace(chromeOffer, "a=rtcp-mux", "zzz", 1),
		"broken fmtp":       strings.Replace(chromeOffer, "a=fmtp:97 apt=96", "a=fmtp:97 apt=zz", 1) + "\x00",
		"broken credential": strings.ReplaceAll(chromeOffer, "a=ice-pwd:aa8KJmTzEqr5D0ZQKgTg0Lha", "a=ice-pwd"),
	} {
		t.Run(name, func(t *testing.T) {
			s, _, err := server.AnswerSend(ctx, offer, SendOptions{Tracks: []media.Track{{Codec: &media.VP8{}}}})
			if !errors.Is(err, ErrBadOffer) {
				t.Error(err)
			}
			if s != nil {
				s.Close()
			}
			_, _, err = server.Answer(ctx, strings.ReplaceAll(offer, "recvonly", "sendonly"), ReceiveOptions{})
			if !errors.Is(err, ErrBadOffer) {
				t.Error(err)
			}
		})
	}
	eventually(t, "the end of all peers", func() bool { return server.Peers() == 0 })
}

// TestUnusableFirst offers something unknown in the first section.
func TestUnusableFirst(t *testing.T) {
	t.Parallel()
	offer := strings.NewReplacer("VP8/", "XP8/", "VP9/", "XP9/", "H26", "X26", "AV1", "XV1", "a=recvonly", "a=sendrecv").Replace(chromeOffer)
	r, answer, err := newServer(t, nil).Answer(testContext(t), offer, ReceiveOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	first, second, _ := strings.Cut(answer, "m=audio")
	if !strings.Contains(first, "a=inactive") || !strings.Contains(first, "a=candidate:") || !strings.Contains(second, "a=recvonly") {
		t.Errorf("answer:\n%s", answer)
	}
	if r.expected() != 1 {
		t.Errorf("%d tracks are expected", r.expected())
	}
}

func TestUnusableCandidates(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]bool{
		"1 1 udp 2130706431 192.0.2.1 1234 typ host":                             true,
		"1 1 UDP 2130706431 2001:db8::1 1234 typ host generation 0 ufrag a":      true,
		"1 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active":                 true,
		"1 1 udp 1 192.0.2.1 1234 typ srflx raddr 10.0.0.1 rport 1":              true,
		"1 1 udp 1 aa6bcb35-41c9-44c7-b4b5-3d85b5f4a8e4.local 1234 typ host":     false,
		"1 1 udp 1 example.com 1234 typ host":                                    false,
		"1 1 udp 1 0.0.0.0 1234 typ host":                                        false,
		"1 1 udp 1 224.0.0.1 1234 typ host":                                      false,
		"1 1 udp 1 192.0.2.1 123456 typ host":                                    false,
		"1 1 udp 1 192.0.2.1":                                                    false,
		"":                                                                       false,
		"1 1 udp 1 192.0.2.1 1234 typ host " + strings.Repeat("x", 2*maxSDPSize): false,
	} {
		if got := usableCandidate(value); got != want {
			t.Errorf("%.80q: %v", value, got)
		}
	}
}

func TestFragments(t *testing.T) {
	t.Parallel()
	const c = "candidate:1 1 udp 2130706431 192.0.2.1 1234 typ host"
	f, err := parseFragment("a=ice-ufrag:u\r\na=ice-pwd:p\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\na=" + c + "\r\na=end-of-candidates\r\n")
	if err != nil || f.ufrag != "u" || f.pwd != "p" || len(f.candidates) != 1 || f.candidates[0] != (fragmentCandidate{"0", c}) || !f.end {
		t.Fatalf("%+v %v", f, err)
	}
	again, err := parseFragment(f.String())
	if err != nil || fmt.Sprint(again) != fmt.Sprint(f) {
		t.Errorf("%+v %v", again, err)
	}
	for name, bad := range map[string]string{
		"empty":      "",
		"garbage":    "hello\r\n",
		"nothing":    "a=mid:0\r\n",
		"size":       strings.Repeat("a=x\r\n", maxFragmentSize),
		"candidates": strings.Repeat("a="+c+"\r\n", 1000),
		"ufrag":      "a=ice-ufrag:" + strings.Repeat("u", 257) + "\r\n",
	} {
		if _, err := parseFragment(bad); !errors.Is(err, ErrBadFragment) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestManyFragments(t *testing.T) {
	t.Parallel()
	s, _, err := newServer(t, nil).AnswerSend(testContext(t), chromeOffer, SendOptions{Tracks: []media.Track{{Codec: &media.VP8{}}}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for i := range 10 {
		var b strings.Builder
		for j := range 90 {
			fmt.Fprintf(&b, "a=candidate:1 1 udp 1 192.0.2.%d %d typ host\r\n", j, i+1)
		}
		err = s.AddCandidates(b.String())
	}
	if !errors.Is(err, ErrBadFragment) {
		t.Error(err)
	}
	if err := s.AddCandidates("a=ice-ufrag:other\r\na=end-of-candidates\r\n"); !errors.Is(err, ErrBadFragment) {
		t.Error(err)
	}
}

func TestSecrets(t *testing.T) {
	t.Parallel()
	s := ICEServer{URL: "turn:example.com", Username: "u", Password: "hidden"}
	if text := fmt.Sprintf("%v %+v %#v %s", s, s, s, []ICEServer{s}) + s.LogValue().String(); strings.Contains(text, "hidden") {
		t.Error(text)
	}
	e := newEngine(t, nil)
	_, _, err := e.OfferReceive(testContext(t), ReceiveOptions{ICEServers: []ICEServer{{URL: "bogus", Username: "u", Password: "hidden"}}})
	if err == nil || strings.Contains(err.Error(), "hidden") {
		t.Error(err)
	}
	if e.Peers() != 0 {
		t.Error("a peer is left")
	}
}

// TestDataChannelFlood opens more data channels than anybody needs.
func TestDataChannelFlood(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	server, client := newServer(t, nil), newEngine(t, nil)
	codec, _ := ownCodec(&media.VP8{}, 96)
	p, err := client.newPeer(&peerSettings{codecs: []registeredCodec{codec.register(sendFeedback...)}}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if _, err := p.pc.AddTransceiverFromTrack(newTrack(0, codec.register().RTPCodecParameters), webrtc.RTPTransceiverInit{
		Direction: webrtc.RTPTransceiverDirectionSendonly,
	}); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if _, err := p.pc.CreateDataChannel("flood", nil); err != nil {
			t.Fatal(err)
		}
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
	select {
	case <-r.Done():
	case <-ctx.Done():
		t.Fatal("the flood is not ended")
	}
}

// TestAnswerToPublisher looks at what a browser needs to send well.
func TestAnswerToPublisher(t *testing.T) {
	t.Parallel()
	r, answer, err := newServer(t, nil).Answer(testContext(t), strings.ReplaceAll(chromeOffer, "a=recvonly", "a=sendonly"), ReceiveOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, want := range []string{
		"a=rtpmap:96 VP8/90000", "a=rtpmap:97 rtx/90000", "a=fmtp:97 apt=96", "a=rtpmap:49 H265/90000", "a=rtpmap:45 AV1/90000",
		"a=rtcp-fb:96 nack\r", "a=rtcp-fb:96 nack pli\r", "a=rtcp-fb:96 ccm fir\r", "a=rtcp-fb:96 transport-cc\r",
		"a=rtcp-fb:111 transport-cc\r", "a=fmtp:39 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=64001f",
		"a=extmap:4 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
		"a=extmap:9 urn:ietf:params:rtp-hdrext:sdes:mid", "a=recvonly",
	} {
		if !strings.Contains(answer, want) {
			t.Errorf("%q is missing", want)
		}
	}
	for _, miss := range []string{"goog-remb", "ulpfec", "red/", "telephone-event", "CN/8000", "flexfec", "sendonly"} {
		if strings.Contains(answer, miss) {
			t.Errorf("%q should not be there", miss)
		}
	}
	if t.Failed() {
		t.Log(answer)
	}
}
