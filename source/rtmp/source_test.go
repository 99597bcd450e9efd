package rtmp_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bluenviron/gortmplib"
	"github.com/bluenviron/gortmplib/pkg/codecs"
	"go.uber.org/goleak"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
	"github.com/org/mtx/router/routertest"
	srcrtmp "github.com/org/mtx/source/rtmp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	sps = []byte{
		0x67, 0x42, 0xc0, 0x28, 0xd9, 0x00, 0x78, 0x02, 0x27, 0xe5, 0x84, 0x00, 0x00, 0x03, 0x00, 0x04,
		0x00, 0x00, 0x03, 0x00, 0xf0, 0x3c, 0x60, 0xc9, 0x20,
	}
	pps = []byte{0x68, 0x08}
)

// server is a server of gortmplib with one stream.
type server struct {
	addr  string
	agent func(c *gortmplib.ServerConn) error // what to do with a reader
	paths sync.Map                            // URLs that were asked for
}

func serve(t testing.TB, addr string, agent func(*gortmplib.ServerConn) error) *server {
	t.Helper()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{addr: ln.Addr().String(), agent: agent}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
			wg.Go(func() {
				defer func() { _ = c.Close() }()
				sc := &gortmplib.ServerConn{RW: c}
				if sc.Initialize() != nil || sc.AcceptConn() != nil {
					return
				}
				s.paths.Store(sc.URL.String(), true)
				_ = s.agent(sc)
			})
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		mu.Lock()
		for _, c := range conns {
			_ = c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return s
}

// play sends H264 until the reader leaves.
func play(c *gortmplib.ServerConn) error {
	track := &gortmplib.Track{Codec: &codecs.H264{SPS: sps, PPS: pps}}
	w := &gortmplib.Writer{Conn: c, Tracks: []*gortmplib.Track{track}}
	if err := w.Initialize(); err != nil {
		return err
	}
	for n := 0; ; n++ {
		pts := time.Duration(n) * 40 * time.Millisecond
		if err := w.WriteH264(track, pts, pts, [][]byte{{0x65, 0x88, byte(n)}}); err != nil {
			return err
		}
		time.Sleep(time.Millisecond) // the pace of this server
	}
}

func TestConformance(t *testing.T) {
	addr := routertest.FreeAddr(t)
	routertest.TestSource(t,
		func() router.Source { return srcrtmp.Source{URL: "rtmp://" + addr + "/live/main"} },
		func(t testing.TB) { serve(t, addr, play) })
}

// run runs a source once and returns its error.
func run(t *testing.T, s srcrtmp.Source) error {
	t.Helper()
	ends := make(chan error, 100)
	src := &routertest.Source{RunFunc: func(ctx context.Context, run *router.SourceRun) error {
		err := s.Run(ctx, run)
		ends <- err
		return err
	}}
	r := routertest.New(t, router.Config{Paths: []router.PathConfig{{Name: "cam", Source: src}}, SourceRetryPause: time.Hour})
	defer func() { _ = r.Close() }()
	select {
	case err := <-ends:
		return err
	case <-time.After(20 * time.Second):
		t.Fatal("Run does not return")
		return nil
	}
}

// Errors say what is wrong, and never hold a secret.
func TestErrors(t *testing.T) {
	t.Parallel()
	silent := serve(t, "127.0.0.1:0", func(c *gortmplib.ServerConn) error {
		_ = c.AcceptAction()
		_, err := c.Read()
		for err == nil {
			_, err = c.Read()
		}
		return err
	})
	refusing := serve(t, "127.0.0.1:0", func(c *gortmplib.ServerConn) error { return c.RejectAction() })
	closing := serve(t, "127.0.0.1:0", func(*gortmplib.ServerConn) error { return io.EOF })
	asking := serveAsking(t)
	for _, ca := range []struct{ name, url, want string }{
		{"nobody there", "rtmp://bob:s3cret@" + routertest.FreeAddr(t) + "/a?pass=s3cret", "refused"},
		{"scheme", "http://bob:s3cret@host/a", "rtmp or rtmps"},
		{"silent", "rtmp://bob:s3cret@" + silent.addr + "/a/b?pass=s3cret", "silent"},
		{"refused", "rtmp://" + refusing.addr + "/a#s3cret", "the server refuses"},
		{"closed", "rtmp://" + closing.addr + "/a#s3cret", "closed the connection"},
		{"wrong password", "rtmp://myuser:s3cret@" + asking.addr + "/a", "refuses the credentials"},
		{"no password", "rtmp://" + asking.addr + "/a", "asks for credentials"},
	} {
		t.Run(ca.name, func(t *testing.T) {
			t.Parallel()
			err := run(t, srcrtmp.Source{URL: ca.url, ReadTimeout: 500 * time.Millisecond})
			if err == nil || !strings.Contains(err.Error(), ca.want) || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("%v, want %q", err, ca.want)
			}
		})
	}
}

// serveAsking is a server that asks for a password by challenge.
func serveAsking(t testing.TB) *server {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer func() { _ = c.Close() }()
				_ = c.SetDeadline(time.Now().Add(10 * time.Second))
				sc := &gortmplib.ServerConn{RW: c}
				if sc.Initialize() == nil && sc.AcceptConnIfCredentialsMatch("myuser", "right") == nil {
					_ = play(sc)
				}
			})
		}
	})
	t.Cleanup(func() { _ = ln.Close(); wg.Wait() })
	return &server{addr: ln.Addr().String()}
}

// Credentials of the URL are given to servers that ask for them.
func TestLogin(t *testing.T) {
	t.Parallel()
	s := serveAsking(t)
	r := routertest.New(t, router.Config{Paths: []router.PathConfig{{
		Name: "cam", Source: srcrtmp.Source{URL: "rtmp://myuser:right@" + s.addr + "/a/b"},
	}}})
	stream := routertest.WaitReady(t, r, "cam")
	if tr := stream.Tracks(); len(tr) != 1 || !media.Equal(tr[0].Codec, &media.H264{SPS: sps, PPS: pps}) {
		t.Errorf("tracks: %+v", tr)
	}
}

// Application and stream key reach the server as the URL has them.
func TestURLs(t *testing.T) {
	t.Parallel()
	s := serve(t, "127.0.0.1:0", func(*gortmplib.ServerConn) error { return io.EOF })
	for path, want := range map[string]string{
		"/one": "/one", "/one/two": "/one/two", "/one/two/three?x=y": "/one/two/three?x=y", "/app#key": "/app/key",
	} {
		if err := run(t, srcrtmp.Source{URL: "rtmp://" + s.addr + path}); err == nil || errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", path, err)
		}
		if _, ok := s.paths.Load("rtmp://" + s.addr + want); !ok {
			s.paths.Range(func(k, _ any) bool { t.Logf("asked for: %v", k); return true })
			t.Errorf("%s: the server was not asked for %s", path, want)
		}
	}
}
