package router_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
	"github.com/org/mtx/router/routertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds waits of tests that fail.
const patience = 20 * time.Second

// text returns the tracks of a stream of messages.
func text() []media.Track { return []media.Track{{Codec: &media.KLV{}}} }

func message(s string) *media.Unit { return &media.Unit{Payload: [][]byte{[]byte(s)}} }

func publish(t testing.TB, r *router.Router, path string) *router.Publisher {
	t.Helper()
	pub, err := r.Publish(t.Context(), path, text())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pub.Close)
	return pub
}

func read(t testing.TB, r *router.Router, path string) *router.Reader {
	t.Helper()
	rd, err := r.Read(t.Context(), path, router.SubscribeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(rd.Close)
	return rd
}

func apply(t testing.TB, r *router.Router, cfg router.Config) router.Changes {
	t.Helper()
	ch, err := r.Apply(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return ch
}

// wantNext takes a message.
func wantNext(t testing.TB, sub interface {
	Next(context.Context) (int, *media.Unit, error)
}, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, u, err := sub.Next(ctx)
	if err != nil {
		t.Fatalf("got %v, want %q", err, want)
	}
	if got := string(u.Payload[0]); got != want {
		t.Fatalf("got %q, want %q", got, want)
	}
}

func wantErr(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got error %v, want %v", err, want)
	}
}

// receive waits for a value.
func receive[T any](t testing.TB, ch <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-ch:
	case <-time.After(patience):
		t.Fatalf("no %T arrives", v)
	}
	return v
}

// wantDone waits until a channel is closed.
func wantDone(t testing.TB, ch <-chan struct{}) {
	t.Helper()
	receive(t, ch)
}

func config(paths ...router.PathConfig) router.Config {
	return router.Config{Paths: paths, SourceRetryPause: 10 * time.Millisecond, AuthPause: -1}
}

func start(t testing.TB, paths ...router.PathConfig) *router.Router {
	t.Helper()
	return routertest.New(t, config(paths...))
}

// live tells whether a live path of this name exists.
func live(r *router.Router, name string) bool {
	_, ok := r.Path(name)
	return ok
}

func isReady(r *router.Router, name string) bool {
	p, ok := r.Path(name)
	return ok && p.Stream() != nil
}
