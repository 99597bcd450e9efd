// Package rtsp serves RTSP and RTSPS (RFC 2326, RFC 7826 clients included):
// clients publish and read streams by UDP, UDP multicast, TCP, and through HTTP
// and WebSocket tunnels. It also has [Forward], a sink that publishes a path on
// another server.
//
//	r, err := mtx.New(mtx.Config{
//		Protocols: []mtx.Protocol{&rtsp.Server{Addr: ":8554"}},
//		Paths:     []mtx.PathConfig{{Name: mtx.AllOthers}},
//	})
//
// A [Server] with a certificate is an RTSPS server: media is carried by SRTP, or
// inside the TLS connection. Programs that want both run two servers.
//
// # How media leaves
//
// Signalling is that of gortsplib. Media to plain unicast readers does not pass
// through it: RTP packets are written by this package, whole access units at a
// time, from bytes that all readers share, with one system call per reader (TCP,
// also with TLS) or less (UDP). SRTP, tunnels and multicast use gortsplib's own
// writer.
//
// Readers begin with a key frame, which they wait for up to five seconds: the next
// one, or one that came while they were asking for the stream, or the last one if
// the path keeps it (router.GOPCache). Multicast is the exception: one stream of
// packets is for all members of a group, who come and go unseen, so each gets what
// comes next.
package rtsp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/auth"

	"github.com/org/mtx/protocol/internal/egress"
	"github.com/org/mtx/router"
)

// Transport is a way to carry RTP.
type Transport string

// Transports.
const (
	UDP       Transport = "udp"
	Multicast Transport = "multicast"
	TCP       Transport = "tcp"
)

// AuthMethod is a way to send credentials.
type AuthMethod string

// Authentication methods.
const (
	Basic  AuthMethod = "basic"
	Digest AuthMethod = "digest"
)

// Server is an RTSP server. With a certificate it is an RTSPS server; run two
// of them to have both. The zero value listens on ":8554" with all transports.
type Server struct {
	// Addr is where RTSP connections are accepted. Default ":8554", with TLS
	// ":8322".
	Addr string

	// Transports are those that clients may ask for. Default: all.
	Transports []Transport

	// RTPAddr and RTCPAddr are the UDP addresses of the unicast transport. The
	// RTP port must be even, and the RTCP port must follow it; port 0 in both
	// takes any free pair. Default ":8000" and ":8001", with TLS (SRTP) ":8004"
	// and ":8005".
	RTPAddr, RTCPAddr string

	// MulticastRange is the IPv4 network from which multicast groups are taken.
	// Default "224.1.0.0/16".
	MulticastRange string

	// MulticastRTPPort and MulticastRTCPPort are the ports of the multicast
	// transport. Default 8002 and 8003, with TLS 8006 and 8007.
	MulticastRTPPort, MulticastRTCPPort int

	// CertFile and KeyFile are PEM files; setting them makes an RTSPS server.
	// They are read again when they change on disk.
	CertFile, KeyFile string

	// TLS is used in place of CertFile and KeyFile.
	TLS *tls.Config

	// AuthMethods that are offered to clients. Default: Basic. Digest needs
	// passwords that the authenticator knows in plain.
	AuthMethods []AuthMethod

	// ReadTimeout bounds how long a publisher may be silent, and how long a
	// connection may take to send its first request. Default 10s.
	ReadTimeout time.Duration

	// WriteTimeout bounds how long a reader may refuse data before it is
	// disconnected. Default 10s.
	WriteTimeout time.Duration

	// WriteQueueSize is the number of packets that wait for a slow reader
	// before packets are discarded. A power of two. Default 512.
	WriteQueueSize int

	// TrustedProxies are networks of proxies that tell by the PROXY protocol,
	// version 1 or 2, whose connections they pass on: in authentication, logs and
	// the API these have the addresses of the clients. UDP does not go through
	// such proxies: let Transports be TCP only. Default: none.
	TrustedProxies []netip.Prefix

	// UDPMaxPayloadSize bounds UDP payloads, in bytes; RTP packets that do not
	// fit are split again. Default 1452, at least 300, at most 1472.
	UDPMaxPayloadSize int

	// UDPReadBufferSize is the size of the UDP receive buffers, in bytes.
	// Default: that of the system.
	UDPReadBufferSize int
}

var _ router.Protocol = (*Server)(nil)

// PathOptions are settings of a path for RTSP publishers; add them to
// router.PathConfig.Extras.
type PathOptions struct {
	// DemuxMPEGTS turns an MPEG transport stream that is published inside RTSP
	// into its elementary streams.
	DemuxMPEGTS bool
}

// idleTimeout is after how long without keep-alive a session is over.
const idleTimeout = 60 * time.Second

// minPacketSize is the smallest payload size that every codec can be split to,
// with SRTP, bytes.
const minPacketSize = 300

// maxPacketSize is the largest UDP payload of IPv4 over Ethernet, bytes.
const maxPacketSize = 1472

func (s *Server) secure() bool { return s.TLS != nil || s.CertFile != "" || s.KeyFile != "" }

// Name implements router.Protocol: "rtsp" or "rtsps".
func (s *Server) Name() string {
	if s.secure() {
		return "rtsps"
	}
	return "rtsp"
}

// withDefaults returns a copy with every field set.
func (s *Server) withDefaults() Server {
	c := *s
	def := func(p *string, plain, secure string) {
		switch {
		case *p != "":
		case s.secure():
			*p = secure
		default:
			*p = plain
		}
	}
	num := func(p *int, plain, secure int) {
		switch {
		case *p != 0:
		case s.secure():
			*p = secure
		default:
			*p = plain
		}
	}
	def(&c.Addr, ":8554", ":8322")
	def(&c.RTPAddr, ":8000", ":8004")
	def(&c.RTCPAddr, ":8001", ":8005")
	def(&c.MulticastRange, "224.1.0.0/16", "224.1.0.0/16")
	num(&c.MulticastRTPPort, 8002, 8006)
	num(&c.MulticastRTCPPort, 8003, 8007)
	num(&c.WriteQueueSize, 512, 512)
	num(&c.UDPMaxPayloadSize, 1452, 1452)
	if c.Transports == nil {
		c.Transports = []Transport{UDP, Multicast, TCP}
	}
	if len(c.AuthMethods) == 0 {
		c.AuthMethods = []AuthMethod{Basic}
	}
	if c.ReadTimeout <= 0 {
		c.ReadTimeout = 10 * time.Second
	}
	if c.WriteTimeout <= 0 {
		c.WriteTimeout = 10 * time.Second
	}
	return c
}

func (s *Server) validate() error {
	switch {
	case s.UDPMaxPayloadSize < minPacketSize || s.UDPMaxPayloadSize > maxPacketSize:
		return fmt.Errorf("UDP payload size %d: must be between %d and %d", s.UDPMaxPayloadSize, minPacketSize, maxPacketSize)
	case s.WriteQueueSize < 1 || s.WriteQueueSize > 1<<16 || s.WriteQueueSize&(s.WriteQueueSize-1) != 0:
		return fmt.Errorf("write queue size %d: must be a power of two between 1 and 65536", s.WriteQueueSize)
	case s.TLS == nil && (s.CertFile == "") != (s.KeyFile == ""):
		return errors.New("a certificate needs a key, and a key a certificate")
	}
	for _, t := range s.Transports {
		if t != UDP && t != Multicast && t != TCP {
			return fmt.Errorf("transport %q: must be udp, multicast or tcp", t)
		}
	}
	for _, m := range s.AuthMethods {
		if m != Basic && m != Digest {
			return fmt.Errorf("authentication method %q: must be basic or digest", m)
		}
	}
	if !slices.Contains(s.Transports, Multicast) {
		return nil
	}
	ip, _, err := net.ParseCIDR(s.MulticastRange)
	if err != nil || ip.To4() == nil || !ip.IsMulticast() {
		return fmt.Errorf("multicast range %q: must be an IPv4 multicast network such as 224.1.0.0/16", s.MulticastRange)
	}
	if s.MulticastRTPPort%2 != 0 || s.MulticastRTCPPort != s.MulticastRTPPort+1 ||
		s.MulticastRTPPort < 0 || s.MulticastRTCPPort > 65535 {
		return fmt.Errorf("multicast ports %d and %d: the first must be even and the second must follow it",
			s.MulticastRTPPort, s.MulticastRTCPPort)
	}
	return nil
}

// server is a Server at work; it is the handler of the library.
type server struct {
	ctx       context.Context //nolint:containedctx // bounds what handlers of the library wait for
	cfg       *Server
	host      *router.Host
	log       *slog.Logger
	secure    bool
	pool      *egress.Pool
	g         *gortsplib.Server
	rtp, rtcp *egress.UDPSocket // nil if UDP is disabled
	wg        sync.WaitGroup

	mu   sync.Mutex
	fans map[*router.Stream]*fan
}

// Serve implements router.Protocol.
func (s *Server) Serve(ctx context.Context, h *router.Host) error {
	cfg := s.withDefaults()
	if err := cfg.validate(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	sv := &server{
		ctx: ctx, cfg: &cfg, host: h, log: h.Log(), secure: s.secure(),
		pool: egress.NewPool(0), fans: map[*router.Stream]*fan{},
	}
	defer sv.pool.Close()
	defer sv.wg.Wait()
	defer cancel()

	g, err := sv.signalling()
	if err != nil {
		return err
	}
	if err := sv.openUDP(g); err != nil {
		return err
	}
	sv.g = g
	if err := g.Start(); err != nil {
		sv.closeUDP()
		return err
	}
	addr := g.NetListener().Addr()
	h.Log().Info("listening", "address", addr.String(), "transports", cfg.Transports)
	h.Ready(addr)
	stopped := make(chan error, 1)
	go func() { stopped <- g.Wait() }()
	select {
	case <-ctx.Done():
		g.Close()
		<-stopped //nolint:errcheck // it ended because we asked
		return nil
	case err := <-stopped:
		g.Close()
		return err
	}
}

// signalling prepares the library.
func (sv *server) signalling() (*gortsplib.Server, error) {
	g := &gortsplib.Server{
		Handler:           sv,
		RTSPAddress:       sv.cfg.Addr,
		ReadTimeout:       sv.cfg.ReadTimeout,
		WriteTimeout:      sv.cfg.WriteTimeout,
		IdleTimeout:       idleTimeout,
		WriteQueueSize:    sv.cfg.WriteQueueSize, // of SRTP, tunnels and multicast
		MaxPacketSize:     sv.cfg.UDPMaxPayloadSize,
		UDPReadBufferSize: sv.cfg.UDPReadBufferSize,
		Listen:            sv.listen,
		ListenPacket:      sv.listenPacket,
	}
	for _, m := range sv.cfg.AuthMethods {
		if m == Basic {
			g.AuthMethods = append(g.AuthMethods, auth.VerifyMethodBasic)
		} else {
			g.AuthMethods = append(g.AuthMethods, auth.VerifyMethodDigestMD5)
		}
	}
	if slices.Contains(sv.cfg.Transports, Multicast) {
		g.MulticastIPRange = sv.cfg.MulticastRange
		g.MulticastRTPPort = sv.cfg.MulticastRTPPort
		g.MulticastRTCPPort = sv.cfg.MulticastRTCPPort
	}
	if !sv.secure {
		return g, nil
	}
	conf, err := sv.cfg.tlsConfig()
	if err != nil {
		return nil, err
	}
	g.TLSConfig = conf
	g.TLSListen = func(network, addr string, conf *tls.Config) (net.Listener, error) {
		ln, err := sv.listen(network, addr)
		if err != nil {
			return nil, err
		}
		return tlsListener{ln, sv, conf}, nil
	}
	return g, nil
}
