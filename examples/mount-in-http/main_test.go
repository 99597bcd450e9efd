package main

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/org/mtx/examples/internal/exampletest"
	"github.com/org/mtx/router/routertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What is published by RTSP is below /video of the web server.
func TestRun(t *testing.T) {
	t.Parallel()
	rtspAddr := routertest.FreeAddr(t)
	addr := exampletest.Start(t, func(ctx context.Context, addr string) error { return run(ctx, addr, rtspAddr) })
	exampletest.Publish(t, "rtsp://"+rtspAddr+"/test")
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	get := func(path string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := tr.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(b)
	}
	for path, want := range map[string]string{
		"/":                      "<h1>Live</h1>",
		"/video/test/":           "<video",
		"/video/test/index.m3u8": "#EXTM3U",
	} {
		if status, body := get(path); status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: %d %.200s", path, status, body)
		}
	}
	if status, _ := get("/test/index.m3u8"); status != http.StatusNotFound {
		t.Errorf("outside of /video: %d", status)
	}
}
