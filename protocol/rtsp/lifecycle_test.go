package rtsp

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/format"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/routertest"
)

func TestConformance(t *testing.T) {
	addr := routertest.FreeAddr(t)
	routertest.TestProtocol(t, func() router.Protocol {
		s := plainServer()
		s.Addr = addr
		return s
	})
}

func TestInvalidServer(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*Server){
		"payload size 299":      func(s *Server) { s.UDPMaxPayloadSize = 299 },
		"payload size 1473":     func(s *Server) { s.UDPMaxPayloadSize = 1473 },
		"payload size -1":       func(s *Server) { s.UDPMaxPayloadSize = -1 },
		"queue size 500":        func(s *Server) { s.WriteQueueSize = 500 },
		"queue size 4611686018": func(s *Server) { s.WriteQueueSize = 1 << 62 },
		"queue size -1":         func(s *Server) { s.WriteQueueSize = -1 },
		`transport "quic"`:      func(s *Server) { s.Transports = []Transport{"quic"} },
		`method "ntlm"`:         func(s *Server) { s.AuthMethods = []AuthMethod{"ntlm"} },
		`range "zz"`:            func(s *Server) { s.Transports, s.MulticastRange = []Transport{Multicast}, "zz" },
		`range "10.0.0.0/8"`:    func(s *Server) { s.Transports, s.MulticastRange = []Transport{Multicast}, "10.0.0.0/8" },
		"ports 5001 and 5002": func(s *Server) {
			s.Transports, s.MulticastRTPPort, s.MulticastRTCPPort = []Transport{Multicast}, 5001, 5002
		},
		"RTP port 5001":         func(s *Server) { s.RTPAddr, s.RTCPAddr = ":5001", ":5002" },
		"RTP port 5000":         func(s *Server) { s.RTPAddr, s.RTCPAddr = ":5000", ":5002" },
		`RTP address ":99999"`:  func(s *Server) { s.RTPAddr = ":99999" },
		`RTCP address ":99999"`: func(s *Server) { s.RTCPAddr = ":99999" },
		"zz":                    func(s *Server) { s.Addr = "zz" },
		"needs a key":           func(s *Server) { s.CertFile = "cert.pem" },
		"load the certificate":  func(s *Server) { s.CertFile, s.KeyFile = "/missing/cert.pem", "/missing/key.pem" },
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			s := plainServer()
			change(s)
			r, err := router.New(router.Config{Protocols: []router.Protocol{s}})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = r.Close() }()
			if err := r.Start(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want something about %q", err, want)
			}
		})
	}
}

// With the smallest packets that are allowed everything works.
func TestSmallestPackets(t *testing.T) {
	t.Parallel()
	srv := plainServer()
	srv.UDPMaxPayloadSize = minPacketSize
	g := newRig(t, anyPath(), srv)
	p := g.publish("s", overTCP, oneVideo())
	rd := g.read("s", overUDP)
	p.write(0, h264Frame(96, 1, 0, 1, 1000)...)
	for _, pkt := range rd.got(0, 96, 4) {
		if n := pkt.MarshalSize(); n > minPacketSize {
			t.Errorf("packet of %d bytes", n)
		}
	}
}

func TestOverride(t *testing.T) {
	t.Parallel()
	cfg := anyPath()
	cfg.Paths[0].Override = true
	for name, m := range map[string]mode{"tcp": overTCP, "udp": overUDP} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newRig(t, cfg, plainServer())
			first := g.publish("s", m, oneVideo())
			tcp, udp := g.read("s", overTCP), g.read("s", overUDP)
			second := g.publish("s", m, newSession(video(&format.VP8{PayloadTyp: 96})))
			for what, done := range map[string]chan error{"publisher": first.done, "TCP reader": tcp.done, "UDP reader": udp.done} {
				if err := over(t, what, done); err == nil {
					t.Errorf("%s ended without an error", what)
				}
			}
			routertest.Eventually(t, "the log tells why", func() bool {
				return g.log.Count(`state=read reason="replaced by another publisher"`) == 2
			})
			rd := g.read("s", overTCP)
			key := audioPacket(96, 1, 0, 50)
			key.Payload[0], key.Payload[1] = 0x10, 0 // VP8: start of a key frame (RFC 7741 section 4)
			second.write(0, key)
			rd.got(0, 96, 1)
		})
	}
}

func TestPublisherLeaves(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(g *rig, p *publisher){
		"teardown": func(_ *rig, p *publisher) { p.Close() },
		"kick of the session": func(g *rig, _ *publisher) {
			if err := g.r.Kick("rtspSession", g.sessions("publish")[0].ID); err != nil {
				t.Error(err)
			}
		},
		"kick of the connection": func(g *rig, _ *publisher) {
			if err := g.r.Kick("rtspConn", g.sessions("publish")[0].Conns[0]); err != nil {
				t.Error(err)
			}
		},
		"path is removed": func(g *rig, _ *publisher) {
			if err := g.r.RemovePath(context.Background(), "all_others"); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newRig(t, anyPath(), plainServer())
			p := g.publish("s", overTCP, oneVideo())
			readers := []*reader{g.read("s", overTCP), g.read("s", overUDP), g.read("s", mode{protocol: 2, tunnel: 1})}
			leave(g, p)
			for _, rd := range readers {
				_ = over(t, "reader", rd.done)
			}
			_ = over(t, "publisher", p.done)
			routertest.Eventually(t, "no session is left", func() bool {
				for range g.r.Sessions("") {
					return false
				}
				return true
			})
			g.noPanic()
		})
	}
}

func TestKickReader(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]mode{"tcp": overTCP, "udp": overUDP} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newRig(t, anyPath(), plainServer())
			p := g.publish("s", overTCP, oneVideo())
			kicked := g.read("s", m)
			id := g.sessions("read")[0].ID
			other := g.read("s", m)
			f := g.feed(p, time.Millisecond)
			kicked.got(0, 96, 3)
			if err := g.r.Kick("rtspSession", id); err != nil {
				t.Fatal(err)
			}
			_ = over(t, "reader", kicked.done)
			routertest.WaitReaders(t, g.r, "s", 1)
			n := f.stop()
			samePrefix(t, other, n)
			// the other by its connection
			if err := g.r.Kick("rtspConn", g.sessions("read")[0].Conns[0]); err != nil {
				t.Fatal(err)
			}
			_ = over(t, "reader", other.done)
		})
	}
}

// samePrefix checks that the reader got the packets of a feed, which has sent n,
// to the last one and without a gap.
func samePrefix(t *testing.T, rd *reader, n int) {
	t.Helper()
	rd.await("the last packet", func() bool {
		pkts := rd.packets[[2]int{0, 96}]
		return len(pkts) > 0 && pkts[len(pkts)-1].SequenceNumber == uint16(n-1)
	})
	continuous(t, "feed", rd.got(0, 96, 1))
}

// A reload that does not concern a reader costs it nothing.
func TestApplyWhileReading(t *testing.T) {
	t.Parallel()
	srv := plainServer()
	cfg := router.Config{AuthPause: -1, Paths: []router.PathConfig{{Name: "s"}, {Name: "gone"}}}
	g := newRig(t, cfg, srv)
	p, gone := g.publish("s", overTCP, oneVideo()), g.publish("gone", overTCP, oneVideo())
	tcp, udp, lost := g.read("s", overTCP), g.read("s", overUDP), g.read("gone", overTCP)
	f := g.feed(p, time.Millisecond)
	tcp.got(0, 96, 5)
	cfg = g.r.Config().WithoutPath("gone").WithPath(router.PathConfig{Name: "new"})
	cfg.Auth = users("secret")
	if _, err := g.r.Apply(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	_ = over(t, "publisher of the path that was removed", gone.done)
	_ = over(t, "reader of the path that was removed", lost.done)
	if _, err := g.tryRead("s", overTCP); err == nil {
		t.Error("the new authenticator is not asked")
	}
	g.as("reader", "secret").read("s", overTCP)
	n := len(tcp.got(0, 96, 1))
	tcp.got(0, 96, n+20)
	n = f.stop()
	samePrefix(t, tcp, n)
	samePrefix(t, udp, n)
	g.noPanic()
}

func TestServerIsRemoved(t *testing.T) {
	t.Parallel()
	srv := plainServer()
	g := newRig(t, anyPath(), srv)
	p := g.publish("s", overUDP, oneVideo())
	clients := []chan error{p.done, g.read("s", overTCP).done, g.read("s", overUDP).done, g.read("s", mode{protocol: 2, tunnel: 2}).done}
	silent := g.dial()
	cfg := g.r.Config()
	cfg.Protocols = nil
	if _, err := g.r.Apply(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	silent.closed()
	for _, done := range clients {
		_ = over(t, "client", done)
	}
	// its address is free, and it works again
	again := plainServer()
	again.Addr = g.addr
	cfg.Protocols = []router.Protocol{again}
	if _, err := g.r.Apply(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	p = g.publish("s", overUDP, oneVideo())
	rd := g.read("s", overUDP)
	p.write(0, h264Frame(96, 1, 0, 1, 100)...)
	rd.got(0, 96, 1)
	g.noPanic()
}

func TestTwoServersAndTwoRouters(t *testing.T) {
	t.Parallel()
	secure := plainServer()
	secure.TLS = tlsConfig(t)
	cfg := anyPath()
	cfg.Protocols = []router.Protocol{secure}
	g := newRig(t, cfg, plainServer())
	other := newRig(t, anyPath(), plainServer())
	gs := &rig{t: t, r: g.r, name: "rtsps", addr: g.r.ProtocolAddrs("rtsps")[0].String(), log: g.log}

	p, q := g.publish("s", overTCP, oneVideo()), other.publish("s", overTCP, oneVideo())
	readers := []*reader{gs.read("s", overUDP), g.read("s", overUDP), g.read("s", overTCP)}
	foreign := other.read("s", overTCP)
	p.write(0, h264Frame(96, 1, 0, 1, 100)...)
	for _, rd := range readers {
		rd.got(0, 96, 1)
	}
	q.write(0, h264Frame(96, 9, 0, 1, 100)...)
	if s := foreign.got(0, 96, 1)[0].SequenceNumber; s != 9 {
		t.Errorf("packet %d of another router", s)
	}
}

// When the context of a router ends nothing is left.
func TestContextEnds(t *testing.T) {
	t.Parallel()
	cfg := anyPath()
	srv := plainServer()
	cfg.Protocols = []router.Protocol{srv}
	log := &routertest.Log{}
	r, err := router.New(cfg, router.WithLogger(log.Logger()))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	routertest.Eventually(t, "the server listens", func() bool { return len(r.ProtocolAddrs("rtsp")) == 1 })
	g := &rig{t: t, r: r, name: "rtsp", addr: r.ProtocolAddrs("rtsp")[0].String(), log: log}
	p := g.publish("s", overTCP, oneVideo())
	rd := g.read("s", overUDP)
	waiting := g.dial()
	waiting.want(200, base.Options, g.url("s"), nil)
	cancel()
	if err := over(t, "router", done); err != nil {
		t.Error(err)
	}
	_, _ = over(t, "publisher", p.done), over(t, "reader", rd.done)
	ln, err := net.Listen("tcp", g.addr)
	if err != nil {
		t.Fatalf("the address is not free: %v", err)
	}
	_ = ln.Close()
}

// Streams end while clients are in the middle of their requests.
func TestStreamsComeAndGo(t *testing.T) {
	t.Parallel()
	g := newRig(t, anyPath(), plainServer())
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-quit:
				return
			default:
			}
			pub, err := g.r.Publish(context.Background(), "s", routertest.SampleTracks())
			if err != nil {
				t.Error(err)
				return
			}
			pub.Write(0, routertest.SampleUnit(0, 0))
			pub.Close()
		}
	}()
	for range 300 {
		c := g.dial()
		u := g.url("s")
		for _, f := range []func() (*base.Response, error){
			func() (*base.Response, error) { return c.try(base.Describe, u, nil) },
			func() (*base.Response, error) { return c.try(base.Setup, u+"/trackID=0", nil, tcpTransport) },
			func() (*base.Response, error) {
				return c.try(base.Setup, u+"/trackID=1", nil, "Transport: RTP/AVP/TCP;unicast;interleaved=2-3")
			},
			func() (*base.Response, error) { return c.try(base.Play, u, nil) },
		} {
			res, err := f()
			if err != nil {
				break
			}
			if s := res.StatusCode; s != 200 && s != 400 && s != 404 {
				t.Fatalf("status %d", s)
			}
			if res.StatusCode != base.StatusOK {
				break
			}
		}
		_ = c.Close()
	}
	close(quit)
	<-done
	g.noPanic()
}
