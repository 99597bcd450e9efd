package app

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/org/mtx"
	"github.com/org/mtx/router/hook"
	"github.com/org/mtx/router/media"
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
