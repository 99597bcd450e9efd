package webrtc

import (
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/webrtc/v4"

	"github.com/org/mtx/router/routertest"
)

// Offers that no browser makes get a clear answer, and disturb nobody.
func TestHostileOffers(t *testing.T) {
	t.Parallel()
	g := newRig(t, Server{HandshakeTimeout: time.Second}, nil)
	g.publish("cam")
	v := g.whep("/cam")
	head, section, _ := strings.Cut(offerText, "m=video")
	section = "m=video" + section
	candidate := "a=candidate:%d 1 udp 2113937151 10.0.%d.%d 4444 typ host\r\n"
	var candidates strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&candidates, candidate, i, i/250, i%250)
	}
	for name, c := range map[string]struct {
		offer string
		want  []int
	}{
		"too large":           {offerText + strings.Repeat("a=x:y\r\n", 1<<20), []int{413}},
		"many attributes":     {offerText + strings.Repeat("a=x:y\r\n", 10000), []int{400}},
		"many sections":       {head + strings.Repeat(section, 200), []int{400}},
		"same mids":           {head + section + section, []int{400}},
		"many candidates":     {offerText + candidates.String(), []int{400}},
		"unknown codec":       {strings.ReplaceAll(offerText, "H264/90000", "X999/90000"), []int{406}},
		"no codec":            {strings.ReplaceAll(offerText, "a=rtpmap:96 H264/90000\r\n", ""), []int{400, 406}},
		"no credentials":      {strings.ReplaceAll(offerText, "a=ice-ufrag:abcd\r\n", ""), []int{400}},
		"no fingerprint":      {strings.ReplaceAll(offerText, "a=fingerprint:sha-256 "+fingerprint+"\r\n", ""), []int{400}},
		"odd fingerprint":     {strings.ReplaceAll(offerText, "sha-256", "md2"), []int{400, 201}},
		"no section":          {head, []int{400}},
		"binary":              {"v=0\x00\xff\xfe\r\n", []int{400}},
		"JSON":                {`{"sdp":"v=0"}`, []int{400}},
		"long line":           {"v=0\r\no=" + strings.Repeat("-", 100000) + "\r\n", []int{400}},
		"huge payload type":   {strings.ReplaceAll(offerText, " 96", " 99999"), []int{400, 406}},
		"unfinished":          {offerText[:len(offerText)/2], []int{400, 406}},
		"negative port":       {strings.ReplaceAll(offerText, "m=video 9", "m=video -9"), []int{400, 406}},
		"rtx without a codec": {strings.ReplaceAll(offerText, "a=rtpmap:96 H264/90000", "a=rtpmap:96 rtx/90000\r\na=fmtp:96 apt=96"), []int{400, 406}},
	} {
		for _, end := range []string{"whip", "whep"} {
			path := "/x/" + end
			if end == "whep" {
				path = "/cam/whep"
				c.offer = strings.ReplaceAll(c.offer, "a=sendonly", "a=recvonly")
			}
			res, body := g.do(http.MethodPost, path, c.offer, "Content-Type", typeSDP)
			ok := false
			for _, s := range c.want {
				ok = ok || res.StatusCode == s
			}
			if !ok || res.StatusCode >= 400 && !strings.Contains(body, `"error":"`) {
				t.Errorf("%s, %s: %d %.200s, want %v", name, end, res.StatusCode, body, c.want)
			}
		}
	}
	before := v.markers.Load()
	routertest.Eventually(t, "the viewer goes on", func() bool { return v.markers.Load() > before+5 })
	routertest.Eventually(t, "nothing is left", func() bool {
		return len(g.sessionsOf("publish")) == 0 && len(g.sessionsOf("read")) == 1
	})
}

// One client that opens sessions and never connects is stopped, others are not.
func TestPendingSessionsAreBounded(t *testing.T) {
	t.Parallel()
	sv := &server{pending: map[string]int{}}
	bad, good := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8:1::1")
	var leaves []func()
	for range maxPendingPerClient {
		leave, err := sv.admit(bad)
		if err != nil {
			t.Fatal(err)
		}
		bad = bad.Next() // of the same network
		leaves = append(leaves, leave)
	}
	if _, err := sv.admit(bad); err == nil {
		t.Error("too many sessions of one client")
	}
	leave, err := sv.admit(good)
	if err != nil {
		t.Errorf("another client: %v", err)
	}
	leave()
	for sv.waiting < maxPending {
		if _, err := sv.admit(good); err != nil {
			good = netip.AddrFrom4([4]byte{10, 0, 0, byte(sv.waiting >> 8)})
		}
	}
	if _, err := sv.admit(netip.MustParseAddr("10.1.1.1")); err == nil {
		t.Error("too many sessions")
	}
	for _, leave := range leaves {
		leave()
		leave() // counts once
	}
	if sv.waiting != maxPending-maxPendingPerClient {
		t.Errorf("%d sessions wait", sv.waiting)
	}
	if _, err := sv.admit(bad); err != nil {
		t.Error(err)
	}
}

// Packets that belong to nobody, while others watch and join.
func TestFloods(t *testing.T) {
	t.Parallel()
	g := newRig(t, Server{TCPAddr: "127.0.0.1:0"}, nil)
	g.publish("cam")
	v := g.whep("/cam")
	udp, tcp := g.ProtocolAddrs("webrtc")[1].String(), g.ProtocolAddrs("webrtc")[2].String()
	quit := make(chan struct{})
	var wg sync.WaitGroup
	flood := func(network, addr string, packet func(n int) []byte) {
		wg.Go(func() {
			var c net.Conn
			defer func() {
				if c != nil {
					_ = c.Close()
				}
			}()
			for n := 0; ; n++ {
				select {
				case <-quit:
					return
				default:
				}
				var err error
				if c == nil {
					if c, err = net.Dial(network, addr); err != nil {
						t.Error(err)
						return
					}
				}
				_ = c.SetWriteDeadline(time.Now().Add(time.Second))
				if _, err := c.Write(packet(n)); err != nil && network == "tcp" {
					_ = c.Close() // the server has had enough
					c = nil
				}
				time.Sleep(200 * time.Microsecond)
			}
		})
	}
	random := func(n int) []byte {
		b := make([]byte, n)
		_, _ = rand.Read(b)
		return b
	}
	// a STUN binding request (RFC 8489 section 5) with a user name
	flood("udp", udp, func(n int) []byte {
		name := fmt.Sprintf("%08d:abcd", n%100000000) // 13 bytes, padded to 16
		b := []byte{0, 1, 0, 20, 0x21, 0x12, 0xa4, 0x42}
		b = append(b, random(12)...)
		b = append(b, 0, 6, 0, 13)
		return append(append(b, name...), 0, 0, 0)
	})
	// a DTLS record: a handshake of nonsense
	flood("udp", udp, func(int) []byte {
		return append([]byte{22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 100}, random(100)...)
	})
	flood("udp", udp, func(n int) []byte { return append([]byte{0x80, 96}, random(n%1200)...) })
	flood("udp", udp, func(n int) []byte { return random(n % 64) })
	flood("tcp", tcp, func(n int) []byte { return append([]byte{byte(n >> 8), byte(n)}, random(n%500)...) })
	for range 3 {
		before := v.markers.Load()
		routertest.Eventually(t, "the viewer goes on", func() bool { return v.markers.Load() > before+10 })
		w := g.whep("/cam")
		routertest.Eventually(t, "another one joins", func() bool { return w.markers.Load() > 5 })
	}
	close(quit)
	wg.Wait()
}

// A viewer that never reports is served like others.
func TestViewerWithoutRTCP(t *testing.T) {
	t.Parallel()
	g := newRig(t, Server{}, nil)
	g.publish("cam")
	c := g.newClient(false, webrtc.WithInterceptorRegistry(&interceptor.Registry{}))
	c.receive()
	c.open("/cam/whep")
	routertest.Eventually(t, "media goes on", func() bool { return c.markers.Load() > 100 })
	if d := g.sessionsOf("read")[0]; d.InboundRTCPPackets != 0 {
		t.Errorf("%d RTCP packets: the test is none", d.InboundRTCPPackets)
	}
}

func FuzzTargets(f *testing.F) {
	for _, s := range []string{"/", "/cam", "/cam/", "/a/b/whip/", "/cam/whep/01234567-89ab-cdef-0123-456789abcdef", "//x/publish", "/x/reader.js", "//whep", "//a/whip/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, p string) {
		switch got := targetOf(p); got.kind {
		case targetRedirect:
			if !strings.HasPrefix(got.to, "/") || targetOf(got.to).kind != targetFile {
				t.Errorf("%q: redirected to %q", p, got.to)
			}
		case targetSession:
			if got.secret == "" || got.action == "" || got.name == "" {
				t.Errorf("%q: %+v", p, got)
			}
		case targetEndpoint:
			if got.action == "" || got.name == "" {
				t.Errorf("%q: %+v", p, got)
			}
		}
	})
}
