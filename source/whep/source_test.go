package whep_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/org/mtx/protocol/httpserver"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
	"github.com/org/mtx/router/routertest"
	"github.com/org/mtx/source/internal/pulltest"
	srcwhep "github.com/org/mtx/source/whep"
)

func TestConformance(t *testing.T) {
	o := serve(t, httpserver.Listen{}, nil, routertest.SampleTracks(), routertest.SampleUnit)
	url := "whep://" + o.addr + "/cam/whep"
	routertest.TestSource(t, func() router.Source { return srcwhep.Source{URL: url} }, func(testing.TB) {})
}

// Streams arrive as they were, by HTTP and HTTPS, with all kinds of credentials.
func TestPull(t *testing.T) {
	t.Parallel()
	auth := router.AuthenticatorFunc(func(_ context.Context, q *router.AccessRequest) (router.Identity, error) {
		if q.User == "me" && q.Pass == "s3cret/" || q.Token == "t0ken" {
			return router.Identity{User: "me"}, nil
		}
		return router.Identity{}, &router.AuthError{Err: errors.New("wrong password")}
	})
	for _, ca := range []struct {
		name, userinfo string
		src            srcwhep.Source
		secure         bool
		auth           router.Authenticator
	}{
		{name: "plain"},
		{name: "basic", userinfo: "me:s3cret%2F@", auth: auth},
		{name: "bearer", src: srcwhep.Source{BearerToken: "t0ken"}, auth: auth},
		{name: "TLS", secure: true, userinfo: "me:s3cret%2F@", auth: auth},
	} {
		t.Run(ca.name, func(t *testing.T) {
			t.Parallel()
			var l httpserver.Listen
			src, scheme := ca.src, "whep"
			if ca.secure {
				cert := certificate()
				l.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
				sum := sha256.Sum256(cert.Certificate[0])
				src.Fingerprint, scheme = hex.EncodeToString(sum[:]), "wheps"
			}
			o := serve(t, l, ca.auth, routertest.SampleTracks(), routertest.SampleUnit)
			src.URL = scheme + "://" + ca.userinfo + o.addr + "/cam/whep"
			if err := src.Validate(); err != nil {
				t.Fatal(err)
			}
			r, log := pulltest.Run(t, src)
			checkSample(t, r)
			for _, secret := range []string{"s3cret", "t0ken"} {
				if strings.Contains(log.String(), secret) {
					t.Errorf("the log tells %q", secret)
				}
			}
		})
	}
}

// certificate is one that is valid for 127.0.0.1 and that nobody trusts.
func certificate() tls.Certificate {
	srv := httptest.NewTLSServer(nil)
	defer srv.Close()
	return srv.TLS.Certificates[0]
}

// checkSample waits for a key frame, for video and for audio of the sample.
func checkSample(t *testing.T, r *router.Router) {
	t.Helper()
	stream := routertest.WaitReady(t, r, pulltest.Path)
	sub, err := stream.Subscribe(router.SubscribeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	ctx, cancel := context.WithTimeout(t.Context(), pulltest.Patience)
	defer cancel()
	key, video, audio := false, 0, 0
	for !key || video < 20 || audio < 20 {
		track, u, err := sub.Next(ctx)
		if err != nil {
			t.Fatalf("key frame %v, %d units of video, %d of audio: %v", key, video, audio, err)
		}
		switch stream.Tracks()[track].Codec.(type) {
		case *media.H264:
			video++
			key = key || u.RandomAccess
			if last := u.Payload[len(u.Payload)-1]; len(last) != 5 {
				t.Errorf("a NALU of %d bytes", len(last))
			}
		case *media.Opus:
			audio++
			if len(u.Payload) != 1 || len(u.Payload[0]) != 4 {
				t.Errorf("audio %x", u.Payload)
			}
		default:
			t.Fatalf("track %d is %s", track, stream.Tracks()[track].Codec.Name())
		}
	}
}

// Several tracks of a kind arrive if they are asked for; otherwise the first ones.
func TestSeveralTracks(t *testing.T) {
	t.Parallel()
	sample := routertest.SampleTracks()
	tracks := []media.Track{sample[0], sample[0], sample[1], sample[1]}
	o := serve(t, httpserver.Listen{}, nil, tracks, func(track, n int) *media.Unit { return routertest.SampleUnit(track/2, n) })
	for _, ca := range []struct {
		video, audio int
		want         string
	}{{0, 0, "H264,Opus"}, {2, 0, "H264,H264,Opus"}, {2, 3, "H264,H264,Opus,Opus"}} {
		t.Run(ca.want, func(t *testing.T) {
			t.Parallel()
			r, _ := pulltest.Run(t, srcwhep.Source{URL: "whep://" + o.addr + "/cam/whep", VideoTracks: ca.video, AudioTracks: ca.audio})
			stream := routertest.WaitReady(t, r, pulltest.Path)
			if got := strings.ReplaceAll(pulltest.Names(stream.Tracks()), " ", ""); got != ca.want {
				t.Errorf("got %s, want %s", got, ca.want)
			}
		})
	}
}

// The source comes back with the server, and the server gets rid of sessions.
func TestReconnect(t *testing.T) {
	t.Parallel()
	o := serve(t, httpserver.Listen{}, nil, routertest.SampleTracks(), routertest.SampleUnit)
	r, _ := pulltest.Run(t, srcwhep.Source{URL: "whep://" + o.addr + "/cam/whep"})
	stream := routertest.WaitReady(t, r, pulltest.Path)
	addr := o.addr
	o.stop()
	select {
	case <-stream.Done():
	case <-time.After(pulltest.Patience):
		t.Fatal("the stream goes on without its server")
	}
	o = serve(t, httpserver.Listen{Addr: addr}, nil, routertest.SampleTracks(), routertest.SampleUnit)
	checkSample(t, r)
	if err := r.RemovePath(t.Context(), pulltest.Path); err != nil {
		t.Fatal(err)
	}
	routertest.Eventually(t, "the server ends the session", func() bool {
		for range o.Sessions("webRTCSession") {
			return false
		}
		return true
	})
}

// On demand: the source runs while somebody reads, and variables are replaced.
func TestOnDemand(t *testing.T) {
	t.Parallel()
	o := serve(t, httpserver.Listen{}, nil, routertest.SampleTracks(), routertest.SampleUnit)
	r, _ := pulltest.Run(t, srcwhep.Source{URL: "whep://" + o.addr + "/$G1/whep?$MTX_QUERY"}, func(pc *router.PathConfig) {
		pc.Name = "~^in-(.+)$"
		pc.OnDemand = router.OnDemand{Enabled: true, CloseAfter: 50 * time.Millisecond}
	})
	rd, err := r.Read(t.Context(), "in-cam", router.SubscribeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := rd.Next(t.Context()); err != nil {
		t.Error(err)
	}
	rd.Close()
	routertest.Eventually(t, "the session ends", func() bool {
		for range o.Sessions("webRTCSession") {
			return false
		}
		return true
	})
}

// A reader that comes makes the server send a key frame.
func TestKeyFrameRequest(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 100)
	srv := (&standIn{t: t, pli: func() { asked <- struct{}{} }}).start()
	r, _ := pulltest.Run(t, srcwhep.Source{URL: srv.url, TrackGatherTimeout: 500 * time.Millisecond})
	stream := routertest.WaitReady(t, r, pulltest.Path)
	wait := func(what string) {
		select {
		case <-asked:
		case <-time.After(pulltest.Patience):
			t.Fatalf("the server was not asked for a key frame %s", what)
		}
	}
	wait("at the beginning")
	again := time.NewTicker(100 * time.Millisecond) // requests that come too fast are joined
	defer again.Stop()
	for {
		select {
		case <-asked:
			return
		case <-again.C:
			stream.RequestKeyFrame()
		case <-time.After(pulltest.Patience):
			t.Fatal("the server was not asked for a key frame for a reader")
		}
	}
}

// A server on another implementation, over and over again: sessions are deleted.
func TestStandIn(t *testing.T) {
	t.Parallel()
	srv := (&standIn{t: t}).start()
	r, _ := pulltest.Run(t, srcwhep.Source{URL: srv.url + "/cam", TrackGatherTimeout: 500 * time.Millisecond})
	for range 3 {
		stream := routertest.WaitReady(t, r, pulltest.Path)
		sub, err := stream.Subscribe(router.SubscribeOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			_, u, err := sub.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(u.Payload) != 1 || string(u.Payload[0]) != vp8Key || !u.RandomAccess {
				t.Errorf("unit %x, key frame %v", u.Payload, u.RandomAccess)
			}
		}
		sub.Close()
		if _, ok := stream.Tracks()[0].Codec.(*media.VP8); !ok || len(stream.Tracks()) != 1 {
			t.Errorf("%d tracks, %s", len(stream.Tracks()), stream.Tracks()[0].Codec.Name())
		}
		srv.closePeers()
		<-stream.Done()
	}
	_ = r.Close()
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if srv.deleted < 3 {
		t.Errorf("%d sessions were deleted, want 3", srv.deleted)
	}
}

// ICE servers that come with the answer are used when no connection came about.
func TestLateICEServers(t *testing.T) {
	t.Parallel()
	posts := 0
	srv := &standIn{t: t, link: `<stun:127.0.0.1:1>; rel="ice-server"`}
	srv.edit = func(answer string) string { // never called concurrently: there is one client
		if posts++; posts == 1 {
			return unreachable(answer)
		}
		return answer
	}
	srv.start()
	r, _ := pulltest.Run(t, srcwhep.Source{URL: srv.url, HandshakeTimeout: 500 * time.Millisecond, STUNGatherTimeout: 100 * time.Millisecond})
	routertest.WaitReady(t, r, pulltest.Path)
	if posts != 2 {
		t.Errorf("%d offers, want 2", posts)
	}
}

// What servers do wrong is one clear sentence, and ends soon.
func TestHostileServers(t *testing.T) {
	t.Parallel()
	answer := func(body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodPost {
				return
			}
			w.Header().Set("Content-Type", "application/sdp")
			w.WriteHeader(http.StatusCreated)
			_, _ = w.Write([]byte(body))
		}
	}
	for _, ca := range []struct {
		name string
		h    http.HandlerFunc
		want string
	}{
		{"no stream", http.NotFound, "the server has no such stream (404): 404 page not found"},
		{"nothing in the SDP", answer("v=0\r\n"), "session description: "},
		{"binary", answer("v=\x00\xff\xfe\r\n" + strings.Repeat("\x00", 10000)), "session description: "},
		{"sections", answer("v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n" + strings.Repeat("m=video 9 UDP/TLS/RTP/SAVPF 96\r\n", 5000)), "session description: "},
		{"attributes", answer("v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n" + strings.Repeat("a=x\r\n", 40000)), "session description: "},
		{"refuses tracks", (&standIn{t: t, edit: rejected}).handler(), "the answer has no track"},
		{"never connects", (&standIn{t: t, edit: unreachable}).handler(), "the connection was not established within 500ms"},
		{"falls silent", (&standIn{t: t, stop: 30}).handler(), "nothing arrives for 500ms"},
		{"slow", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "the server does not answer within 500ms"},
		{"loop", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, r.URL.Path, http.StatusTemporaryRedirect)
		}, "the server redirects more than 5 times"},
	} {
		t.Run(ca.name, func(t *testing.T) {
			t.Parallel()
			url := hostile(t, ca.h)
			src := &once{Source: srcwhep.Source{
				URL:         strings.Replace(url, "://", "://me:s3cret@", 1) + "/cam/whep?token=qwertz",
				ReadTimeout: 500 * time.Millisecond, HandshakeTimeout: 500 * time.Millisecond, TrackGatherTimeout: 200 * time.Millisecond,
			}, end: make(chan error, 1)}
			r := routertest.New(t, router.Config{Paths: []router.PathConfig{{Name: "in", Source: src}}, SourceRetryPause: time.Hour})
			defer func() { _ = r.Close() }()
			select {
			case err := <-src.end:
				if err == nil || !strings.HasPrefix(err.Error(), url+"/cam/whep: "+ca.want) {
					t.Errorf("got %v, want %s", err, ca.want)
				}
				if strings.Contains(fmt.Sprint(err), "s3cret") || strings.Contains(fmt.Sprint(err), "qwertz") {
					t.Error("the error tells a secret")
				}
			case <-time.After(pulltest.Patience):
				t.Fatal("it does not end")
			}
		})
	}
}

// once tells how a run ended.
type once struct {
	srcwhep.Source
	end chan error
}

func (o *once) Run(ctx context.Context, run *router.SourceRun) error {
	err := o.Source.Run(ctx, run)
	select {
	case o.end <- err:
	default:
	}
	return err
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for _, ca := range []struct {
		src  srcwhep.Source
		want string
	}{
		{srcwhep.Source{URL: "whep://h/x"}, ""},
		{srcwhep.Source{URL: "wheps://u:p@h:1/$G1?$MTX_QUERY", HandshakeTimeout: time.Second, VideoTracks: 2}, ""},
		{srcwhep.Source{URL: "whip://u:s3cret@h"}, `the scheme of the URL is "whip": it must be whep or wheps`},
		{srcwhep.Source{URL: "whep://h", HandshakeTimeout: -1}, "WHEP handshake timeout -1ns: it must be between 0 and 10m0s"},
		{srcwhep.Source{URL: "whep://h", STUNGatherTimeout: time.Hour}, "WHEP STUN gather timeout 1h0m0s: it must be between 0 and 10m0s"},
		{srcwhep.Source{URL: "whep://h", AudioTracks: 9}, "WHEP number of tracks 9: it must be between 0 and 8"},
		{srcwhep.Source{URL: "whep://h", Fingerprint: "zz"}, `fingerprint "zz": it must be a SHA-256 of 64 hexadecimal digits`},
	} {
		got := ""
		if err := ca.src.Validate(); err != nil {
			got = err.Error()
		}
		if got != ca.want {
			t.Errorf("%+v:\ngot  %s\nwant %s", ca.src, got, ca.want)
		}
	}
}
