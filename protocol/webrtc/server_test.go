package webrtc

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/org/mtx/protocol/httpserver"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/routertest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	addr := routertest.FreeAddr(t)
	routertest.TestProtocol(t, func() router.Protocol {
		return &Server{HTTP: httpserver.Listen{Addr: addr}, UDPAddr: "127.0.0.1:0", TCPAddr: "127.0.0.1:0"}
	})
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for want, s := range map[string]Server{
		"":                       {},
		"UDP address \"x\"":      {UDPAddr: "x"},
		"TCP address \"x\"":      {TCPAddr: "x"},
		"STUN gather timeout":    {STUNGatherTimeout: time.Hour},
		"handshake timeout":      {HandshakeTimeout: time.Hour},
		"track gather timeout":   {TrackGatherTimeout: time.Hour},
		"UDP read buffer size":   {UDPReadBufferSize: -1},
		"additional host \"\"":   {AdditionalHosts: []string{""}},
		"ICE server \"x\"":       {ICEServers: []ICEServer{{URL: "x"}}},
		"needs additional hosts": {NoInterfaces: true},
	} {
		switch err := s.Validate(); {
		case want == "" && err != nil:
			t.Error(err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// Sockets of the program are used, and closed.
func TestGivenSockets(t *testing.T) {
	t.Parallel()
	udp, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := newRig(t, Server{UDP: udp, TCP: tcp}, nil)
	addrs := g.ProtocolAddrs("webrtc")
	if len(addrs) != 3 || addrs[1].String() != udp.LocalAddr().String() || addrs[2].String() != tcp.Addr().String() {
		t.Errorf("addresses %v", addrs)
	}
	g.publish("cam")
	v := g.whep("/cam")
	routertest.Eventually(t, "video arrives", func() bool { return v.markers.Load() > 0 })
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	if udp.SetDeadline(time.Now()) == nil {
		t.Error("the UDP socket is open")
	}
	if _, err := tcp.Accept(); err == nil {
		t.Error("the listener is open")
	}
}

// What cannot be opened is an error, and leaves nothing open.
func TestBusyAddresses(t *testing.T) {
	t.Parallel()
	udp, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = udp.Close() }()
	tcp, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tcp.Close() }()
	for name, s := range map[string]Server{
		"udp":     {UDPAddr: udp.LocalAddr().String(), TCPAddr: "127.0.0.1:0"},
		"tcp":     {UDPAddr: "127.0.0.1:0", TCPAddr: tcp.Addr().String()},
		"http":    {UDPAddr: "127.0.0.1:0", HTTP: httpserver.Listen{Addr: tcp.Addr().String()}},
		"invalid": {UDPAddr: "127.0.0.1:0", HTTP: httpserver.Listen{Addr: "127.0.0.1:0"}, NoInterfaces: true},
	} {
		if s.HTTP == nil {
			s.HTTP = httpserver.Listen{Addr: "127.0.0.1:0"}
		}
		r, err := router.New(router.Config{Protocols: []router.Protocol{&s}})
		if err == nil {
			err = r.Start(context.Background())
			_ = r.Close()
		}
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
