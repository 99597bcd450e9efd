package main

import (
	"context"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/org/mtx/examples/internal/exampletest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What an RTSP client publishes arrives in the program, one stream after another.
func TestRun(t *testing.T) {
	t.Parallel()
	out := exampletest.NewOutput()
	addr := exampletest.Start(t, func(ctx context.Context, addr string) error { return run(ctx, addr, out) })
	for range 2 {
		t.Run("stream", func(t *testing.T) {
			exampletest.Publish(t, "rtsp://"+addr+"/cam")
			out.Wait(t, "a key frame", func(l string) bool {
				return strings.HasPrefix(l, "H264 at ") && strings.HasSuffix(l, "key frame: true\n")
			})
			out.Wait(t, "another frame", func(l string) bool { return strings.HasSuffix(l, "key frame: false\n") })
		})
	}
}
