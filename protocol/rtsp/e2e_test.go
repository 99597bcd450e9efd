//go:build e2e

package rtsp_test

import (
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/org/mtx/protocol/rtsp"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/routertest"
)

// patience bounds what a client may take; it is generous, since tests share the
// processors.
const patience = 30 * time.Second

// e2eServer is a router with an RTSP server at a random port.
type e2eServer struct {
	*router.Router
	scheme, port string
	credentials  string // "user:password@", of the URLs
}

// serve runs a server in which every path exists, until the end of the test.
func serve(t *testing.T, conf *rtsp.Server, edit ...func(*router.Config)) *e2eServer {
	t.Helper()
	conf.Addr, conf.RTPAddr, conf.RTCPAddr = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	if conf.Transports == nil {
		conf.Transports = []rtsp.Transport{rtsp.UDP, rtsp.TCP}
	}
	cfg := router.Config{
		Protocols: []router.Protocol{conf},
		Paths:     []router.PathConfig{{Name: router.AllOthers}},
		AuthPause: -1,
	}
	for _, f := range edit {
		f(&cfg)
	}
	logs := &routertest.Log{}
	r, err := router.New(cfg, router.WithLogger(logs.Logger()))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = r.Close()
		if t.Failed() {
			t.Logf("log of the server:\n%s", logs)
		}
	})
	_, port, err := net.SplitHostPort(r.ProtocolAddrs(conf.Name())[0].String())
	if err != nil {
		t.Fatal(err)
	}
	return &e2eServer{Router: r, scheme: conf.Name(), port: port}
}

func (s *e2eServer) url(path string) string {
	return fmt.Sprintf("%s://%s127.0.0.1:%s/%s", s.scheme, s.credentials, s.port, path)
}

// waitReady waits until somebody publishes.
func (s *e2eServer) waitReady(t *testing.T, path string) {
	t.Helper()
	ready := make(chan struct{})
	var once sync.Once
	defer s.Observe(router.Hooks{PathReady: func(ev router.PathEvent) func() {
		if ev.Path == path {
			once.Do(func() { close(ready) })
		}
		return nil
	}})()
	select {
	case <-ready:
	case <-time.After(patience):
		t.Fatalf("nobody has published on %q", path)
	}
}

// connected tells whether a connection of a session is open.
func (s *e2eServer) connected(d *rtsp.SessionDetails) bool {
	for info := range s.Sessions(s.scheme + "Conn") {
		if slices.Contains(d.Conns, info.ID) {
			return true
		}
	}
	return false
}

// checkLosses fails if packets did not arrive, were damaged, or were not sent.
// Call it while the publisher is there.
func (s *e2eServer) checkLosses(t *testing.T) {
	t.Helper()
	found := false
	for info := range s.Sessions(s.scheme + "Session") {
		d, ok := info.Details.(*rtsp.SessionDetails)
		if !ok {
			t.Fatalf("details are %T", info.Details)
		}
		found = true
		t.Logf("state %s: %d packets in, %d packets out", d.State, d.InboundRTPPackets, d.OutboundRTPPackets)
		if d.State == "read" && !s.connected(d) {
			continue // it has left, with what it wanted; what comes then is discarded
		}
		if d.InboundRTPPacketsLost != 0 || d.InboundRTPPacketsInError != 0 || d.OutboundRTPPacketsDiscarded != 0 {
			t.Errorf("state %s: %d packets lost, %d in error, %d discarded",
				d.State, d.InboundRTPPacketsLost, d.InboundRTPPacketsInError, d.OutboundRTPPacketsDiscarded)
		}
	}
	if !found {
		t.Error("there is no session")
	}
}
