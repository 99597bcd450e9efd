package main

import (
	"context"
	"testing"

	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/pion/rtp"
	"go.uber.org/goleak"

	"github.com/org/mtx/examples/internal/exampletest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What an RTSP client publishes, another one reads.
func TestRun(t *testing.T) {
	t.Parallel()
	out := exampletest.NewOutput()
	addr := exampletest.Start(t, func(ctx context.Context, addr string) error { return run(ctx, addr, out) })
	exampletest.Publish(t, "rtsp://"+addr+"/cam")
	out.Wait(t, "that the path is live", func(l string) bool { return l == "cam is live\n" })
	exampletest.Play(t, "rtsp://"+addr+"/cam", func(f format.Format, p *rtp.Packet) bool {
		_, ok := f.(*format.H264)
		return ok && len(p.Payload) > 0
	})
	if err := exampletest.CanDescribe(t, "rtsp://"+addr+"/other"); err == nil {
		t.Error("a path without publisher can be read")
	}
}
