package rtsp

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"math/big"
	mrand "math/rand/v2"
	"net"
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
	"github.com/pion/rtp"
)

// Parameter sets of a stream of 1920x1080.
var (
	testSPS = []byte{
		0x67, 0x42, 0xc0, 0x28, 0xd9, 0x00, 0x78, 0x02, 0x27, 0xe5, 0x84, 0x00, 0x00, 0x03, 0x00, 0x04,
		0x00, 0x00, 0x03, 0x00, 0xf0, 0x3c, 0x60, 0xc9, 0x20,
	}
	testPPS = []byte{0x68, 0x08}
	testIDR = []byte{0x65, 0x88, 0x84, 0x00, 0x10}
)

// remote is the server that a source pulls from. Set the fields, then start it.
type remote struct {
	t    testing.TB
	desc *description.Session // default: one H264 track

	host         string // default 127.0.0.1
	addr         string // default: a random port
	tls          *tls.Config
	udp          bool
	multicast    bool
	auth         []auth.VerifyMethod
	user, pass   string
	editResponse func(*base.Response)            // before it is sent
	write        func(r *remote, n int)          // sends access unit n; default: a key frame on the first track
	mayWrite     func(p gortsplib.Protocol) bool // by transport of the client; default: always

	server *gortsplib.Server
	stream *gortsplib.ServerStream
	ready  chan struct{} // closed when there is a stream
	stop   func()

	mu       sync.Mutex
	requests []*base.Request
	protocol gortsplib.Protocol // of the last SETUP
	secure   bool
	setups   int
	closed   int // sessions
}

func h264Desc() *description.Session {
	return &description.Session{Medias: []*description.Media{{
		Type:    description.MediaTypeVideo,
		Formats: []format.Format{&format.H264{PayloadTyp: 96, PacketizationMode: 1}},
	}}}
}

// start runs the server until the end of the test, or until stop.
func (r *remote) start() *remote {
	r.t.Helper()
	if r.desc == nil {
		r.desc = h264Desc()
	}
	if r.host == "" {
		r.host = "127.0.0.1"
	}
	if r.addr == "" {
		r.addr = net.JoinHostPort(r.host, "0")
	}
	r.ready = make(chan struct{})
	var err error
	for range 20 { // the UDP ports may be taken
		if err = r.listen(); err == nil {
			break
		}
	}
	if err != nil {
		r.t.Fatal(err)
	}
	r.stream = &gortsplib.ServerStream{Server: r.server, Desc: r.desc}
	if err := r.stream.Initialize(); err != nil {
		r.t.Fatal(err)
	}
	close(r.ready)
	var task sync.WaitGroup
	quit := make(chan struct{})
	task.Go(func() { r.feed(quit) })
	r.stop = sync.OnceFunc(func() {
		close(quit)
		task.Wait()
		r.stream.Close()
		r.server.Close()
	})
	r.t.Cleanup(r.stop)
	return r
}

func (r *remote) listen() error {
	port := 20000 + mrand.IntN(20000)*2
	s := &gortsplib.Server{
		Handler: r, RTSPAddress: r.addr, TLSConfig: r.tls, AuthMethods: r.auth,
		Listen: func(network, addr string) (net.Listener, error) {
			ln, err := net.Listen(network, addr)
			if err == nil {
				r.addr = ln.Addr().String()
			}
			return ln, err
		},
	}
	if r.udp {
		s.UDPRTPAddress = net.JoinHostPort(r.host, fmt.Sprint(port))
		s.UDPRTCPAddress = net.JoinHostPort(r.host, fmt.Sprint(port+1))
	}
	if r.multicast {
		s.MulticastIPRange = "224.1.0.0/16"
		s.MulticastRTPPort, s.MulticastRTCPPort = port+2, port+3
	}
	if err := s.Start(); err != nil {
		return err
	}
	r.server = s
	return nil
}

// feed sends an access unit every 10 ms.
func (r *remote) feed(quit <-chan struct{}) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-quit:
			return
		case <-tick.C:
		}
		r.mu.Lock()
		ok := r.setups > 0 && (r.mayWrite == nil || r.mayWrite(r.protocol))
		r.mu.Unlock()
		switch {
		case !ok:
		case r.write != nil:
			r.write(r, n)
		default:
			r.keyFrame(n)
		}
	}
}

// keyFrame sends a key frame in three packets on the first track.
func (r *remote) keyFrame(n int) {
	for i, nalu := range [][]byte{testSPS, testPPS, testIDR} {
		r.send(0, &rtp.Packet{
			Header: rtp.Header{
				Version: 2, PayloadType: 96, SequenceNumber: uint16(n*3 + i), Timestamp: uint32(n * 900), Marker: i == 2,
			},
			Payload: nalu,
		})
	}
}

func (r *remote) send(media int, pkt *rtp.Packet) {
	_ = r.stream.WritePacketRTP(r.desc.Medias[media], pkt)
}

// url of the stream.
func (r *remote) url(scheme, userinfo string) string {
	return scheme + "://" + userinfo + r.addr + "/stream?q=1"
}

// request returns the last request of a method.
func (r *remote) request(m base.Method) *base.Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := len(r.requests) - 1; i >= 0; i-- {
		if r.requests[i].Method == m {
			return r.requests[i]
		}
	}
	return nil
}

func (r *remote) count(m base.Method) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, req := range r.requests {
		if req.Method == m {
			n++
		}
	}
	return n
}

func (r *remote) state() (p gortsplib.Protocol, secure bool, closed int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.protocol, r.secure, r.closed
}

func (r *remote) OnRequest(_ *gortsplib.ServerConn, req *base.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests = append(r.requests, req)
}

func (r *remote) OnResponse(_ *gortsplib.ServerConn, res *base.Response) {
	if r.editResponse != nil {
		r.editResponse(res)
	}
}

func (r *remote) OnSessionClose(*gortsplib.ServerHandlerOnSessionCloseCtx) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed++
}

func (r *remote) OnDescribe(ctx *gortsplib.ServerHandlerOnDescribeCtx) (*base.Response, *gortsplib.ServerStream, error) {
	<-r.ready // clients that come back do not wait for the stream
	if r.user != "" && !ctx.Conn.VerifyCredentials(ctx.Request, r.user, r.pass) {
		return &base.Response{StatusCode: base.StatusUnauthorized}, nil, liberrors.ErrServerAuth{}
	}
	switch {
	case strings.Contains(ctx.Path, "moved"):
		return &base.Response{
			StatusCode: base.StatusMovedPermanently,
			Header:     base.Header{"Location": base.HeaderValue{"rtsp://" + r.addr + "/stream"}},
		}, nil, nil
	case !strings.Contains(ctx.Path, "stream"):
		return &base.Response{StatusCode: base.StatusNotFound}, nil, nil
	}
	return &base.Response{StatusCode: base.StatusOK}, r.stream, nil
}

func (r *remote) OnSetup(ctx *gortsplib.ServerHandlerOnSetupCtx) (*base.Response, *gortsplib.ServerStream, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.setups++
	r.protocol = ctx.Transport.Protocol
	r.secure = ctx.Transport.Profile != 0
	return &base.Response{StatusCode: base.StatusOK}, r.stream, nil
}

func (r *remote) OnPlay(*gortsplib.ServerHandlerOnPlayCtx) (*base.Response, error) {
	return &base.Response{StatusCode: base.StatusOK}, nil
}

// certificate makes a certificate for 127.0.0.1, and its fingerprint.
func certificate(t testing.TB) (*tls.Config, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(der)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, hex.EncodeToString(sum[:])
}
