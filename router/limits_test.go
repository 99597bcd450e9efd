package router_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/routertest"
)

// kickable is a client that can be kicked.
type kickable struct {
	id     string
	kicked chan struct{}
}

func (s *kickable) Info() router.SessionInfo { return router.SessionInfo{ID: s.id, Kind: "testConn"} }
func (s *kickable) Close() error             { close(s.kicked); return nil }

// newLimited starts a router whose clients all get the same identity.
func newLimited(t *testing.T, id func() router.Identity) (*router.Router, *router.Host) {
	t.Helper()
	cfg := config(router.PathConfig{Name: "cam"})
	cfg.Auth = router.AuthenticatorFunc(func(context.Context, *router.AccessRequest) (router.Identity, error) { return id(), nil })
	return startHost(t, cfg)
}

func grant(t *testing.T, h *router.Host, a router.Action) *router.Grant {
	t.Helper()
	return authorize(t, h, router.AccessRequest{Action: a, Path: "cam"})
}

func TestAccessExpires(t *testing.T) {
	t.Parallel()
	_, h := newLimited(t, func() router.Identity { return router.Identity{Expires: time.Now().Add(300 * time.Millisecond)} })
	writer, reader := &kickable{"w", make(chan struct{})}, &kickable{"r", make(chan struct{})}
	defer h.AddSession(writer)()
	defer h.AddSession(reader)()
	pub, err := grant(t, h, router.ActionPublish).Publish(t.Context(), text(), router.PublishOptions{Peer: router.Peer{Type: "testConn", ID: "w"}})
	if err != nil {
		t.Fatal(err)
	}
	a, err := grant(t, h, router.ActionRead).Attach(t.Context(), router.ReadOptions{Peer: router.Peer{Type: "testConn", ID: "r"}})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	receive(t, writer.kicked)
	receive(t, pub.Done())
	if !errors.Is(pub.Err(), router.ErrExpired) {
		t.Error(pub.Err())
	}
	// the stream is over, but a reader that does not notice leaves with it anyway
	receive(t, a.Stream().Done())
}

func TestReaderExpires(t *testing.T) {
	t.Parallel()
	r, h := newLimited(t, func() router.Identity { return router.Identity{Expires: time.Now().Add(50 * time.Millisecond)} })
	reader := &kickable{"r", make(chan struct{})}
	defer h.AddSession(reader)()
	pub := publish(t, r, "cam")
	a, err := grant(t, h, router.ActionRead).Attach(t.Context(), router.ReadOptions{Peer: router.Peer{Type: "testConn", ID: "r"}})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	receive(t, reader.kicked)
	if pub.Err() != nil {
		t.Error("the publisher was ended: ", pub.Err())
	}
}

func TestBitrateLimit(t *testing.T) {
	t.Parallel()
	_, h := newLimited(t, func() router.Identity { return router.Identity{MaxBitrate: 1000} })
	pub, err := grant(t, h, router.ActionPublish).Publish(t.Context(), text(), router.PublishOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pub.Write(0, message(string(make([]byte, 4096)))) // 8192 bit/s over four seconds
	receive(t, pub.Done())
	if !errors.Is(pub.Err(), router.ErrTooFast) {
		t.Error(pub.Err())
	}
}

// closer is an authenticator that counts its ends.
type closer struct {
	Name   string
	closed *atomic.Int32
}

func (c *closer) Authenticate(context.Context, *router.AccessRequest) (router.Identity, error) {
	return router.Identity{User: c.Name}, nil
}

func (c *closer) Close() error { c.closed.Add(1); return nil }

func TestAuthenticatorsAreClosed(t *testing.T) {
	t.Parallel()
	var n [3]atomic.Int32
	first := &closer{"a", &n[0]}
	r := routertest.New(t, router.Config{Auth: first})
	apply(t, r, router.Config{Auth: &closer{"a", &n[0]}}) // equal: the first one stays
	if r.Config().Auth != first || n[0].Load() != 0 {
		t.Error("an authenticator that did not change was replaced")
	}
	apply(t, r, router.Config{Auth: &closer{"b", &n[1]}})
	if n[0].Load() != 1 || n[1].Load() != 0 {
		t.Error(n[0].Load(), n[1].Load())
	}
	if err := r.Close(); err != nil || n[1].Load() != 1 {
		t.Error(err, n[1].Load())
	}
}

// A muxer that many clients share is not bound by the token of the first.
func TestSharedReaderHasNoLimits(t *testing.T) {
	t.Parallel()
	r, h := newLimited(t, func() router.Identity { return router.Identity{Expires: time.Now().Add(time.Millisecond)} })
	shared, own := &kickable{"s", make(chan struct{})}, &kickable{"o", make(chan struct{})}
	defer h.AddSession(shared)()
	defer h.AddSession(own)()
	publish(t, r, "cam")
	for _, s := range []*kickable{shared, own} {
		a, err := grant(t, h, router.ActionRead).Attach(t.Context(), router.ReadOptions{
			Peer: router.Peer{Type: "testConn", ID: s.id}, Shared: s == shared,
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(a.Close)
	}
	receive(t, own.kicked)
	select {
	case <-shared.kicked:
		t.Error("the shared reader was kicked")
	default:
	}
}
