package srt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
	"github.com/org/mtx/router/routertest"
)

func TestConformance(t *testing.T) {
	addr := freeUDP(t)
	routertest.TestProtocol(t, func() router.Protocol { return &Server{Addr: addr} })
}

func freeUDP(t *testing.T) string {
	t.Helper()
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	return c.LocalAddr().String()
}

// A client publishes, another one reads, in the clear and encrypted.
func TestPublishRead(t *testing.T) {
	t.Parallel()
	for _, ca := range []struct{ name, publish, read string }{
		{"plain", "", ""},
		{"encrypted", "publishers only", "readers only!"},
		{"encrypted by publishers", "publishers only", ""},
	} {
		t.Run(ca.name, func(t *testing.T) {
			t.Parallel()
			cfg := anyPath()
			cfg.Paths[0].Extras = []any{PathOptions{PublishPassphrase: ca.publish, ReadPassphrase: ca.read}}
			g := newRig(t, cfg)
			g.push("publish:a/b", ca.publish)
			s := routertest.WaitReady(t, g.r, "a/b")
			if n := s.Tracks()[0].Codec.Name(); n != "H264" {
				t.Errorf("the first track is %s", n)
			}
			c := g.read("read:a/b", ca.read)
			units := c.has(0, 35)
			if len(units[0].Payload) != 3 {
				t.Errorf("the first picture is no key frame: %x", units[0].Payload)
			}
			for i := 1; i < len(units); i++ {
				if d := units[i].PTS - units[i-1].PTS; d != 3000 {
					t.Errorf("PTS go on by %d", d)
				}
			}
			audio := c.has(1, 30)
			for i := 1; i < len(audio); i++ {
				if d := audio[i].PTS - audio[i-1].PTS; d < 959 || d > 961 {
					t.Errorf("PTS of audio go on by %d", d)
				}
			}
			checkSessions(t, g)
			g.noPanic()
		})
	}
}

func checkSessions(t *testing.T, g *rig) {
	t.Helper()
	pubs, reads := g.sessions("publish"), g.sessions("read")
	if len(pubs) != 1 || len(reads) != 1 {
		t.Fatalf("%d publish, %d read", len(pubs), len(reads))
	}
	p, r := pubs[0], reads[0]
	if p.Path != "a/b" || p.PacketsReceived < 30 || p.BytesReceived < 5000 || p.PacketsSentACK == 0 || p.PacketsSent != 0 {
		t.Errorf("publisher: %+v", p)
	}
	if r.Path != "a/b" || r.PacketsSent < 30 || r.BytesSent < 5000 || r.PacketsReceivedACK == 0 || r.ByteMSS != 1500 ||
		r.MsSendTsbPdDelay != 120 || r.PacketsReceived != 0 {
		t.Errorf("reader: %+v", r)
	}
}

// The document of the Control API has exactly the fields of its schema.
func TestDetails(t *testing.T) {
	t.Parallel()
	b, err := json.Marshal(&Details{})
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	fields, err := os.ReadFile("testdata/fields.txt")
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Fields(string(fields))
	if len(want) != len(got) {
		t.Errorf("%d fields, want %d", len(got), len(want))
	}
	for _, f := range want {
		if _, ok := got[f]; !ok {
			t.Errorf("%s is missing", f)
		}
	}
}

func TestStandardStreamID(t *testing.T) {
	t.Parallel()
	seen := make(chan router.AccessRequest, 10)
	cfg := anyPath()
	cfg.Auth = router.AuthenticatorFunc(func(_ context.Context, q *router.AccessRequest) (router.Identity, error) {
		seen <- *q
		return router.Identity{User: q.User}, nil
	})
	g := newRig(t, cfg)
	g.push("#!::m=publish,r=cam,u=me,s=hunter2,h=host,jwt=to.ken", "")
	routertest.WaitReady(t, g.r, "cam")
	if q := <-seen; q.Action != router.ActionPublish || q.User != "me" || q.Pass != "hunter2" || q.Token != "to.ken" ||
		q.Protocol != "srt" || q.Path != "cam" || !q.Addr.IsLoopback() || q.SessionID == "" || q.Query != "jwt=to.ken" {
		t.Errorf("asked for %+v", q)
	}
	c := g.read("#!::r=cam", "")
	c.has(0, 1)
	if q := <-seen; q.Action != router.ActionRead {
		t.Errorf("asked for %+v", q)
	}
	if d := g.sessions("publish"); len(d) != 1 || d[0].User != "me" {
		t.Errorf("sessions: %+v", d)
	}
	for _, secret := range []string{"hunter2", "to.ken"} {
		if g.log.Count(secret) > 0 {
			t.Errorf("the log holds %q", secret)
		}
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	cfg := router.Config{
		AuthPause: -1,
		Auth: router.AuthenticatorFunc(func(_ context.Context, q *router.AccessRequest) (router.Identity, error) {
			if q.Pass == "wrong" {
				return router.Identity{}, &router.AuthError{Err: errors.New("no such user")}
			}
			return router.Identity{}, nil
		}),
		Paths: []router.PathConfig{
			{Name: "open"},
			{Name: "locked", Extras: []any{PathOptions{PublishPassphrase: "publishers only", ReadPassphrase: "readers only!"}}},
			{Name: "full", MaxReaders: 1},
			{Name: "away", Fallback: "rtsp://elsewhere/x"},
			{Name: "loop", Fallback: "/loop2"},
			{Name: "loop2", Fallback: "/loop"},
			{Name: "vp8"},
		},
	}
	g := newRig(t, cfg)
	g.publish("locked")
	g.publish("full")
	g.read("read:full", "").has(0, 1)
	pub, err := g.r.Publish(t.Context(), "vp8", []media.Track{{Codec: &media.VP8{}}})
	if err != nil {
		t.Fatal(err)
	}
	defer pub.Close()
	for _, ca := range []struct {
		id, passphrase string
		code           int
		reason         string
	}{
		{"", "", 1400, "no stream id"},
		{"read", "", 1400, "parts"},
		{"read:a:b:c:d:e", "", 1400, "parts"},
		{"write:open:secretword:secretword", "", 1400, "read or publish"},
		{"#!::m=bidirectional,r=open,s=secretword", "", 1405, "request or publish"},
		{"#!::secretword", "", 1400, "KEY=VALUE"},
		{"#!::m=request", "", 1400, "names no path"},
		{"read:../x", "", 1400, "invalid path name"},
		{"read:unknown", "", 1404, "not configured"},
		{"read:open", "", 1404, "no stream is available"},
		{"publish:open:me:wrong", "", 1401, "authentication failed: no such user"},
		{"publish:locked", "the wrong one", 10, "wrong passphrase"},
		{"publish:locked", "", 11, "needs a passphrase"},
		{"read:locked", "publishers only", 10, "wrong passphrase"},
		{"read:locked", "", 11, "needs a passphrase"},
		{"publish:open", "not expected", 11, "the path has none"},
		{"read:full", "", 1402, "maximum reader count"},
		{"read:away", "", 1404, "cannot be sent elsewhere"},
		{"read:loop", "", 1404, `reason="more than 8 redirects`},
		{"read:vp8", "", 1415, "VP8"},
	} {
		before := g.log.Count("connection refused")
		c, err := g.tryDial(ca.id, ca.passphrase)
		if err == nil {
			_ = c.Close()
			t.Errorf("%q was let in", ca.id)
			continue
		}
		if !isRejection(err, ca.code) {
			t.Errorf("%q: %v, want code %d", ca.id, err, ca.code)
		}
		lines := strings.Split(strings.TrimSpace(g.log.String()), "\n")
		if g.log.Count("connection refused") != before+1 || !slices.ContainsFunc(lines[max(len(lines)-3, 0):], func(l string) bool {
			return strings.Contains(l, "connection refused") && strings.Contains(l, ca.reason)
		}) {
			t.Errorf("%q: want one line with %q, the log ends with %q", ca.id, ca.reason, lines[len(lines)-1])
		}
	}
	for _, secret := range []string{"secretword", "wrong one", "publishers only", "readers only", "not expected"} {
		if g.log.Count(secret) > 0 {
			t.Errorf("the log holds %q", secret)
		}
	}
	routertest.Eventually(t, "only the reader is left", func() bool { return len(g.sessions("")) == 1 })
	g.noPanic()
}

func TestKick(t *testing.T) {
	t.Parallel()
	g := newRig(t, anyPath())
	pub := g.push("publish:s", "")
	routertest.WaitReady(t, g.r, "s")
	c := g.read("read:s", "")
	c.has(0, 1)
	if err := g.r.Kick(kind, g.sessions("read")[0].ID); err != nil {
		t.Fatal(err)
	}
	if c.over() == nil {
		t.Error("the reader goes on")
	}
	if err := g.r.Kick(kind, g.sessions("publish")[0].ID); err != nil {
		t.Fatal(err)
	}
	routertest.Eventually(t, "no session is left", func() bool { return len(g.sessions("")) == 0 })
	pub.over(t)
	if g.log.Count("closed by an operator") != 2 {
		t.Error(g.log)
	}
}

// A new publisher takes over, if it may; readers of the old stream are told.
func TestOverride(t *testing.T) {
	t.Parallel()
	for _, override := range []bool{true, false} {
		t.Run(fmt.Sprint(override), func(t *testing.T) {
			t.Parallel()
			cfg := anyPath()
			cfg.Paths[0].Override = override
			g := newRig(t, cfg)
			g.push("publish:s", "")
			old := routertest.WaitReady(t, g.r, "s")
			c := g.read("read:s", "")
			c.has(0, 1)
			second := g.push("publish:s", "")
			if !override {
				second.over(t)
				routertest.Eventually(t, "the reason is in the log", func() bool {
					return g.log.Count("someone is already publishing to path 's'") > 0
				})
				if old.Err() != nil {
					t.Error(old.Err())
				}
				return
			}
			_ = c.over()
			if !errors.Is(old.Err(), router.ErrReplaced) {
				t.Errorf("the stream ended with %v", old.Err())
			}
			g.read("read:s", "").has(0, 1)
			routertest.Eventually(t, "one publisher is left", func() bool { return len(g.sessions("publish")) == 1 })
		})
	}
}

// Readers follow redirects within the server, and start sources on demand.
func TestRedirectOnDemandFallback(t *testing.T) {
	t.Parallel()
	src := &routertest.Source{RunFunc: func(ctx context.Context, run *router.SourceRun) error {
		pub, err := run.Publish(ctx, routertest.SampleTracks(), router.PublishOptions{})
		if err != nil {
			return err
		}
		defer pub.Close()
		f := startFeed(func(track int, u *media.Unit) error { pub.Write(track, u); return pub.Err() })
		defer f.stop()
		<-ctx.Done()
		return nil
	}}
	g := newRig(t, router.Config{Paths: []router.PathConfig{
		{Name: "demand", Source: src, OnDemand: router.OnDemand{Enabled: true}},
		{Name: "offline", Fallback: "/demand/"},
	}})
	c := g.read("read:offline", "")
	c.has(0, 2)
	_ = c.conn.Close()
	routertest.Eventually(t, "the source is stopped", func() bool { return g.log.Count("nobody reads") == 1 })
}

// Many readers get the same, whoever leaves; all are told when the stream ends.
func TestManyReaders(t *testing.T) {
	t.Parallel()
	g := newRig(t, anyPath())
	pub := g.publish("s")
	var readers []*client
	for range 10 {
		readers = append(readers, g.read("read:s", ""))
	}
	routertest.WaitReaders(t, g.r, "s", 10)
	for i, c := range readers {
		units := c.has(0, 5)
		if len(units[0].Payload) != 3 {
			t.Errorf("reader %d does not begin with a key frame", i)
		}
		if i%2 == 0 {
			_ = c.conn.Close()
		}
	}
	routertest.WaitReaders(t, g.r, "s", 5)
	readers[1].has(0, 40)
	pub.Close()
	for _, c := range readers {
		_ = c.over()
		if len(c.damaged) != 0 {
			t.Errorf("damaged: %v", c.damaged)
		}
	}
	routertest.Eventually(t, "no session is left", func() bool { return len(g.sessions("")) == 0 })
}

// Audio alone starts at once.
func TestAudioOnly(t *testing.T) {
	t.Parallel()
	g := newRig(t, anyPath())
	tracks := routertest.SampleTracks()[1:]
	pub, err := g.r.Publish(t.Context(), "s", tracks)
	if err != nil {
		t.Fatal(err)
	}
	defer pub.Close()
	f := startFeed(func(track int, u *media.Unit) error {
		if track == 1 {
			pub.Write(0, u)
		}
		return pub.Err()
	})
	defer f.stop()
	c := g.read("read:s", "")
	c.has(0, 20)
	if !reflect.DeepEqual(c.tracks[0].Codec, tracks[0].Codec) {
		t.Errorf("track %+v", c.tracks[0].Codec)
	}
}

// A publisher that sends nothing, or no MPEG-TS, is disconnected.
func TestSilentPublisher(t *testing.T) {
	t.Parallel()
	g := newRigWith(t, anyPath(), &Server{Addr: "127.0.0.1:0", ReadTimeout: 2 * time.Second})
	g.dial("publish:silent", "")
	routertest.Eventually(t, "the silent one is gone", func() bool { return g.log.Count("no media came in time") == 1 })
	stuffing := make([]byte, 7*tsPacket)
	for i := range 7 {
		copy(stuffing[i*tsPacket:], []byte{0x47, 0x1f, 0xff, 0x10})
	}
	c := g.dial("publish:stuffing", "")
	routertest.Eventually(t, "the one that sends null packets is gone", func() bool {
		_, _ = c.Write(stuffing)
		return g.log.Count("no media came in time") == 2
	})
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for _, ca := range []struct {
		v    interface{ Validate() error }
		want string
	}{
		{&Server{}, ""},
		{&Server{Addr: "nowhere"}, `SRT address "nowhere"`},
		{&Server{UDPMaxPayloadSize: 100}, "UDP payload size 100: must be between 204 and 1472"},
		{&Server{UDPMaxPayloadSize: 204}, ""},
		{&Server{UDPMaxPayloadSize: 1473}, "UDP payload size 1473"},
		{&Server{Latency: time.Hour}, "latency 1h0m0s"},
		{&Server{UDPReadBufferSize: -1}, "UDP read buffer size -1"},
		{PathOptions{}, ""},
		{PathOptions{PublishPassphrase: "123456789"}, "SRT publish passphrase of 9 characters: it must have between 10 and 79"},
		{PathOptions{ReadPassphrase: strings.Repeat("x", 80)}, "SRT read passphrase of 80 characters"},
		{PathOptions{PublishPassphrase: "1234567890", ReadPassphrase: strings.Repeat("x", 79)}, ""},
	} {
		err := ca.v.Validate()
		if ca.want == "" && err != nil || ca.want != "" && (err == nil || !strings.Contains(err.Error(), ca.want)) {
			t.Errorf("%#v: %v, want %q", ca.v, err, ca.want)
		}
	}
	if s := fmt.Sprintf("%v %+v %#v", PathOptions{ReadPassphrase: "secretword"}, PathOptions{ReadPassphrase: "secretword"},
		PathOptions{ReadPassphrase: "secretword"}); strings.Contains(s, "secretword") {
		t.Error(s)
	}
}
