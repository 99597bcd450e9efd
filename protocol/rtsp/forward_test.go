package rtsp_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	mrand "math/rand/v2"
	"net"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/auth"
	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/description"
	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/bluenviron/gortsplib/v5/pkg/liberrors"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"github.com/org/mtx/protocol/rtsp"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
	"github.com/org/mtx/router/routertest"
)

// forwardTarget is the server that a Forward publishes on. Set the fields, then
// start it.
type forwardTarget struct {
	t          testing.TB
	addr       string // default: a random port
	tls        *tls.Config
	auth       []auth.VerifyMethod
	user, pass string
	stall      chan struct{} // if not nil, connections are read only after it is closed

	server *gortsplib.Server
	stop   func()

	mu       sync.Mutex
	path     string
	protocol gortsplib.Protocol
	secure   bool
	codecs   []string
	packets  map[format.Format][]*rtp.Packet
	reports  []*rtcp.SenderReport
	records  int
	closed   int // sessions
}

func (f *forwardTarget) start() *forwardTarget {
	f.t.Helper()
	if f.addr == "" {
		f.addr = "127.0.0.1:0"
	}
	f.packets = map[format.Format][]*rtp.Packet{}
	var err error
	for range 20 { // the UDP ports may be taken
		port := 20000 + mrand.IntN(20000)*2
		f.server = &gortsplib.Server{
			Handler: f, RTSPAddress: f.addr, TLSConfig: f.tls, AuthMethods: f.auth,
			UDPRTPAddress: fmt.Sprintf("127.0.0.1:%d", port), UDPRTCPAddress: fmt.Sprintf("127.0.0.1:%d", port+1),
			Listen: func(network, addr string) (net.Listener, error) {
				ln, err := net.Listen(network, addr)
				if err == nil {
					f.addr = ln.Addr().String()
				}
				return ln, err
			},
		}
		if err = f.server.Start(); err == nil {
			break
		}
	}
	if err != nil {
		f.t.Fatal(err)
	}
	f.stop = sync.OnceFunc(f.server.Close)
	f.t.Cleanup(f.stop)
	return f
}

func (f *forwardTarget) OnAnnounce(ctx *gortsplib.ServerHandlerOnAnnounceCtx) (*base.Response, error) {
	if f.user != "" && !ctx.Conn.VerifyCredentials(ctx.Request, f.user, f.pass) {
		return &base.Response{StatusCode: base.StatusUnauthorized}, liberrors.ErrServerAuth{}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.path, f.codecs = ctx.Path, nil
	for _, m := range ctx.Description.Medias {
		f.codecs = append(f.codecs, m.Formats[0].Codec()) //nolint:staticcheck // a name is all that is needed
	}
	return &base.Response{StatusCode: base.StatusOK}, nil
}

func (f *forwardTarget) OnSetup(ctx *gortsplib.ServerHandlerOnSetupCtx) (*base.Response, *gortsplib.ServerStream, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.protocol, f.secure = ctx.Transport.Protocol, ctx.Transport.Profile != 0
	return &base.Response{StatusCode: base.StatusOK}, nil, nil
}

func (f *forwardTarget) OnRecord(ctx *gortsplib.ServerHandlerOnRecordCtx) (*base.Response, error) {
	ctx.Session.OnPacketRTPAny(func(_ *description.Media, forma format.Format, pkt *rtp.Packet) {
		if f.stall != nil {
			<-f.stall
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		f.packets[forma] = append(f.packets[forma], pkt)
	})
	ctx.Session.OnPacketRTCPAny(func(_ *description.Media, pkt rtcp.Packet) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if sr, ok := pkt.(*rtcp.SenderReport); ok {
			f.reports = append(f.reports, sr)
		}
	})
	f.mu.Lock()
	defer f.mu.Unlock()
	f.records++
	return &base.Response{StatusCode: base.StatusOK}, nil
}

func (f *forwardTarget) OnSessionClose(*gortsplib.ServerHandlerOnSessionCloseCtx) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed++
}

// with reads the state.
func (f *forwardTarget) with(get func() bool) func() bool {
	return func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return get()
	}
}

// video returns the packets of the first H264 format.
func (f *forwardTarget) video() []*rtp.Packet {
	for forma, p := range f.packets {
		if _, ok := forma.(*format.H264); ok {
			return p
		}
	}
	return nil
}

// forwardFrom runs a router with a sink, and publishes samples until the end of
// the test, or until the publication ends.
func forwardFrom(t *testing.T, sink router.Sink) (*router.Router, *router.Publisher, *routertest.Log) {
	t.Helper()
	l := &routertest.Log{}
	r := routertest.New(t, router.Config{
		Paths:            []router.PathConfig{{Name: "~^(cam)$", Sinks: []router.Sink{sink}}},
		SourceRetryPause: 20 * time.Millisecond,
	}, router.WithLogger(l.Logger()))
	pub, err := r.Publish(t.Context(), "cam", routertest.SampleTracks())
	if err != nil {
		t.Fatal(err)
	}
	var task sync.WaitGroup
	task.Go(func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-pub.Done():
				return
			case <-tick.C:
				pub.Write(0, routertest.SampleUnit(0, i))
				pub.Write(1, routertest.SampleUnit(1, i))
			}
		}
	})
	t.Cleanup(func() {
		pub.Close()
		task.Wait()
		if t.Failed() {
			t.Logf("log:\n%.1500s", l)
		}
	})
	return r, pub, l
}

func forwardCertificate(t testing.TB) (*tls.Config, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(der)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, hex.EncodeToString(sum[:])
}

func TestForwardTransports(t *testing.T) {
	t.Parallel()
	for _, ca := range []struct {
		scheme    string
		transport rtsp.Transport
		protocol  gortsplib.Protocol
		secure    bool // SRTP
	}{
		{"rtsp", "", gortsplib.ProtocolTCP, false},
		{"rtsp", rtsp.TCP, gortsplib.ProtocolTCP, false},
		{"rtsp", rtsp.UDP, gortsplib.ProtocolUDP, false},
		{"rtsps", rtsp.TCP, gortsplib.ProtocolTCP, false},
		{"rtsps", rtsp.UDP, gortsplib.ProtocolUDP, true},
		{"rtsp+http", "", gortsplib.ProtocolTCP, false},
		{"rtsp+ws", "", gortsplib.ProtocolTCP, false},
		{"rtsps+ws", "", gortsplib.ProtocolTCP, false},
	} {
		t.Run(ca.scheme+" "+string(ca.transport), func(t *testing.T) {
			t.Parallel()
			f := &forwardTarget{t: t}
			sink := rtsp.Forward{Transport: ca.transport}
			if strings.HasPrefix(ca.scheme, "rtsps") {
				f.tls, sink.Fingerprint = forwardCertificate(t)
			}
			f.start()
			sink.URL = ca.scheme + "://" + f.addr + "/copy/$MTX_PATH/$G1"
			_, pub, _ := forwardFrom(t, sink)
			routertest.Eventually(t, "packets of both tracks", f.with(func() bool {
				return len(f.packets) == 2 && len(f.video()) > 20
			}))
			pub.Close()
			routertest.Eventually(t, "the session is closed", f.with(func() bool { return f.closed > 0 }))
			f.mu.Lock()
			defer f.mu.Unlock()
			if f.path != "/copy/cam/cam" && f.path != "copy/cam/cam" {
				t.Errorf("path %q", f.path)
			}
			if f.protocol != ca.protocol || f.secure != ca.secure {
				t.Errorf("protocol %v, secure %v", f.protocol, f.secure)
			}
			if got := strings.Join(f.codecs, ","); got != "H264,Opus" {
				t.Errorf("codecs %s", got)
			}
			checkForwardedVideo(t, f.video())
			if len(f.reports) == 0 {
				t.Error("there are no sender reports")
			}
		})
	}
}

// checkForwardedVideo checks that the stream begins with a key frame, and that
// packets follow each other.
func checkForwardedVideo(t *testing.T, pkts []*rtp.Packet) {
	t.Helper()
	if typ := pkts[0].Payload[0] & 0x1f; typ != 7 && typ != 24 { // SPS, or an aggregation that begins with it
		t.Errorf("the first NALU has type %d", typ)
	}
	for i := 1; i < len(pkts); i++ {
		if pkts[i].SequenceNumber != pkts[i-1].SequenceNumber+1 {
			t.Fatalf("packet %d has sequence number %d after %d", i, pkts[i].SequenceNumber, pkts[i-1].SequenceNumber)
		}
		if d := pkts[i].Timestamp - pkts[i-1].Timestamp; d != 0 && d != 3000 {
			t.Fatalf("packet %d is %d ticks later", i, d)
		}
	}
}

func TestForwardFailures(t *testing.T) {
	t.Parallel()
	conf, _ := forwardCertificate(t)
	plain := (&forwardTarget{t: t, user: "admin", pass: "right", auth: []auth.VerifyMethod{auth.VerifyMethodDigestMD5}}).start()
	secure := (&forwardTarget{t: t, tls: conf}).start()
	for _, ca := range []struct {
		name string
		sink rtsp.Forward
		want string
	}{
		{"wrong password", rtsp.Forward{URL: "rtsp://admin:topsecret@" + plain.addr + "/p"}, "the server refuses the credentials"},
		{"no password", rtsp.Forward{URL: "rtsp://" + plain.addr + "/p"}, "the server asks for credentials"},
		{"refused", rtsp.Forward{URL: "rtsp://admin:topsecret@" + routertest.FreeAddr(t) + "/p"}, "connection refused"},
		{"certificate", rtsp.Forward{URL: "rtsps://admin:topsecret@" + secure.addr + "/p"}, "certificate"},
		{"fingerprint", rtsp.Forward{
			URL: "rtsps://admin:topsecret@" + secure.addr + "/p", Fingerprint: strings.Repeat("00", 32),
		}, "the fingerprint of the certificate is wrong"},
		{"url", rtsp.Forward{URL: "http://admin:topsecret@host/p"}, "it must be rtsp, rtsps"},
		{"transport", rtsp.Forward{URL: "rtsp://admin:topsecret@host/p", Transport: rtsp.Multicast}, "it must be udp or tcp"},
	} {
		t.Run(ca.name, func(t *testing.T) {
			t.Parallel()
			_, _, l := forwardFrom(t, ca.sink)
			routertest.Eventually(t, "the sink fails", func() bool { return strings.Contains(l.String(), "error=") })
			if log := l.String(); !strings.Contains(log, ca.want) || strings.Contains(log, "topsecret") {
				t.Errorf("log: %s", log)
			}
		})
	}
}

func TestForwardReconnects(t *testing.T) {
	t.Parallel()
	f := (&forwardTarget{t: t, user: "admin", pass: "right"}).start()
	_, pub, l := forwardFrom(t, rtsp.Forward{URL: "rtsp://admin:right@" + f.addr + "/p"})
	for range 3 {
		routertest.Eventually(t, "packets", f.with(func() bool { return len(f.video()) > 5 }))
		f.stop()
		f = (&forwardTarget{t: t, addr: f.addr}).start()
	}
	routertest.Eventually(t, "packets", f.with(func() bool { return len(f.video()) > 5 }))
	if pub.Err() != nil {
		t.Errorf("the stream ended: %v", pub.Err())
	}
	if !strings.Contains(l.String(), "error=") {
		t.Errorf("log: %s", l)
	}
}

// A server that does not read holds up nobody: the sink loses units, other
// readers do not.
func TestForwardSlowServer(t *testing.T) {
	t.Parallel()
	f := (&forwardTarget{t: t, stall: make(chan struct{})}).start()
	release := sync.OnceFunc(func() { close(f.stall) })
	defer release()
	r := routertest.New(t, router.Config{
		Paths:     []router.PathConfig{{Name: "cam", Sinks: []router.Sink{rtsp.Forward{URL: "rtsp://" + f.addr + "/p"}}}},
		QueueSize: 16,
	})
	pub, err := r.Publish(t.Context(), "cam", []media.Track{{Codec: &media.H264{}}})
	if err != nil {
		t.Fatal(err)
	}
	defer pub.Close()
	big := bytes.Repeat([]byte{0x65, 1, 2, 3}, 50000)
	deadline := time.Now().Add(20 * time.Second)
	for i := 0; ; i++ {
		start := time.Now()
		u := routertest.SampleUnit(0, 0)
		u.PTS = int64(i) * 3000
		u.Payload = [][]byte{u.Payload[0], u.Payload[1], big}
		pub.Write(0, u)
		if d := time.Since(start); d > time.Second {
			t.Fatalf("the publisher was held up for %v", d)
		}
		p, _ := r.Path("cam")
		if p.Info().Dropped > 10 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("nothing is dropped")
		}
		time.Sleep(time.Millisecond)
	}
}

func TestForwardValidate(t *testing.T) {
	t.Parallel()
	if err := (rtsp.Forward{URL: "rtsp://host/$MTX_PATH"}).Validate(); err != nil {
		t.Error(err)
	}
	if err := (rtsp.Forward{}).Validate(); err == nil {
		t.Error("a sink without URL is accepted")
	}
}

func TestForwardConformance(t *testing.T) {
	f := (&forwardTarget{t: t}).start()
	routertest.TestSink(t, func() router.Sink { return rtsp.Forward{URL: "rtsp://" + f.addr + "/p"} })
}

func ExampleForward() {
	_, err := router.New(router.Config{
		Paths: []router.PathConfig{{
			Name:  "cam",
			Sinks: []router.Sink{rtsp.Forward{URL: "rtsps://user:pass@example.com/$MTX_PATH"}},
		}},
	})
	fmt.Println(err)
	// Output: <nil>
}

// A stream that ffmpeg publishes here, forwarded to another router, one that
// needs credentials.
func TestForwardFFmpeg(t *testing.T) {
	t.Parallel()
	ffmpeg, err := exec.LookPath("ffmpeg")
	if err != nil {
		t.Skip("ffmpeg is not installed")
	}
	server := func(paths []router.PathConfig, a router.Authenticator) (*router.Router, string) {
		r := routertest.New(t, router.Config{
			Protocols: []router.Protocol{&rtsp.Server{
				Addr: "127.0.0.1:0", RTPAddr: "127.0.0.1:0", RTCPAddr: "127.0.0.1:0", Transports: []rtsp.Transport{rtsp.TCP},
			}},
			Auth: a, Paths: paths, SourceRetryPause: 20 * time.Millisecond,
		})
		return r, r.ProtocolAddrs("rtsp")[0].String()
	}
	second, secondAddr := server([]router.PathConfig{{Name: "copy"}},
		router.AuthenticatorFunc(func(_ context.Context, q *router.AccessRequest) (router.Identity, error) {
			if !q.HasCredentials() && q.Verify == nil {
				return router.Identity{}, &router.AuthError{Err: errors.New("no credentials"), AskCredentials: true}
			}
			if ok := q.User == "u" && q.Pass == "p@ss" || q.Verify != nil && q.Verify("u", "p@ss"); !ok {
				return router.Identity{}, errors.New("wrong credentials")
			}
			return router.Identity{User: "u"}, nil
		}))
	_, firstAddr := server([]router.PathConfig{{
		Name: "cam", Sinks: []router.Sink{rtsp.Forward{URL: "rtsp://u:p%40ss@" + secondAddr + "/copy"}},
	}}, nil)

	args := "-loglevel error -re -f lavfi -i testsrc2=size=640x360:rate=25 -f lavfi -i sine=sample_rate=48000 -pix_fmt yuv420p -t 30 " +
		"-c:v libx264 -preset ultrafast -g 10 -c:a aac -f rtsp -rtsp_transport tcp rtsp://" + firstAddr + "/cam"
	cmd := exec.CommandContext(t.Context(), ffmpeg, strings.Fields(args)...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Wait() }()
	defer func() { _ = cmd.Process.Kill() }()

	s := routertest.WaitReady(t, second, "copy")
	var units [2]int
	var pts [2]int64
	sub, err := s.Subscribe(router.SubscribeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for units[0] < 25 || units[1] < 25 {
		track, u, err := sub.Next(ctx)
		if err != nil {
			t.Fatalf("after %v units: %v", units, err)
		}
		if units[track] > 0 && u.PTS <= pts[track] {
			t.Errorf("track %d: PTS %d after %d", track, u.PTS, pts[track])
		}
		units[track]++
		pts[track] = u.PTS
	}
	tracks := s.Tracks()
	if h, ok := tracks[0].Codec.(*media.H264); !ok || len(h.SPS) == 0 || tracks[1].Codec.Name() != "MPEG-4 Audio" {
		t.Errorf("tracks %+v", tracks)
	}
	p, _ := second.Path("copy")
	if n := p.Info().InErrors; n != 0 {
		t.Errorf("%d errors", n)
	}
	// both tracks are at about the same place
	v, a := media.Duration(pts[0], 90000), media.Duration(pts[1], 48000)
	if d := (v - a).Abs(); d > 700*time.Millisecond {
		t.Errorf("video is at %v, audio at %v", v, a)
	}
}
