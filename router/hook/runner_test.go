package hook_test

import (
	"context"
	"fmt"
	"log/slog"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/hook"
	"github.com/org/mtx/router/routertest"
)

// newRunner starts a router with a path "~^cam(.)$" and its commands.
func newRunner(t *testing.T, c hook.Commands) (*router.Router, *hook.Runner) {
	t.Helper()
	runner := hook.NewRunner(slog.New(slog.DiscardHandler))
	t.Cleanup(runner.Close) // after the router
	r := routertest.New(t, router.Config{
		SourceRetryPause: time.Millisecond,
		Paths: []router.PathConfig{{Name: "~^cam(.)$", Extras: []any{c}}, {
			Name: "demand", OnDemand: router.OnDemand{Enabled: true, StartTimeout: patience},
			Source: hook.OnDemand{Exec: c.Exec, Command: c.Ready, UnDemand: c.NotReady},
		}},
	}, router.WithHooks(runner.Hooks()))
	return r, runner
}

func TestReadyAndNotReady(t *testing.T) {
	t.Parallel()
	ch := newChildren(t)
	r, _ := newRunner(t, hook.Commands{
		Exec:     hook.Exec{Env: append(ch.env(), "RTSP_PORT=8554")},
		Ready:    hook.Command{Line: ch.self + " wait $MTX_PATH '$G1' rtsp://localhost:$RTSP_PORT"},
		NotReady: ch.self + " exit gone ${MTX_PATH}",
	})
	pub := publish(t, r, "cam1")
	c := ch.next()
	if got := strings.Join(c.call.Args, "|"); got != "wait|cam1|1|rtsp://localhost:8554" {
		t.Error(got)
	}
	c.wantEnv(map[string]string{
		"MTX_PATH": "cam1", "G1": "1", "MTX_SOURCE_TYPE": "testConn", "MTX_SOURCE_ID": "id1", "MTX_QUERY": "", "RTSP_PORT": "8554",
	})
	pub.Close()
	c.wantInterrupt()
	c.wantEnd()
	c = ch.next()
	if got := strings.Join(c.call.Args, "|"); got != "exit|gone|cam1" {
		t.Error(got)
	}
	c.wantEnd()
}

// No client can keep a command from being run by what it sends.
func TestLongQueries(t *testing.T) {
	t.Parallel()
	ch := newChildren(t)
	runner := hook.NewRunner(slog.New(slog.DiscardHandler))
	defer runner.Close()
	end := runner.Hooks().PathReady(router.PathEvent{
		Path: "cam", Query: "a=b&" + strings.Repeat("(", 60_000),
		Config: &router.PathConfig{Extras: []any{hook.Commands{
			Exec: hook.Exec{Env: ch.env()}, Ready: hook.Command{Line: ch.self + " wait $MTX_QUERY"},
		}}},
	})
	c := ch.next()
	if arg := c.call.Args[1]; arg != c.call.Env["MTX_QUERY"] || !strings.HasPrefix(arg, "a=b&%28%28") || !strings.HasSuffix(arg, "%28") || len(arg) < 64<<10 {
		t.Errorf("%d bytes", len(arg))
	}
	end()
	c.wantEnd()
}

func TestInitLastsAsLongAsThePath(t *testing.T) {
	t.Parallel()
	ch := newChildren(t)
	r, _ := newRunner(t, hook.Commands{
		Exec: hook.Exec{Env: ch.env(), Pause: time.Millisecond},
		Init: hook.Command{Line: ch.self + " exit", Restart: true},
	})
	pub := publish(t, r, "cam1")
	for range 3 {
		ch.next().wantEnd() // again and again
	}
	cfg := r.Config().WithPath(router.PathConfig{Name: "~^cam(.)$", Extras: []any{hook.Commands{
		Exec: hook.Exec{Env: ch.env()}, Init: hook.Command{Line: ch.self + " wait"},
	}}})
	if _, err := r.Apply(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	<-pub.Done()
	publish(t, r, "cam1")
	for {
		c := ch.next()
		if c.call.Args[0] == "wait" {
			r.Close()
			c.wantInterrupt()
			c.wantEnd()
			return
		}
		c.wantEnd() // one of those before
	}
}

func TestReaders(t *testing.T) {
	t.Parallel()
	ch := newChildren(t)
	r, _ := newRunner(t, hook.Commands{
		Exec: hook.Exec{Env: ch.env()}, Read: hook.Command{Line: ch.self + " wait"}, Unread: ch.self + " exit",
	})
	publish(t, r, "camx")
	a, err := r.Read(t.Context(), "camx", router.SubscribeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c := ch.next()
	if _, ok := c.call.Env["MTX_READER_TYPE"]; !ok {
		t.Error("MTX_READER_TYPE is missing")
	}
	a.Close()
	c.wantInterrupt()
	c.wantEnd()
	ch.next().wantEnd()
}

// Each command that lasts is started again when it ends by itself, if that is
// wanted, and as long as what it belongs to lasts.
func TestRestart(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		set   func(*hook.Commands, hook.Command)
		begin func(*testing.T, *hook.Runner, *router.Router) (end func())
	}{
		"init": {
			func(c *hook.Commands, one hook.Command) { c.Init = one },
			func(t *testing.T, _ *hook.Runner, r *router.Router) func() { return publish(t, r, "cam1").Close },
		},
		"ready": {
			func(c *hook.Commands, one hook.Command) { c.Ready = one },
			func(t *testing.T, _ *hook.Runner, r *router.Router) func() { return publish(t, r, "cam1").Close },
		},
		"online": {
			func(c *hook.Commands, one hook.Command) { c.Online = one },
			func(t *testing.T, _ *hook.Runner, r *router.Router) func() { return publish(t, r, "cam1").Close },
		},
		"read": {
			func(c *hook.Commands, one hook.Command) { c.Read = one },
			func(t *testing.T, _ *hook.Runner, r *router.Router) func() {
				publish(t, r, "cam1")
				rd, err := r.Read(t.Context(), "cam1", router.SubscribeOptions{})
				if err != nil {
					t.Fatal(err)
				}
				return rd.Close
			},
		},
		"demand": { // uses Ready, see newRunner
			func(c *hook.Commands, one hook.Command) { c.Ready = one },
			func(t *testing.T, _ *hook.Runner, r *router.Router) func() {
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan struct{})
				go func() {
					defer close(done)
					_, _ = r.Read(ctx, "demand", router.SubscribeOptions{}) // nobody publishes
				}()
				return func() { cancel(); <-done }
			},
		},
		"connect": {
			func(*hook.Commands, hook.Command) {},
			func(_ *testing.T, runner *hook.Runner, _ *router.Router) func() {
				return runner.Hooks().SessionOpened(router.SessionEvent{Kind: "rtspConn", ID: "c1"})
			},
		},
	} {
		for _, restart := range []bool{true, false} {
			t.Run(fmt.Sprint(name, restart), func(t *testing.T) {
				t.Parallel()
				ch := newChildren(t)
				commands := hook.Commands{Exec: hook.Exec{Env: ch.env(), Pause: time.Millisecond}}
				one := hook.Command{Line: ch.self + " exit", Restart: restart}
				c.set(&commands, one)
				r, runner := newRunner(t, commands)
				runner.SetConnections(hook.Connections{Exec: commands.Exec, Connect: one})
				end := c.begin(t, runner, r)
				ch.next().wantEnd()
				if restart {
					ch.next().wantEnd()
					ch.next().wantEnd()
				}
				end()
				r.Close()
				runner.Close()
				if !restart {
					ch.none() // a second time
				}
			})
		}
	}
}

func TestConnections(t *testing.T) {
	t.Parallel()
	ch := newChildren(t)
	runner := hook.NewRunner(slog.New(slog.DiscardHandler))
	defer runner.Close()
	runner.SetConnections(hook.Connections{
		Exec: hook.Exec{Env: ch.env()}, Connect: hook.Command{Line: ch.self + " wait"}, Disconnect: ch.self + " exit $MTX_CONN_ID",
	})
	h := runner.Hooks()
	for _, kind := range []string{"rtspSession", "rtspsSession", "hlsMuxer", "hlsSession"} {
		if end := h.SessionOpened(router.SessionEvent{Kind: kind, ID: "s"}); end != nil {
			t.Errorf("%s is not a connection", kind)
		}
	}
	end := h.SessionOpened(router.SessionEvent{Kind: "rtspConn", ID: "c1"})
	c := ch.next()
	c.wantEnv(map[string]string{"MTX_CONN_TYPE": "rtspConn", "MTX_CONN_ID": "c1"})
	end()
	c.wantInterrupt()
	if got := ch.next().call.Args; got[1] != "c1" {
		t.Error(got)
	}
}

func TestSegments(t *testing.T) {
	t.Parallel()
	ch := newChildren(t)
	runner := hook.NewRunner(slog.New(slog.DiscardHandler))
	defer runner.Close()
	h := runner.Hooks()
	ev := router.SegmentEvent{Path: "a", File: "/x/it's $(here).mp4", Config: &router.PathConfig{Extras: []any{hook.Commands{
		Exec: hook.Exec{Env: ch.env()}, SegmentCreate: ch.self + " exit create $MTX_SEGMENT_PATH", SegmentComplete: ch.self + " exit complete",
	}}}}
	h.SegmentCreated(ev)
	if got := ch.next().call.Args; got[2] != ev.File {
		t.Error(got)
	}
	ev.Duration = 1500 * time.Millisecond
	h.SegmentCompleted(ev)
	ch.next().wantEnv(map[string]string{"MTX_PATH": "a", "MTX_SEGMENT_PATH": ev.File, "MTX_SEGMENT_DURATION": "1.5"})
}

func TestWhatDoesNotEndIsKilled(t *testing.T) {
	t.Parallel()
	ch := newChildren(t)
	r, _ := newRunner(t, hook.Commands{
		Exec:  hook.Exec{Env: ch.env(), Grace: 50 * time.Millisecond},
		Ready: hook.Command{Line: ch.self + " stubborn"},
	})
	pub := publish(t, r, "cam1")
	c := ch.next()
	pub.Close()
	c.wantInterrupt()
	c.wantEnd()
}

func TestGrandchildrenEndToo(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no process groups that can be signalled")
	}
	ch := newChildren(t)
	r, _ := newRunner(t, hook.Commands{
		Exec: hook.Exec{Env: ch.env(), Grace: 200 * time.Millisecond}, Ready: hook.Command{Line: ch.self + " parent"},
	})
	pub := publish(t, r, "cam1")
	parent, grandchild := ch.next(), ch.next()
	pub.Close()
	parent.wantEnd()
	grandchild.wantEnd()
}

// What a command left in the background belongs to it: the command is not started
// again while it runs, and it is ended with it.
func TestBackground(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no process groups that can be signalled")
	}
	ch := newChildren(t)
	r, _ := newRunner(t, hook.Commands{
		Exec:  hook.Exec{Env: ch.env(), Pause: time.Millisecond},
		Ready: hook.Command{Line: ch.self + " leave", Restart: true},
	})
	pub := publish(t, r, "cam1")
	first, left := ch.next(), ch.next()
	if first.call.Args[0] != "leave" {
		first, left = left, first
	}
	first.wantEnd()
	ch.noneWithin(300 * time.Millisecond)
	pub.Close()
	left.wantInterrupt()
	left.wantEnd()
	ch.none()
}

// A program that cannot wait ends all commands, and those that start later.
func TestKillAll(t *testing.T) {
	t.Parallel()
	ch := newChildren(t)
	var all hook.Processes
	r, _ := newRunner(t, hook.Commands{
		Exec: hook.Exec{Env: ch.env(), Processes: &all}, Ready: hook.Command{Line: ch.self + " stubborn"},
	})
	publish(t, r, "cam1")
	c := ch.next()
	all.Kill()
	c.wantEnd()
	publish(t, r, "cam2") // ends at once, before it can tell
	r.Close()
}

func TestOnDemand(t *testing.T) {
	t.Parallel()
	ch := newChildren(t)
	r, _ := newRunner(t, hook.Commands{
		Exec: hook.Exec{Env: ch.env()}, Ready: hook.Command{Line: ch.self + " wait"}, NotReady: ch.self + " exit undemand",
	})
	ch.none()
	got := make(chan *router.Reader)
	go func() {
		rd, err := r.Read(t.Context(), "demand", router.SubscribeOptions{})
		if err != nil {
			t.Error(err)
		}
		got <- rd
	}()
	c := ch.next()
	c.wantEnv(map[string]string{"MTX_PATH": "demand"})
	pub := publish(t, r, "demand") // as the command would
	rd := <-got
	if p, _ := r.Path("demand"); p.Info().Source.Type != "testConn" {
		t.Error(p.Info().Source)
	}
	rd.Close()
	c.wantInterrupt()
	if a := ch.next().call.Args; a[1] != "undemand" {
		t.Error(a)
	}
	pub.Close()
}

func TestTheShellReplacesInPlaceOfUs(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("there is no sh")
	}
	ch := newChildren(t)
	dir := t.TempDir()
	runner := hook.NewRunner(slog.New(slog.DiscardHandler))
	defer runner.Close()
	ready := runner.Hooks().PathReady
	ready(router.PathEvent{
		Path: "$(touch " + dir + "/a);touch${IFS}" + dir + "/b;'\"", Query: "q=`x`&$(y)",
		Config: &router.PathConfig{Extras: []any{hook.Commands{
			Exec:  hook.Exec{Env: ch.env()},
			Ready: hook.Command{Line: `sh -c '` + ch.self + ` exit "$MTX_PATH" "$MTX_QUERY"'`},
		}}},
	})
	c := ch.next()
	if got := c.call.Args; len(got) != 3 || got[1] != "$(touch "+dir+"/a);touch${IFS}"+dir+"/b;'\"" || got[2] != "q=%60x%60&%24%28y%29" {
		t.Errorf("%q", got)
	}
	c.wantEnd()
}

func TestFailuresAreLoggedWithoutSecrets(t *testing.T) {
	t.Parallel()
	var logs routertest.Log
	runner := hook.NewRunner(logs.Logger())
	ch := newChildren(t)
	run := func(line string) {
		runner.Hooks().PathReady(router.PathEvent{Config: &router.PathConfig{Extras: []any{hook.Commands{
			Exec: hook.Exec{Env: ch.env()}, Ready: hook.Command{Line: line},
		}}}})
	}
	run(ch.self + " fail rtsp://user:topsecret@host")
	ch.next().wantEnd()
	run("program-that-does-not-exist topsecret")
	runner.Close()
	if s := logs.String(); strings.Count(s, "command failed") != 2 || strings.Contains(s, "topsecret") {
		t.Error(s)
	}
}

// On a path with a standby, Ready runs all the time and Online while somebody
// publishes.
func TestOnlineAndOffline(t *testing.T) {
	t.Parallel()
	ch := newChildren(t)
	runner := hook.NewRunner(slog.New(slog.DiscardHandler))
	t.Cleanup(runner.Close)
	r := routertest.New(t, router.Config{Paths: []router.PathConfig{{
		Name: "cam1", Standby: &routertest.Standby{}, Extras: []any{hook.Commands{
			Exec: hook.Exec{Env: ch.env()}, Ready: hook.Command{Line: ch.self + " wait ready"},
			Online: hook.Command{Line: ch.self + " wait online $MTX_SOURCE_TYPE"}, Offline: ch.self + " exit offline",
		}},
	}}}, router.WithHooks(runner.Hooks()))
	ready := ch.next()
	if ready.call.Args[1] != "ready" || ready.call.Env["MTX_SOURCE_TYPE"] != "" {
		t.Errorf("%+v", ready.call)
	}
	for range 2 {
		pub, err := r.Publish(t.Context(), "cam1", routertest.SampleTracks())
		if err != nil {
			t.Fatal(err)
		}
		pub.Write(0, routertest.SampleUnit(0, 0))
		c := ch.next()
		if got := strings.Join(c.call.Args, "|"); got != "wait|online|program" {
			t.Error(got)
		}
		pub.Close()
		c.wantInterrupt()
		c.wantEnd()
		c = ch.next()
		if got := strings.Join(c.call.Args, "|"); got != "exit|offline" {
			t.Error(got)
		}
		c.wantEnd()
	}
	r.Close()
	ready.wantInterrupt()
	ready.wantEnd()
}
