package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/org/mtx/protocol/bridge/rtmpconn"
	"github.com/org/mtx/protocol/bridge/srtclient"
	"github.com/org/mtx/protocol/bridge/whipclient"
)

// visitTimeout bounds one visit.
const visitTimeout = 20 * time.Second

// visits are readers of each protocol that see something of cam, and leave.
func visits(in *instance) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"rtmp":   func(ctx context.Context) error { return visitRTMP(ctx, in.addr("rtmp")) },
		"srt":    func(ctx context.Context) error { return visitSRT(ctx, in.addr("srt")) },
		"hls":    func(ctx context.Context) error { return visitHLS(ctx, in.addr("hls")) },
		"webrtc": func(ctx context.Context) error { return visitWHEP(ctx, in.addr("webrtc")) },
		"caller": func(ctx context.Context) error { // connects, says nothing of value and leaves
			for _, protocol := range []string{"rtsp", "rtmp", "hls", "webrtc"} {
				conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", in.addr(protocol))
				if err != nil {
					return err
				}
				_, _ = io.WriteString(conn, "\x03GET")
				conn.Close()
			}
			return nil
		},
	}
}

func visitRTMP(ctx context.Context, addr string) error {
	c, err := rtmpconn.Dial(ctx, rtmpconn.Options{URL: "rtmp://" + addr + "/cam"})
	if err != nil {
		return err
	}
	defer c.Close()
	for {
		m, err := c.Read()
		if err != nil {
			return err
		}
		if m.IsMedia() {
			return nil
		}
	}
}

func visitSRT(ctx context.Context, addr string) error {
	data := make(chan struct{})
	var once sync.Once
	c, err := srtclient.New(srtclient.Options{URL: "srt://" + addr + "?streamid=read:cam&latency=20", OnData: func([]byte) { once.Do(func() { close(data) }) }})
	if err != nil {
		return err
	}
	conn, err := c.Connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	select {
	case <-data:
		return nil
	case <-conn.Done():
		return conn.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

func visitHLS(ctx context.Context, addr string) error {
	get := func(file string) (string, error) {
		req, err := http.NewRequestWithContext(ctx, "GET", "http://"+addr+"/cam/"+file, http.NoBody)
		if err != nil {
			return "", err
		}
		req.Close = true
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return "", err
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err == nil && res.StatusCode != 200 {
			err = fmt.Errorf("%s: %s", file, res.Status)
		}
		return string(body), err
	}
	list, err := get("index.m3u8")
	for err == nil { // the last line of each playlist is a file; the last playlist names a segment
		lines := strings.Fields(list)
		file := lines[len(lines)-1]
		if list, err = get(file); path.Ext(file) != ".m3u8" {
			break
		}
	}
	return err
}

func visitWHEP(ctx context.Context, addr string) error {
	c, err := whipclient.New(whipclient.Options{Protocol: whipclient.WHEP, URL: "whep://" + addr + "/cam/whep"})
	if err != nil {
		return err
	}
	defer c.Close()
	engine := webrtc.SettingEngine{}
	engine.SetIncludeLoopbackCandidate(true)
	engine.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	engine.SetInterfaceFilter(func(name string) bool { return strings.HasPrefix(name, "lo") })
	media := &webrtc.MediaEngine{}
	if err := media.RegisterDefaultCodecs(); err != nil {
		return err
	}
	pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(engine), webrtc.WithMediaEngine(media)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return err
	}
	defer pc.GracefulClose()
	seen := make(chan error, 2)
	pc.OnTrack(func(tr *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		_, _, err := tr.ReadRTP()
		seen <- err
	})
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeVideo, webrtc.RTPCodecTypeAudio} {
		if _, err := pc.AddTransceiverFromKind(kind, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
			return err
		}
	}
	offer, err := pc.CreateOffer(nil)
	if err != nil {
		return err
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(offer); err != nil {
		return err
	}
	<-gathered
	s, err := c.Post(ctx, pc.LocalDescription().SDP)
	if err != nil {
		return err
	}
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: s.Answer}); err != nil {
		return err
	}
	select {
	case err := <-seen:
		return err // it leaves without DELETE
	case <-ctx.Done():
		s.Delete(context.WithoutCancel(ctx))
		return errors.New("no media arrives")
	}
}

// Clients of the other protocols leave nothing behind either.
func TestVisitsLeaveNothing(t *testing.T) {
	counts := map[string]int{"rtmp": 3000, "srt": 400, "hls": 1000, "webrtc": 250, "caller": 500}
	if raceEnabled {
		counts = map[string]int{"rtmp": 500, "srt": 150, "hls": 200, "webrtc": 60, "caller": 200}
	}
	in := start(t, localServer+operated+"hlsMuxerCloseAfter: 500ms\nhlsSegmentDuration: 500ms\nhlsVariant: fmp4\npaths: {all_others: {gopCache: yes}}\n", Options{})
	until(t, "servers", in.out, func() bool { return len(in.router.Protocols()) == 8 })
	sample(t, in, "cam")
	come := func(share int) {
		for protocol, visit := range visits(in) {
			crowd(t, protocol, counts[protocol]/share, visit)
		}
		until(t, "they leave", in.out, func() bool { return len(slices.Collect(in.router.Sessions(""))) == 0 })
	}
	come(5)
	heap, goroutines := used()
	come(1)
	until(t, "goroutines end", in.out, func() bool { return runtime.NumGoroutine() <= goroutines+20 })
	if after, _ := used(); after > heap+8<<20 {
		t.Errorf("the heap grew from %d to %d bytes", heap, after)
	}
	for _, list := range []string{"rtspconns", "rtspsessions", "rtmpconns", "srtconns", "hlsmuxers", "webrtcsessions"} {
		if _, body := in.call(t, "api", "GET", "/v3/"+list+"/list", ""); !strings.Contains(string(body), `"itemCount":0`) {
			t.Errorf("%s: %s", list, body)
		}
	}
	var l struct{ Items []struct{ Readers []any } }
	if _, body := in.call(t, "api", "GET", "/v3/paths/list", ""); json.Unmarshal(body, &l) != nil || len(l.Items) != 1 || len(l.Items[0].Readers) != 0 {
		t.Errorf("%s", body)
	}
	_, body := in.call(t, "metrics", "GET", "/metrics", "")
	for _, want := range []string{"rtsp_conns", "rtsp_sessions", "rtmp_conns", "srt_conns", "hls_muxers", "webrtc_sessions"} {
		if !strings.Contains(string(body), "\n"+want+" 0\n") {
			t.Errorf("%s: something is left in the metrics", want)
		}
	}
	if strings.Contains(string(body), "id=") || len(body) > 100<<10 {
		t.Errorf("%s", body)
	}
}

// crowd makes n visits, some at the same time.
func crowd(t *testing.T, protocol string, n int, visit func(context.Context) error) {
	t.Helper()
	began := time.Now()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for next.Add(1) <= int64(n) && !t.Failed() {
				ctx, cancel := context.WithTimeout(t.Context(), visitTimeout)
				if err := visit(ctx); err != nil {
					t.Errorf("%s: %v", protocol, err)
				}
				cancel()
			}
		})
	}
	wg.Wait()
	t.Logf("%s: %d visits in %v", protocol, n, time.Since(began).Round(time.Millisecond))
}
