package rtmp_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/org/mtx/protocol/internal/proxied/proxytest"
	"github.com/org/mtx/protocol/rtmp"
	"github.com/org/mtx/router/routertest"
)

// Clients behind a proxy are seen with their own addresses, by the authenticator
// too; the header of who is not trusted is not RTMP.
func TestProxyProtocol(t *testing.T) {
	t.Parallel()
	from := netip.MustParseAddrPort("192.0.2.7:4000")
	for _, c := range []struct {
		name, trusted string
		version       byte
		ok            bool
	}{
		{"v1", "127.0.0.0/8", 1, true},
		{"v2", "127.0.0.0/8", 2, true},
		{"not trusted", "10.0.0.0/8", 2, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r, addr := start(t, &rtmp.Server{TrustedProxies: []netip.Prefix{netip.MustParsePrefix(c.trusted)}})
			proxy := proxytest.Start(t, c.version, addr, from)
			if !c.ok {
				if _, err := dial(t, true, "rtmp://%s/cam", proxy); err == nil {
					t.Error("the client was accepted")
				}
				return
			}
			publish(t, "rtmp://%s/cam", proxy).run(t, time.Millisecond)
			routertest.WaitReady(t, r, "cam")
			if got := read(t, mustDial(t, false, "rtmp://%s/cam", proxy)); !got.key {
				t.Errorf("%+v", got)
			}
			n := 0
			for i := range r.Sessions("rtmpConn") {
				n++
				if d, ok := i.Details.(*rtmp.Details); !ok || d.RemoteAddr != from.String() {
					t.Errorf("details %+v, want the address %v", i.Details, from)
				}
			}
			if n == 0 {
				t.Error("there is no session")
			}
		})
	}
}
