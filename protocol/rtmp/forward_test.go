package rtmp_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/org/mtx/protocol/rtmp"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
	"github.com/org/mtx/router/routertest"
)

func TestForwardConformance(t *testing.T) {
	_, addr := start(t, &rtmp.Server{}, func(c *router.Config) {
		c.Paths = []router.PathConfig{{Name: router.AllOthers, Override: true}}
	})
	routertest.TestSink(t, func() router.Sink { return rtmp.Forward{URL: "rtmp://" + addr + "/copy"} })
}

// A path is forwarded as it is, by RTMP and RTMPS, with credentials and stream key.
func TestForward(t *testing.T) {
	t.Parallel()
	cert, key, _ := certificate(t)
	b, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(b)
	sum := sha256.Sum256(block.Bytes)
	auth := router.AuthenticatorFunc(func(_ context.Context, q *router.AccessRequest) (router.Identity, error) {
		if q.Verify != nil && q.Verify("me", "s3cret/") || q.User == "me" && q.Pass == "s3cret" {
			return router.Identity{User: "me"}, nil
		}
		return router.Identity{}, &router.AuthError{Err: errors.New("wrong password")}
	})
	for _, ca := range []struct {
		name   string
		server *rtmp.Server
		url    string
	}{
		{"query", &rtmp.Server{}, "rtmp://ADDR/$MTX_PATH/copy?user=me&pass=s3cret"},
		{"stream key", &rtmp.Server{}, "rtmp://ADDR/src?user=me&pass=s3cret#copy"},
		{"challenge", &rtmp.Server{AskCredentials: true}, "rtmp://me:s3cret%2F@ADDR/src/copy"},
		{"TLS", &rtmp.Server{CertFile: cert, KeyFile: key}, "rtmps://ADDR/src/copy?user=me&pass=s3cret"},
	} {
		t.Run(ca.name, func(t *testing.T) {
			t.Parallel()
			target, addr := start(t, ca.server, func(c *router.Config) { c.Auth = auth })
			f := rtmp.Forward{URL: strings.ReplaceAll(ca.url, "ADDR", addr)}
			if ca.name == "TLS" {
				f.Fingerprint = hex.EncodeToString(sum[:])
			}
			if err := f.Validate(); err != nil {
				t.Fatal(err)
			}
			r := routertest.New(t, router.Config{Paths: []router.PathConfig{{Name: "src", Sinks: []router.Sink{f}}}, SourceRetryPause: 50 * time.Millisecond})
			pub, err := r.Publish(t.Context(), "src", []media.Track{{Codec: &media.H264{SPS: sps, PPS: pps}}})
			if err != nil {
				t.Fatal(err)
			}
			quit, done := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(done)
				for n := 0; ; n++ {
					pub.Write(0, bigUnit(n))
					select {
					case <-quit:
						return
					case <-time.After(5 * time.Millisecond):
					}
				}
			}()
			stream := routertest.WaitReady(t, target, "src/copy")
			sub, err := stream.Subscribe(router.SubscribeOptions{})
			if err != nil {
				t.Fatal(err)
			}
			for i := range 15 {
				_, u, err := sub.Next(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if p := u.Payload[len(u.Payload)-1]; len(p) != 100<<10 || i == 0 && !u.RandomAccess {
					t.Errorf("unit %d: %d bytes, random access %v", i, len(p), u.RandomAccess)
				}
			}
			close(quit)
			<-done
			pub.Close()
			<-stream.Done()
		})
	}
}

func TestForwardErrors(t *testing.T) {
	t.Parallel()
	for _, f := range []rtmp.Forward{
		{URL: "http://user:s3cret@host/a"}, {URL: "rtmp://user:s3cret@/a"}, {URL: "rtmp://user:s3cret@host:port/a"},
		{URL: "rtmps://user:s3cret@host/a", Fingerprint: "xyz"}, {},
	} {
		if err := f.Validate(); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%+v: %v", f, err)
		}
	}
}
