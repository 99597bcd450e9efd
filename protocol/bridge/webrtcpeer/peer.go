package webrtcpeer

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"
)

// ICEServer is a STUN or TURN server, as the configuration holds it.
type ICEServer struct {
	URL      string // stun:, stuns:, turn: or turns:
	Username string
	Password string
}

// LogValue implements slog.LogValuer: the password stays out.
func (s ICEServer) LogValue() slog.Value { return slog.StringValue(s.URL) }

// String returns the URL.
func (s ICEServer) String() string { return s.URL }

// GoString keeps the password out of %#v.
func (s ICEServer) GoString() string { return fmt.Sprintf("ICEServer{URL: %q}", s.URL) }

// Peer is what [Receiver] and [Sender] have in common. Its methods may be called
// concurrently.
type Peer struct {
	engine *Engine
	api    *webrtc.API
	pc     *webrtc.PeerConnection
	log    *slog.Logger

	connected     chan struct{}
	connectedOnce sync.Once
	done          chan struct{}

	endOnce sync.Once
	err     error // before done is closed
	ended   chan struct{}
	closing atomic.Bool

	handshakes    context.Context //nolint:containedctx // of DTLS, see dtlsContext
	endHandshakes context.CancelFunc

	mu      sync.Mutex
	timer   *time.Timer    // of the handshake
	waiting bool           // for wg: nothing may be added
	wg      sync.WaitGroup // goroutines that read from pc

	signal   sync.Mutex // descriptions and candidates change one at a time
	received remoteState
	counters counters
	outbound hook[func(*Stats)] // adds what a viewer counts
	release  hook[func()]       // called at the very end
}

// hook is a function that is set later.
type hook[F any] struct{ p atomic.Pointer[F] }

func (h *hook[F]) Store(f F) { h.p.Store(&f) }

func (h *hook[F]) Load() (f F, ok bool) {
	p := h.p.Load()
	if p == nil {
		return f, false
	}
	return *p, true
}

// remoteState is what is kept of the remote description, guarded by Peer.signal.
type remoteState struct {
	known      bool // there is one
	offer      bool
	ufrag, pwd string
	candidates int
}

// newPeer opens a peer connection; the handshake is watched from start on.
func (e *Engine) newPeer(pcs *peerSettings, servers []ICEServer, log *slog.Logger) (*Peer, error) {
	if log == nil {
		log = e.cfg.Log
	}
	p := &Peer{
		engine: e, log: log,
		connected: make(chan struct{}), done: make(chan struct{}), ended: make(chan struct{}),
	}
	p.handshakes, p.endHandshakes = context.WithCancel(context.Background())
	api, err := pcs.api(e, p)
	if err != nil {
		return nil, err
	}
	p.api = api
	p.pc, err = api.NewPeerConnection(webrtc.Configuration{
		ICEServers: iceServers(servers), Certificates: e.certs,
	})
	if err != nil {
		return nil, fmt.Errorf("peer connection: %w", err)
	}
	if err := e.add(p); err != nil {
		_ = p.pc.GracefulClose()
		return nil, err
	}
	p.pc.OnConnectionStateChange(p.stateChanged)
	return p, nil
}

func iceServers(servers []ICEServer) []webrtc.ICEServer {
	list := make([]webrtc.ICEServer, 0, len(servers))
	for _, s := range servers {
		ws := webrtc.ICEServer{URLs: []string{s.URL}}
		if s.Username != "" || s.Password != "" {
			ws.Username, ws.Credential = s.Username, s.Password
		}
		list = append(list, ws)
	}
	return list
}

// start begins the time of the handshake.
func (p *Peer) start() {
	timeout := p.engine.cfg.HandshakeTimeout
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closing.Load() {
		return
	}
	p.timer = time.AfterFunc(timeout, func() {
		if !p.Established() {
			p.end(&reasonError{ErrHandshakeTimeout, fmt.Sprintf(
				"the connection was not established within %v: no address of the other side answered, or DTLS failed", timeout)})
		}
	})
}

func (p *Peer) stateChanged(s webrtc.PeerConnectionState) {
	switch s {
	case webrtc.PeerConnectionStateConnected:
		p.connectedOnce.Do(func() { close(p.connected) })
	case webrtc.PeerConnectionStateFailed:
		reason := &reasonError{ErrConnectionLost, "the connection is lost: nothing arrives any more"}
		if !p.Established() {
			reason = &reasonError{ErrHandshakeTimeout, "the connection could not be established"}
		}
		p.end(reason)
	case webrtc.PeerConnectionStateClosed:
		p.end(ErrRemoteClosed)
	}
}

// end ends the peer, once. It does not wait.
func (p *Peer) end(reason error) {
	p.endOnce.Do(func() {
		p.err = reason
		p.closing.Store(true)
		close(p.done)
		p.endHandshakes()
		go func() {
			defer p.engine.remove(p)
			defer close(p.ended)
			p.mu.Lock()
			if p.timer != nil {
				p.timer.Stop()
			}
			p.mu.Unlock()
			_ = p.pc.GracefulClose()
			p.mu.Lock()
			p.waiting = true
			p.mu.Unlock()
			p.wg.Wait()
			if f, ok := p.release.Load(); ok {
				f()
			}
		}()
	})
}

// dtlsContext bounds a handshake. Without it, one that begins in the moment in which
// the peer ends has nobody who ends it: the library has closed what it reads from
// before it opens it, and waits for it when it is closed.
func (p *Peer) dtlsContext() (context.Context, func()) {
	return context.WithCancel(p.handshakes)
}

// Close ends the peer and waits until nothing of it is left.
func (p *Peer) Close() {
	p.end(ErrClosed)
	<-p.ended
}

// Done is closed when the peer ends.
func (p *Peer) Done() <-chan struct{} { return p.done }

// Err tells why the peer ended; nil before.
func (p *Peer) Err() error {
	select {
	case <-p.done:
		return p.err
	default:
		return nil
	}
}

// Established tells whether ICE and DTLS have succeeded.
func (p *Peer) Established() bool {
	select {
	case <-p.connected:
		return true
	default:
		return false
	}
}

// Connected waits until ICE and DTLS have succeeded.
func (p *Peer) Connected(ctx context.Context) error {
	select {
	case <-p.connected:
		return nil
	default:
	}
	select {
	case <-p.connected:
		return nil
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// goRead runs a goroutine that ends with the connection. A panic in it ends the
// peer only.
func (p *Peer) goRead(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting {
		return
	}
	p.wg.Add(1)
	go func() {
		defer p.wg.Done()
		defer func() {
			if v := recover(); v != nil {
				p.log.Error("panic", "error", v, "stack", string(debug.Stack()))
				p.end(fmt.Errorf("panic: %v", v))
			}
		}()
		f()
	}()
}

func (p *Peer) writeRTCP(pkts ...rtcp.Packet) {
	if err := p.pc.WriteRTCP(pkts); err != nil && !p.closing.Load() {
		p.log.Debug("RTCP not sent", "error", err)
	}
}

// guard turns a panic of the library, on bytes from the network, into an error.
func guard(reason error, f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &reasonError{reason, fmt.Sprintf("%v: it cannot be parsed", reason)}
		}
	}()
	return f()
}
