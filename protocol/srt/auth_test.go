package srt

import (
	"context"
	"encoding/binary"
	"testing"
	"time"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/routertest"
)

// Clients whose authentication takes long hold up nobody: neither handshakes nor packets
// of others. They get in when it is over.
func TestSlowAuthentication(t *testing.T) {
	t.Parallel()
	release, asked := make(chan struct{}), make(chan struct{}, 16)
	cfg := anyPath()
	cfg.Auth = router.AuthenticatorFunc(func(ctx context.Context, r *router.AccessRequest) (router.Identity, error) {
		if r.Path == "slow" {
			asked <- struct{}{}
			select {
			case <-release:
			case <-ctx.Done():
			}
		}
		return router.Identity{}, nil
	})
	g := newRig(t, cfg)
	g.push("publish:early", "")
	routertest.WaitReady(t, g.r, "early")
	early := g.read("read:early", "")
	early.has(0, 1)

	const callers = 8
	opened := make(chan error, callers)
	for i := range callers {
		id := []string{"publish:slow", "read:slow"}[i%2]
		go func() {
			c, err := g.tryDial(id, "")
			if err == nil {
				err = c.Close()
			}
			opened <- err
		}()
	}
	for range callers {
		<-asked
	}
	early.has(0, 20)
	g.push("publish:late", "")
	routertest.WaitReady(t, g.r, "late")
	g.read("read:late", "").has(0, 10)
	select {
	case err := <-opened:
		t.Errorf("a client got in early: %v", err)
	default:
	}
	close(release)
	in := 0
	for range callers {
		if <-opened == nil {
			in++
		}
	}
	if in < callers/2 { // there is no stream for those who read
		t.Errorf("%d clients got in", in)
	}
	routertest.Eventually(t, "they are gone", func() bool { return len(g.sessions("idle")) == 0 })
	g.noPanic()
}

// Operators are told why a caller that wants what is not served does not get in.
func TestUnsupportedCaller(t *testing.T) {
	t.Parallel()
	g := newRig(t, anyPath())
	raw := g.raw()
	_ = raw.SetDeadline(time.Now().Add(patience))
	cookie := exchange(t, raw, handshake(4, 1, 7, 0), 1)[1]
	b := handshake(5, 0xffffffff, 7, cookie,
		0, 1, 0, 3, 0, 1, 5, 1, 0, 0, 0, 0x3f, 0, 120, 0, 120,
		0, 7, 0, 1, 0, 'c', 'e', 'f') // a packet filter
	binary.BigEndian.PutUint32(b[16+4:], 5)
	if got := exchange(t, raw, b, 0)[0]; got != 1014 {
		t.Errorf("answer %d", got)
	}
	routertest.Eventually(t, "it is logged", func() bool { return g.log.Count(`level=INFO msg="connection refused"`) == 1 })
	if g.log.Count("packet filters are not supported") != 1 {
		t.Error(g.log)
	}
}
