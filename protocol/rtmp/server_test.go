package rtmp_test

import (
	"context"
	"errors"
	"io"
	"net/url"
	"testing"
	"time"

	"github.com/bluenviron/gortmplib"

	"github.com/org/mtx/protocol/bridge/rtmpbridge"
	"github.com/org/mtx/protocol/bridge/rtmpconn"
	"github.com/org/mtx/protocol/rtmp"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
	"github.com/org/mtx/router/routertest"
)

// patience bounds every wait; it is long because machines that run tests are slow.
const patience = 20 * time.Second

var (
	sps = []byte{
		0x67, 0x42, 0xc0, 0x28, 0xd9, 0x00, 0x78, 0x02, 0x27, 0xe5, 0x84, 0x00, 0x00, 0x03, 0x00, 0x04,
		0x00, 0x00, 0x03, 0x00, 0xf0, 0x3c, 0x60, 0xc9, 0x20,
	}
	pps = []byte{0x68, 0x08}
)

// start runs a server in which every path exists.
func start(t testing.TB, s *rtmp.Server, edit ...func(*router.Config)) (r *router.Router, addr string) {
	t.Helper()
	s.Addr = "127.0.0.1:0"
	cfg := router.Config{
		Protocols: []router.Protocol{s},
		Paths:     []router.PathConfig{{Name: router.AllOthers}},
		AuthPause: -1,
	}
	for _, f := range edit {
		f(&cfg)
	}
	r = routertest.New(t, cfg)
	return r, r.ProtocolAddrs(s.Name())[0].String()
}

// startLogged is start with a log, and more paths.
func startLogged(t testing.TB, s *rtmp.Server, paths ...router.PathConfig) (r *router.Router, addr string, log *routertest.Log) {
	t.Helper()
	log = &routertest.Log{}
	s.Addr = "127.0.0.1:0"
	r = routertest.New(t, router.Config{
		Protocols: []router.Protocol{s},
		Paths:     append(paths, router.PathConfig{Name: router.AllOthers}),
		AuthPause: -1,
	}, router.WithLogger(log.Logger()))
	return r, r.ProtocolAddrs(s.Name())[0].String(), log
}

// hold publishes a stream of the program.
func hold(t testing.TB, r *router.Router, path string) *router.Publisher {
	t.Helper()
	pub, err := r.Publish(t.Context(), path, routertest.SampleTracks())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pub.Close)
	return pub
}

func TestConformance(t *testing.T) {
	addr := routertest.FreeAddr(t)
	routertest.TestProtocol(t, func() router.Protocol { return &rtmp.Server{Addr: addr} })
}

// What a client publishes is read by others, over RTMP and in the router.
func TestPublishAndRead(t *testing.T) {
	t.Parallel()
	r, addr := start(t, &rtmp.Server{})
	src := publish(t, "rtmp://%s/a/b", addr)
	src.run(t, time.Millisecond)
	stream := routertest.WaitReady(t, r, "a/b")
	if tr := stream.Tracks(); len(tr) != 2 || tr[0].Codec.Name() != "H264" || tr[1].Codec.Name() != "MPEG-4 Audio" {
		t.Fatalf("tracks: %+v", tr)
	}
	for _, form := range []string{"rtmp://%s/a/b", "rtmp://%s/a#b", "rtmp://%s/a/b/", "rtmp://%s/a#/b"} {
		got := read(t, mustDial(t, false, form, addr))
		if !got.key || got.video < 2 || got.audio < 2 {
			t.Errorf("%s: %+v", form, got)
		}
	}
}

// A reader that joins late begins with a key frame, with audio beside it.
func TestLateReader(t *testing.T) {
	t.Parallel()
	r, addr := start(t, &rtmp.Server{})
	src := publish(t, "rtmp://%s/cam", addr)
	src.run(t, time.Millisecond)
	routertest.WaitReady(t, r, "cam")
	for range 5 {
		got := read(t, mustDial(t, false, "rtmp://%s/cam", addr))
		if d := got.firstAudio - got.firstVideo; !got.key || !got.sorted || d > 100*time.Millisecond || d < -100*time.Millisecond {
			t.Errorf("%+v", got)
		}
	}
}

// A stream of the program, whose time stamps are large, begins at zero.
func TestReadProgramStream(t *testing.T) {
	t.Parallel()
	r, addr := start(t, &rtmp.Server{})
	pub := hold(t, r, "prog")
	c := mustDial(t, false, "rtmp://%s/prog", addr)
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		routertest.WaitReaders(t, r, "prog", 1)
		for i := 0; ; i++ {
			v, a := routertest.SampleUnit(0, i), routertest.SampleUnit(1, i*5/3)
			v.PTS, a.PTS = v.PTS+90000*7200, a.PTS+48000*7200
			pub.Write(0, v)
			pub.Write(1, a)
			select {
			case <-quit:
				return
			case <-time.After(time.Millisecond):
			}
		}
	}()
	got := read(t, c)
	close(quit)
	<-done
	// rounding to milliseconds
	if !got.key || got.firstVideo > time.Second || got.firstVideo < 0 || got.firstAudio-got.firstVideo > 50*time.Millisecond {
		t.Errorf("%+v", got)
	}
}

// Everybody gets the end of the stream.
func TestEndOfStream(t *testing.T) {
	t.Parallel()
	r, addr := start(t, &rtmp.Server{})
	pub := hold(t, r, "cam")
	c := mustDial(t, false, "rtmp://%s/cam", addr)
	routertest.WaitReaders(t, r, "cam", 1)
	pub.Close()
	for {
		if _, err := c.Read(); err != nil {
			if !errors.Is(err, io.EOF) {
				t.Errorf("%v", err)
			}
			return
		}
	}
}

// A path that has a publisher refuses another one, or gives way, as configured.
func TestOverride(t *testing.T) {
	t.Parallel()
	r, addr := start(t, &rtmp.Server{}, func(c *router.Config) {
		c.Paths = append(c.Paths, router.PathConfig{Name: "open", Override: true})
	})
	for _, path := range []string{"closed", "open"} {
		first := publish(t, "rtmp://%s/%s", addr, path)
		stop := first.run(t, time.Millisecond)
		old := routertest.WaitReady(t, r, path)
		second, err := dial(t, true, "rtmp://%s/%s", addr, path)
		if path == "closed" {
			if err == nil {
				t.Error("a second publisher was accepted")
			}
			stop()
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		stop()
		s := &source{c: second, video: first.video, audio: first.audio}
		s.Writer = &gortmplib.Writer{Conn: second, Tracks: first.Tracks}
		if err := s.Initialize(); err != nil {
			t.Fatal(err)
		}
		s.run(t, time.Millisecond)
		routertest.Eventually(t, "the first publisher is replaced", func() bool { return errors.Is(old.Err(), router.ErrReplaced) })
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	_, addr := start(t, &rtmp.Server{}, func(c *router.Config) {
		c.Paths = []router.PathConfig{
			{Name: "known"}, {Name: "pulled", Source: &routertest.Source{}},
			{Name: "gone", Source: redirectTo("rtsp://other/stream")},
			{Name: "loop", Source: redirectTo("/loop")},
		}
	})
	for _, ca := range []struct {
		publish bool
		path    string
	}{{true, "unknown"}, {false, "unknown"}, {false, "known"}, {true, "pulled"}, {false, "gone"}, {false, "loop"}, {true, ""}, {false, "a/../b"}} {
		begin := time.Now()
		if _, err := dial(t, ca.publish, "rtmp://%s/%s", addr, ca.path); err == nil {
			t.Errorf("publish %v on %q was accepted", ca.publish, ca.path)
		} else if errors.Is(err, io.EOF) {
			t.Errorf("publish %v on %q: no reason was given", ca.publish, ca.path)
		}
		if time.Since(begin) > patience/2 {
			t.Errorf("the answer for %q took %v", ca.path, time.Since(begin))
		}
	}
}

type redirectTo string

func (redirectTo) Type() string          { return "redirect" }
func (r redirectTo) RedirectURL() string { return string(r) }
func (redirectTo) Run(ctx context.Context, _ *router.SourceRun) error {
	<-ctx.Done()
	return ctx.Err()
}

// A publisher that says good-bye ends its stream at once, and may close the connection itself.
func TestGoodBye(t *testing.T) {
	t.Parallel()
	r, addr := start(t, &rtmp.Server{})
	c, err := rtmpconn.Dial(t.Context(), rtmpconn.Options{URL: "rtmp://" + addr + "/cam", Publish: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	tracks := routertest.SampleTracks()
	enc, err := rtmpbridge.NewEncoder(tracks)
	if err != nil {
		t.Fatal(err)
	}
	out := enc.AppendHead(nil, rtmpbridge.Head{Publish: true})
	for i := range 40 {
		for track := range 2 {
			u := routertest.SampleUnit(track, i)
			var codec media.Codec
			codec, u.RandomAccess = media.Scan(tracks[track].Codec, u.Payload)
			out = enc.AppendConfig(out, track, codec)
			if out, _, err = enc.Append(out, track, u); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := c.WriteChunks(out); err != nil {
		t.Fatal(err)
	}
	stream := routertest.WaitReady(t, r, "cam")
	begin := time.Now()
	if err := c.Finish(true); err != nil {
		t.Fatal(err)
	}
	select {
	case <-stream.Done():
	case <-time.After(patience):
		t.Fatal("the stream goes on")
	}
	for err == nil {
		_, err = c.Read()
	}
	if d := time.Since(begin); d < time.Second/2 {
		t.Errorf("the server closed the connection after %v: %v", d, err)
	}
}

// A path that sends readers to another one is followed, unseen by the client, and told
// once; one that leads nowhere is not.
func TestRedirect(t *testing.T) {
	t.Parallel()
	r, addr, log := startLogged(t, &rtmp.Server{}, router.PathConfig{Name: "older", Source: redirectTo("/old")},
		router.PathConfig{Name: "old", Source: redirectTo("/new/")}, router.PathConfig{Name: "loop", Source: redirectTo("/loop")})
	publish(t, "rtmp://%s/new", addr).run(t, time.Millisecond)
	routertest.WaitReady(t, r, "new")
	if _, err := dial(t, false, "rtmp://%s/loop", addr); err == nil || log.Count("msg=redirected") > 0 {
		t.Errorf("a loop: %v\n%s", err, log)
	}
	if got := read(t, mustDial(t, false, "rtmp://%s/older", addr)); !got.key {
		t.Errorf("%+v", got)
	}
	if log.Count("path=older to=new") != 1 || log.Count("msg=redirected") != 1 {
		t.Error(log)
	}
}

// An on-demand source is started by a reader; one that leaves before is noticed.
func TestOnDemand(t *testing.T) {
	t.Parallel()
	started := make(chan struct{}, 10)
	src := &routertest.Source{RunFunc: func(ctx context.Context, run *router.SourceRun) error {
		started <- struct{}{}
		if run.Path == "never" {
			<-ctx.Done()
			return ctx.Err()
		}
		pub, err := run.Publish(ctx, routertest.SampleTracks(), router.PublishOptions{})
		if err != nil {
			return err
		}
		defer pub.Close()
		for i := 0; ctx.Err() == nil; i++ {
			pub.Write(0, routertest.SampleUnit(0, i))
			pub.Write(1, routertest.SampleUnit(1, i))
			select {
			case <-time.After(time.Millisecond):
			case <-ctx.Done():
			}
		}
		return ctx.Err()
	}}
	demand := router.OnDemand{Enabled: true, StartTimeout: patience}
	r, addr := start(t, &rtmp.Server{}, func(c *router.Config) {
		c.Paths = []router.PathConfig{
			{Name: "never", Source: src, OnDemand: demand}, {Name: "demand", Source: src, OnDemand: demand},
		}
	})
	if got := read(t, mustDial(t, false, "rtmp://%s/demand", addr)); !got.key {
		t.Errorf("%+v", got)
	}
	<-started
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-started
		cancel()
	}()
	u, _ := url.Parse("rtmp://" + addr + "/never")
	c := &gortmplib.Client{URL: u}
	if err := c.Initialize(ctx); err == nil {
		t.Fatal("a reader of nothing was accepted")
	}
	routertest.Eventually(t, "the connection is gone", func() bool {
		for i := range r.Sessions("rtmpConn") {
			if i.Path == "" {
				return false
			}
		}
		return true
	})
}

// Details, kick, and the names of things.
func TestSessions(t *testing.T) {
	t.Parallel()
	r, addr := start(t, &rtmp.Server{})
	publish(t, "rtmp://%s/cam?x=y", addr).run(t, time.Millisecond)
	routertest.WaitReady(t, r, "cam")
	c := mustDial(t, false, "rtmp://%s/cam", addr)
	routertest.WaitReaders(t, r, "cam", 1)
	states := map[string]*rtmp.Details{}
	routertest.Eventually(t, "bytes on both connections", func() bool {
		for i := range r.Sessions("rtmpConn") {
			d, ok := i.Details.(*rtmp.Details)
			if !ok {
				t.Fatalf("details are %T", i.Details)
			}
			states[d.State] = d
		}
		p, q := states["publish"], states["read"]
		return p != nil && q != nil && p.InboundBytes > 4000 && q.OutboundBytes > 4000
	})
	p, q := states["publish"], states["read"]
	if p.Path != "cam" || p.Query != "x=y" || p.BytesReceived != p.InboundBytes || q.Path != "cam" || q.BytesSent != q.OutboundBytes {
		t.Errorf("details: %+v, %+v", p, q)
	}
	path, _ := r.Path("cam")
	if info := path.Info(); info.Source.Type != "rtmpConn" || info.Source.ID != p.ID || info.Readers[0].ID != q.ID {
		t.Errorf("path: %+v", info)
	}
	if err := r.Kick("rtmpConn", q.ID); err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := c.Read(); err != nil {
			break
		}
	}
	routertest.WaitReaders(t, r, "cam", 0)
}
