package router_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
	"github.com/org/mtx/router/routertest"
)

func TestPathPriority(t *testing.T) {
	t.Parallel()
	r := start(t,
		router.PathConfig{Name: router.AllOthers},
		router.PathConfig{Name: "~^cam(.+)$"},
		router.PathConfig{Name: "~^c(.+)$"},
		router.PathConfig{Name: "cam1"},
	)
	for name, want := range map[string]string{
		"cam1": "cam1", "cam2": "~^cam(.+)$", "cow": "~^c(.+)$", "dog": router.AllOthers, "all_others": router.AllOthers,
	} {
		pub := publish(t, r, name)
		p, _ := r.Path(name)
		if got := p.Info().ConfigName; got != want {
			t.Errorf("%q is configured by %q, want %q", name, got, want)
		}
		pub.Close()
		if live(r, name) != (name == "cam1") {
			t.Errorf("%q: live: %v", name, live(r, name))
		}
	}
}

func TestExpand(t *testing.T) {
	t.Parallel()
	expanded := make(chan string, 2)
	source := &routertest.Source{RunFunc: func(ctx context.Context, run *router.SourceRun) error {
		expanded <- run.Expand("rtsp://$G2/$G1?x=$G10&$MTX_QUERY")
		pub, err := run.Publish(ctx, text(), router.PublishOptions{})
		if err != nil {
			return err
		}
		defer pub.Close()
		<-ctx.Done()
		return nil
	}}
	sink := &routertest.Sink{RunFunc: func(_ context.Context, run *router.SinkRun) error {
		expanded <- run.Expand("$MTX_PATH|$G1|$G2")
		return nil
	}}
	cfg := config(router.PathConfig{
		Name: "~^([a-z]+)-(.+)$", Source: source, Sinks: []router.Sink{sink}, OnDemand: router.OnDemand{Enabled: true},
	})
	var grants atomic.Pointer[router.Host]
	cfg.Protocols = []router.Protocol{&routertest.Protocol{ServeFunc: func(ctx context.Context, h *router.Host) error {
		grants.Store(h)
		h.Ready()
		<-ctx.Done()
		return nil
	}}}
	r := routertest.New(t, cfg)
	g, err := grants.Load().Authorize(t.Context(), &router.AccessRequest{Action: router.ActionRead, Path: "cam-10.0.0.1", Query: "a=b"})
	if err != nil {
		t.Fatal(err)
	}
	rd, err := g.Read(t.Context(), router.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer rd.Close()
	got := []string{receive(t, expanded), receive(t, expanded)}
	// there is no tenth group: $G10 is the first one and a zero
	if want := []string{"rtsp://10.0.0.1/cam?x=cam0&a=b", "cam-10.0.0.1|cam|10.0.0.1"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	_ = r
}

// The groups of a path follow its configuration.
func TestGroupsFollowConfiguration(t *testing.T) {
	t.Parallel()
	got := make(chan []string, 2)
	r := start(t, router.PathConfig{Name: "~^(a)(b)$"})
	publish(t, r, "ab")
	apply(t, r, config(router.PathConfig{Name: "~^(ab)$"}))
	defer r.Observe(router.Hooks{PathReady: func(e router.PathEvent) func() {
		got <- e.Groups
		return nil
	}})()
	if g := receive(t, got); !slices.Equal(g, []string{"ab", "ab"}) {
		t.Errorf("groups: %q", g)
	}
}

func TestIdleDynamicPathsAreForgotten(t *testing.T) {
	t.Parallel()
	r := start(t, router.PathConfig{Name: router.AllOthers})
	for range 100 {
		_, err := r.Read(t.Context(), "nobody", router.SubscribeOptions{})
		wantErr(t, err, router.ErrNoStream)
	}
	if live(r, "nobody") {
		t.Error("asking for a path made it live")
	}
	pub := publish(t, r, "cam")
	rd := read(t, r, "cam")
	pub.Close()
	if !live(r, "cam") {
		t.Error("the path is gone while a reader is attached")
	}
	rd.Close()
	if live(r, "cam") {
		t.Error("the path outlives publisher and reader")
	}
}

func TestMaxReaders(t *testing.T) {
	t.Parallel()
	r := start(t, router.PathConfig{Name: "cam", MaxReaders: 2})
	publish(t, r, "cam")
	a := read(t, r, "cam")
	read(t, r, "cam")
	_, err := r.Read(t.Context(), "cam", router.SubscribeOptions{})
	wantErr(t, err, router.ErrTooManyReaders)
	a.Close()
	a.Close() // counts once
	read(t, r, "cam")
	_, err = r.Read(t.Context(), "cam", router.SubscribeOptions{})
	wantErr(t, err, router.ErrTooManyReaders)
}

func TestOverride(t *testing.T) {
	t.Parallel()
	r := start(t, router.PathConfig{Name: "on", Override: true}, router.PathConfig{Name: "off"})
	first := publish(t, r, "off")
	_, err := r.Publish(t.Context(), "off", text())
	wantErr(t, err, router.ErrAlreadyPublishing)
	if first.Err() != nil {
		t.Errorf("the publisher was disturbed: %v", first.Err())
	}

	first = publish(t, r, "on")
	rd := read(t, r, "on")
	second := publish(t, r, "on")
	wantDone(t, first.Done())
	wantErr(t, first.Err(), router.ErrReplaced)
	_, _, err = rd.Next(t.Context())
	wantErr(t, err, router.ErrStreamClosed)
	wantErr(t, rd.Stream().Err(), router.ErrReplaced)
	first.Write(0, message("late"))
	first.Close() // does not end the second
	if second.Err() != nil || !isReady(r, "on") {
		t.Error("the first publisher ended the second one")
	}
}

func TestPublishRefusals(t *testing.T) {
	t.Parallel()
	r := start(t, router.PathConfig{Name: "cam"}, router.PathConfig{Name: "pulled", Source: plainSource{}})
	_, err := r.Publish(t.Context(), "cam", nil)
	wantErr(t, err, router.ErrNoTracks)
	if _, err = r.Publish(t.Context(), "cam", []media.Track{{}}); err == nil {
		t.Error("a track without codec is accepted")
	}
	if _, err = r.Publish(t.Context(), "cam", []media.Track{{Codec: &media.Generic{}}}); err == nil {
		t.Error("a track without clock rate is accepted")
	}
	_, err = r.Publish(t.Context(), "pulled", text())
	wantErr(t, err, router.ErrNotPublishable)
	_, err = r.Publish(t.Context(), "../cam", text())
	wantErr(t, err, router.ErrInvalidName)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = r.Publish(ctx, "cam", text())
	wantErr(t, err, context.Canceled)
}

func wantRedirect(t *testing.T, r *router.Router, path, want string) {
	t.Helper()
	_, err := r.Read(t.Context(), path, router.SubscribeOptions{})
	var re *router.RedirectError
	if !errors.As(err, &re) || re.URL != want {
		t.Errorf("reading %q: got %v, want a redirect to %q", path, err, want)
	}
}

func TestRedirects(t *testing.T) {
	t.Parallel()
	broken := &routertest.Source{RunFunc: func(context.Context, *router.SourceRun) error { return errors.New("no camera") }}
	r := start(t,
		router.PathConfig{Name: "cam", Fallback: "/other"},
		router.PathConfig{Name: "moved", Source: redirect{"rtsp://elsewhere/x"}},
		router.PathConfig{Name: "~^m-(.*)$", Source: redirect{"/cam"}},
		router.PathConfig{Name: "broken", Source: broken, Fallback: "/other"},
		router.PathConfig{Name: "demand", Source: broken, Fallback: "/other", OnDemand: router.OnDemand{Enabled: true, StartTimeout: 1}},
	)
	wantRedirect(t, r, "moved", "rtsp://elsewhere/x")
	wantRedirect(t, r, "m-1", "/cam")
	wantRedirect(t, r, "cam", "/other")
	wantRedirect(t, r, "broken", "/other")
	wantRedirect(t, r, "demand", "/other")
	publish(t, r, "cam")
	read(t, r, "cam")
	_, err := r.Publish(t.Context(), "moved", text())
	wantErr(t, err, router.ErrNotPublishable)
}

func TestPathInfo(t *testing.T) {
	t.Parallel()
	r := start(t, router.PathConfig{Name: "b"}, router.PathConfig{Name: "a", Source: plainSource{plain{Label: "s"}}})
	pub := publish(t, r, "b")
	rd := read(t, r, "b")
	pub.Write(0, message("12345"))
	wantNext(t, rd, "12345")
	pub.Stream().AddInboundErrors(3)
	pub.Stream().AddOutbound(100)
	infos := slices.Collect(r.Paths())
	if len(infos) != 2 || infos[0].Name != "a" || infos[1].Name != "b" {
		t.Fatalf("paths: %+v", infos)
	}
	if a := infos[0]; a.Ready || a.Source == nil || a.Source.Type != "s" {
		t.Errorf("a: %+v", a)
	}
	b := infos[1]
	if !b.Ready || b.ReadyTime.IsZero() || b.Source.Type != "program" || len(b.Tracks) != 1 || len(b.Readers) != 1 ||
		b.In != 5 || b.Out != 105 || b.InErrors != 3 || b.Dropped != 0 {
		t.Errorf("b: %+v", b)
	}
}
