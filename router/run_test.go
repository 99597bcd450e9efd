package router_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
	"github.com/org/mtx/router/routertest"
)

func TestTwoRouters(t *testing.T) {
	t.Parallel()
	a := routertest.New(t, protocols(greeter{"g", "127.0.0.1:0", "a"}).WithPath(router.PathConfig{Name: "cam"}))
	b := routertest.New(t, protocols(greeter{"g", "127.0.0.1:0", "b"}).WithPath(router.PathConfig{Name: "cam"}))
	for want, r := range map[string]*router.Router{"a": a, "b": b} {
		if got := greeting(t, r.ProtocolAddrs("g")[0].String()); got != want {
			t.Errorf("router %s says %q", want, got)
		}
	}
	publish(t, a, "cam")
	if isReady(b, "cam") {
		t.Error("a stream of one router shows up in the other")
	}
}

func TestRun(t *testing.T) {
	t.Parallel()
	routertest.CheckLeaks(t)
	cfg := protocols(greeter{"g", "127.0.0.1:0", "hello"}).WithPath(router.PathConfig{
		Name: "cam", Source: &routertest.Source{}, Sinks: []router.Sink{&routertest.Sink{}},
	})
	r, err := router.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	routertest.WaitReady(t, r, "cam")
	rd := read(t, r, "cam")
	cancel()
	if err := receive(t, ended); err != nil {
		t.Errorf("Run: %v", err)
	}
	_, _, err = rd.Next(t.Context())
	wantErr(t, err, router.ErrStreamClosed)
	_, err = r.Read(t.Context(), "cam", router.SubscribeOptions{})
	wantErr(t, err, router.ErrClosed)
	wantErr(t, r.Start(t.Context()), router.ErrClosed)
	wantErr(t, r.AddPath(t.Context(), router.PathConfig{Name: "x"}), router.ErrClosed)
	_ = r.Close() // once more
}

func TestRunEndsWithAFailedProtocol(t *testing.T) {
	t.Parallel()
	routertest.CheckLeaks(t)
	broken := errors.New("broken")
	for name, serve := range map[string]func(*router.Host) error{
		"before ready": func(*router.Host) error { return broken },
		"after ready": func(h *router.Host) error {
			h.Ready()
			return broken
		},
	} {
		r, err := router.New(protocols(&routertest.Protocol{ServeFunc: func(_ context.Context, h *router.Host) error { return serve(h) }}))
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Run(t.Context()); !errors.Is(err, broken) {
			t.Errorf("%s: Run returned %v", name, err)
		}
	}
}

// flaky is a listener that fails for a while, as when file descriptors run out.
type flaky struct {
	net.Listener
	fails atomic.Int64
}

type temporary struct{ error }

func (temporary) Temporary() bool { return true }
func (temporary) Timeout() bool   { return false }

func (f *flaky) Accept() (net.Conn, error) {
	if f.fails.Add(-1) >= 0 {
		return nil, temporary{errors.New("too many open files")}
	}
	return f.Listener.Accept()
}

func TestServeListenerOutlivesTemporaryErrors(t *testing.T) {
	t.Parallel()
	r := routertest.New(t, protocols(&routertest.Protocol{ServeFunc: func(ctx context.Context, h *router.Host) error {
		ln, err := h.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		f := &flaky{Listener: ln}
		f.fails.Store(3)
		return h.ServeListener(ctx, f, func(_ context.Context, c net.Conn) error {
			_, err := io.WriteString(c, "hello")
			return err
		})
	}}))
	if got := greeting(t, r.ProtocolAddrs("fake")[0].String()); got != "hello" {
		t.Errorf("got %q", got)
	}
}

// An Accept that fails for good ends the protocol, with clients that are still
// connected.
func TestServeListenerEndsWithItsListener(t *testing.T) {
	t.Parallel()
	routertest.CheckLeaks(t)
	listener := make(chan net.Listener, 1)
	connected := make(chan struct{})
	r, err := router.New(protocols(&routertest.Protocol{ServeFunc: func(ctx context.Context, h *router.Host) error {
		ln, err := h.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		listener <- ln
		return h.ServeListener(ctx, ln, func(ctx context.Context, _ net.Conn) error {
			close(connected)
			<-ctx.Done()
			return ctx.Err()
		})
	}}))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- r.Run(t.Context()) }()
	ln := receive(t, listener)
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	wantDone(t, connected)
	_ = ln.Close()
	wantErr(t, receive(t, ended), net.ErrClosed)
}

func TestDoneTellsWhyTheRouterEnded(t *testing.T) {
	t.Parallel()
	r, err := router.New(router.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r.Err() != nil {
		t.Fatal("a running router has an error")
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	<-r.Done()
	if !errors.Is(r.Err(), router.ErrClosed) {
		t.Fatalf("got %v", r.Err())
	}
}

type badAuth struct{ router.AuthenticatorFunc }

func (badAuth) Validate() error { return errors.New("user 3: empty name") }

func TestInvalidAuthenticatorIsRefused(t *testing.T) {
	t.Parallel()
	_, err := router.New(router.Config{Auth: badAuth{}})
	if err == nil || !strings.Contains(err.Error(), "user 3") {
		t.Fatalf("got %v", err)
	}
}

// The end of its context is no error of Run, however early it comes; it ends Start,
// whatever there is to start.
func TestContextEndsEarly(t *testing.T) {
	t.Parallel()
	routertest.CheckLeaks(t)
	for name, cfg := range map[string]router.Config{
		"nothing to start": {},
		"a protocol":       protocols(&routertest.Protocol{}),
		"never ready": protocols(&routertest.Protocol{ServeFunc: func(ctx context.Context, _ *router.Host) error {
			<-ctx.Done()
			return nil
		}}),
	} {
		for range 20 { // chance must not decide
			r, err := router.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			wantErr(t, r.Start(ctx), context.Canceled)
			_, err = r.Apply(ctx, cfg)
			wantErr(t, err, context.Canceled)
			if err := r.Run(ctx); err != nil {
				t.Errorf("%s: Run: %v", name, err)
			}
			_ = r.Close()
		}
	}
	late, err := router.New(protocols(&routertest.Protocol{ServeFunc: func(ctx context.Context, _ *router.Host) error {
		<-ctx.Done()
		return errors.New("too late")
	}}))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := late.Run(ctx); err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestNilLoggerDiscards(t *testing.T) {
	t.Parallel()
	r := routertest.New(t, router.Config{Paths: []router.PathConfig{{Name: "cam"}}}, router.WithLogger(nil))
	publish(t, r, "cam")
}

func TestNilAuthenticatorIsRefused(t *testing.T) {
	t.Parallel()
	var pointer *routertest.Authenticator
	for _, a := range []router.Authenticator{pointer, router.AuthenticatorFunc(nil)} {
		if _, err := router.New(router.Config{Auth: a}); err == nil {
			t.Errorf("%T: accepted", a)
		}
	}
}

// What does not stop is waited for, but not in silence.
func TestWhatDoesNotStopIsNamed(t *testing.T) {
	t.Parallel()
	const long = time.Minute
	stuck := &routertest.Source{RunFunc: func(context.Context, *router.SourceRun) error { time.Sleep(long); return nil }}
	for want, cfg := range map[string]router.Config{
		"protocol=fake": protocols(&routertest.Protocol{ServeFunc: func(_ context.Context, h *router.Host) error {
			h.Ready()
			time.Sleep(long)
			return nil
		}}),
		"what=hooks":              config(router.PathConfig{Name: "hooked"}),
		"path=cam what=source":    config(router.PathConfig{Name: "cam", Source: stuck}),
		"path=remove what=source": config(router.PathConfig{Name: "remove", Source: stuck}),
		"path=cam what=standby": config(router.PathConfig{Name: "cam", Standby: &routertest.Standby{
			PlayFunc: func(context.Context, func(int, *media.Unit)) error { time.Sleep(long); return nil },
		}}),
		"path=cam what=sink sink=fakeSink": config(router.PathConfig{Name: "cam", Standby: &routertest.Standby{}, Sinks: []router.Sink{&routertest.Sink{
			RunFunc: func(context.Context, *router.SinkRun) error { time.Sleep(long); return nil },
		}}}),
	} {
		synctest.Test(t, func(t *testing.T) {
			var log routertest.Log
			r, err := router.New(cfg, router.WithLogger(log.Logger()), router.WithHooks(router.Hooks{PathCreated: func(e router.PathEvent) func() {
				if e.Path == "hooked" {
					time.Sleep(long)
				}
				return nil
			}}))
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if live(r, "remove") {
				if err := r.RemovePath(t.Context(), "remove"); err != nil {
					t.Error(err)
				}
			}
			_ = r.Close()
			if log.Count("level=WARN") != 1 || log.Count(want) == 0 {
				t.Errorf("logged %q, want one warning with %q", log.String(), want)
			}
		})
	}
}
