package webrtc

import (
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/org/mtx/protocol/httpserver"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/routertest"
)

// Clients that send their candidates later, as browsers do.
func TestTrickle(t *testing.T) {
	t.Parallel()
	g := newRig(t, Server{}, nil)
	g.publish("cam")
	v := g.whep("/cam")
	for _, c := range []struct {
		body, ctype, match string
		status             int
	}{
		{"a=candidate:1 1 udp 2113937151 127.0.0.1 4444 typ host\r\na=end-of-candidates\r\n", typeFragment, "*", 204},
		{"a=end-of-candidates\r\n", typeFragment, "", 204},
		{"a=end-of-candidates\r\n", typeFragment, `"*"`, 204},
		{"a=end-of-candidates\r\n", typeFragment, `"other"`, 412},
		{"a=candidate:1 1 udp 1 01234567-89ab-cdef-0123-456789abcdef.local 4444 typ host\r\n", typeFragment, "*", 204}, // mDNS
		{"a=end-of-candidates\r\n", "application/sdp", "*", 400},
		{"a=end-of-candidates\r\n", "", "*", 400},
		{"", typeFragment, "*", 400},
		{"nonsense", typeFragment, "*", 400},
		{strings.Repeat("a=candidate:1 1 udp 1 127.0.0.1 4444 typ host\r\n", 2000), typeFragment, "*", 400},
		{strings.Repeat("x", maxSDP+1), typeFragment, "*", 413},
	} {
		res, body := g.do(http.MethodPatch, v.location, c.body, "Content-Type", c.ctype, "If-Match", c.match)
		if res.StatusCode != c.status || c.status == 204 && body != "" {
			t.Errorf("%.60q %s %s: %d %s, want %d", c.body, c.ctype, c.match, res.StatusCode, body, c.status)
		}
	}
	before := v.markers.Load()
	routertest.Eventually(t, "media goes on", func() bool { return v.markers.Load() > before+5 })
	// another endpoint, or another path, does not know the secret
	for _, l := range []string{strings.Replace(v.location, "/whep/", "/whip/", 1), strings.Replace(v.location, "/cam/", "/door/", 1)} {
		if res, _ := g.do(http.MethodDelete, l, ""); res.StatusCode != http.StatusNotFound {
			t.Errorf("DELETE %s: %d", l, res.StatusCode)
		}
	}
}

func TestTrickleFromTheStart(t *testing.T) {
	t.Parallel()
	g := newRig(t, Server{}, nil)
	g.publish("cam")
	v := g.viewer()
	found := make(chan string, 16)
	v.pc.OnICECandidate(func(c *webrtc.ICECandidate) {
		if c != nil {
			found <- c.ToJSON().Candidate
		}
	})
	offer, err := v.pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	res, answer := g.do(http.MethodPost, "/cam/whep", offer.SDP, "Content-Type", typeSDP)
	if res.StatusCode != http.StatusCreated {
		t.Fatalf("%d %s", res.StatusCode, answer)
	}
	if err := v.pc.SetLocalDescription(offer); err != nil {
		t.Fatal(err)
	}
	if err := v.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer}); err != nil {
		t.Fatal(err)
	}
	fragment := "m=video 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\na=" + <-found + "\r\n"
	for line := range strings.Lines(offer.SDP) {
		if strings.HasPrefix(line, "a=ice-ufrag:") || strings.HasPrefix(line, "a=ice-pwd:") {
			fragment = line + fragment
		}
	}
	res, body := g.do(http.MethodPatch, res.Header.Get("Location"), fragment, "Content-Type", typeFragment, "If-Match", res.Header.Get("ETag"))
	if res.StatusCode != http.StatusNoContent {
		t.Fatalf("%d %s", res.StatusCode, body)
	}
	routertest.Eventually(t, "video arrives", func() bool { return v.markers.Load() > 5 })
}

func TestICERestart(t *testing.T) {
	t.Parallel()
	g := newRig(t, Server{}, nil)
	g.publish("cam")
	v := g.whep("/cam")
	offer, err := v.pc.CreateOffer(&webrtc.OfferOptions{ICERestart: true})
	if err != nil {
		t.Fatal(err)
	}
	done := webrtc.GatheringCompletePromise(v.pc)
	if err := v.pc.SetLocalDescription(offer); err != nil {
		t.Fatal(err)
	}
	<-done
	fragment := ""
	for line := range strings.Lines(v.pc.LocalDescription().SDP) {
		for _, p := range []string{"a=ice-ufrag:", "a=ice-pwd:", "a=mid:", "a=candidate:"} {
			if strings.HasPrefix(line, p) {
				fragment += line
			}
		}
	}
	res, answer := g.do(http.MethodPatch, v.location, fragment, "Content-Type", typeFragment, "If-Match", "*")
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != typeFragment || res.Header.Get("ETag") == "" ||
		!strings.Contains(answer, "a=ice-ufrag:") || !strings.Contains(answer, "a=candidate:") {
		t.Fatalf("%d %v %s", res.StatusCode, res.Header, answer)
	}
	var sdp strings.Builder
	for line := range strings.Lines(v.pc.CurrentRemoteDescription().SDP) {
		switch {
		case strings.HasPrefix(line, "a=candidate:"), strings.HasPrefix(line, "a=end-of-candidates"):
			continue
		case strings.HasPrefix(line, "a=ice-ufrag:"), strings.HasPrefix(line, "a=ice-pwd:"):
			key, _, _ := strings.Cut(line, ":")
			for l := range strings.Lines(answer) {
				if strings.HasPrefix(l, key+":") {
					line = l
				}
			}
		}
		sdp.WriteString(line)
	}
	if err := v.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: sdp.String()}); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(answer) {
		if c, ok := strings.CutPrefix(strings.TrimSpace(line), "a=candidate:"); ok {
			if err := v.pc.AddICECandidate(webrtc.ICECandidateInit{Candidate: "candidate:" + c}); err != nil {
				t.Fatal(err)
			}
		}
	}
	before := v.markers.Load()
	routertest.Eventually(t, "media goes on", func() bool { return v.markers.Load() > before+20 })
}

// Clients that do not connect after their POST.
func TestHandshakeTimeout(t *testing.T) {
	t.Parallel()
	g := newRig(t, Server{HandshakeTimeout: 300 * time.Millisecond}, nil)
	g.publish("cam")
	for _, path := range []string{"/cam/whep", "/other/whip"} {
		if res, body := g.do(http.MethodPost, path, offerFor(path), "Content-Type", typeSDP); res.StatusCode != http.StatusCreated {
			t.Fatalf("%s: %d %s", path, res.StatusCode, body)
		}
	}
	n := 0
	for i := range g.Sessions(kind) {
		n++
		if d := i.Details.(*Details); d.PeerConnectionEstablished || d.LocalCandidate != "" {
			t.Errorf("details %+v", d)
		}
	}
	if n != 2 {
		t.Errorf("%d sessions", n)
	}
	routertest.Eventually(t, "the sessions end", func() bool {
		return len(g.sessionsOf("read"))+len(g.sessionsOf("publish")) == 0
	})
	path, ok := g.Path("cam")
	if ok && len(path.Info().Readers) != 0 {
		t.Error("a reader is left")
	}
}

func TestTCP(t *testing.T) {
	t.Parallel()
	g := newRig(t, Server{NoUDP: true, TCPAddr: "127.0.0.1:0"}, nil)
	g.publish("cam")
	v := g.viewerOver(true)
	v.open("/cam/whep")
	routertest.Eventually(t, "video arrives", func() bool { return v.markers.Load() > 10 })
	if d := g.sessionsOf("read")[0]; !strings.HasPrefix(d.LocalCandidate, "host/tcp/") {
		t.Errorf("candidate %q", d.LocalCandidate)
	}
}

func TestIPv6(t *testing.T) {
	t.Parallel()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(addrs, func(a net.Addr) bool { // clients of pion do not use ::1
		n, ok := a.(*net.IPNet)
		return ok && n.IP.To4() == nil && n.IP.IsGlobalUnicast()
	})
	if i < 0 {
		t.Skip("the machine has no IPv6 address but that of the loopback interface")
	}
	ip := addrs[i].(*net.IPNet).IP
	addr := net.JoinHostPort(ip.String(), "0")
	g := newRig(t, Server{HTTP: httpserver.Listen{Addr: addr}, UDPAddr: addr}, nil)
	g.publish("cam")
	s := webrtc.SettingEngine{}
	s.SetIPFilter(ip.Equal)
	s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP6})
	v := g.newClient(false, webrtc.WithSettingEngine(s))
	v.receive()
	v.open("/cam/whep")
	routertest.Eventually(t, "video arrives", func() bool { return v.markers.Load() > 10 })
	d := g.sessionsOf("read")[0]
	if !strings.HasPrefix(d.LocalCandidate, "host/udp/"+ip.String()+"/") || !strings.HasPrefix(d.RemoteAddr, "["+ip.String()+"]:") {
		t.Errorf("details %+v", d)
	}
}

// ICE servers change without disturbing anybody.
func TestHotReload(t *testing.T) {
	t.Parallel()
	g := newRig(t, Server{}, nil)
	g.publish("cam")
	v := g.whep("/cam")
	next := *g.server
	next.ICEServers = []ICEServer{{URL: "turn:127.0.0.1:9", Username: AuthSecret, Password: "s3cret", ClientOnly: true}}
	cfg := g.Config()
	cfg.Protocols = []router.Protocol{&next}
	if _, err := g.Apply(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	routertest.Eventually(t, "the servers are told", func() bool {
		res, _ := g.do(http.MethodOptions, "/cam/whep", "")
		l := res.Header.Get("Link")
		return strings.HasPrefix(l, `<turn:127.0.0.1:9>; rel="ice-server"; username="`) && strings.HasSuffix(l, `; credential-type="password"`) &&
			!strings.Contains(l, AuthSecret) && !strings.Contains(l, "s3cret")
	})
	before := v.markers.Load()
	routertest.Eventually(t, "media goes on", func() bool { return v.markers.Load() > before+5 })
	if strings.Contains(g.log.String(), "s3cret") {
		t.Error("a secret is in the log")
	}
	next2 := next
	next2.HandshakeTimeout = time.Second
	if next.CanUpdate(&next2) || !next.CanUpdate(&next) || next.CanUpdate(&routertest.Protocol{}) {
		t.Error("CanUpdate")
	}
}
