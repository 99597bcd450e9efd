package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/org/mtx/examples/internal/exampletest"
	"github.com/org/mtx/router/routertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What is published is in files, in the list, and on the page.
func TestRun(t *testing.T) {
	t.Parallel()
	dir, httpAddr := t.TempDir(), routertest.FreeAddr(t)
	rtspAddr := exampletest.Start(t, func(ctx context.Context, addr string) error { return run(ctx, addr, httpAddr, dir) })
	exampletest.Publish(t, "rtsp://"+rtspAddr+"/cam")
	routertest.Eventually(t, "a recording in the list", func() bool {
		status, body := get(t, "http://"+httpAddr+"/list?path=cam")
		var spans []struct{ Duration float64 }
		return status == http.StatusOK && json.Unmarshal([]byte(body), &spans) == nil && len(spans) == 1 && spans[0].Duration >= 1
	})
	if files, err := filepath.Glob(filepath.Join(dir, "cam", "*.mp4")); err != nil || len(files) != 1 {
		t.Errorf("%q, %v: want one file", files, err)
	}
	if status, body := get(t, "http://"+httpAddr+"/cam/"); status != http.StatusOK || !strings.Contains(body, "<video") {
		t.Errorf("the page: %d %.100s", status, body)
	}
}

func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Error(err)
	}
	return res.StatusCode, string(b)
}
