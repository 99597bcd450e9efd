package router_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/routertest"
)

func TestPublisherGrace(t *testing.T) {
	t.Parallel()
	r := start(t, router.PathConfig{Name: "cam", PublisherGrace: time.Hour, Override: true})
	pub := video(t, r, "cam")
	rd := newMonotonic(t, r)
	pub.Write(0, picture(1<<33, 'A'))
	pub.Write(1, sound((1<<33)*48/90, 'a'))
	pub.Close()
	if online(t, r) || !isReady(r, "cam") {
		t.Error("online, or not ready, after the publisher left")
	}
	second := video(t, r, "cam")
	second.Write(0, picture(7, 'b'))
	second.Write(1, sound(7, 'b'))
	second.Write(0, picture(70, 'B'))
	second.Write(1, sound(70, 'b'))
	third := video(t, r, "cam") // takes the place of the second
	wantErr(t, second.Err(), router.ErrReplaced)
	second.Write(0, picture(7000, 'X'))
	third.Write(0, picture(0, 'C'))
	third.Write(1, sound(0, 'c'))
	rd.want(t, "0:A", "1:a", "0:B", "1:b", "0:C", "1:c")
	if rd.sub.Stream().Err() != nil {
		t.Error("the stream is over")
	}
	fourth, err := r.Publish(t.Context(), "cam", text()) // cannot go on
	if err != nil {
		t.Fatal(err)
	}
	wantErr(t, rd.sub.Stream().Err(), router.ErrReplaced)
	fourth.Close()
	video(t, r, "cam") // neither can this
	wantDone(t, fourth.Stream().Done())
}

func TestPublisherGraceEnds(t *testing.T) {
	t.Parallel()
	r := start(t, router.PathConfig{Name: router.AllOthers, PublisherGrace: time.Millisecond})
	pub := video(t, r, "cam")
	pub.Close()
	wantDone(t, pub.Stream().Done())
	routertest.Eventually(t, "the path is forgotten", func() bool { return !live(r, "cam") })
}

// A source that restarts goes on with its stream; on-demand, it ends with its
// last reader.
func TestPublisherGraceOfSource(t *testing.T) {
	t.Parallel()
	pubs := make(chan *router.Publisher)
	fail := make(chan struct{})
	src := &routertest.Source{RunFunc: func(ctx context.Context, run *router.SourceRun) error {
		pub, err := run.Publish(ctx, routertest.SampleTracks(), router.PublishOptions{})
		if err != nil {
			return err
		}
		pub.Write(0, picture(0, 'A'))
		select {
		case pubs <- pub:
		case <-ctx.Done():
		}
		select {
		case <-fail:
		case <-ctx.Done():
		}
		return errors.New("lost")
	}}
	r := start(t, router.PathConfig{Name: "cam", Source: src, PublisherGrace: time.Hour, OnDemand: router.OnDemand{Enabled: true}})
	rd := read(t, r, "cam")
	receive(t, pubs)
	fail <- struct{}{}
	pub := receive(t, pubs)
	if pub.Stream() != rd.Stream() || rd.Stream().Err() != nil {
		t.Error("the source does not go on with its stream")
	}
	rd.Close()
	wantDone(t, rd.Stream().Done())
}

// A publisher that was invited and leaves because nobody reads is not waited for.
func TestPublisherGraceOfInvited(t *testing.T) {
	t.Parallel()
	var r *router.Router
	invited := make(chan *router.Publisher, 2)
	src := inviterFunc(func(ctx context.Context) error {
		pub, err := r.Publish(ctx, "cam", routertest.SampleTracks())
		if err != nil {
			return err
		}
		invited <- pub
		<-ctx.Done()
		pub.Close()
		return nil
	})
	r = start(t, router.PathConfig{Name: "cam", Source: src, PublisherGrace: time.Hour, OnDemand: router.OnDemand{Enabled: true}})
	for range 2 {
		rd := read(t, r, "cam")
		receive(t, invited)
		rd.Close()
		wantDone(t, rd.Stream().Done())
	}
}

// inviterFunc is a source that makes somebody else publish.
type inviterFunc func(context.Context) error

func (inviterFunc) Type() string { return "command" }
func (inviterFunc) Invites()     {}

func (f inviterFunc) Run(ctx context.Context, _ *router.SourceRun) error { return f(ctx) }
