// Package rtmp serves RTMP and RTMPS, plain and enhanced: clients publish and read
// streams. It also has [Forward], a sink that publishes a path on another server.
//
//	r, err := mtx.New(mtx.Config{
//		Protocols: []mtx.Protocol{&rtmp.Server{Addr: ":1935"}},
//		Paths:     []mtx.PathConfig{{Name: mtx.AllOthers}},
//	})
//
// A [Server] with a certificate is an RTMPS server. Programs that want both run
// two servers.
//
// # Paths and credentials
//
// The name of a path is the application, and the stream key if there is one, with
// a slash between them: rtmp://host/a/b, or the server rtmp://host/a with the key
// b. Credentials are taken from the query of either (user and pass, jwt or token),
// or from the URL (rtmp://user:pass@host/a), see [Server.AskCredentials].
//
// # How media leaves
//
// Messages are made once per stream, from whole access units, and shared by all
// its readers, with one system call for each. Who is too slow loses pictures up to
// the next key frame. Codecs that plain RTMP does not have are sent by enhanced
// RTMP. Clients that do not say that they know it (fourCcList or capsEx) get the
// first video and the first audio track only: many take others for old codecs.
package rtmp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/org/mtx/protocol/bridge/rtmpconn"
	"github.com/org/mtx/protocol/internal/egress"
	"github.com/org/mtx/protocol/internal/proxied"
	"github.com/org/mtx/protocol/internal/tlscert"
	"github.com/org/mtx/router"
)

// Server is an RTMP server. With a certificate it is an RTMPS server; run two of
// them to have both. The zero value listens on ":1935".
type Server struct {
	// Addr is where connections are accepted. Default ":1935", with TLS ":1936".
	Addr string

	// CertFile and KeyFile are PEM files; setting them makes an RTMPS server.
	// They are read again when they change on disk.
	CertFile, KeyFile string

	// TLS is used in place of CertFile and KeyFile.
	TLS *tls.Config

	// ReadTimeout bounds how long a client may take to say what it wants, and how
	// long a publisher may be silent. Default 10s.
	ReadTimeout time.Duration

	// WriteTimeout bounds how long a client may refuse data before it is
	// disconnected. Default 10s.
	WriteTimeout time.Duration

	// WriteQueueSize is about how many messages wait for a slow reader before
	// pictures are discarded: 4 KiB are reckoned for each. A power of two.
	// Default 512.
	WriteQueueSize int

	// AskCredentials asks clients that send no credentials when they connect for
	// those of their URL (rtmp://user:pass@host/path), in the way of Adobe's
	// servers: the only one that makes FFmpeg and OBS Studio send them. Clients
	// whose credentials are in the query of the stream key cannot connect then,
	// and those without credentials neither. Clients that begin with it by
	// themselves are always served.
	AskCredentials bool

	// TrustedProxies are networks of proxies that tell by the PROXY protocol,
	// version 1 or 2, whose connections they pass on: in authentication, logs and
	// the API these have the addresses of the clients. Default: none.
	TrustedProxies []netip.Prefix
}

var _ router.Protocol = (*Server)(nil)

// bytesPerMessage is what WriteQueueSize counts.
const bytesPerMessage = 4 << 10

func (s *Server) secure() bool { return s.TLS != nil || s.CertFile != "" || s.KeyFile != "" }

// Name implements router.Protocol: "rtmp" or "rtmps".
func (s *Server) Name() string {
	if s.secure() {
		return "rtmps"
	}
	return "rtmp"
}

// withDefaults returns a copy with every field set.
func (s *Server) withDefaults() Server {
	c := *s
	switch {
	case c.Addr != "":
	case s.secure():
		c.Addr = ":1936"
	default:
		c.Addr = ":1935"
	}
	if c.ReadTimeout <= 0 {
		c.ReadTimeout = 10 * time.Second
	}
	if c.WriteTimeout <= 0 {
		c.WriteTimeout = 10 * time.Second
	}
	if c.WriteQueueSize == 0 {
		c.WriteQueueSize = 512
	}
	return c
}

func (s *Server) validate() error {
	switch {
	case s.WriteQueueSize < 1 || s.WriteQueueSize > 1<<16 || s.WriteQueueSize&(s.WriteQueueSize-1) != 0:
		return fmt.Errorf("write queue size %d: must be a power of two between 1 and 65536", s.WriteQueueSize)
	case s.TLS == nil && (s.CertFile == "") != (s.KeyFile == ""):
		return errors.New("a certificate needs a key, and a key a certificate")
	}
	return nil
}

func (s *Server) tlsConfig() (*tls.Config, error) {
	switch {
	case s.TLS != nil:
		return s.TLS, nil
	case s.secure():
		return tlscert.Config(s.CertFile, s.KeyFile)
	}
	return nil, nil
}

// server is a Server at work.
type server struct {
	cfg    *Server
	host   *router.Host
	log    *slog.Logger
	tls    *tls.Config // nil: plain
	pool   *egress.Pool
	secret string // of challenges

	mu   sync.Mutex
	fans map[*router.Stream]*fan
}

// Serve implements router.Protocol.
func (s *Server) Serve(ctx context.Context, h *router.Host) error {
	cfg := s.withDefaults()
	if err := cfg.validate(); err != nil {
		return err
	}
	conf, err := s.tlsConfig()
	if err != nil {
		return err
	}
	ln, err := h.Listen("tcp", cfg.Addr)
	if err != nil {
		return err
	}
	sv := &server{
		cfg: &cfg, host: h, log: h.Log(), tls: conf, pool: egress.NewPool(0),
		secret: rtmpconn.NewSecret(), fans: map[*router.Stream]*fan{},
	}
	defer sv.pool.Close()
	h.Log().Info("listening", "address", ln.Addr().String())
	return h.ServeListener(ctx, proxied.Listen(ln, cfg.TrustedProxies, h.Log()), sv.handle)
}
