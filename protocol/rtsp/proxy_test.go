package rtsp

import (
	"context"
	"net/netip"
	"testing"

	"github.com/org/mtx/protocol/internal/proxied/proxytest"
	"github.com/org/mtx/router"
)

// Clients behind a proxy are seen with their own addresses, with TLS inside too.
// The header of who is not trusted counts for nothing.
func TestProxyProtocol(t *testing.T) {
	t.Parallel()
	from := netip.MustParseAddrPort("[2001:db8::7]:4000")
	for _, c := range []struct {
		name, trusted string
		version       byte
		srv           *Server
		want          netip.Addr
	}{
		{"v1", "127.0.0.1/32", 1, plainServer(), from.Addr()},
		{"v2", "127.0.0.1/32", 2, plainServer(), from.Addr()},
		{"TLS", "127.0.0.1/32", 2, secureServer(t), from.Addr()},
		{"not trusted", "192.0.2.0/24", 1, plainServer(), netip.MustParseAddr("127.0.0.1")},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			seen := make(chan netip.Addr, 100)
			cfg := anyPath()
			cfg.Auth = router.AuthenticatorFunc(func(_ context.Context, q *router.AccessRequest) (router.Identity, error) {
				seen <- q.Addr
				return router.Identity{}, nil
			})
			c.srv.TrustedProxies = []netip.Prefix{netip.MustParsePrefix(c.trusted)}
			g := newRig(t, cfg, c.srv)
			g.addr = proxytest.Start(t, c.version, g.addr, from)
			pub := g.publish("cam", overTCP, oneVideo())
			rd := g.read("cam", overTCP)
			pub.write(0, h264Frame(96, 1, 0, 1, 100)...)
			rd.got(0, 96, 1)
			if a := <-seen; a != c.want {
				t.Errorf("the authenticator sees %v, want %v", a, c.want)
			}
			for _, d := range append(g.sessions("publish"), g.sessions("read")...) {
				if a, err := netip.ParseAddrPort(d.RemoteAddr); err != nil || a.Addr() != c.want {
					t.Errorf("a session has the address %s, want %v", d.RemoteAddr, c.want)
				}
			}
		})
	}
}
