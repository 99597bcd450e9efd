package rtsp

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/base"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/routertest"
)

// redirect is a source that sends readers elsewhere.
type redirect struct {
	routertest.Source
	to string
}

func (r *redirect) RedirectURL() string { return r.to }

const tcpTransport = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1"

func TestStatusOfReaders(t *testing.T) {
	t.Parallel()
	never := func(ctx context.Context, _ *router.SourceRun) error {
		<-ctx.Done()
		return ctx.Err()
	}
	g := newRig(t, router.Config{AuthPause: -1, Paths: []router.PathConfig{
		{Name: "empty"},
		{Name: "full", MaxReaders: 1},
		{Name: "slow", OnDemand: router.OnDemand{Enabled: true, StartTimeout: time.Millisecond}, Source: &routertest.Source{RunFunc: never}},
		{Name: "relative", Source: &redirect{to: "/other/path"}},
		{Name: "absolute", Source: &redirect{to: "rtsp://example.com:99/x?y=z"}},
		{Name: "fallback", Fallback: "/full"},
	}}, plainServer())
	p := g.publish("full", overTCP, oneVideo())
	rd := g.read("full", overTCP)
	for _, c := range []struct {
		path     string
		describe base.StatusCode
		setup    base.StatusCode
		location string
		log      string
	}{
		{"empty", 404, 404, "", "no stream is available on path 'empty'"},
		{"missing", 404, 404, "", "path 'missing' is not configured"},
		{"full", 200, 400, "", "maximum reader count reached"},
		{"slow", 404, 404, "", "timed out"},
		{"relative", 302, 302, "rtsp://" + g.addr + "/other/path", ""},
		{"absolute", 302, 302, "rtsp://example.com:99/x?y=z", ""},
		{"fallback", 302, 302, "rtsp://" + g.addr + "/full", ""},
		{"", 400, 400, "", "invalid path name"},
		{"a/../b", 400, 400, "", "invalid path name"},
		{"a//b", 400, 400, "", "invalid path name"},
		{"a%0d%0ab", 400, 400, "", "invalid path name"},
		{"%00", 400, 400, "", "invalid path name"},
		{strings.Repeat("a", 1025), 400, 400, "", "invalid path name"},
	} {
		check := func(res *base.Response, want base.StatusCode) {
			t.Helper()
			if res.StatusCode != want {
				t.Errorf("path %.40q: status %d, want %d", c.path, res.StatusCode, want)
			}
			if l := strings.Join(res.Header["Location"], ""); l != c.location {
				t.Errorf("path %q: redirected to %q, want %q", c.path, l, c.location)
			}
		}
		check(g.dial().do(base.Describe, g.url(c.path), nil), c.describe)
		check(g.dial().do(base.Setup, g.url(c.path)+"/trackID=0", nil, tcpTransport), c.setup)
		if c.log != "" {
			routertest.Eventually(t, fmt.Sprintf("%q in the log", c.log), func() bool { return g.log.Count(c.log) > 0 })
		}
	}
	for from, to := range map[string]string{ // credentials may be in the query
		"relative?user=u&pass=p": "rtsp://" + g.addr + "/other/path?user=u&pass=p",
		"absolute?user=u&pass=p": "rtsp://example.com:99/x?y=z",
	} {
		for method, suffix := range map[base.Method]string{base.Describe: "", base.Setup: "/trackID=0"} {
			res := g.dial().do(method, g.url(from)+suffix, nil, tcpTransport)
			if l := strings.Join(res.Header["Location"], ""); l != to {
				t.Errorf("%s %s: redirected to %q, want %q", method, from, l, to)
			}
		}
	}
	p.write(0, h264Frame(96, 1, 0, 1, 100)...)
	rd.got(0, 96, 1)
	g.noPanic()
}

func TestStatusOfPublishers(t *testing.T) {
	t.Parallel()
	g := newRig(t, router.Config{AuthPause: -1, Paths: []router.PathConfig{
		{Name: "cam"}, {Name: "static", Source: &routertest.Source{}}, {Name: "~^[a-z/]+$"},
	}}, plainServer())
	g.publish("cam", overTCP, oneVideo())
	for _, c := range []struct {
		path     string
		announce base.StatusCode
		record   base.StatusCode
		log      string
	}{
		{"cam", 200, 400, "someone is already publishing to path 'cam'"},
		{"static", 200, 400, "static source"},
		{"UPPER", 404, 0, "path 'UPPER' is not configured"},
		{"a/../b", 400, 0, "invalid path name"},
		{"..", 400, 0, "invalid path name"},
		{"a//b", 400, 0, "invalid path name"},
		{"a/", 400, 0, "invalid path name"},
		{"a%07", 400, 0, "invalid path name"},
		{"a%2f..%2fb", 400, 0, "invalid path name"},
		{strings.Repeat("a", 1025), 400, 0, "invalid path name"},
	} {
		cl := g.dial()
		u := g.url(c.path)
		cl.want(c.announce, base.Announce, u, h264SDP, contentSDP)
		if c.record != 0 {
			cl.want(200, base.Setup, u+"/trackID=0", nil, tcpTransport+";mode=record")
			cl.want(c.record, base.Record, u, nil)
		}
		cl.closed()
		routertest.Eventually(t, fmt.Sprintf("%q in the log", c.log), func() bool { return g.log.Count(c.log) > 0 })
	}
	for info := range g.r.Paths() {
		if info.Name != "cam" && info.Name != "static" {
			t.Errorf("path %q exists", info.Name)
		}
	}
	g.noPanic()
}

func TestStatusOfTransports(t *testing.T) {
	t.Parallel()
	const (
		tcp   = "RTP/AVP/TCP;unicast;interleaved=0-1"
		udp   = "RTP/AVP;unicast;client_port=5000-5001"
		multi = "RTP/AVP;multicast"
	)
	for _, c := range []struct {
		allowed   []Transport
		transport string
		want      base.StatusCode
	}{
		{[]Transport{TCP}, tcp, 200},
		{[]Transport{TCP}, udp, 461},
		{[]Transport{TCP}, multi, 461},
		{[]Transport{UDP}, tcp, 461},
		{[]Transport{UDP}, udp, 200},
		{[]Transport{UDP}, udp + "," + tcp, 200},
		{[]Transport{UDP}, tcp + "," + udp, 200},
		{[]Transport{TCP}, udp + "," + tcp, 200},
		{[]Transport{UDP, TCP}, "RTP/SAVP;unicast;client_port=5000-5001", 461},
		{[]Transport{UDP, TCP}, "RAW/RAW/UDP;unicast", 461},
		{[]Transport{UDP, TCP}, "", 400},
		{[]Transport{UDP, TCP}, "RTP/AVP;unicast", 400},
		{[]Transport{UDP, TCP}, "RTP/AVP/TCP;unicast", 200},
		{[]Transport{UDP, TCP}, "RTP/AVP/TCP;unicast;mode=record", 400},
		{[]Transport{UDP, TCP}, "RTP/AVP/TCP;unicast;interleaved=254-255", 200},
		{[]Transport{UDP, TCP}, "RTP/AVP/TCP;unicast;interleaved=255-256", 400},
		{[]Transport{UDP, TCP}, "RTP/AVP/TCP;unicast;interleaved=65535-65536", 400},
		{[]Transport{UDP, TCP}, "RTP/AVP/TCP;unicast;interleaved=0-5", 400},
		{[]Transport{UDP, TCP}, "RTP/AVP/TCP;unicast;interleaved=-1-0", 400},
		{[]Transport{UDP, TCP}, "RTP/AVP;unicast;client_port=0-1", 400},
		{[]Transport{UDP, TCP}, "RTP/AVP;unicast;client_port=65535-65536", 400},
		{[]Transport{UDP, TCP}, "RTP/AVP;unicast;client_port=70000-70001", 400},
		{[]Transport{UDP, TCP}, "RTP/AVP;unicast;client_port=-5--4", 400},
	} {
		t.Run(fmt.Sprint(c.allowed, c.transport), func(t *testing.T) {
			t.Parallel()
			srv := plainServer()
			srv.Transports = c.allowed
			g := newRig(t, router.Config{Paths: []router.PathConfig{{Name: "s", Source: &routertest.Source{}}}}, srv)
			routertest.WaitReady(t, g.r, "s")
			cl := g.dial()
			cl.want(c.want, base.Setup, g.url("s")+"/trackID=0", nil, "Transport: "+c.transport)
			if c.want == 200 {
				cl.want(200, base.Play, g.url("s"), nil)
			}
			// the same when publishing
			if strings.Contains(c.transport, "mode=record") || strings.Contains(c.transport, "multicast") {
				return
			}
			cl = g.dial()
			cl.want(200, base.Announce, g.url("s"), h264SDP, contentSDP)
			var ths []string
			for th := range strings.SplitSeq(c.transport, ",") {
				ths = append(ths, th+";mode=record")
			}
			cl.want(c.want, base.Setup, g.url("s")+"/trackID=0", nil, "Transport: "+strings.Join(ths, ","))
			g.noPanic()
		})
	}
}

func TestOrderOfRequests(t *testing.T) {
	t.Parallel()
	g := newRig(t, anyPath(), plainServer())
	g.publish("s", overTCP, oneVideo())
	u := g.url("s")
	announce := func(c *raw) { c.want(200, base.Announce, g.url("new"), h264SDP, contentSDP) }
	setup := func(c *raw) { c.want(200, base.Setup, u+"/trackID=0", nil, tcpTransport) }
	for name, f := range map[string]func(c *raw) *base.Response{
		"PLAY first":           func(c *raw) *base.Response { return c.do(base.Play, u, nil) },
		"RECORD first":         func(c *raw) *base.Response { return c.do(base.Record, u, nil) },
		"PAUSE first":          func(c *raw) *base.Response { return c.do(base.Pause, u, nil) },
		"TEARDOWN first":       func(c *raw) *base.Response { return c.do(base.Teardown, u, nil) },
		"unknown method":       func(c *raw) *base.Response { return c.do("REDIRECT", u, nil) },
		"RECORD without SETUP": func(c *raw) *base.Response { announce(c); return c.do(base.Record, g.url("new"), nil, "Session: x") },
		"RECORD while reading": func(c *raw) *base.Response { setup(c); return c.do(base.Record, u, nil) },
		"PLAY of another path": func(c *raw) *base.Response { setup(c); return c.do(base.Play, g.url("other"), nil) },
		"SETUP of another path": func(c *raw) *base.Response {
			setup(c)
			return c.do(base.Setup, g.url("x")+"/trackID=0", nil, tcpTransport)
		},
		"SETUP of a track that does not exist": func(c *raw) *base.Response {
			return c.do(base.Setup, u+"/trackID=9", nil, tcpTransport)
		},
		"SETUP of nonsense": func(c *raw) *base.Response { return c.do(base.Setup, u+"/trackID=x", nil, tcpTransport) },
		"SETUP twice":       func(c *raw) *base.Response { setup(c); return c.do(base.Setup, u+"/trackID=0", nil, tcpTransport) },
		"SETUP while playing": func(c *raw) *base.Response {
			setup(c)
			c.want(200, base.Play, u, nil)
			return c.do(base.Setup, u+"/trackID=0", nil, tcpTransport)
		},
		"ANNOUNCE twice": func(c *raw) *base.Response {
			announce(c)
			return c.do(base.Announce, g.url("new"), h264SDP, contentSDP)
		},
		"ANNOUNCE while reading":     func(c *raw) *base.Response { setup(c); return c.do(base.Announce, g.url("new"), h264SDP, contentSDP) },
		"ANNOUNCE without type":      func(c *raw) *base.Response { return c.do(base.Announce, g.url("new"), h264SDP) },
		"ANNOUNCE of a foreign type": func(c *raw) *base.Response { return c.do(base.Announce, g.url("new"), h264SDP, "Content-Type: x/y") },
		"session of nobody":          func(c *raw) *base.Response { return c.do(base.Play, u, nil, "Session: 0123456789") },
	} {
		t.Run(name, func(t *testing.T) {
			c := g.dial()
			c.t = t
			res := f(c)
			if s := res.StatusCode; s < 400 || s > 501 || s == 500 {
				t.Errorf("status %d", s)
			}
		})
	}
	g.noPanic()
	routertest.WaitReaders(t, g.r, "s", 0)
}

// A client cannot use the session of another connection for another path.
func TestForeignSession(t *testing.T) {
	t.Parallel()
	g := newRig(t, anyPath(), plainServer())
	p := g.publish("s", overTCP, oneVideo())
	u := g.url("s")
	a, b := g.dial(), g.dial()
	a.want(200, base.Setup, u+"/trackID=0", nil, tcpTransport)
	a.want(200, base.Play, u, nil)
	g.awaitMedia(0)
	b.session = a.session
	if res, err := b.try(base.Pause, u, nil); err == nil && res.StatusCode == base.StatusOK {
		t.Error("another connection paused the session")
	}
	p.write(0, h264Frame(96, 1, 0, 1, 100)...)
	for {
		what, err := a.c.Read()
		if err != nil {
			t.Fatal(err)
		}
		if f, ok := what.(*base.InterleavedFrame); ok && f.Channel == 0 {
			break
		}
	}
	g.noPanic()
}
