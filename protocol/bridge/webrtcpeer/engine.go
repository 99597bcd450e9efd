package webrtcpeer

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/webrtc/v4"

	"github.com/org/mtx/protocol/internal/rtcegress"
)

// Defaults of [EngineConfig].
const (
	DefaultHandshakeTimeout   = 10 * time.Second
	DefaultTrackGatherTimeout = 2 * time.Second
	DefaultSTUNGatherTimeout  = 5 * time.Second
)

// EngineConfig is what the peers of an [Engine] share.
type EngineConfig struct {
	// UDP is one port for all peers. If both UDP and TCP are nil, then every peer
	// opens sockets of its own, as clients do.
	UDP *rtcegress.Conn

	// TCP is one port for all peers that connect with ICE over TCP (RFC 6544).
	// Optional.
	TCP net.Listener

	// NoInterfaces leaves the addresses of network interfaces out: only
	// AdditionalHosts, and what ICE servers tell, is offered.
	NoInterfaces bool

	// Interfaces are the names of the network interfaces whose addresses are
	// offered; empty means all. Loopback interfaces are offered if they are named
	// or if there is no other address.
	Interfaces []string

	// AdditionalHosts are IP addresses and host names that are offered too, with
	// the ports of UDP and TCP. Names are resolved again from time to time.
	AdditionalHosts []string

	// HandshakeTimeout is the time for ICE and DTLS. Defaults to DefaultHandshakeTimeout.
	HandshakeTimeout time.Duration

	// TrackGatherTimeout is the time in which the tracks of a publisher must have
	// a packet. Defaults to DefaultTrackGatherTimeout.
	TrackGatherTimeout time.Duration

	// STUNGatherTimeout is the time for finding the own addresses through ICE
	// servers. Defaults to DefaultSTUNGatherTimeout.
	STUNGatherTimeout time.Duration

	// UDPReadBufferSize is the size of the receive buffer of the sockets that peers
	// open, in bytes; zero is the default of the system. The owner of UDP sets it
	// there.
	UDPReadBufferSize int

	// Log is mandatory.
	Log *slog.Logger
}

// Engine makes peers. Its methods may be called concurrently.
type Engine struct {
	cfg   EngineConfig
	certs []webrtc.Certificate // one for all: joining costs no key
	hosts *hosts
	net   *hostNet
	udp   *lentUDP
	tcp   *lentListener
	// nil without a port
	udpMux *udpMux
	tcpMux *ice.TCPMuxDefault

	mu     sync.Mutex
	peers  map[*Peer]struct{}
	closed bool
	wg     sync.WaitGroup // everything that peers start
	once   sync.Once      // closes the rest
}

// NewEngine returns an engine. The sockets stay with the caller, who closes them
// after Engine.Close.
func NewEngine(cfg EngineConfig) (*Engine, error) {
	if cfg.Log == nil {
		return nil, errors.New("webrtcpeer: EngineConfig.Log is missing")
	}
	setDefault(&cfg.HandshakeTimeout, DefaultHandshakeTimeout)
	setDefault(&cfg.TrackGatherTimeout, DefaultTrackGatherTimeout)
	setDefault(&cfg.STUNGatherTimeout, DefaultSTUNGatherTimeout)
	e := &Engine{cfg: cfg, peers: map[*Peer]struct{}{}}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("key for DTLS: %w", err)
	}
	cert, err := webrtc.GenerateCertificate(key)
	if err != nil {
		return nil, fmt.Errorf("certificate for DTLS: %w", err)
	}
	e.certs = []webrtc.Certificate{*cert}
	if e.net, err = newHostNet(cfg.UDPReadBufferSize); err != nil {
		return nil, err
	}
	e.hosts = newHosts(cfg)
	e.openMuxes()
	return e, nil
}

func setDefault(d *time.Duration, value time.Duration) {
	if *d <= 0 {
		*d = value
	}
}

// openMuxes lets all peers share the ports.
func (e *Engine) openMuxes() {
	logs := &logFactory{log: e.cfg.Log}
	if e.cfg.UDP != nil {
		e.udp = lendUDP(e.cfg.UDP)
		e.udpMux = &udpMux{
			UDPMuxDefault: ice.NewUDPMuxDefault(ice.UDPMuxParams{
				Logger: logs.NewLogger("ice"), UDPConn: e.udp, Net: e.net,
			}),
			addrs: muxAddrs(e.cfg.UDP.LocalAddr(), e.net),
		}
	}
	if e.cfg.TCP != nil {
		e.tcp = &lentListener{Listener: e.cfg.TCP}
		e.tcpMux = ice.NewTCPMuxDefault(ice.TCPMuxParams{
			Listener: e.tcp, Logger: logs.NewLogger("ice"),
			ReadBufferSize: tcpReadPackets, WriteBufferSize: tcpWriteBuffer,
			FirstStunBindTimeout:         e.cfg.HandshakeTimeout,
			AliveDurationForConnFromStun: e.cfg.HandshakeTimeout,
		})
	}
}

// Buffers of a connection of ICE over TCP.
const (
	tcpReadPackets = 64      // packets
	tcpWriteBuffer = 2 << 20 // bytes; beyond, packets are dropped
)

// server tells whether peers share ports.
func (e *Engine) server() bool { return e.udpMux != nil || e.tcpMux != nil }

// Close ends all peers and waits until nothing of them is left. The sockets stay
// open.
func (e *Engine) Close() {
	e.mu.Lock()
	e.closed = true
	peers := make([]*Peer, 0, len(e.peers))
	for p := range e.peers {
		peers = append(peers, p)
	}
	e.mu.Unlock()

	for _, p := range peers {
		p.end(ErrClosed)
	}
	e.wg.Wait()
	e.once.Do(e.closeMuxes)
}

func (e *Engine) closeMuxes() {
	if e.udpMux != nil {
		_ = e.udpMux.Close()
		e.udp.giveBack()
	}
	if e.tcpMux != nil {
		_ = e.tcpMux.Close()
		e.tcp.giveBack()
	}
	e.hosts.close()
}

// Peers returns the number of peers that live.
func (e *Engine) Peers() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.peers)
}

func (e *Engine) add(p *Peer) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return ErrClosed
	}
	e.peers[p] = struct{}{}
	e.wg.Add(1)
	return nil
}

func (e *Engine) remove(p *Peer) {
	e.mu.Lock()
	delete(e.peers, p)
	e.mu.Unlock()
	e.wg.Done()
}
