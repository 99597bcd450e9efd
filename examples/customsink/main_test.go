package main

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/org/mtx/examples/internal/exampletest"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/routertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	t.Parallel()
	routertest.TestSink(t, func() router.Sink { return Rate{Period: time.Millisecond} })
}

func TestRun(t *testing.T) {
	t.Parallel()
	out := exampletest.NewOutput()
	addr := exampletest.Start(t, func(ctx context.Context, addr string) error {
		return run(ctx, addr, Rate{Period: 200 * time.Millisecond}, slog.New(slog.NewTextHandler(out, nil)))
	})
	exampletest.Publish(t, "rtsp://"+addr+"/cam")
	out.Wait(t, "a rate", func(l string) bool {
		return strings.Contains(l, "msg=rate") && strings.Contains(l, "path=cam") && !strings.Contains(l, "units=0 ")
	})
}
