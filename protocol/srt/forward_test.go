package srt

import (
	"strings"
	"testing"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
	"github.com/org/mtx/router/routertest"
)

func TestForwardConformance(t *testing.T) {
	g := newRig(t, anyPath())
	routertest.TestSink(t, func() router.Sink { return Forward{URL: "srt://" + g.addr + "?streamid=publish:$MTX_PATH"} })
	g.noPanic()
}

// A path is forwarded to another server, encrypted, and read there.
func TestForward(t *testing.T) {
	t.Parallel()
	to := anyPath()
	to.Paths[0].Extras = []any{PathOptions{PublishPassphrase: "0123456789"}}
	remote := newRig(t, to)
	local := newRig(t, router.Config{
		Paths: []router.PathConfig{{
			Name:  "~^(.+)$",
			Sinks: []router.Sink{Forward{URL: "srt://" + remote.addr + "?streamid=publish:copy/$G1:me:secretword&passphrase=0123456789&latency=60"}},
		}},
	})
	local.publish("cam")
	routertest.WaitReady(t, remote.r, "copy/cam")
	c := remote.read("read:copy/cam", "")
	units := c.has(0, 20)
	if len(units[0].Payload) != 3 {
		t.Errorf("it begins with %x", units[0].Payload)
	}
	c.has(1, 20)
	for _, l := range []*routertest.Log{local.log, remote.log} {
		if l.Count("secretword") > 0 || l.Count("0123456789") > 0 {
			t.Error("the log holds secrets")
		}
	}
	local.noPanic()
	remote.noPanic()
}

func TestForwardErrors(t *testing.T) {
	t.Parallel()
	for _, ca := range []struct{ url, want string }{
		{"srt://h:1", ""},
		{"rtsp://h:1", "scheme"},
		{"srt://h:1?mode=listener", "mode: to forward it must be caller"},
		{"srt://:1", "mode: to forward it must be caller"},
		{"srt://h:1?passphrase=short", "passphrase"},
	} {
		err := Forward{URL: ca.url}.Validate()
		if ca.want == "" && err != nil || ca.want != "" && (err == nil || !strings.Contains(err.Error(), ca.want)) {
			t.Errorf("%s: %v", ca.url, err)
		}
	}
	// a stream that MPEG-TS cannot carry
	remote := newRig(t, anyPath())
	g := newRig(t, router.Config{Paths: []router.PathConfig{{Name: "s", Sinks: []router.Sink{Forward{URL: "srt://" + remote.addr + "?streamid=publish:s"}}}}})
	pub, err := g.r.Publish(t.Context(), "s", []media.Track{{Codec: &media.VP8{}}})
	if err != nil {
		t.Fatal(err)
	}
	defer pub.Close()
	routertest.Eventually(t, "an error", func() bool { return g.log.Count("cannot carry any track of the stream (VP8)") > 0 })
}
