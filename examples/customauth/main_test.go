package main

import (
	"context"
	"net/netip"
	"testing"

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
	local, remote := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("192.0.2.1")
	routertest.TestAuthenticator(t, func() router.Authenticator { return Keys{"cam": "secret"} },
		[]mtx.AccessRequest{
			{Action: mtx.ActionRead, Path: "cam", Addr: remote, User: "u", Pass: "secret"},
			{Action: mtx.ActionPublish, Path: "cam", Addr: local},
		},
		[]mtx.AccessRequest{
			{Action: mtx.ActionRead, Path: "cam", Addr: local},
			{Action: mtx.ActionRead, Path: "cam", Addr: local, Pass: "guess"},
			{Action: mtx.ActionRead, Path: "other", Addr: local, Pass: "secret"},
			{Action: mtx.ActionPublish, Path: "cam", Addr: remote},
			{Action: mtx.ActionPublish, Path: "cam", Addr: remote, Pass: "secret"},
			{Action: mtx.ActionAPI, Addr: local},
		})
}

func TestRun(t *testing.T) {
	t.Parallel()
	addr := exampletest.Start(t, func(ctx context.Context, addr string) error {
		return run(ctx, addr, Keys{"cam": "secret"})
	})
	exampletest.Publish(t, "rtsp://"+addr+"/cam")
	exampletest.Play(t, "rtsp://u:secret@"+addr+"/cam", func(f format.Format, _ *rtp.Packet) bool {
		_, ok := f.(*format.H264)
		return ok
	})
	if err := exampletest.CanDescribe(t, "rtsp://"+addr+"/cam"); err == nil {
		t.Error("the stream can be read without key")
	}
}
