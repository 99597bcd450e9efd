package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
	"go.uber.org/goleak"

	"github.com/org/mtx"
	"github.com/org/mtx/examples/internal/exampletest"
	"github.com/org/mtx/router/routertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A viewer gets the ticket from the page, and with it the stream.
func TestRun(t *testing.T) {
	t.Parallel()
	rtspAddr := routertest.FreeAddr(t)
	addr := exampletest.Start(t, func(ctx context.Context, addr string) error {
		return run(ctx, addresses{http: addr, rtsp: rtspAddr, udp: "127.0.0.1:0"})
	})
	exampletest.Publish(t, "rtsp://"+rtspAddr+"/cam")
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	do := func(method, path, token, body string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+addr+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/sdp")
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
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
	_, html := do(http.MethodGet, "/", "", "")
	m := regexp.MustCompile(`token: "([^"]+)"`).FindStringSubmatch(html)
	if m == nil || !strings.Contains(html, `src="/video/cam/reader.js"`) {
		t.Fatalf("the page has no ticket: %s", html)
	}
	if status, script := do(http.MethodGet, "/video/cam/reader.js", "", ""); status != http.StatusOK || !strings.Contains(script, "MediaMTXWebRTCReader") {
		t.Errorf("script: %d", status)
	}
	offer, pc, frames := viewer(t)
	if status, _ := do(http.MethodPost, "/video/cam/whep", "", offer); status != http.StatusUnauthorized {
		t.Errorf("without a ticket: %d", status)
	}
	status, answer := do(http.MethodPost, "/video/cam/whep", m[1], offer)
	if status != http.StatusCreated {
		t.Fatalf("with a ticket: %d %s", status, answer)
	}
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-frames:
	case <-time.After(20 * time.Second):
		t.Error("no media comes")
	}
}

// viewer is a client of pion that wants video.
func viewer(t *testing.T) (offer string, pc *webrtc.PeerConnection, frames <-chan struct{}) {
	t.Helper()
	m := &webrtc.MediaEngine{}
	if err := m.RegisterDefaultCodecs(); err != nil {
		t.Fatal(err)
	}
	s := webrtc.SettingEngine{}
	s.SetIncludeLoopbackCandidate(true)
	s.SetIPFilter(net.IP.IsLoopback)
	s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	pc, err := webrtc.NewAPI(webrtc.WithMediaEngine(m), webrtc.WithSettingEngine(s)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pc.GracefulClose() })
	came := make(chan struct{}, 1)
	pc.OnTrack(func(t *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		for {
			if _, _, err := t.ReadRTP(); err != nil {
				return
			}
			select {
			case came <- struct{}{}:
			default:
			}
		}
	})
	if _, err := pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo, webrtc.RTPTransceiverInit{
		Direction: webrtc.RTPTransceiverDirectionRecvonly,
	}); err != nil {
		t.Fatal(err)
	}
	desc, err := pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	done := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(desc); err != nil {
		t.Fatal(err)
	}
	<-done
	return pc.LocalDescription().SDP, pc, came
}

func TestTickets(t *testing.T) {
	t.Parallel()
	good, late := NewTickets(time.Minute), NewTickets(-time.Minute)
	for name, c := range map[string]struct {
		tickets *Tickets
		token   string
		want    bool
	}{
		"good":           {good, good.Issue("cam"), true},
		"of another":     {good, NewTickets(time.Minute).Issue("cam"), false},
		"for other path": {good, good.Issue("door"), false},
		"expired":        {late, late.Issue("cam"), false},
		"none":           {good, "", false},
		"nonsense":       {good, "a.b.c", false},
	} {
		_, err := c.tickets.Authenticate(t.Context(), &mtx.AccessRequest{Action: mtx.ActionRead, Path: "cam", Token: c.token})
		if (err == nil) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}
