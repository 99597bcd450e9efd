package webrtc

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/pion/webrtc/v4"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
	"github.com/org/mtx/router/routertest"
)

func TestPublishAndRead(t *testing.T) {
	t.Parallel()
	g := newRig(t, Server{}, nil)
	pub := g.whip("/cam", "User-Agent", "test")
	s := routertest.WaitReady(t, g.Router, "cam")
	names := []string{}
	for _, tr := range s.Tracks() {
		names = append(names, tr.Codec.Name())
	}
	if !slices.Equal(names, []string{"H264", "Opus"}) {
		t.Fatalf("tracks %v", names)
	}
	view := g.viewer()
	view.open("/cam/whep/?a=b")
	if !strings.HasPrefix(view.location, "/cam/whep/") || !strings.HasSuffix(view.location, "?a=b") || strings.Contains(view.location, view.id) {
		t.Errorf("location %q of session %s", view.location, view.id)
	}
	routertest.Eventually(t, "media arrives", func() bool { return view.markers.Load() > 20 && view.audio.Load() > 20 })
	if first := *view.first.Load(); first[0]&0x1f != 24 && first[0]&0x1f != 7 { // STAP-A, or the SPS itself
		t.Errorf("the first packet is no key frame: %x", first)
	}
	routertest.Eventually(t, "both sessions have counted", func() bool {
		pubs, reads := g.sessionsOf("publish"), g.sessionsOf("read")
		return len(pubs) == 1 && len(reads) == 1 && pubs[0].InboundRTPPackets > 20 && pubs[0].InboundRTCPPackets > 0 &&
			reads[0].OutboundRTPPackets > 20 && reads[0].OutboundRTCPPackets > 0
	})
	p, r := g.sessionsOf("publish")[0], g.sessionsOf("read")[0]
	for _, d := range []*Details{p, r} {
		if !d.PeerConnectionEstablished || !strings.HasPrefix(d.LocalCandidate, "host/udp/127.0.0.1/") || d.RemoteCandidate == "" ||
			d.Path != "cam" || !strings.HasPrefix(d.RemoteAddr, "127.0.0.1:") || uuid.Validate(d.ID) != nil || d.Created.IsZero() {
			t.Errorf("details %+v", d)
		}
	}
	if p.ID != pub.id || r.ID != view.id || r.Query != "a=b" || p.BytesReceived != p.InboundBytes || p.InboundBytes == 0 || r.OutboundBytes == 0 {
		t.Errorf("details %+v %+v", p, r)
	}
	path, _ := g.Path("cam")
	if i := path.Info(); i.In == 0 || i.Out == 0 || len(i.Readers) != 1 || i.Readers[0] != (router.Peer{Type: kind, ID: view.id}) || *i.Source != (router.Peer{Type: kind, ID: pub.id}) {
		t.Errorf("path %+v", i)
	}

	for _, c := range []*client{view, pub} {
		if res, body := g.do(http.MethodDelete, c.location, ""); res.StatusCode != http.StatusOK {
			t.Errorf("DELETE: %d %s", res.StatusCode, body)
		}
		if res, _ := g.do(http.MethodDelete, c.location, ""); res.StatusCode != http.StatusNotFound {
			t.Errorf("second DELETE: %d", res.StatusCode)
		}
		if res, _ := g.do(http.MethodPatch, c.location, "a=end-of-candidates\r\n", "Content-Type", typeFragment); res.StatusCode != http.StatusNotFound {
			t.Errorf("PATCH after the end: %d", res.StatusCode)
		}
	}
	routertest.Eventually(t, "the stream ends", func() bool { return path.Stream() == nil })
	for i := range g.Sessions(kind) {
		t.Errorf("session is left: %+v", i)
	}
	if !strings.Contains(g.log.String(), "ended by the client") {
		t.Error("the log does not tell the reason")
	}
	for _, c := range []*client{view, pub} {
		if strings.Contains(g.log.String(), path3(c.location)) {
			t.Error("the secret of a session is in the log")
		}
	}
}

// path3 is the third segment of a path.
func path3(location string) string {
	location, _, _ = strings.Cut(location, "?")
	return strings.Split(location, "/")[3]
}

// Publishers that make key frames only when asked: each viewer begins with one.
func TestViewersAskForKeyFrames(t *testing.T) {
	t.Parallel()
	g := newRig(t, Server{}, nil)
	pub := g.whip("/cam")
	routertest.WaitReady(t, g.Router, "cam")
	for range 3 {
		asked := pub.plis.Load()
		v := g.whep("/cam")
		routertest.Eventually(t, "video arrives", func() bool { return v.markers.Load() > 0 })
		if pub.plis.Load() <= asked {
			t.Error("the publisher was not asked")
		}
	}
}

// A viewer's own request reaches the publisher.
func TestKeyFrameRequestsReachThePublisher(t *testing.T) {
	t.Parallel()
	g := newRig(t, Server{}, nil)
	pub := g.whip("/cam")
	routertest.WaitReady(t, g.Router, "cam")
	v := g.whep("/cam")
	routertest.Eventually(t, "video arrives", func() bool { return v.markers.Load() > 0 })
	asked := pub.plis.Load()
	for tr := range v.tracks {
		if tr.Kind() == webrtc.RTPCodecTypeVideo {
			routertest.Eventually(t, "the request arrives", func() bool {
				v.requestKeyFrame(tr)
				return pub.plis.Load() > asked
			})
			return
		}
	}
}

func TestKickAndEnd(t *testing.T) {
	t.Parallel()
	g := newRig(t, Server{}, nil)
	pub := g.whip("/cam")
	routertest.WaitReady(t, g.Router, "cam")
	view := g.whep("/cam")
	if err := g.Kick(kind, view.id); err != nil {
		t.Fatal(err)
	}
	routertest.Eventually(t, "the viewer is gone", func() bool { return len(g.sessionsOf("read")) == 0 })
	g.whep("/cam")
	if err := g.Kick(kind, pub.id); err != nil {
		t.Fatal(err)
	}
	routertest.Eventually(t, "all are gone: viewers leave with the stream", func() bool {
		return len(g.sessionsOf("read"))+len(g.sessionsOf("publish")) == 0
	})
	if !strings.Contains(g.log.String(), router.ErrKicked.Error()) {
		t.Error("the log does not tell the reason")
	}
}

// A publisher that comes back, also with other tracks, ends the sessions of
// viewers, so that pages connect again.
func TestPublisherRestarts(t *testing.T) {
	t.Parallel()
	g := newRig(t, Server{}, nil)
	g.publish("cam")
	v := g.whep("/cam")
	routertest.Eventually(t, "media arrives", func() bool { return v.markers.Load() > 0 })
	g.publishUnits("cam", []media.Track{{Codec: &media.Opus{ChannelCount: 2}}}, func(_, n int) *media.Unit {
		return routertest.SampleUnit(1, n)
	})
	routertest.Eventually(t, "the session ends", func() bool { return len(g.sessionsOf("read")) == 0 })
	v = g.whep("/cam")
	routertest.Eventually(t, "audio arrives", func() bool { return v.audio.Load() > 5 })
}

// Credentials let a client in, and the location of its session is enough from then on.
func TestUsers(t *testing.T) {
	t.Parallel()
	auth := router.AuthenticatorFunc(func(_ context.Context, q *router.AccessRequest) (router.Identity, error) {
		if q.User == "u" && q.Pass == "p" || q.Token == "tok" {
			return router.Identity{User: "somebody"}, nil
		}
		return router.Identity{}, &router.AuthError{Err: errors.New("no"), AskCredentials: !q.HasCredentials()}
	})
	g := newRig(t, Server{}, auth)
	pub := g.whip("/cam", "Authorization", "Bearer u:p")
	routertest.WaitReady(t, g.Router, "cam")
	view := g.whep("/cam", "Authorization", "Bearer tok")
	sessions := 0
	for i := range g.Sessions(kind) {
		sessions++
		if i.User != "somebody" {
			t.Errorf("user %q", i.User)
		}
	}
	if sessions != 2 {
		t.Errorf("%d sessions", sessions)
	}
	for _, c := range []*client{view, pub} {
		if res, _ := g.do(http.MethodDelete, c.location, ""); res.StatusCode != http.StatusOK {
			t.Errorf("DELETE: %d", res.StatusCode)
		}
	}
	if status, _ := g.viewer().post("/cam/whep", "Authorization", "Bearer u:wrong"); status != http.StatusUnauthorized {
		t.Errorf("status %d", status)
	}
}

func TestConflicts(t *testing.T) {
	t.Parallel()
	g := newRig(t, Server{}, nil, router.PathConfig{Name: "cam", MaxReaders: 1}, router.PathConfig{Name: "moved", Fallback: "/cam"})
	g.publish("cam")
	c := g.newClient(false)
	if _, err := c.pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly}); err != nil {
		t.Fatal(err)
	}
	if status, body := c.post("/cam/whip"); status != http.StatusConflict || !strings.Contains(body, "someone is already publishing to path 'cam'") {
		t.Errorf("second publisher: %d %s", status, body)
	}
	v := g.viewer()
	v.open("/moved/whep")
	if !strings.HasPrefix(v.location, "/moved/whep/") || g.sessionsOf("read")[0].Path != "cam" {
		t.Errorf("redirected: %s %+v", v.location, g.sessionsOf("read")[0])
	}
	routertest.Eventually(t, "video arrives", func() bool { return v.markers.Load() > 0 })
	if status, body := g.viewer().post("/cam/whep"); status != http.StatusServiceUnavailable || !strings.Contains(body, "maximum reader count reached") {
		t.Errorf("second viewer: %d %s", status, body)
	}
	if res, _ := g.do(http.MethodDelete, v.location, ""); res.StatusCode != http.StatusOK {
		t.Errorf("DELETE: %d", res.StatusCode)
	}
	g.whep("/cam")
}

// The answer waits for a source that is started on demand.
func TestOnDemand(t *testing.T) {
	t.Parallel()
	src := &routertest.Source{RunFunc: func(ctx context.Context, run *router.SourceRun) error {
		time.Sleep(100 * time.Millisecond) // takes its time
		pub, err := run.Publish(ctx, routertest.SampleTracks(), router.PublishOptions{})
		if err != nil {
			return err
		}
		defer pub.Close()
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for n := 0; ; n++ {
			pub.Write(0, routertest.SampleUnit(0, n))
			select {
			case <-tick.C:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}}
	g := newRig(t, Server{}, nil,
		router.PathConfig{Name: "cam", Source: src, OnDemand: router.OnDemand{Enabled: true}},
		router.PathConfig{Name: "dead", OnDemand: router.OnDemand{Enabled: true, StartTimeout: 50 * time.Millisecond}, Source: &routertest.Source{
			RunFunc: func(ctx context.Context, _ *router.SourceRun) error { <-ctx.Done(); return nil },
		}})
	v := g.whep("/cam")
	routertest.Eventually(t, "video arrives", func() bool { return v.markers.Load() > 0 })
	if status, body := g.viewer().post("/dead/whep"); status != http.StatusNotFound || !strings.Contains(body, "timed out") {
		t.Errorf("dead source: %d %s", status, body)
	}
	if res, _ := g.do(http.MethodDelete, v.location, ""); res.StatusCode != http.StatusOK {
		t.Errorf("DELETE: %d", res.StatusCode)
	}
	path, ok := g.Path("cam")
	routertest.Eventually(t, "the source ends after its last viewer", func() bool { return !ok || path.Stream() == nil })
}

// Codecs that WebRTC has not, in the stream or in the offer.
func TestNoUsableTracks(t *testing.T) {
	t.Parallel()
	g := newRig(t, Server{}, nil)
	pub, err := g.Publish(t.Context(), "jpeg", []media.Track{{Codec: &media.MJPEG{}}})
	if err != nil {
		t.Fatal(err)
	}
	defer pub.Close()
	if status, body := g.viewer().post("/jpeg/whep"); status != http.StatusNotAcceptable {
		t.Errorf("reading: %d %s", status, body)
	}
	c := g.newClient(false)
	if _, err := c.pc.CreateDataChannel("x", nil); err != nil {
		t.Fatal(err)
	}
	if status, body := c.post("/cam/whip"); status != http.StatusNotAcceptable && status != http.StatusBadRequest {
		t.Errorf("publishing: %d %s", status, body)
	}
}
