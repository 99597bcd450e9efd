package router_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/routertest"
)

// greeter writes a line to every client.
type greeter struct {
	Label, Addr, Greeting string
}

func (g greeter) Name() string { return g.Label }

func (g greeter) Serve(ctx context.Context, h *router.Host) error {
	ln, err := h.Listen("tcp", g.Addr)
	if err != nil {
		return err
	}
	return h.ServeListener(ctx, ln, func(_ context.Context, c net.Conn) error {
		_, err := io.WriteString(c, g.Greeting)
		return err
	})
}

func greeting(t testing.TB, addr string) string {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(patience))
	b, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func protocols(p ...router.Protocol) router.Config { return router.Config{Protocols: p} }

func TestApplyRollback(t *testing.T) {
	t.Parallel()
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = busy.Close() }()
	addr, addr2 := routertest.FreeAddr(t), routertest.FreeAddr(t)
	r := routertest.New(t, protocols(greeter{"a", addr, "old"}, greeter{"b", addr2, "b"}))

	next := protocols(
		greeter{"a", addr, "new"}, // would work
		greeter{"c", busy.Addr().String(), "c"},
	).WithPath(router.PathConfig{Name: "cam"})
	if _, err = r.Apply(t.Context(), next); err == nil {
		t.Fatal("a busy address is accepted")
	}
	if got := greeting(t, addr); got != "old" {
		t.Errorf("after the rollback, a says %q", got)
	}
	if got := greeting(t, addr2); got != "b" {
		t.Errorf("after the rollback, b says %q", got)
	}
	if live(r, "cam") || len(r.Config().Paths) != 0 {
		t.Error("a path of the configuration that failed exists")
	}

	_ = busy.Close()
	apply(t, r, next)
	if got := greeting(t, addr); got != "new" {
		t.Errorf("after the change, a says %q", got)
	}
	if got := greeting(t, busy.Addr().String()); got != "c" {
		t.Errorf("after the change, c says %q", got)
	}
	if c, err := net.Dial("tcp", addr2); err == nil {
		_ = c.Close()
		t.Error("b still accepts clients")
	}
}

func TestApplyInvalidChangesNothing(t *testing.T) {
	t.Parallel()
	r := start(t, router.PathConfig{Name: "cam"})
	pub := publish(t, r, "cam")
	if _, err := r.Apply(t.Context(), config(router.PathConfig{Name: "/"})); err == nil {
		t.Fatal("an invalid configuration is accepted")
	}
	if pub.Err() != nil || !isReady(r, "cam") {
		t.Error("the stream ended")
	}
}

// Clients that connect while a protocol is exchanged for one on the same address
// are never refused.
func TestListenerHandover(t *testing.T) {
	t.Parallel()
	addr := routertest.FreeAddr(t)
	r := routertest.New(t, protocols(greeter{"a", addr, "0"}))
	var stop atomic.Bool
	var clients sync.WaitGroup
	var connected atomic.Int64
	for range 4 {
		clients.Go(func() {
			for !stop.Load() {
				c, err := net.DialTimeout("tcp", addr, patience)
				if err != nil {
					t.Error("refused:", err)
					return
				}
				connected.Add(1)
				_ = c.SetDeadline(time.Now().Add(patience))
				_, _ = io.ReadAll(c)
				_ = c.Close()
			}
		})
	}
	for i := range 50 {
		before := connected.Load()
		apply(t, r, protocols(greeter{"a", addr, fmt.Sprint(i)}))
		routertest.Eventually(t, "clients connect between changes", func() bool { return connected.Load() > before || t.Failed() })
	}
	// a protocol that fails is exchanged back on the same address
	for range 10 {
		bad := &routertest.Protocol{Label: "z", ServeFunc: func(context.Context, *router.Host) error { return io.ErrUnexpectedEOF }}
		if _, err := r.Apply(t.Context(), protocols(greeter{"a", addr, "x"}, bad)); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("got error %v", err)
		}
	}
	stop.Store(true)
	clients.Wait()
}

func TestApplyBoundByContext(t *testing.T) {
	t.Parallel()
	r := routertest.New(t, protocols())
	never := &routertest.Protocol{ServeFunc: func(ctx context.Context, _ *router.Host) error {
		<-ctx.Done()
		return nil
	}}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := r.Apply(ctx, protocols(never))
	wantErr(t, err, context.DeadlineExceeded)
	if len(r.Protocols()) != 0 {
		t.Errorf("running: %v", r.Protocols())
	}
}

// An Apply that waits for another one gives up with its context, and when the
// router is closed: or a handler of a protocol could block the end of it.
func TestApplyGivesUpWaiting(t *testing.T) {
	t.Parallel()
	r := routertest.New(t, protocols())
	serving, outcome := make(chan struct{}), make(chan error, 1)
	slow := &routertest.Protocol{ServeFunc: func(ctx context.Context, _ *router.Host) error {
		close(serving)
		<-ctx.Done()
		return nil
	}}
	go func() {
		_, err := r.Apply(context.Background(), protocols(slow))
		outcome <- err
	}()
	wantDone(t, serving)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err := r.Apply(ctx, config())
	wantErr(t, err, context.DeadlineExceeded)

	second := make(chan error, 1)
	go func() { second <- r.AddPath(context.Background(), router.PathConfig{Name: "x"}) }()
	_ = r.Close()
	if err := receive(t, outcome); err == nil {
		t.Error("a protocol that never was ready was applied")
	}
	wantErr(t, receive(t, second), router.ErrClosed)
}

// A handler of a protocol may wait for Apply while another Apply stops that
// protocol: the handler's context ends first.
func TestApplyFromHandlers(t *testing.T) {
	t.Parallel()
	var r *router.Router
	inHandler := make(chan struct{})
	control := &routertest.Protocol{Label: "control", ServeFunc: func(ctx context.Context, h *router.Host) error {
		h.Ready()
		for i := 0; ctx.Err() == nil; i++ {
			_ = h.Router().AddPath(ctx, router.PathConfig{Name: fmt.Sprintf("p%d", i%3)})
			_ = h.Router().ProtocolAddrs("control")
			if i == 10 {
				close(inHandler)
			}
		}
		return nil
	}}
	r = routertest.New(t, protocols(control))
	wantDone(t, inHandler)
	done := make(chan error, 1)
	go func() {
		_, err := r.Apply(context.Background(), protocols())
		done <- err
	}()
	if err := receive(t, done); err != nil {
		t.Error(err)
	}
}

func TestHotProtocol(t *testing.T) {
	t.Parallel()
	got := make(chan int, 10)
	serve := func(ctx context.Context, h *router.Host) error {
		h.Ready()
		for {
			select {
			case p := <-h.Updates():
				got <- p.(*hotProtocol).Value
			case <-ctx.Done():
				return nil
			}
		}
	}
	r := routertest.New(t, protocols(&hotProtocol{1, serve}))
	apply(t, r, protocols(&hotProtocol{2, serve}))
	if v := receive(t, got); v != 2 {
		t.Errorf("got value %d", v)
	}
}

type hotProtocol struct {
	Value int
	serve func(context.Context, *router.Host) error
}

func (*hotProtocol) Name() string                                      { return "hot" }
func (p *hotProtocol) Serve(ctx context.Context, h *router.Host) error { return p.serve(ctx, h) }
func (*hotProtocol) CanUpdate(router.Protocol) bool                    { return true }

func TestProtocolsKeepTheirOrder(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var order []string
	named := func(n string) router.Protocol {
		return &routertest.Protocol{Label: n, ServeFunc: func(ctx context.Context, h *router.Host) error {
			mu.Lock()
			order = append(order, n)
			mu.Unlock()
			h.Ready()
			<-ctx.Done()
			return nil
		}}
	}
	r := routertest.New(t, protocols(named("z"), named("a")))
	apply(t, r, protocols(named("y"), named("b"), named("c")))
	if got := fmt.Sprint(order); got != "[z a y b c]" {
		t.Errorf("started in the order %s", got)
	}
}

func TestAddRemovePath(t *testing.T) {
	t.Parallel()
	r := start(t)
	_, err := r.Publish(t.Context(), "cam", text())
	wantErr(t, err, router.ErrPathNotFound)
	if err := r.AddPath(t.Context(), router.PathConfig{Name: "cam"}); err != nil {
		t.Fatal(err)
	}
	if !live(r, "cam") {
		t.Error("the path does not exist")
	}
	pub := publish(t, r, "cam")
	rd := read(t, r, "cam")
	if err := r.AddPath(t.Context(), router.PathConfig{Name: "cam", MaxReaders: 1}); err != nil {
		t.Fatal(err)
	}
	pub.Write(0, message("still here"))
	wantNext(t, rd, "still here")
	_, err = r.Read(t.Context(), "cam", router.SubscribeOptions{})
	wantErr(t, err, router.ErrTooManyReaders)

	if err := r.RemovePath(t.Context(), "cam"); err != nil {
		t.Fatal(err)
	}
	wantDone(t, pub.Done())
	wantErr(t, pub.Err(), router.ErrConfigChanged)
	_, _, err = rd.Next(t.Context())
	wantErr(t, err, router.ErrStreamClosed)
	if live(r, "cam") {
		t.Error("the path still exists")
	}
	wantErr(t, r.RemovePath(t.Context(), "cam"), router.ErrPathNotFound)
}

// A path that another configuration takes over keeps its stream, and is
// forgotten if it has none.
func TestRemovePathUnderCatchAll(t *testing.T) {
	t.Parallel()
	r := start(t, router.PathConfig{Name: "used"}, router.PathConfig{Name: "idle"}, router.PathConfig{Name: router.AllOthers})
	pub := publish(t, r, "used")
	apply(t, r, config(router.PathConfig{Name: router.AllOthers}))
	if pub.Err() != nil {
		t.Errorf("the publisher was disconnected: %v", pub.Err())
	}
	if live(r, "idle") {
		t.Error("a path without stream and configuration of its own is still listed")
	}
	pub.Close()
	if live(r, "used") {
		t.Error("the path outlives its stream")
	}
}
