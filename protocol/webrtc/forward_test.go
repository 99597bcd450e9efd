package webrtc

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/org/mtx/protocol/httpserver"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
	"github.com/org/mtx/router/routertest"
)

func TestForwardConformance(t *testing.T) {
	g := newRig(t, Server{}, nil)
	url := "whip" + strings.TrimPrefix(g.url, "http") + "/copy/whip"
	routertest.TestSink(t, func() router.Sink { return Forward{URL: url} })
}

// forwardRig is a router that forwards the path "src".
func forwardRig(t *testing.T, f Forward) *rig {
	t.Helper()
	return newRig(t, Server{}, nil, router.PathConfig{Name: "src", Sinks: []router.Sink{f}})
}

// A path is forwarded as it is, by HTTP and HTTPS, with all kinds of credentials,
// and the session ends with it.
func TestForward(t *testing.T) {
	t.Parallel()
	auth := router.AuthenticatorFunc(func(_ context.Context, q *router.AccessRequest) (router.Identity, error) {
		if q.User == "me" && q.Pass == "s3cret/" || q.Token == "t0ken" {
			return router.Identity{User: "me"}, nil
		}
		return router.Identity{}, &router.AuthError{Err: errors.New("wrong password")}
	})
	for _, ca := range []struct {
		name, userinfo string
		sink           Forward
		secure         bool
		auth           router.Authenticator
	}{
		{name: "plain"},
		{name: "basic", userinfo: "me:s3cret%2F@", auth: auth},
		{name: "bearer", sink: Forward{BearerToken: "t0ken"}, auth: auth},
		{name: "TLS", userinfo: "me:s3cret%2F@", secure: true, auth: auth},
	} {
		t.Run(ca.name, func(t *testing.T) {
			t.Parallel()
			f, l, scheme := ca.sink, httpserver.Listen{Addr: "127.0.0.1:0"}, "whip"
			if ca.secure {
				srv := httptest.NewTLSServer(nil)
				cert := srv.TLS.Certificates[0]
				srv.Close()
				sum := sha256.Sum256(cert.Certificate[0])
				l.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
				f.Fingerprint, scheme = hex.EncodeToString(sum[:]), "whips"
			}
			target := newRig(t, Server{HTTP: l, TrackGatherTimeout: patience}, ca.auth)
			f.URL = scheme + "://" + ca.userinfo + target.ProtocolAddrs("webrtc")[0].String() + "/$MTX_PATH/copy/whip"
			if err := f.Validate(); err != nil {
				t.Fatal(err)
			}
			g := forwardRig(t, f)
			stop := g.publish("src")
			stream := routertest.WaitReady(t, target.Router, "src/copy")
			checkForwarded(t, stream, map[string]int{"H264": 20, "Opus": 20})
			if src, ok := g.Path("src"); !ok || src.Stream() == nil {
				t.Error("the source has no stream")
			}
			stop()
			<-stream.Done()
			routertest.Eventually(t, "the session ends", func() bool { return len(target.sessionsOf("publish")) == 0 })
			for _, secret := range []string{"s3cret", "t0ken"} {
				if strings.Contains(g.log.String(), secret) {
					t.Errorf("the log tells %q", secret)
				}
			}
		})
	}
}

// checkForwarded waits for a number of units of each codec. Video begins with a
// key frame.
func checkForwarded(t *testing.T, stream *router.Stream, want map[string]int) {
	t.Helper()
	names := map[string]int{}
	for _, tr := range stream.Tracks() {
		names[tr.Codec.Name()] = want[tr.Codec.Name()]
	}
	if !reflect.DeepEqual(names, want) {
		t.Fatalf("tracks %v, want %v", names, want)
	}
	sub, err := stream.Subscribe(router.SubscribeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	got := map[string]int{}
	for left := len(want); left > 0; {
		track, u, err := sub.Next(ctx)
		if err != nil {
			t.Fatalf("got %v, want %v: %v", got, want, err)
		}
		name := stream.Tracks()[track].Codec.Name()
		if got[name] == 0 && stream.Tracks()[track].Codec.Kind() == media.Video && !u.RandomAccess {
			t.Errorf("%s does not begin with a key frame", name)
		}
		if got[name]++; got[name] == want[name] {
			left--
		}
	}
}

// A video track with B-frames is left out, whether that is known before or becomes
// known while it is sent. Without another track there is nothing to send.
func TestForwardBFrames(t *testing.T) {
	t.Parallel()
	target := newRig(t, Server{}, nil)
	for _, ca := range []struct {
		name  string
		late  bool
		audio bool
	}{
		{"at once", false, true},
		{"later", true, true},
		{"alone", false, false},
	} {
		t.Run(ca.name, func(t *testing.T) {
			t.Parallel()
			name := strings.ReplaceAll(ca.name, " ", "-")
			g := forwardRig(t, Forward{URL: "whip" + strings.TrimPrefix(target.url, "http") + "/" + name + "/whip"})
			var bad atomic.Bool
			bad.Store(!ca.late)
			tracks := routertest.SampleTracks()
			if !ca.audio {
				tracks = tracks[:1]
			}
			g.publishUnits("src", tracks, func(track, n int) *media.Unit {
				u := routertest.SampleUnit(track, n)
				if track == 0 && bad.Load() { // I P B P B: times go back
					u.PTS += []int64{0, 3000, -3000}[n%3]
				}
				return u
			})
			if !ca.audio {
				routertest.Eventually(t, "the reason", func() bool { return strings.Contains(g.log.String(), "with B-frames") })
				return
			}
			if ca.late {
				checkForwarded(t, routertest.WaitReady(t, target.Router, name), map[string]int{"H264": 5, "Opus": 5})
				bad.Store(true)
			}
			routertest.Eventually(t, "a stream without video", func() bool {
				p, ok := target.Path(name)
				return ok && p.Stream() != nil && len(p.Stream().Tracks()) == 1
			})
			checkForwarded(t, routertest.WaitReady(t, target.Router, name), map[string]int{"Opus": 20})
			if n := strings.Count(g.log.String(), "track is left out"); n != 1 {
				t.Errorf("%d warnings, want 1", n)
			}
		})
	}
}

// Tracks that WebRTC does not know are left out, and a key frame request of the
// other server reaches the publisher.
func TestForwardTracksAndKeyFrames(t *testing.T) {
	t.Parallel()
	target := newRig(t, Server{}, nil)
	g := forwardRig(t, Forward{URL: "whip" + strings.TrimPrefix(target.url, "http") + "/copy/whip"})
	var asked atomic.Int64
	tracks := append(routertest.SampleTracks(), media.Track{Codec: &media.MPEG1Audio{}})
	pub, err := g.Publish(t.Context(), "src", tracks, router.PublishOptions{RequestKeyFrame: func() { asked.Add(1) }})
	if err != nil {
		t.Fatal(err)
	}
	quit, done := make(chan struct{}), make(chan struct{})
	defer func() { close(quit); <-done }()
	go func() {
		defer close(done)
		defer pub.Close()
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for n := 0; ; n++ {
			pub.Write(0, routertest.SampleUnit(0, n))
			pub.Write(1, routertest.SampleUnit(1, n))
			select {
			case <-tick.C:
			case <-quit:
				return
			}
		}
	}()
	stream := routertest.WaitReady(t, target.Router, "copy")
	checkForwarded(t, stream, map[string]int{"H264": 5, "Opus": 5})
	if log := g.log.String(); !strings.Contains(log, "track is left out") || !strings.Contains(log, "track 3") {
		t.Error("the third track is not mentioned")
	}
	before := asked.Load()
	routertest.Eventually(t, "a key frame request", func() bool {
		stream.RequestKeyFrame()
		return asked.Load() > before+2 // more than what was under way
	})
}

// What servers do wrong ends soon, with a sentence, and leaves nothing.
func TestForwardHostileServers(t *testing.T) {
	goroutines := runtime.NumGoroutine()
	for _, ca := range []struct {
		name string
		h    http.HandlerFunc
		want string
	}{
		{"not there", http.NotFound, "the server has no such stream (404): 404 page not found"},
		{"garbage", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/sdp")
			w.WriteHeader(http.StatusCreated)
			_, _ = w.Write([]byte("v=0\r\n" + strings.Repeat("m=video 9 X 1\r\n", 1000)))
		}, "session description: "},
		{"endless", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/sdp")
			w.WriteHeader(http.StatusCreated)
			for {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		}, "the answer of the server is larger than 262144 bytes"},
	} {
		t.Run(ca.name, func(t *testing.T) {
			srv := httptest.NewServer(ca.h)
			defer srv.Close()
			url := "whip" + strings.TrimPrefix(srv.URL, "http")
			sink := &onceSink{Forward: Forward{URL: strings.Replace(url, "://", "://me:s3cret@", 1) + "/a?token=qwertz"}, end: make(chan error, 1)}
			r := routertest.New(t, router.Config{Paths: []router.PathConfig{{Name: "src", Sinks: []router.Sink{sink}}}, SourceRetryPause: time.Hour})
			pub, err := r.Publish(t.Context(), "src", routertest.SampleTracks())
			if err != nil {
				t.Fatal(err)
			}
			defer pub.Close()
			select {
			case err := <-sink.end:
				text := fmt.Sprint(err)
				if !strings.HasPrefix(text, url+"/a: "+ca.want) || strings.Contains(text, "s3cret") || strings.Contains(text, "qwertz") {
					t.Errorf("got %s, want %s", text, ca.want)
				}
			case <-time.After(patience):
				t.Fatal("it does not end")
			}
		})
	}
	routertest.Eventually(t, "goroutines end", func() bool { return runtime.NumGoroutine() <= goroutines })
}

// onceSink tells how a run ended.
type onceSink struct {
	Forward
	end chan error
}

func (o *onceSink) Run(ctx context.Context, run *router.SinkRun) error {
	err := o.Forward.Run(ctx, run)
	select {
	case o.end <- err:
	default:
	}
	return err
}

func TestForwardValidate(t *testing.T) {
	t.Parallel()
	for _, ca := range []struct {
		sink Forward
		want string
	}{
		{Forward{URL: "whip://h/x"}, ""},
		{Forward{URL: "whips://u:p@h:1/$MTX_PATH?x=$G1"}, ""},
		{Forward{URL: "whep://u:s3cret@h"}, `the scheme of the URL is "whep": it must be whip or whips`},
		{Forward{URL: "whip://h", HandshakeTimeout: -1}, "WHIP handshake timeout -1ns: it must be between 0 and 10m0s"},
		{Forward{URL: "whip://h", Fingerprint: "zz"}, `fingerprint "zz": it must be a SHA-256 of 64 hexadecimal digits`},
		{Forward{}, `the scheme of the URL is "": it must be whip or whips`},
	} {
		got := ""
		if err := ca.sink.Validate(); err != nil {
			got = err.Error()
		}
		if got != ca.want {
			t.Errorf("%+v:\ngot  %s\nwant %s", ca.sink, got, ca.want)
		}
	}
}
