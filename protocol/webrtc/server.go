// Package webrtc serves WebRTC by HTTP: clients publish with WHIP (RFC 9725) and
// read with WHEP (draft-ietf-wish-whep), and browsers have pages for both.
//
//	r, err := mtx.New(mtx.Config{
//		Protocols: []mtx.Protocol{&webrtc.Server{HTTP: httpserver.Listen{Addr: ":8889"}}},
//		Paths:     []mtx.PathConfig{{Name: mtx.AllOthers}},
//	})
//
// The path "cam" is then at
//
//	http://localhost:8889/cam/          the page that plays it
//	http://localhost:8889/cam/publish   the page that publishes a camera
//	http://localhost:8889/cam/whip      for programs that publish
//	http://localhost:8889/cam/whep      for programs that read
//
// Browsers give cameras to pages only if these come by HTTPS, or from the same
// machine.
//
// # How it works
//
// A client posts an offer and gets an answer, along with the URL of its session,
// which holds a secret: whoever knows it may change the session (PATCH) or end
// it (DELETE) without other credentials. Media goes by UDP through one port for
// all clients, or by TCP, see [Server.UDPAddr] and [Server.TCPAddr].
//
// A stream is packed into RTP packets once for all viewers, which differ in keys
// and payload types only. Viewers begin with a key frame; publishers that can be
// asked for one are asked when somebody joins.
//
// # Behind a NAT
//
// Clients learn the addresses of the network interfaces of this machine. If it
// is reached through others, name them in [Server.AdditionalHosts]. If clients
// sit behind firewalls, [Server.ICEServers] names STUN and TURN servers.
package webrtc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/org/mtx/protocol/bridge/webrtcpeer"
	"github.com/org/mtx/protocol/httpserver"
	"github.com/org/mtx/protocol/internal/egress"
	"github.com/org/mtx/protocol/internal/rtcegress"
	"github.com/org/mtx/router"
)

// Server is a WebRTC server. The zero value serves HTTP on port 8889 and media
// on UDP port 8189.
//
// ICEServers and QueryToken can be changed while it runs; changes of other
// fields disconnect clients.
type Server struct {
	// HTTP is where it listens. Default httpserver.Listen{Addr: ":8889"}.
	HTTP httpserver.Endpoint

	// UDPAddr is the UDP address for media of all clients. Default ":8189", unless
	// NoUDP is set.
	UDPAddr string

	// NoUDP switches the UDP port off. Clients then use TCP or, if there is no
	// TCP either, every session has UDP ports of its own.
	NoUDP bool

	// UDP is used in place of UDPAddr. It is closed when Serve returns.
	UDP net.PacketConn

	// TCPAddr is the TCP address for media, for clients whose network has no UDP.
	// Default: none.
	TCPAddr string

	// TCP is used in place of TCPAddr. It is closed when Serve returns.
	TCP net.Listener

	// NoInterfaces keeps the addresses of network interfaces from clients, which
	// then need AdditionalHosts or ICEServers.
	NoInterfaces bool

	// Interfaces are the names of the network interfaces whose addresses clients
	// are told. Default: all.
	Interfaces []string

	// AdditionalHosts are IP addresses and host names that clients are told.
	AdditionalHosts []string

	// ICEServers are STUN and TURN servers. Default: none.
	ICEServers []ICEServer

	// STUNGatherTimeout bounds how long an answer waits for STUN and TURN
	// servers. Default 5s.
	STUNGatherTimeout time.Duration

	// HandshakeTimeout bounds the time from the answer to the connection. Default
	// 10s.
	HandshakeTimeout time.Duration

	// TrackGatherTimeout bounds how long a publisher, once connected, may take
	// until media of all its tracks has come; then those without are left out.
	// Default 2s.
	TrackGatherTimeout time.Duration

	// UDPReadBufferSize is the size of the UDP receive buffer, in bytes. Default:
	// what the system gives.
	UDPReadBufferSize int

	// QueryToken accepts a token in the query parameter "jwt" or "token" of a
	// URL, where it may end up in logs.
	QueryToken bool
}

var _ router.HotProtocol = (*Server)(nil)

// Name implements router.Protocol.
func (s *Server) Name() string { return "webrtc" }

func (s *Server) withDefaults() Server {
	c := *s
	if c.HTTP == nil {
		c.HTTP = httpserver.Listen{Addr: ":8889"}
	}
	if c.UDPAddr == "" && !c.NoUDP {
		c.UDPAddr = ":8189"
	}
	if c.STUNGatherTimeout <= 0 {
		c.STUNGatherTimeout = 5 * time.Second
	}
	if c.HandshakeTimeout <= 0 {
		c.HandshakeTimeout = 10 * time.Second
	}
	if c.TrackGatherTimeout <= 0 {
		c.TrackGatherTimeout = 2 * time.Second
	}
	return c
}

// maxTimeout bounds the timeouts, which bound what a client can hold without
// being connected.
const maxTimeout = 10 * time.Minute

// Validate tells what is wrong with the values.
func (s *Server) Validate() error {
	c := s.withDefaults()
	for _, a := range []struct {
		what, addr string
		used       bool
	}{
		{"UDP", c.UDPAddr, !c.NoUDP && c.UDP == nil},
		{"TCP", c.TCPAddr, c.TCPAddr != "" && c.TCP == nil},
	} {
		if _, _, err := net.SplitHostPort(a.addr); a.used && err != nil {
			return fmt.Errorf("WebRTC %s address %q: must be HOST:PORT or :PORT", a.what, a.addr)
		}
	}
	for _, d := range []struct {
		what  string
		value time.Duration
	}{
		{"STUN gather", c.STUNGatherTimeout}, {"handshake", c.HandshakeTimeout}, {"track gather", c.TrackGatherTimeout},
	} {
		if d.value > maxTimeout {
			return fmt.Errorf("WebRTC %s timeout %v: must be at most %v", d.what, d.value, maxTimeout)
		}
	}
	if c.UDPReadBufferSize < 0 {
		return fmt.Errorf("WebRTC UDP read buffer size %d: must not be negative", c.UDPReadBufferSize)
	}
	for _, h := range c.AdditionalHosts {
		if h == "" {
			return errors.New("WebRTC additional host \"\": must be an IP address or a host name")
		}
	}
	for _, i := range c.ICEServers {
		if err := i.Validate(); err != nil {
			return err
		}
	}
	if c.NoInterfaces && len(c.AdditionalHosts) == 0 && len(c.ICEServers) == 0 {
		return errors.New("WebRTC without the addresses of interfaces needs additional hosts, or ICE servers")
	}
	return nil
}

// CanUpdate implements router.HotProtocol.
func (s *Server) CanUpdate(next router.Protocol) bool {
	n, ok := next.(*Server)
	if !ok || n.Validate() != nil {
		return false
	}
	a, b := s.withDefaults(), n.withDefaults()
	a.ICEServers, a.QueryToken = b.ICEServers, b.QueryToken
	return reflect.DeepEqual(a, b)
}

// server is a Server at work.
type server struct {
	cfg    *Server // what cannot change
	hot    atomic.Pointer[Server]
	ctx    context.Context //nolint:containedctx // bounds sessions, which outlive requests
	host   *router.Host
	log    *slog.Logger
	engine *webrtcpeer.Engine
	pool   *egress.Pool
	pages  *pages
	wg     sync.WaitGroup

	mu       sync.Mutex
	sessions map[string]*session // by secret
	pending  map[string]int      // sessions that are not connected, by address of the client
	waiting  int                 // sum of pending
	fans     map[*router.Stream]*fan
}

// Serve implements router.Protocol.
func (s *Server) Serve(ctx context.Context, h *router.Host) error {
	if err := s.Validate(); err != nil {
		return errors.Join(err, s.closeGiven())
	}
	cfg := s.withDefaults()
	pages, err := newPages()
	if err != nil {
		return errors.Join(err, s.closeGiven())
	}
	socks, err := cfg.open(h)
	if err != nil {
		return err
	}
	defer socks.close()
	engine, err := webrtcpeer.NewEngine(socks.engineConfig(&cfg, h.Log()))
	if err != nil {
		return err
	}
	defer engine.Close()
	defer socks.closeConns()
	ctx, cancel := context.WithCancel(ctx)
	sv := &server{
		cfg: &cfg, ctx: ctx, host: h, log: h.Log(), engine: engine, pool: egress.NewPool(0), pages: pages,
		sessions: map[string]*session{}, pending: map[string]int{}, fans: map[*router.Stream]*fan{},
	}
	sv.hot.Store(&cfg)
	defer sv.pool.Close()
	defer sv.wg.Wait()
	defer cancel()
	sv.wg.Go(sv.follow)
	e := httpserver.WithDefaults(cfg.HTTP, h.Log(), h.Listen)
	return e.Serve(ctx, sv, func(a net.Addr) { sv.ready(a, socks) })
}

// follow takes changes of the configuration.
func (sv *server) follow() {
	for {
		select {
		case next := <-sv.host.Updates():
			if n, ok := next.(*Server); ok {
				c := n.withDefaults()
				sv.hot.Store(&c)
				sv.log.Info("configuration has changed", "iceServers", len(c.ICEServers))
			}
		case <-sv.ctx.Done():
			return
		}
	}
}

// ready tells the addresses: of HTTP, unless it is that of the program, then of
// media.
func (sv *server) ready(http net.Addr, socks *sockets) {
	var addrs []net.Addr
	var attrs []any
	add := func(name string, a net.Addr) {
		addrs = append(addrs, a)
		attrs = append(attrs, name, a.String())
	}
	if http != nil {
		add("address", http)
	}
	if socks.udp != nil {
		add("udp", socks.udp.LocalAddr())
	}
	if socks.tcp != nil {
		add("tcp", socks.tcp.Addr())
	}
	sv.log.Info("listening", attrs...)
	sv.host.Ready(addrs...)
}

// sockets are those of media.
type sockets struct {
	udp *rtcegress.Conn
	tcp *tcpListener // nil without TCP
}

// closeGiven closes what the program has opened.
func (s *Server) closeGiven() error {
	var errs []error
	if s.UDP != nil {
		errs = append(errs, s.UDP.Close())
	}
	if s.TCP != nil {
		errs = append(errs, s.TCP.Close())
	}
	return errors.Join(errs...)
}

// open opens the sockets.
func (s *Server) open(h *router.Host) (*sockets, error) {
	socks := &sockets{}
	var err error
	switch {
	case s.UDP != nil:
		socks.udp, err = rtcegress.Wrap(s.UDP)
	case !s.NoUDP:
		socks.udp, err = rtcegress.Listen(s.UDPAddr)
	}
	if err != nil {
		return nil, errors.Join(err, s.closeGiven())
	}
	if socks.udp != nil {
		socks.udp.SetTap(s.Name(), h.Packets())
		if s.UDPReadBufferSize > 0 {
			_ = socks.udp.SetReadBuffer(s.UDPReadBufferSize) // the system may give less
		}
	}
	ln := s.TCP
	if ln == nil && s.TCPAddr != "" {
		if ln, err = h.Listen("tcp", s.TCPAddr); err != nil {
			socks.close()
			return nil, err
		}
	}
	if ln != nil {
		socks.tcp = newTCPListener(ln)
	}
	return socks, nil
}

func (s *sockets) engineConfig(c *Server, log *slog.Logger) webrtcpeer.EngineConfig {
	e := webrtcpeer.EngineConfig{
		UDP:          s.udp,
		NoInterfaces: c.NoInterfaces, Interfaces: c.Interfaces, AdditionalHosts: c.AdditionalHosts,
		HandshakeTimeout:   c.HandshakeTimeout,
		TrackGatherTimeout: c.TrackGatherTimeout,
		STUNGatherTimeout:  c.STUNGatherTimeout,
		UDPReadBufferSize:  c.UDPReadBufferSize,
		Log:                log,
	}
	if s.tcp != nil {
		e.TCP = s.tcp
	}
	return e
}

// closeConns is called when the sessions have ended.
func (s *sockets) closeConns() {
	if s.tcp != nil {
		s.tcp.closeConns()
	}
}

// close is called when the engine is gone.
func (s *sockets) close() {
	if s.udp != nil {
		_ = s.udp.Close()
	}
	if s.tcp != nil {
		_ = s.tcp.Close()
	}
}
