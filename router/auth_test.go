package router_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/routertest"
)

// startHost starts a router with a fake protocol and returns what the protocol
// was given.
func startHost(t testing.TB, cfg router.Config, opts ...router.Option) (*router.Router, *router.Host) {
	t.Helper()
	host := make(chan *router.Host, 1)
	cfg.Protocols = []router.Protocol{&routertest.Protocol{ServeFunc: func(ctx context.Context, h *router.Host) error {
		host <- h
		h.Ready()
		<-ctx.Done()
		return nil
	}}}
	r := routertest.New(t, cfg, opts...)
	return r, receive(t, host)
}

func authorize(t testing.TB, h *router.Host, q router.AccessRequest) *router.Grant {
	t.Helper()
	g, err := h.Authorize(t.Context(), &q)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestGrantIsBoundToItsAction(t *testing.T) {
	t.Parallel()
	_, h := startHost(t, config(router.PathConfig{Name: "cam"}))
	g := authorize(t, h, router.AccessRequest{Action: router.ActionRead, Path: "cam"})
	_, err := g.Publish(t.Context(), text(), router.PublishOptions{})
	wantErr(t, err, router.ErrWrongAction)
	for _, a := range []router.Action{router.ActionPublish, router.ActionAPI, router.ActionPlayback} {
		g = authorize(t, h, router.AccessRequest{Action: a, Path: "cam"})
		_, err = g.Read(t.Context(), router.ReadOptions{})
		wantErr(t, err, router.ErrWrongAction)
		_, err = g.Wait(t.Context())
		wantErr(t, err, router.ErrWrongAction)
	}
}

func TestGrantIsBoundToItsConfiguration(t *testing.T) {
	t.Parallel()
	r, h := startHost(t, config(router.PathConfig{Name: "cam"}, router.PathConfig{Name: "dog"}))
	next := func(p ...router.PathConfig) {
		cfg := r.Config()
		cfg.Paths = p
		apply(t, r, cfg)
	}
	g := authorize(t, h, router.AccessRequest{Action: router.ActionPublish, Path: "cam"})
	next(router.PathConfig{Name: "cam", MaxReaders: 3}) // compatible
	pub, err := g.Publish(t.Context(), text(), router.PublishOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pub.Close()
	next(router.PathConfig{Name: "cam", Extras: []any{"passphrase"}})
	_, err = g.Publish(t.Context(), text(), router.PublishOptions{})
	wantErr(t, err, router.ErrConfigChanged)
	next()
	_, err = g.Publish(t.Context(), text(), router.PublishOptions{})
	wantErr(t, err, router.ErrConfigChanged)
}

func TestAuthorize(t *testing.T) {
	t.Parallel()
	ask := errors.New("no credentials")
	var seen router.AccessRequest
	cfg := config(router.PathConfig{Name: "cam", MaxReaders: 5})
	cfg.Auth = router.AuthenticatorFunc(func(_ context.Context, q *router.AccessRequest) (router.Identity, error) {
		seen = *q
		switch {
		case q.Pass == "secret":
			return router.Identity{User: q.User}, nil
		case !q.HasCredentials():
			return router.Identity{}, &router.AuthError{Err: ask, AskCredentials: true}
		}
		return router.Identity{}, errors.New("backend is down")
	})
	_, h := startHost(t, cfg)
	g := authorize(t, h, router.AccessRequest{Action: router.ActionRead, Path: "cam", User: "u", Pass: "secret"})
	if g.Identity().User != "u" || g.Path() != "cam" || g.Config().MaxReaders != 5 || seen.Protocol != "fake" {
		t.Errorf("grant %+v, request %+v", g, seen)
	}
	var ae *router.AuthError
	_, err := h.Authorize(t.Context(), &router.AccessRequest{Action: router.ActionRead, Path: "cam"})
	if !errors.As(err, &ae) || !ae.AskCredentials || !errors.Is(err, ask) {
		t.Errorf("without credentials: %v", err)
	}
	_, err = h.Authorize(t.Context(), &router.AccessRequest{Action: router.ActionRead, Path: "cam", Pass: "x"})
	if !errors.As(err, &ae) || ae.AskCredentials {
		t.Errorf("an error of another type does not become an AuthError: %v", err)
	}
	_, err = h.Authorize(t.Context(), &router.AccessRequest{Action: router.ActionRead, Path: "nope", Pass: "secret"})
	wantErr(t, err, router.ErrPathNotFound)
	authorize(t, h, router.AccessRequest{Action: router.ActionAPI, Pass: "secret"}) // needs no path
}

// An authenticator that hangs delays its client only.
func TestSlowAuthenticator(t *testing.T) {
	t.Parallel()
	asked, answer := make(chan struct{}), make(chan struct{})
	cfg := config(router.PathConfig{Name: "cam"}, router.PathConfig{Name: "all"})
	cfg.Auth = router.AuthenticatorFunc(func(_ context.Context, q *router.AccessRequest) (router.Identity, error) {
		if q.User == "slow" {
			close(asked)
			<-answer
		}
		return router.Identity{}, nil
	})
	r, h := startHost(t, cfg)
	slow := make(chan error, 1)
	go func() {
		g, err := h.Authorize(context.Background(), &router.AccessRequest{Action: router.ActionPublish, Path: "cam", User: "slow"})
		if err == nil {
			_, err = g.Publish(context.Background(), text(), router.PublishOptions{})
		}
		slow <- err
	}()
	wantDone(t, asked)
	g := authorize(t, h, router.AccessRequest{Action: router.ActionPublish, Path: "x"})
	pub, err := g.Publish(t.Context(), text(), router.PublishOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pub.Close()
	cfg = r.Config().WithoutPath("cam")
	apply(t, r, cfg) // nor does a change of configuration wait
	close(answer)
	if err := receive(t, slow); err != nil { // "all" takes over the path, and is the same
		t.Errorf("the slow client: %v", err)
	}
}

func TestAuthenticatorPanics(t *testing.T) {
	t.Parallel()
	cfg := config(router.PathConfig{Name: "cam"})
	cfg.Auth = router.AuthenticatorFunc(func(context.Context, *router.AccessRequest) (router.Identity, error) { panic("bug") })
	_, h := startHost(t, cfg)
	_, err := h.Authorize(t.Context(), &router.AccessRequest{Action: router.ActionRead, Path: "cam"})
	var ae *router.AuthError
	var pe *router.PanicError
	if !errors.As(err, &ae) || !errors.As(err, &pe) {
		t.Errorf("got %v, want an AuthError with a PanicError", err)
	}
}

func TestAuthPause(t *testing.T) {
	t.Parallel()
	refuse := func(ask bool) router.Authenticator {
		return &routertest.Authenticator{AuthenticateFunc: func(context.Context, *router.AccessRequest) (router.Identity, error) {
			return router.Identity{}, &router.AuthError{Err: errors.New("no"), AskCredentials: ask}
		}}
	}
	attempt := func(pause time.Duration, ask bool) time.Duration {
		cfg := config(router.PathConfig{Name: "cam"})
		cfg.Auth, cfg.AuthPause = refuse(ask), pause
		_, h := startHost(t, cfg)
		begin := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if _, err := h.Authorize(ctx, &router.AccessRequest{Action: router.ActionRead, Path: "cam"}); err == nil {
			t.Error("access is granted")
		}
		return time.Since(begin)
	}
	const long = 1000 * time.Hour // the random pause is longer than the test, except once in 10^8 runs
	if d := attempt(long, false); d < 50*time.Millisecond || d > patience {
		t.Errorf("with a pause, the answer came after %v, want the 50ms of the context", d)
	}
	if d := attempt(long, true); d > patience {
		t.Errorf("a client that sent no credentials was answered after %v", d)
	}
	if d := attempt(-1, false); d > patience {
		t.Errorf("without pause, the answer came after %v", d)
	}
}

// A change of the authenticator disconnects nobody and counts at once.
func TestAuthIsExchanged(t *testing.T) {
	t.Parallel()
	r, h := startHost(t, config(router.PathConfig{Name: "cam"}))
	g := authorize(t, h, router.AccessRequest{Action: router.ActionPublish, Path: "cam"})
	pub, err := g.Publish(t.Context(), text(), router.PublishOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer pub.Close()
	cfg := r.Config()
	cfg.Auth = &routertest.Authenticator{AuthenticateFunc: func(context.Context, *router.AccessRequest) (router.Identity, error) {
		return router.Identity{}, errors.New("nobody")
	}}
	if ch := apply(t, r, cfg); !ch.Auth || len(ch.PathsRestarted)+len(ch.ProtocolsStopped) > 0 {
		t.Errorf("changes: %+v", ch)
	}
	if pub.Err() != nil {
		t.Error("the publisher was disconnected")
	}
	if _, err = h.Authorize(t.Context(), &router.AccessRequest{Action: router.ActionRead, Path: "cam"}); err == nil {
		t.Error("the new authenticator is not asked")
	}
}

func TestWaitAndAttach(t *testing.T) {
	t.Parallel()
	r, h := startHost(t, config(router.PathConfig{Name: "cam", MaxReaders: 1}))
	publish(t, r, "cam")
	g := authorize(t, h, router.AccessRequest{Action: router.ActionRead, Path: "cam"})
	s, err := g.Wait(t.Context())
	if err != nil || s == nil {
		t.Fatal(s, err)
	}
	a, err := g.Attach(t.Context(), router.ReadOptions{Peer: router.Peer{Type: "x"}})
	if err != nil || a.Stream() != s {
		t.Fatal(a, err)
	}
	_, err = g.Attach(t.Context(), router.ReadOptions{})
	wantErr(t, err, router.ErrTooManyReaders)
	a.Close()
	rd, err := g.Read(t.Context(), router.ReadOptions{Subscription: router.SubscribeOptions{Tracks: []int{7}}})
	if err == nil {
		t.Fatal("a track that does not exist can be read", rd)
	}
	routertest.WaitReaders(t, r, "cam", 0) // the attempt left nothing
}

// The classic mistake with errors that are pointers denies access, and nothing else.
func TestAuthenticatorReturnsNilPointer(t *testing.T) {
	t.Parallel()
	cfg := config(router.PathConfig{Name: "cam"})
	cfg.Auth = router.AuthenticatorFunc(func(context.Context, *router.AccessRequest) (router.Identity, error) {
		var err *router.AuthError
		return router.Identity{}, err
	})
	_, h := startHost(t, cfg)
	_, err := h.Authorize(t.Context(), &router.AccessRequest{Action: router.ActionRead, Path: "cam"})
	var ae *router.AuthError
	if !errors.As(err, &ae) || ae == nil {
		t.Errorf("got %v, want an AuthError", err)
	}
}

// A client that the protocol knows is not asked for more, but nobody gets to a path
// that does not exist.
func TestKnownClient(t *testing.T) {
	t.Parallel()
	cfg := config(router.PathConfig{Name: "cam"})
	cfg.Auth = router.AuthenticatorFunc(func(context.Context, *router.AccessRequest) (router.Identity, error) {
		return router.Identity{}, &router.AuthError{Err: errors.New("nobody gets in")}
	})
	cfg.AuthPause = -1
	_, h := startHost(t, cfg)
	q := router.AccessRequest{Action: router.ActionRead, Path: "cam", Token: "secret", Known: &router.Identity{User: "CDN"}}
	if g := authorize(t, h, q); g.Identity().User != "CDN" {
		t.Errorf("the client is %+v", g.Identity())
	}
	q.Known = nil
	var ae *router.AuthError
	if _, err := h.Authorize(t.Context(), &q); !errors.As(err, &ae) {
		t.Errorf("a client that is not known: %v", err)
	}
	q.Known, q.Path = &router.Identity{}, "dog"
	_, err := h.Authorize(t.Context(), &q)
	wantErr(t, err, router.ErrPathNotFound)
}
