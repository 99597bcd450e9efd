package rtsp

import (
	"context"
	"fmt"
	"net"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/auth"
	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/headers"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
	"github.com/org/mtx/router/routertest"
)

// pullFrom runs a router with a source.
func pullFrom(t *testing.T, src Source, edit ...func(*router.Config)) (*router.Router, *routertest.Log) {
	t.Helper()
	l := &routertest.Log{}
	cfg := router.Config{
		Paths:            []router.PathConfig{{Name: "cam", Source: src}},
		SourceRetryPause: 20 * time.Millisecond,
	}
	for _, f := range edit {
		f(&cfg)
	}
	r := routertest.New(t, cfg, router.WithLogger(l.Logger()))
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log:\n%.1500s", l)
		}
	})
	return r, l
}

// readKeyFrame checks that video arrives.
func readKeyFrame(t *testing.T, r *router.Router) *media.Unit {
	t.Helper()
	routertest.WaitReady(t, r, "cam")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	rd, err := r.Read(ctx, "cam", router.SubscribeOptions{Tracks: []int{0}})
	if err != nil {
		t.Fatal(err)
	}
	defer rd.Close()
	_, u, err := rd.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if want := [][]byte{testSPS, testPPS, testIDR}; !reflect.DeepEqual(u.Payload, want) {
		t.Errorf("payload %x, want %x", u.Payload, want)
	}
	return u
}

func TestTransports(t *testing.T) {
	t.Parallel()
	for _, ca := range []struct {
		name      string
		scheme    string
		transport Transport
		remote    *remote
		protocol  gortsplib.Protocol
		secure    bool // SRTP
	}{
		{"automatic is udp", "rtsp", "", &remote{udp: true}, gortsplib.ProtocolUDP, false},
		{"automatic, server without udp", "rtsp", Automatic, &remote{}, gortsplib.ProtocolTCP, false},
		{"automatic, nothing arrives over udp", "rtsp", Automatic, &remote{
			udp: true, mayWrite: func(p gortsplib.Protocol) bool { return p == gortsplib.ProtocolTCP },
		}, gortsplib.ProtocolTCP, false},
		{"udp", "rtsp", UDP, &remote{udp: true}, gortsplib.ProtocolUDP, false},
		{"tcp", "rtsp", TCP, &remote{udp: true}, gortsplib.ProtocolTCP, false},
		{"tls, automatic is srtp over udp", "rtsps", Automatic, &remote{udp: true}, gortsplib.ProtocolUDP, true},
		{"tls, srtp over udp", "rtsps", UDP, &remote{udp: true}, gortsplib.ProtocolUDP, true},
		{"tls, tcp", "rtsps", TCP, &remote{udp: true}, gortsplib.ProtocolTCP, true},
		{"http", "rtsp+http", "", &remote{udp: true}, gortsplib.ProtocolTCP, false},
		{"websocket", "rtsp+ws", UDP, &remote{udp: true}, gortsplib.ProtocolTCP, false},
		{"https", "rtsps+http", "", &remote{}, gortsplib.ProtocolTCP, true},
		{"websocket over tls", "rtsps+ws", "", &remote{}, gortsplib.ProtocolTCP, true},
	} {
		t.Run(ca.name, func(t *testing.T) {
			t.Parallel()
			ca.remote.t = t
			src := Source{Transport: ca.transport, ReadTimeout: 5 * time.Second}
			if strings.HasPrefix(ca.scheme, "rtsps") {
				ca.remote.tls, src.Fingerprint = certificate(t)
			}
			rem := ca.remote.start()
			src.URL = rem.url(ca.scheme, "")
			r, _ := pullFrom(t, src)
			readKeyFrame(t, r)
			p, secure, _ := rem.state()
			if p != ca.protocol || secure != ca.secure {
				t.Errorf("protocol %v, secure %v, want %v, %v", p, secure, ca.protocol, ca.secure)
			}
			// the server is told the end
			_ = r.Close()
			routertest.Eventually(t, "the session is closed", func() bool { _, _, n := rem.state(); return n > 0 })
		})
	}
}

// multicastHost returns an address of an interface that can do multicast.
func multicastHost(t *testing.T) string {
	t.Helper()
	ifs, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range ifs {
		if i.Flags&net.FlagUp == 0 || i.Flags&net.FlagMulticast == 0 || i.Flags&net.FlagLoopback != 0 {
			continue
		}
		addrs, _ := i.Addrs()
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil {
				return n.IP.String()
			}
		}
	}
	t.Skip("no interface of this machine can do multicast")
	return ""
}

func TestMulticast(t *testing.T) {
	t.Parallel()
	rem := (&remote{t: t, host: multicastHost(t), udp: true, multicast: true}).start()
	r, _ := pullFrom(t, Source{URL: rem.url("rtsp", ""), Transport: Multicast})
	readKeyFrame(t, r)
	if p, _, _ := rem.state(); p != gortsplib.ProtocolUDPMulticast {
		t.Errorf("protocol %v", p)
	}
}

// failure runs a source until it fails and returns the log.
func failure(t *testing.T, src Source) string {
	t.Helper()
	_, l := pullFrom(t, src)
	routertest.Eventually(t, "the source fails", func() bool { return strings.Contains(l.String(), "error=") })
	return l.String()
}

func TestCredentials(t *testing.T) {
	t.Parallel()
	basic, digest := []auth.VerifyMethod{auth.VerifyMethodBasic}, []auth.VerifyMethod{auth.VerifyMethodDigestMD5}
	sha := []auth.VerifyMethod{auth.VerifyMethodDigestSHA256}
	const special = `p@ss:w/rd?#%&=+ "ü`
	for _, ca := range []struct {
		name     string
		methods  []auth.VerifyMethod
		pass     string
		userinfo string
		want     string // in the error; empty if it works
	}{
		{"basic", basic, "topsecret", "admin:topsecret@", ""},
		{"digest", digest, "topsecret", "admin:topsecret@", ""},
		{"digest with sha-256", sha, "topsecret", "admin:topsecret@", ""},
		{"encoded characters", digest, special, "admin:p%40ss%3Aw%2Frd%3F%23%25%26%3D%2B%20%22%C3%BC@", ""},
		{"special characters as they are", digest, special, "admin:" + special + "@", ""},
		{"wrong", basic, "other", "admin:topsecret@", "the server refuses the credentials"},
		{"wrong digest", digest, "other", "admin:topsecret@", "the server refuses the credentials"},
		{"none", basic, "other", "", "the server asks for credentials"},
	} {
		t.Run(ca.name, func(t *testing.T) {
			t.Parallel()
			rem := (&remote{t: t, auth: ca.methods, user: "admin", pass: ca.pass}).start()
			src := Source{URL: rem.url("rtsp", ca.userinfo), Transport: TCP}
			if ca.want == "" {
				r, _ := pullFrom(t, src)
				readKeyFrame(t, r)
				return
			}
			log := failure(t, src)
			if !strings.Contains(log, ca.want) || strings.Contains(log, "topsecret") || strings.Contains(log, "admin") {
				t.Errorf("log: %s", log)
			}
		})
	}
}

func TestCertificates(t *testing.T) {
	t.Parallel()
	conf, fingerprint := certificate(t)
	upper := strings.ToUpper(fingerprint)
	var colons []string
	for i := 0; i < len(upper); i += 2 {
		colons = append(colons, upper[i:i+2])
	}
	for _, ca := range []struct {
		name, fingerprint, want string
	}{
		{"fingerprint in capitals", upper, ""},
		{"fingerprint with colons", strings.Join(colons, ":"), ""},
		{"wrong fingerprint", strings.Repeat("ab", 32), "the fingerprint of the certificate is wrong"},
		{"no fingerprint", "", "certificate signed by unknown authority"},
		{"invalid fingerprint", "abcd", "64 hexadecimal digits"},
	} {
		t.Run(ca.name, func(t *testing.T) {
			t.Parallel()
			rem := (&remote{t: t, tls: conf}).start()
			src := Source{URL: rem.url("rtsps", "admin:topsecret@"), Fingerprint: ca.fingerprint}
			if ca.want == "" {
				r, _ := pullFrom(t, src)
				readKeyFrame(t, r)
				return
			}
			log := failure(t, src)
			if !strings.Contains(log, ca.want) || strings.Contains(log, "topsecret") {
				t.Errorf("log: %s", log)
			}
		})
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	rem := (&remote{t: t}).start()
	for _, ca := range []struct {
		name string
		src  Source
		want string
	}{
		{"no such stream", Source{URL: "rtsp://a:topsecret@" + rem.addr + "/other"}, "the server has no such stream"},
		{"udp is not supported", Source{URL: rem.url("rtsp", "a:topsecret@"), Transport: UDP}, "does not support this transport"},
		{"refused", Source{URL: "rtsp://a:topsecret@" + routertest.FreeAddr(t) + "/p"}, "connection refused"},
		{"invalid url", Source{URL: "rtsp://a:topsecret@host:p/p"}, "the URL is invalid"},
		{"invalid range", Source{URL: rem.url("rtsp", "a:topsecret@"), RangeType: "frames"}, "it must be clock, npt or smpte"},
	} {
		t.Run(ca.name, func(t *testing.T) {
			t.Parallel()
			if log := failure(t, ca.src); !strings.Contains(log, ca.want) || strings.Contains(log, "topsecret") {
				t.Errorf("log: %s", log)
			}
		})
	}
}

func TestRedirect(t *testing.T) {
	t.Parallel()
	rem := (&remote{t: t, user: "admin", pass: "topsecret"}).start()
	r, _ := pullFrom(t, Source{URL: "rtsp://admin:topsecret@" + rem.addr + "/moved", Transport: TCP})
	readKeyFrame(t, r)
}

func TestReconnect(t *testing.T) {
	t.Parallel()
	rem := (&remote{t: t}).start()
	r, l := pullFrom(t, Source{URL: rem.url("rtsp", ""), Transport: TCP})
	for range 3 {
		readKeyFrame(t, r)
		rem.stop()
		routertest.Eventually(t, "the stream is over", func() bool {
			p, ok := r.Path("cam")
			return ok && p.Stream() == nil
		})
		rem = (&remote{t: t, addr: rem.addr}).start()
	}
	readKeyFrame(t, r)
	if !strings.Contains(l.String(), "the server closed the connection") {
		t.Error("the reason is missing")
	}
}

// A server that keeps the connection and stops sending.
func TestSilence(t *testing.T) {
	t.Parallel()
	for _, transport := range []Transport{UDP, TCP} {
		t.Run(string(transport), func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			silent := false
			rem := (&remote{t: t, udp: true, mayWrite: func(gortsplib.Protocol) bool {
				mu.Lock()
				defer mu.Unlock()
				return !silent
			}}).start()
			r, l := pullFrom(t, Source{URL: rem.url("rtsp", ""), Transport: transport, ReadTimeout: time.Second})
			readKeyFrame(t, r)
			mu.Lock()
			silent = true
			mu.Unlock()
			routertest.Eventually(t, "the source gives up", func() bool { return strings.Contains(l.String(), "nothing arrives") })
		})
	}
}

func TestOnDemand(t *testing.T) {
	t.Parallel()
	rem := (&remote{t: t}).start()
	r, _ := pullFrom(t, Source{URL: "rtsp://" + rem.addr + "/$G1?$MTX_QUERY", Transport: TCP}, func(c *router.Config) {
		c.Paths[0].Name = "~^on-(.+)$"
		c.Paths[0].OnDemand = router.OnDemand{Enabled: true}
	})
	for range 2 {
		rd, err := r.Read(t.Context(), "on-stream", router.SubscribeOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := rd.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
		before := rem.count(base.Teardown)
		rd.Close()
		routertest.Eventually(t, "the session is closed", func() bool { return rem.count(base.Teardown) > before })
	}
	if n := rem.count(base.Play); n != 2 {
		t.Errorf("%d PLAY requests, want 2", n)
	}
}

func TestPlayHeaders(t *testing.T) {
	t.Parallel()
	for _, ca := range []struct {
		src    Source
		header string
	}{
		{Source{}, "npt=0-"},
		{Source{RangeType: "clock", RangeStart: "20230812T120000Z"}, "clock=20230812T120000Z-"},
		{Source{RangeType: "clock", RangeStart: "2023-08-12T14:00:00+02:00"}, "clock=20230812T120000Z-"},
		{Source{RangeType: "npt", RangeStart: "1m30.5s"}, "npt=90.5-"},
		{Source{RangeType: "smpte", RangeStart: "1h2m3s"}, "smpte=1:02:03-"},
		{Source{Scale: "2.0"}, "npt=0-"},
	} {
		t.Run(ca.src.RangeType+ca.src.RangeStart+ca.src.Scale, func(t *testing.T) {
			t.Parallel()
			rem := (&remote{t: t}).start()
			ca.src.URL, ca.src.Transport = rem.url("rtsp", ""), TCP
			r, _ := pullFrom(t, ca.src)
			routertest.WaitReady(t, r, "cam")
			h := rem.request(base.Play).Header
			if got := h["Range"]; !reflect.DeepEqual(got, base.HeaderValue{ca.header}) {
				t.Errorf("Range: %q, want %q", got, ca.header)
			}
			if got := strings.Join(h["Scale"], ","); got != ca.src.Scale {
				t.Errorf("Scale: %q, want %q", got, ca.src.Scale)
			}
		})
	}
}

func TestPorts(t *testing.T) {
	t.Parallel()
	hide := func(res *base.Response) { // the ports of the server
		if v, ok := res.Header["Transport"]; ok {
			before, after, _ := strings.Cut(v[0], ";server_port=")
			_, after, more := strings.Cut(after, ";")
			if more {
				after = ";" + after
			}
			res.Header["Transport"] = base.HeaderValue{before + after}
		}
	}
	t.Run("any port", func(t *testing.T) {
		t.Parallel()
		rem := (&remote{t: t, udp: true, editResponse: hide}).start()
		r, _ := pullFrom(t, Source{URL: rem.url("rtsp", ""), Transport: UDP, AnyPort: true})
		readKeyFrame(t, r)
	})
	t.Run("announced ports only", func(t *testing.T) {
		t.Parallel()
		rem := (&remote{t: t, udp: true, editResponse: hide}).start()
		if log := failure(t, Source{URL: rem.url("rtsp", ""), Transport: UDP}); !strings.Contains(log, "does not tell from which UDP ports") {
			t.Errorf("log: %s", log)
		}
	})
	t.Run("range", func(t *testing.T) {
		t.Parallel()
		rem := (&remote{t: t, udp: true}).start()
		r, _ := pullFrom(t, Source{
			URL: rem.url("rtsp", ""), Transport: UDP, UDPSourcePortRange: [2]int{15000, 15999}, UDPReadBufferSize: 65536,
		})
		readKeyFrame(t, r)
		var th headers.Transport
		if err := th.Unmarshal(rem.request(base.Setup).Header["Transport"]); err != nil {
			t.Fatal(err)
		}
		if p := th.ClientPorts; p == nil || p[0] < 15000 || p[1] > 15999 {
			t.Errorf("ports %v", p)
		}
	})
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for _, ca := range []struct {
		src  Source
		want string // in the error; empty if valid
	}{
		{Source{}, ""},
		{Source{Transport: "pigeon"}, `"pigeon"`},
		{Source{RangeStart: "10s"}, "the range type is missing"},
		{Source{RangeType: "npt", RangeStart: "yesterday"}, `"yesterday"`},
		{Source{RangeType: "clock", RangeStart: "10s"}, "20060102T150405Z"},
		{Source{Fingerprint: "12"}, `"12"`},
		{Source{UDPSourcePortRange: [2]int{5, 4}}, "5-4"},
	} {
		ca.src.URL = "rtsp://host/$G1"
		err := ca.src.Validate()
		if (err == nil) != (ca.want == "") || err != nil && !strings.Contains(err.Error(), ca.want) {
			t.Errorf("%+v: %v", ca.src, err)
		}
	}
}

func TestConformance(t *testing.T) {
	addr := routertest.FreeAddr(t)
	routertest.TestSource(t, func() router.Source {
		return Source{URL: fmt.Sprintf("rtsp://%s/stream", addr), Transport: TCP}
	}, func(t testing.TB) { (&remote{t: t, addr: addr}).start() })
}
