package app

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/org/mtx"
	"github.com/org/mtx/router/hook"
	"github.com/org/mtx/router/media"
	"github.com/org/mtx/router/routertest"
)

// The commands and webhooks of a file run, also those that a reload brings.
func TestHooks(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("there is no sh")
	}
	events := make(chan hook.Event, 64)
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var e hook.Event
		if err := json.NewDecoder(r.Body).Decode(&e); err != nil {
			t.Error(err)
		}
		events <- e
	}))
	defer srv.Close()
	dir := t.TempDir()
	text := func(name string) string {
		return localServer + noServers + "webhooks: [{url: '" + srv.URL + "', events: [pathReady, configRefused]}]\n" +
			"paths:\n  cam:\n    runOnReady: sh -c 'echo $MTX_PATH $RTSP_PORT > " + dir + "/" + name + "'\n" +
			"    runOnNotReady: touch " + dir + "/gone\n"
	}
	in := start(t, text("first"), Options{})
	publish := func() *mtx.Publisher {
		t.Helper()
		pub, err := in.router.Publish(t.Context(), "cam", []media.Track{{Codec: &media.KLV{}}})
		if err != nil {
			t.Fatal(err)
		}
		return pub
	}
	wrote := func(name, want string) func() bool {
		return func() bool {
			b, _ := os.ReadFile(filepath.Join(dir, name))
			return string(b) == want
		}
	}
	exists := func() bool { _, err := os.Stat(filepath.Join(dir, "gone")); return err == nil }
	pub := publish()
	until(t, "runOnReady", in.out, wrote("first", "cam 0\n"))
	if e := <-events; e.Type != hook.PathReady || e.Path != "cam" {
		t.Errorf("%+v", e)
	}
	pub.Close()
	until(t, "runOnNotReady", in.out, exists)

	writeFile(t, in.file, strings.Replace(text("second"), "paths:", "rtspAddress: nonsense\npaths:", 1))
	if e := <-events; e.Type != hook.ConfigRefused || !strings.Contains(e.Error, "rtspAddress") {
		t.Errorf("%+v", e)
	}
	writeFile(t, in.file, text("second"))
	until(t, "reload", in.out, func() bool { return strings.Contains(in.out.String(), "configuration applied") })
	pub = publish()
	defer pub.Close()
	until(t, "runOnReady after a reload", in.out, wrote("second", "cam 0\n"))
}

// Who stops the server twice does not wait, and nothing is left of commands that
// do not listen.
func TestSecondSignal(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("there is no sh")
	}
	dir := t.TempDir()
	file, pids := filepath.Join(dir, "mediamtx.yml"), filepath.Join(dir, "pids")
	writeFile(t, filepath.Join(dir, "stubborn"), "trap '' INT; echo $$ >> "+pids+"; while :; do sleep 1; done\n")
	line := "sh " + dir + "/stubborn"
	writeFile(t, file, localServer+noServers+"paths:\n  cam: {runOnInit: "+line+"}\n  od: {runOnDemand: "+line+", runOnUnDemand: "+line+"}\n")
	stop, code := make(chan os.Signal), make(chan int, 1)
	var out routertest.Log
	routers := make(chan *mtx.Router, 1)
	ended := make(chan struct{})
	run := func(ctx context.Context, o Options) int {
		defer close(ended)
		return Run(ctx, o)
	}
	go func() {
		code <- runUntil(stop, run, Options{Args: []string{file}, Stdout: &out, Stderr: &out, Router: func(r *mtx.Router) { routers <- r }})
	}()
	r := <-routers
	until(t, "start", &out, func() bool { return len(r.Protocols()) > 0 })
	go func() { _, _ = r.Read(t.Context(), "od", mtx.SubscribeOptions{}) }() // nobody publishes
	running := func() (out []int) {
		b, _ := os.ReadFile(pids)
		for f := range strings.FieldsSeq(string(b)) {
			pid, err := strconv.Atoi(f)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, pid)
		}
		return out
	}
	until(t, "commands", &out, func() bool { return len(running()) == 2 })
	stop <- syscall.SIGTERM
	until(t, "first signal", &out, func() bool { return strings.Contains(out.String(), "shutting down") })
	stop <- syscall.SIGTERM
	if c := <-code; c != 128+15 {
		t.Errorf("exit code %d", c)
	}
	<-ended
	for _, pid := range running() {
		until(t, "end of a command", &out, func() bool {
			p, err := os.FindProcess(pid)
			return err != nil || p.Signal(syscall.Signal(0)) != nil
		})
	}
}
