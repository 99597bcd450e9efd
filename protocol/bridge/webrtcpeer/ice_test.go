package webrtcpeer

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/org/mtx/router/media"
)

func h264Case() codecCase { return codecCases()[4] }

// withoutCandidates takes the candidates out of a description.
func withoutCandidates(desc string) (rest string, candidates []string) {
	var b strings.Builder
	for line := range strings.Lines(desc) {
		if strings.HasPrefix(line, "a=candidate:") {
			candidates = append(candidates, line)
			continue
		}
		b.WriteString(line)
	}
	return b.String(), candidates
}

func TestTrickle(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	server, client := newServer(t, nil), newEngine(t, nil)
	c := h264Case()
	s, offer, err := client.OfferSend(ctx, SendOptions{Tracks: tracksOf(c)})
	if err != nil {
		t.Fatal(err)
	}
	offer, candidates := withoutCandidates(offer)
	r, answer, err := server.Answer(ctx, offer, ReceiveOptions{})
	if err != nil {
		t.Fatal(err)
	}
	// only the trickled candidates lead anywhere
	answer, _ = withoutCandidates(answer)
	if err := s.SetAnswer(answer); err != nil {
		t.Fatal(err)
	}
	f := newFeeder(t, c)
	f.run(t, s.Outputs())
	frag := "a=ice-ufrag:" + r.received.ufrag + "\r\na=ice-pwd:" + r.received.pwd +
		"\r\nm=video 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n" + strings.Join(candidates, "") +
		"a=candidate:1 1 udp 2130706431 abcd.local 1234 typ host\r\na=end-of-candidates\r\n"
	if restart, err := r.IsRestart(frag); restart || err != nil {
		t.Fatal(restart, err)
	}
	if err := r.AddCandidates(frag); err != nil {
		t.Fatal(err)
	}
	f.serve(ctx, t, s)
	_, col := collect(ctx, t, r)
	col.wait(ctx, t, "media", func() bool { return col.units[0] > 0 })
	if got := r.RemoteCandidate(); !strings.Contains(got, "/udp/127.0.0.1/") && !strings.Contains(got, "/udp/") {
		t.Errorf("remote candidate %q", got)
	}
	if got := r.LocalCandidate(); !strings.HasPrefix(got, "host/udp/127.0.0.1/") {
		t.Errorf("local candidate %q", got)
	}
	if !r.Established() || r.RemoteAddr() == "" {
		t.Error("not established")
	}
}

func TestRestart(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	server, client := newServer(t, nil), newEngine(t, nil)
	c := h264Case()
	s, r := read(ctx, t, client, server, tracksOf(c))
	f := newFeeder(t, c)
	f.run(t, s.Outputs())
	f.serve(ctx, t, s)
	_, col := collect(ctx, t, r)
	col.wait(ctx, t, "media", func() bool { return col.units[0] > 0 })

	// the reader restarts ICE, as RFC 9725 section 4.3.2 describes it
	offer, err := r.pc.CreateOffer(&webrtc.OfferOptions{ICERestart: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.setLocal(ctx, offer); err != nil {
		t.Fatal(err)
	}
	local := r.pc.LocalDescription().SDP
	frag := localFragment(local).String()
	if restart, err := s.IsRestart(frag); !restart || err != nil {
		t.Fatalf("%v %v\n%s", restart, err, frag)
	}
	before := s.received.ufrag
	answer, err := s.Restart(ctx, frag)
	if err != nil {
		t.Fatal(err)
	}
	got, err := parseFragment(answer)
	if err != nil || got.ufrag == "" || got.pwd == "" || len(got.candidates) == 0 {
		t.Fatalf("%v\n%s", err, answer)
	}
	if s.received.ufrag == before {
		t.Error("credentials of the reader did not change")
	}
	if err := r.pc.SetRemoteDescription(webrtc.SessionDescription{
		Type: webrtc.SDPTypeAnswer, SDP: server.withHostCandidates(s.pc.LocalDescription().SDP),
	}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a new pair", func() bool {
		return s.pc.ICEConnectionState() == webrtc.ICEConnectionStateConnected ||
			s.pc.ICEConnectionState() == webrtc.ICEConnectionStateCompleted
	})
	col.mu.Lock()
	n := col.units[0]
	col.mu.Unlock()
	col.wait(ctx, t, "media after the restart", func() bool { return col.units[0] > n+20 })

	for _, bad := range []string{"", "x", "a=ice-ufrag:abcd\r\n", frag} {
		if _, err := s.Restart(ctx, bad); !errors.Is(err, ErrBadFragment) {
			t.Errorf("restart with %q: %v", bad, err)
		}
	}
}

func TestTCPOnly(t *testing.T) {
	t.Parallel()
	for _, direction := range []string{"publish", "read"} {
		t.Run(direction, func(t *testing.T) {
			t.Parallel()
			ctx := testContext(t)
			l, err := net.Listen("tcp4", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
			server := newEngine(t, func(c *EngineConfig) { c.TCP = l })
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
			col.wait(ctx, t, "media", func() bool { return col.units[0] > 10 })
			if got := r.RemoteCandidate(); !strings.Contains(got, "/tcp/") {
				t.Errorf("remote candidate %q", got)
			}
		})
	}
}

func TestSocketsOutliveEngine(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	first := newServer(t, func(c *EngineConfig) { c.TCP = l })
	conn := first.cfg.UDP
	first.Close()
	second := newEngine(t, func(c *EngineConfig) { c.UDP, c.TCP = conn, l })
	c := h264Case()
	s, r := read(ctx, t, newEngine(t, nil), second, tracksOf(c))
	f := newFeeder(t, c)
	f.run(t, s.Outputs())
	f.serve(ctx, t, s)
	_, col := collect(ctx, t, r)
	col.wait(ctx, t, "media", func() bool { return col.units[0] > 0 })
	second.Close()
	if c, err := net.Dial("tcp4", l.Addr().String()); err != nil {
		t.Errorf("the listener was closed: %v", err)
	} else {
		c.Close()
	}
}

func TestCandidates(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	for _, ca := range []struct {
		name       string
		change     func(*EngineConfig)
		want, miss string
	}{
		{"bound", nil, " 127.0.0.1 ", "192.0.2.1"},
		{"additional", func(c *EngineConfig) { c.AdditionalHosts = []string{"192.0.2.1"} }, " 192.0.2.1 ", "x"},
		{"additional IPv6", func(c *EngineConfig) { c.AdditionalHosts = []string{"2001:db8::1"} }, " 2001:db8::1 ", "x"},
		{"name", func(c *EngineConfig) { c.AdditionalHosts = []string{"localhost"}; c.NoInterfaces = true }, " 127.0.0.1 ", "x"},
		{
			"additional only", func(c *EngineConfig) { c.AdditionalHosts, c.NoInterfaces = []string{"192.0.2.1"}, true },
			" 192.0.2.1 ", " 127.0.0.1 ",
		},
		{"tcp", func(c *EngineConfig) { c.TCP = l }, "typ host tcptype passive", "x"},
	} {
		t.Run(ca.name, func(t *testing.T) {
			server, client := newServer(t, ca.change), newEngine(t, nil)
			_, offer, err := client.OfferReceive(ctx, ReceiveOptions{})
			if err != nil {
				t.Fatal(err)
			}
			_, answer, err := server.AnswerSend(ctx, offer, SendOptions{Tracks: tracksOf(h264Case())})
			if err != nil {
				t.Fatal(err)
			}
			_, list := withoutCandidates(answer)
			all := strings.Join(list, "")
			if !strings.Contains(all, ca.want) || strings.Contains(all, ca.miss) {
				t.Errorf("candidates:\n%s", all)
			}
		})
	}
}

// TestWildcard offers what a browser on the same host and one elsewhere need.
func TestWildcard(t *testing.T) {
	t.Parallel()
	e := newEngine(t, nil)
	var want, loopback bool
	for _, a := range e.net.addresses() {
		if a.ip.IsLoopback() {
			loopback = true
		} else {
			want = true
		}
	}
	got := e.hostAddresses(addrPort("[::]:0").Addr())
	if (want || loopback) && len(got) == 0 {
		t.Fatal("no address is offered")
	}
	for _, ip := range got {
		if ip.IsLoopback() == want {
			t.Errorf("%v is offered", ip)
		}
	}
	e.cfg.Interfaces = []string{"no such interface"}
	for _, ip := range e.hostAddresses(addrPort("[::]:0").Addr()) {
		if !ip.IsLoopback() {
			t.Errorf("%v is offered", ip)
		}
	}
}

func TestHandshakeTimeout(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	server := newServer(t, func(c *EngineConfig) { c.HandshakeTimeout = 100 * time.Millisecond })
	_, offer, err := newEngine(t, nil).OfferSend(ctx, SendOptions{Tracks: tracksOf(h264Case())})
	if err != nil {
		t.Fatal(err)
	}
	r, _, err := server.Answer(ctx, offer, ReceiveOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.Tracks(ctx); !errors.Is(err, ErrHandshakeTimeout) {
		t.Error(err)
	}
	eventually(t, "the end of the peer", func() bool { return server.Peers() == 0 })
}

func TestNoPackets(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	server := newServer(t, func(c *EngineConfig) { c.TrackGatherTimeout = 50 * time.Millisecond })
	s, r := publish(ctx, t, newEngine(t, nil), server, tracksOf(h264Case()), ReceiveOptions{})
	if err := s.Connected(ctx); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.Tracks(ctx); !errors.Is(err, ErrNoPackets) {
		t.Error(err)
	}
	s.Close()
	select {
	case <-r.Done():
	case <-ctx.Done():
		t.Error("the end of the other side is not seen")
	}
	if !errors.Is(r.Err(), ErrRemoteClosed) {
		t.Error(r.Err())
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	server := newServer(t, nil)
	_, offer, err := newEngine(t, nil).OfferSend(testContext(t), SendOptions{Tracks: []media.Track{{Codec: &media.VP8{}}}})
	if err != nil {
		t.Fatal(err)
	}
	r, _, err := server.Answer(testContext(t), offer, ReceiveOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.Tracks(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
