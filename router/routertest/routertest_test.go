package routertest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// echo is a small protocol that passes the suite.
type echo struct{ Addr string }

func (echo) Name() string { return "echo" }

func (e echo) Serve(ctx context.Context, h *router.Host) error {
	ln, err := h.Listen("tcp", e.Addr)
	if err != nil {
		return err
	}
	return h.ServeListener(ctx, ln, func(_ context.Context, c net.Conn) error {
		line, err := bufio.NewReader(c).ReadString('\n')
		if err == nil {
			_, err = fmt.Fprint(c, line)
		}
		return err
	})
}

func TestProtocolSuite(t *testing.T) {
	t.Parallel()
	addr := FreeAddr(t)
	TestProtocol(t, func() router.Protocol { return echo{addr} })
}

// ticker is a small source that passes the suite.
type ticker struct{ Every time.Duration }

func (ticker) Type() string { return "ticker" }

func (s ticker) Run(ctx context.Context, run *router.SourceRun) error {
	pub, err := run.Publish(ctx, SampleTracks(), router.PublishOptions{})
	if err != nil {
		return err
	}
	defer pub.Close()
	tick := time.NewTicker(s.Every)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-tick.C:
			pub.Write(0, SampleUnit(0, n))
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func TestSourceSuite(t *testing.T) {
	t.Parallel()
	TestSource(t, func() router.Source { return ticker{time.Millisecond} }, nil)
}

// counter is a small sink that passes the suite.
type counter struct{ Sink }

func (counter) Equal(any) bool { return true }

func TestSinkSuite(t *testing.T) {
	t.Parallel()
	TestSink(t, func() router.Sink { return &counter{} })
}

// password is a small authenticator that passes the suite.
type password string

func (p password) Authenticate(_ context.Context, q *router.AccessRequest) (router.Identity, error) {
	if q.Pass == string(p) {
		return router.Identity{User: q.User}, nil
	}
	return router.Identity{}, &router.AuthError{Err: errors.New("wrong password"), AskCredentials: !q.HasCredentials()}
}

func TestAuthenticatorSuite(t *testing.T) {
	t.Parallel()
	TestAuthenticator(t, func() router.Authenticator { return password("secret") },
		[]router.AccessRequest{{Action: router.ActionRead, Path: "a", User: "u", Pass: "secret"}},
		[]router.AccessRequest{{Action: router.ActionRead, Path: "a"}, {Action: router.ActionRead, Path: "a", Pass: "other"}})
}

// tbStub is a test whose failure is looked at.
type tbStub struct {
	testing.TB
	cleanups []func()
	failed   bool
}

func (s *tbStub) Helper()               {}
func (s *tbStub) Name() string          { return "stub" }
func (s *tbStub) Cleanup(f func())      { s.cleanups = append(s.cleanups, f) }
func (s *tbStub) Errorf(string, ...any) { s.failed = true }
func (s *tbStub) finish() {
	for _, f := range slices.Backward(s.cleanups) {
		f()
	}
}

func TestCheckLeaks(t *testing.T) {
	t.Parallel()
	stop, done := make(chan struct{}), make(chan struct{})
	leaky := &tbStub{}
	checkLeaks(leaky, 50*time.Millisecond)
	go func() {
		defer close(done)
		<-stop
	}()
	leaky.finish()
	if !leaky.failed {
		t.Error("a goroutine that is left was not found")
	}
	clean := &tbStub{} // the goroutine is not one of this test
	checkLeaks(clean, 50*time.Millisecond)
	clean.finish()
	if clean.failed {
		t.Error("a goroutine of another test counts as a leak")
	}
	close(stop)
	<-done
}

func TestEvents(t *testing.T) {
	t.Parallel()
	r := New(t, router.Config{Paths: []router.PathConfig{{Name: "cam"}}})
	pub, err := r.Publish(t.Context(), "cam", SampleTracks())
	if err != nil {
		t.Fatal(err)
	}
	e := Record(t, r)
	WaitReady(t, r, "cam")
	rd, err := r.Read(t.Context(), "cam", router.SubscribeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	WaitReaders(t, r, "cam", 1)
	rd.Close()
	pub.Close()
	if err := r.RemovePath(t.Context(), "cam"); err != nil {
		t.Fatal(err)
	}
	e.Wait(t, "removed cam", 1)
	e.Wait(t, "applied", 1)
	want := []string{"created cam", "ready cam", "online cam", "attached cam", "detached cam", "offline cam", "notReady cam", "removed cam"}
	got := slices.DeleteFunc(e.List(), func(s string) bool { return s == "applied" })
	if !slices.Equal(got, want) {
		t.Errorf("events:\n%q, want\n%q", got, want)
	}
}

func TestLog(t *testing.T) {
	t.Parallel()
	var log Log
	done := make(chan struct{})
	go func() {
		defer close(done)
		log.Logger().Warn("one")
	}()
	log.Logger().Info("two", "key", "one")
	<-done
	if n := log.Count("one"); n != 2 {
		t.Errorf("%d times in %q", n, log.String())
	}
	if text := log.Take(); strings.Count(text, "\n") != 2 || log.String() != "" {
		t.Errorf("%q is taken from the log, %q is left", text, log.String())
	}
}

func TestSampleUnits(t *testing.T) {
	t.Parallel()
	codec, key := media.Scan(SampleTracks()[0].Codec, SampleUnit(0, 0).Payload)
	if !key || len(codec.(*media.H264).SPS) == 0 || len(codec.(*media.H264).PPS) == 0 {
		t.Errorf("unit 0 is not a key frame with parameters: %v, %+v", key, codec)
	}
	if _, key := media.Scan(codec, SampleUnit(0, 1).Payload); key {
		t.Error("unit 1 is a key frame")
	}
}
