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
	for range 2 {
		if err := r.Close(); err != nil || n[1].Load() != 1 {
			t.Error(err, n[1].Load())
		}
	}
	r, err := router.New(router.Config{Auth: &closer{"c", &n[2]}})
	if err != nil {
		t.Fatal(err)
	}
	apply(t, r, router.Config{}) // before the start
	if err := r.Close(); err != nil || n[2].Load() != 1 {
		t.Error(err, n[2].Load())
	}
}

// filter is an authenticator of which reflection cannot tell whether it is equal.
type filter struct {
	router.AuthenticatorFunc
	closed *atomic.Int32
}

func (f filter) Close() error { f.closed.Add(1); return nil }

// An authenticator that is handed back is the same, also if it is, or has, a function.
func TestAuthenticatorFuncStays(t *testing.T) {
	t.Parallel()
	allow := func(user string) router.AuthenticatorFunc {
		return func(context.Context, *router.AccessRequest) (router.Identity, error) {
			return router.Identity{User: user}, nil
		}
	}
	var closed atomic.Int32
	for _, a := range []router.Authenticator{allow("a"), filter{allow("a"), &closed}} {
		cfg := config(router.PathConfig{Name: "cam"})
		cfg.Auth = a
		r, h := startHost(t, cfg)
		if ch := apply(t, r, r.Config()); !ch.Empty() {
			t.Errorf("%T: changes: %+v", a, ch)
		}
		if err := r.AddPath(t.Context(), router.PathConfig{Name: "dog"}); err != nil {
			t.Fatal(err)
		}
		if n := closed.Load(); n != 0 {
			t.Errorf("%T: closed %d times while it is in force", a, n)
		}
		cfg = r.Config()
		cfg.Auth = allow("b") // the same function, but another closure
		if ch := apply(t, r, cfg); !ch.Auth {
			t.Errorf("%T: another one is not noticed", a)
		}
		if g := authorize(t, h, router.AccessRequest{Action: router.ActionRead, Path: "cam"}); g.Identity().User != "b" {
			t.Errorf("%T: the old one is asked", a)
		}
	}
}

// clumsy is a client that cannot be kicked.
type clumsy struct{}

func (*clumsy) Info() router.SessionInfo { return router.SessionInfo{ID: "c", Kind: "testConn"} }
func (*clumsy) Close() error             { panic("bug") }

// Readers of protocols that have no sessions, or broken ones, leave, too.
func TestReaderWithoutSessionExpires(t *testing.T) {
	t.Parallel()
	r, h := newLimited(t, func() router.Identity { return router.Identity{Expires: time.Now().Add(50 * time.Millisecond)} })
	pub := publish(t, r, "cam")
	defer h.AddSession(&clumsy{})()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, peer := range []router.Peer{{}, {Type: "testConn", ID: "c"}} {
		rd, err := grant(t, h, router.ActionRead).Read(t.Context(), router.ReadOptions{Peer: peer})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(rd.Close)
		_, _, err = rd.Next(ctx)
		wantErr(t, err, router.ErrStreamClosed)
	}
	if pub.Err() != nil {
		t.Error("the publisher was ended: ", pub.Err())
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
