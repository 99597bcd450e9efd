package main

import (
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/pion/rtp"
	"go.uber.org/goleak"

	"github.com/org/mtx"
	"github.com/org/mtx/examples/internal/exampletest"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/routertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	t.Parallel()
	routertest.TestSource(t, func() router.Source { return Silence{Every: time.Millisecond} }, nil)
}

func TestSilence(t *testing.T) {
	t.Parallel()
	cfg := config("")
	cfg.Protocols = nil
	r := routertest.New(t, cfg)
	if p, _ := r.Path("silence"); p.Stream() != nil {
		t.Error("there is a stream although nobody listens")
	}
	rd, err := r.Read(t.Context(), "silence", mtx.SubscribeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer rd.Close()
	var pts [2]int64
	for i := range pts {
		_, u, err := rd.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		pts[i] = u.PTS
	}
	if d := pts[1] - pts[0]; d != 960 {
		t.Errorf("packets are %d ticks apart, want 960", d)
	}
}

func TestRun(t *testing.T) {
	t.Parallel()
	addr := exampletest.Start(t, run)
	exampletest.Play(t, "rtsp://"+addr+"/silence", func(f format.Format, p *rtp.Packet) bool {
		_, ok := f.(*format.Opus)
		return ok && len(p.Payload) == 3
	})
}
