package router_test

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"

	"github.com/pion/rtp"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
	"github.com/org/mtx/router/routertest"
)

func wantPanic(t *testing.T, err error) {
	t.Helper()
	var pe *router.PanicError
	if !errors.As(err, &pe) || pe.Value != "bug" || len(pe.Stack) == 0 {
		t.Errorf("got %v, want a PanicError", err)
	}
}

func TestProtocolPanics(t *testing.T) {
	t.Parallel()
	routertest.CheckLeaks(t)
	for _, ready := range []bool{false, true} {
		r, err := router.New(protocols(&routertest.Protocol{ServeFunc: func(_ context.Context, h *router.Host) error {
			if ready {
				h.Ready()
			}
			panic("bug")
		}}))
		if err != nil {
			t.Fatal(err)
		}
		wantPanic(t, r.Run(t.Context()))
	}
}

func TestSourcePanics(t *testing.T) {
	t.Parallel()
	var n atomic.Int64
	r := start(t, router.PathConfig{Name: "cam", Source: &routertest.Source{RunFunc: func(ctx context.Context, run *router.SourceRun) error {
		if n.Add(1) == 1 {
			if _, err := run.Publish(ctx, text(), router.PublishOptions{}); err != nil {
				t.Error(err)
			}
			panic("bug")
		}
		return new(routertest.Source).Run(ctx, run)
	}}})
	routertest.Eventually(t, "the source runs again", func() bool { return n.Load() == 2 && isReady(r, "cam") })
}

func TestTapPanics(t *testing.T) {
	t.Parallel()
	r := start(t, router.PathConfig{Name: "all"})
	pub := publish(t, r, "cam")
	rd := read(t, r, "cam")
	pub.Stream().Tap(router.TapOptions{}, func(int, *media.Unit) { panic("bug") })
	pub.Write(0, message("x"))
	wantDone(t, pub.Done())
	wantPanic(t, pub.Err())
	_, _, err := rd.Next(t.Context())
	wantErr(t, err, router.ErrStreamClosed)
	rd.Close()
	if live(r, "cam") {
		t.Error("the path outlives its stream")
	}
}

func TestDepacketizerPanics(t *testing.T) {
	t.Parallel()
	r, h := startHost(t, config(router.PathConfig{Name: "cam"}))
	g := authorize(t, h, router.AccessRequest{Action: router.ActionPublish, Path: "cam"})
	pub, err := g.Publish(t.Context(), text(), router.PublishOptions{Depacketizers: []media.Depacketizer{
		&routertest.Depacketizer{DepacketizeFunc: func(*rtp.Packet) ([][]byte, error) { panic("bug") }},
	}})
	if err != nil {
		t.Fatal(err)
	}
	read(t, r, "cam")
	pub.Write(0, &media.Unit{RTP: []*rtp.Packet{{}}})
	wantDone(t, pub.Done())
	wantPanic(t, pub.Err())
	publish(t, r, "cam") // the path is free again
}

func TestHandlerPanics(t *testing.T) {
	t.Parallel()
	r := routertest.New(t, protocols(panicking{}))
	addr := r.ProtocolAddrs("panicking")[0].String()
	for range 3 {
		if got := greeting(t, addr); got != "" {
			t.Errorf("got %q", got)
		}
	}
}

// panicking is a protocol whose handlers panic.
type panicking struct{}

func (panicking) Name() string { return "panicking" }

func (panicking) Serve(ctx context.Context, h *router.Host) error {
	ln, err := h.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	return h.ServeListener(ctx, ln, func(context.Context, net.Conn) error { panic("bug") })
}
