package webrtc

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/org/mtx/router/media"
	"github.com/org/mtx/router/routertest"
)

// Parameter sets of H264 by x264, 1280x720, High profile.
const (
	spsReorder = "\x67\x64\x00\x1f\xac\xd9\x40\x50\x05\xbb\x01\x10\x00\x00\x03\x00\x10\x00\x00\x03\x03\xc0\xf1\x83\x19\x60"
	spsPlain   = "\x67\x42\xc0\x28\xd9\x00\x78\x02\x27\xe5\x84\x00\x00\x03\x00\x04\x00\x00\x03\x00\xf0\x3c\x60\xc9\x20"
	ppsAny     = "\x68\x08"
)

func TestDeclaresReordering(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		codec media.Codec
		want  bool
	}{
		"high":     {&media.H264{SPS: []byte(spsReorder)}, true},
		"baseline": {&media.H264{SPS: []byte(spsPlain)}, false},
		"unknown":  {&media.H264{}, false},
		"damaged":  {&media.H264{SPS: []byte{0x67, 0xff}}, false},
		"h265":     {&media.H265{SPS: []byte{0x42}}, false},
		"vp8":      {&media.VP8{}, false},
	} {
		if got := declaresReordering(c.codec); got != c.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}

func TestOrder(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		pts  []int64
		want bool
	}{
		"in order":         {[]int64{0, 3000, 6000, 9000, 12000, 15000}, false},
		"parts":            {[]int64{0, 0, 3000, 3000, 6000}, false},
		"B-frames":         {[]int64{0, 9000, 3000, 6000, 18000, 12000, 15000}, true},
		"one correction":   {[]int64{0, 3000, 2000, 5000, 8000, 11000}, false},
		"jumps far back":   {[]int64{900000, 0, 3000, 900000, 0, 3000}, false},
		"one, then a gap":  {append(append([]int64{3000, 0}, ramp(3000, 400)...), 3000*399), false},
		"two close enough": {append(append([]int64{3000, 0}, ramp(3000, 200)...), 3000*199), true},
	} {
		var o order
		for _, p := range c.pts {
			o.add(p, 90000)
		}
		if o.found != c.want {
			t.Errorf("%s: got %v", name, o.found)
		}
	}
}

// ramp is n times in order, of which the first is step.
func ramp(step int64, n int) []int64 {
	out := make([]int64, n)
	for i := range out {
		out[i] = step * int64(i+1)
	}
	return out
}

// withB is video in the order I B P, of which B is shown before its turn.
func withB(sps string) func(track, n int) *media.Unit {
	return func(_, n int) *media.Unit {
		shown := n
		switch n % 3 {
		case 1:
			shown = n + 1
		case 2:
			shown = n - 1
		}
		u := &media.Unit{PTS: int64(shown) * 3000, Payload: [][]byte{{0x41, 0x9a, 0x24, byte(n)}}}
		if n%30 == 0 {
			u.Payload = [][]byte{[]byte(sps), []byte(ppsAny), {0x65, 0x88, 0x84, byte(n)}}
		}
		return u
	}
}

func TestBFramesAreRefused(t *testing.T) {
	t.Parallel()
	g := newRig(t, Server{}, nil)
	h264 := []media.Track{{Codec: &media.H264{}}}

	// announced: known before the answer
	g.publishUnits("announced", h264, withB(spsReorder))
	waitCodec(t, g, "announced")
	status, body := g.viewer().post("/announced/whep")
	if status != http.StatusBadRequest || !strings.Contains(body, "H264 with B-frames") {
		t.Errorf("announced: %d %s", status, body)
	}
	began := time.Now()
	if status, _ := g.viewer().post("/announced/whep"); status != http.StatusBadRequest || time.Since(began) > orderPatience {
		t.Errorf("second viewer: %d after %v", status, time.Since(began))
	}

	// not announced: the session ends
	g.publishUnits("surprise", h264, withB(spsPlain))
	waitCodec(t, g, "surprise")
	switch status, body := g.viewer().post("/surprise/whep"); status {
	case http.StatusCreated:
		routertest.Eventually(t, "the session ends", func() bool { return len(g.sessionsOf("read")) == 0 })
		if !strings.Contains(g.log.String(), `reason="the stream is H264 with B-frames`) {
			t.Error("the log does not tell the reason")
		}
	case http.StatusBadRequest: // seen while the answer was made
	default:
		t.Errorf("not announced: %d %s", status, body)
	}

	// who takes the sound only is not concerned
	g.publishUnits("sound", append(h264, media.Track{Codec: &media.Opus{ChannelCount: 2}}), func(track, n int) *media.Unit {
		if track == 1 {
			return routertest.SampleUnit(1, n)
		}
		return withB(spsReorder)(0, n)
	})
	waitCodec(t, g, "sound")
	a := g.newClient(false)
	a.receive(webrtc.RTPCodecTypeAudio)
	a.open("/sound/whep")
	routertest.Eventually(t, "audio arrives", func() bool { return a.audio.Load() > 10 })

	// announced, but not there
	g.publishUnits("none", h264, func(_, n int) *media.Unit {
		u := withB(spsReorder)(0, n)
		u.PTS = int64(n) * 3000
		return u
	})
	waitCodec(t, g, "none")
	v := g.whep("/none")
	routertest.Eventually(t, "video arrives", func() bool { return v.markers.Load() > 5 })
}

// waitCodec waits until the parameter sets are known.
func waitCodec(t *testing.T, g *rig, path string) {
	t.Helper()
	s := routertest.WaitReady(t, g.Router, path)
	routertest.Eventually(t, "the parameter sets are known", func() bool {
		return len(s.Tracks()[0].Codec.(*media.H264).SPS) > 0
	})
}
