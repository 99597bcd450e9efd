// Package srt serves SRT, the Secure Reliable Transport of MPEG transport streams:
// clients publish and read streams by calling the server. It also has [Forward],
// a sink that publishes a path on another server.
//
//	r, err := mtx.New(mtx.Config{
//		Protocols: []mtx.Protocol{&srt.Server{}},
//		Paths:     []mtx.PathConfig{{Name: mtx.AllOthers}},
//	})
//
// What a client wants is in its stream id:
//
//	srt://host:8890?streamid=publish:cam
//	srt://host:8890?streamid=read:cam:user:password
//	srt://host:8890?streamid=#!::m=publish,r=cam,u=user,s=password
//
// # How media leaves
//
// A stream is put into transport packets once for all of its readers, whose
// connections refer to the same bytes until these are acknowledged. Connections
// share one socket and cost neither a goroutine nor a timer.
package srt

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/org/mtx/protocol/internal/egress"
	"github.com/org/mtx/protocol/internal/srtcore"
	"github.com/org/mtx/router"
)

// Server is an SRT server. The zero value listens on ":8890".
type Server struct {
	// Addr is the UDP address. Default ":8890".
	Addr string

	// Latency is the time within which lost packets are recovered, and by which
	// media is delayed for it. The larger one of both sides counts. Default
	// 120ms, at most 65s.
	Latency time.Duration

	// ReadTimeout bounds how long a client may be silent, and a publisher without
	// media. Default 10s.
	ReadTimeout time.Duration

	// WriteTimeout bounds how long a reader may fail to acknowledge what it is
	// sent. Default 10s.
	WriteTimeout time.Duration

	// UDPMaxPayloadSize bounds UDP payloads, in bytes. Default 1452, at least
	// 204 (one transport packet), at most 1472.
	UDPMaxPayloadSize int

	// UDPReadBufferSize is the size of the UDP receive buffer, in bytes. Default:
	// 4 MiB, or what the system allows.
	UDPReadBufferSize int
}

var _ router.Protocol = (*Server)(nil)

// PathOptions are settings of a path for SRT clients; add them to
// router.PathConfig.Extras.
type PathOptions struct {
	// PublishPassphrase and ReadPassphrase encrypt connections. Clients with
	// another passphrase, or with none, are refused, as are clients that encrypt
	// where there is none. 10 to 79 characters.
	PublishPassphrase, ReadPassphrase string
}

// Bounds of passphrases, bytes.
const (
	minPassphrase = 10
	maxPassphrase = 79
)

// Validate tells what is wrong with the options.
func (o PathOptions) Validate() error {
	for _, p := range []struct{ what, value string }{{"publish", o.PublishPassphrase}, {"read", o.ReadPassphrase}} {
		if n := len(p.value); n != 0 && (n < minPassphrase || n > maxPassphrase) {
			return fmt.Errorf("SRT %s passphrase of %d characters: it must have between %d and %d", p.what, n, minPassphrase, maxPassphrase)
		}
	}
	return nil
}

// String keeps passphrases out of logs.
func (o PathOptions) String() string { return "SRT passphrases" }

// GoString keeps passphrases out of logs.
func (o PathOptions) GoString() string { return "srt.PathOptions{...}" }

// Name implements router.Protocol: "srt".
func (s *Server) Name() string { return "srt" }

const (
	tsPacket  = 188
	srtHeader = 16 // bytes in front of every payload

	minUDPPayload = tsPacket + srtHeader
	maxUDPPayload = 1472 // of IPv4 over Ethernet

	maxLatency = 65 * time.Second

	// acceptTimeout bounds authentication and the start of on-demand sources.
	acceptTimeout = 30 * time.Second

	// openTimeout bounds the time between the decision about a client and the
	// opening of its connection, of which there is no news if it fails.
	openTimeout = 10 * time.Second
)

func (s *Server) withDefaults() Server {
	c := *s
	if c.Addr == "" {
		c.Addr = ":8890"
	}
	for _, d := range []*time.Duration{&c.ReadTimeout, &c.WriteTimeout} {
		if *d <= 0 {
			*d = 10 * time.Second
		}
	}
	if c.UDPMaxPayloadSize == 0 {
		c.UDPMaxPayloadSize = 1452
	}
	return c
}

// Validate tells what is wrong with the server.
func (s *Server) Validate() error {
	c := s.withDefaults()
	switch {
	case c.UDPMaxPayloadSize < minUDPPayload || c.UDPMaxPayloadSize > maxUDPPayload:
		return fmt.Errorf("UDP payload size %d: must be between %d and %d", c.UDPMaxPayloadSize, minUDPPayload, maxUDPPayload)
	case c.Latency < 0 || c.Latency > maxLatency:
		return fmt.Errorf("latency %v: must be between 0 and %v", c.Latency, maxLatency)
	case c.UDPReadBufferSize < 0:
		return fmt.Errorf("UDP read buffer size %d: must not be negative", c.UDPReadBufferSize)
	}
	if _, _, err := net.SplitHostPort(c.Addr); err != nil {
		return fmt.Errorf("SRT address %q: must be HOST:PORT or :PORT", c.Addr)
	}
	return nil
}

// packetPayload is the size of a full packet: as many transport packets as fit.
func (s *Server) packetPayload() int { return (s.UDPMaxPayloadSize - srtHeader) / tsPacket * tsPacket }

// server is a Server at work.
type server struct {
	ctx  context.Context //nolint:containedctx // bounds what callbacks of the listener wait for
	cfg  *Server
	host *router.Host
	log  *slog.Logger
	pool *egress.Pool
	wg   sync.WaitGroup

	mu       sync.Mutex
	fans     map[*router.Stream]*fan
	sessions map[*session]struct{}
}

// Serve implements router.Protocol.
func (s *Server) Serve(ctx context.Context, h *router.Host) error {
	if err := s.Validate(); err != nil {
		return err
	}
	cfg := s.withDefaults()
	sock, err := listenUDP(cfg.Addr)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	sv := &server{
		ctx: ctx, cfg: &cfg, host: h, log: h.Log(), pool: egress.NewPool(0),
		fans: map[*router.Stream]*fan{}, sessions: map[*session]struct{}{},
	}
	defer sv.pool.Close()
	defer sv.wg.Wait()
	defer cancel()
	l, err := srtcore.Listen(sock, srtcore.Config{
		Accept:          sv.accept,
		AcceptTimeout:   acceptTimeout,
		Latency:         cfg.Latency,
		PeerIdleTimeout: cfg.ReadTimeout,
		MaxPayload:      cfg.packetPayload(),
		ReceiveBuffer:   cfg.UDPReadBufferSize,
		Tap:             h.Packets(),
		TapName:         s.Name(),
		Log:             h.Log(),
	})
	if err != nil {
		_ = sock.Close()
		return err
	}
	h.Log().Info("listening", "address", sock.LocalAddr().String())
	h.Ready(sock.LocalAddr())
	sv.wg.Go(sv.watch)
	<-ctx.Done()
	cancel()
	l.Close()
	sv.endAll()
	return nil
}

// listenUDP takes 0.0.0.0 literally: without IPv6.
func listenUDP(addr string) (*net.UDPConn, error) {
	a, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		return nil, fmt.Errorf("SRT address %q: %w", addr, err)
	}
	if a.IP.To4() != nil {
		return net.ListenUDP("udp4", a)
	}
	return net.ListenUDP("udp", a)
}

// endAll ends sessions whose connections never opened.
func (sv *server) endAll() {
	sv.mu.Lock()
	var left []*session
	for s := range sv.sessions {
		left = append(left, s)
	}
	sv.mu.Unlock()
	for _, s := range left {
		s.end(errStops)
	}
}

var errStops = errors.New("the server stops")

// watchPeriod is how often sessions are looked at.
const watchPeriod = time.Second

// watch looks for clients that stopped working, for all sessions at once.
func (sv *server) watch() {
	t := time.NewTicker(watchPeriod)
	defer t.Stop()
	for {
		select {
		case <-sv.ctx.Done():
			return
		case now := <-t.C:
			sv.mu.Lock()
			list := make([]*session, 0, len(sv.sessions))
			for s := range sv.sessions {
				list = append(list, s)
			}
			sv.mu.Unlock()
			for _, s := range list {
				s.check(now)
			}
		}
	}
}
