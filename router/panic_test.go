package router_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
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

// What a program hands over by mistake is refused, or does nothing.
func TestMisuse(t *testing.T) {
	t.Parallel()
	r := start(t, router.PathConfig{Name: "cam"})
	var none *media.H264
	if _, err := r.Publish(t.Context(), "cam", []media.Track{{Codec: none}}); err == nil {
		t.Error("a codec that is a nil pointer is accepted")
	}
	pub := video(t, r, "cam")
	for _, track := range []int{-1, 2, 1 << 40} {
		pub.Write(track, picture(0, 'A'))
		pub.SetCodec(track, &media.H264{})
		if pub.Stream().Depacketizer(track) != nil {
			t.Errorf("track %d has a depacketizer", track)
		}
	}
	pub.SetCodec(0, nil)
	pub.SetCodec(0, none)
	pub.SetCodec(0, &media.Opus{})
	pub.Write(0, picture(0, 'A'))
	if err := pub.Err(); err != nil {
		t.Error(err)
	}
	pub.Close()
	pub.Write(0, picture(0, 'A'))
	pub.Write(0, nil)
	pub.Close()
}

// Functions that observe connections and datagrams end what they observe, at most.
func TestObserversPanic(t *testing.T) {
	t.Parallel()
	var conns atomic.Int64
	tap := &brokenTap{}
	hosts := make(chan *router.Host, 1)
	cfg := protocols(greeter{"g", "127.0.0.1:0", "hello"}, &routertest.Protocol{ServeFunc: func(ctx context.Context, h *router.Host) error {
		hosts <- h
		h.Ready()
		<-ctx.Done()
		return nil
	}})
	r := routertest.New(t, cfg, router.WithPackets(tap), router.WithConns(func(_ string, c net.Conn) net.Conn {
		switch conns.Add(1) {
		case 1:
			panic("bug")
		case 2:
			return nil
		}
		return c
	}))
	for _, want := range []string{"", "", "hello"} {
		if got := greeting(t, r.ProtocolAddrs("g")[0].String()); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	h := receive(t, hosts)
	packets := h.Packets()
	for range 3 {
		if packets.Enabled() {
			packets.Packet("fake", true, netip.AddrPort{}, netip.AddrPort{}, nil)
		}
	}
	if n := tap.calls.Load(); n != 1 {
		t.Errorf("a tap that panics is called %d times", n)
	}
}

type brokenTap struct{ calls atomic.Int64 }

func (b *brokenTap) Enabled() bool { return true }

func (b *brokenTap) Packet(string, bool, netip.AddrPort, netip.AddrPort, []byte) {
	b.calls.Add(1)
	panic("bug")
}
