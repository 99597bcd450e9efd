package webrtc

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/org/mtx/router/routertest"
)

// The connections of one client are bounded, and silent ones do not hold up the
// end.
func TestTCPConnections(t *testing.T) {
	t.Parallel()
	g := newRig(t, Server{TCPAddr: "127.0.0.1:0"}, nil)
	addr := g.ProtocolAddrs("webrtc")[2].String()
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	dial := func() {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	for range maxTCPConnsPerClient + 1 {
		dial()
	}
	routertest.Eventually(t, "one is refused", func() bool {
		for _, c := range conns {
			_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
			if _, err := c.Read(make([]byte, 1)); errors.Is(err, io.EOF) {
				return true
			}
		}
		return false
	})
	began := time.Now()
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("the end took %v", d)
	}
}
