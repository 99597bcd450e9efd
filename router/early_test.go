package router_test

import (
	"context"
	"testing"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
	"github.com/org/mtx/router/routertest"
)

// earlySink tells what the first unit is that it gets.
type earlySink struct {
	entered chan struct{}
	first   chan int64 // PTS; -1: it has no early subscription
}

func (earlySink) Type() string { return "early" }

func (earlySink) EarlySubscription() router.SubscribeOptions { return router.SubscribeOptions{} }

func (s earlySink) Run(ctx context.Context, run *router.SinkRun) error {
	<-s.entered
	if run.Early == nil {
		s.first <- -1
		<-ctx.Done()
		return ctx.Err()
	}
	_, u, err := run.Early.Next(ctx)
	if err != nil {
		return err
	}
	s.first <- u.PTS
	<-ctx.Done()
	return ctx.Err()
}

// A sink gets a stream from its first unit on, however late it runs. One that is added
// later does not.
func TestEarlySink(t *testing.T) {
	t.Parallel()
	sink := earlySink{make(chan struct{}), make(chan int64, 1)}
	conf := router.PathConfig{Name: "cam", Sinks: []router.Sink{sink}}
	r := routertest.New(t, router.Config{Paths: []router.PathConfig{conf}})
	tracks := []media.Track{{Codec: &media.Opus{ChannelCount: 2}}}
	pub, err := r.Publish(t.Context(), "cam", tracks)
	if err != nil {
		t.Fatal(err)
	}
	defer pub.Close()
	pub.Write(0, &media.Unit{PTS: 4711, Payload: [][]byte{{0xfc, 1, 2}}})
	pub.Write(0, &media.Unit{PTS: 4712, Payload: [][]byte{{0xfc, 1, 2}}})
	close(sink.entered)
	if got := <-sink.first; got != 4711 {
		t.Errorf("the first unit has PTS %d", got)
	}
	late := earlySink{sink.entered, make(chan int64, 1)}
	conf.Sinks = append(conf.Sinks, late)
	if _, err := r.Apply(t.Context(), router.Config{Paths: []router.PathConfig{conf}}); err != nil {
		t.Fatal(err)
	}
	if got := <-late.first; got != -1 {
		t.Errorf("a sink that is added has an early subscription: PTS %d", got)
	}
}
