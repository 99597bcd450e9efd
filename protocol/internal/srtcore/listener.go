package srtcore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"time"

	"github.com/org/mtx/protocol/internal/egress"
)

// Why connections end.
var (
	ErrPeerClosed = errors.New("srt: closed by the peer")
	ErrPeerIdle   = errors.New("srt: the peer has been silent for too long")
	ErrClosed     = errors.New("srt: closed")
)

const (
	// nap is how long the receive loop waits between reads while it has many connections, so that one read fetches
	// several packets: every reader acknowledges a hundred times a second.
	nap      = 2 * time.Millisecond
	napConns = 8

	// Refused callers are remembered for a while, so that their repeated requests get the same answer.
	rejectionMemory = 3 * time.Second
	maxRejections   = 1024
)

// Listener serves SRT on one socket. Its methods are safe for concurrent use.
type Listener struct {
	cfg     Config
	sock    *egress.UDPSocket
	start   time.Time
	cookies *cookies
	timers  *timers
	cancel  context.CancelFunc

	loops     sync.WaitGroup
	accepts   sync.WaitGroup
	onClose   sync.WaitGroup
	closeOnce sync.Once

	mu        sync.RWMutex
	closed    bool
	conns     map[uint32]*Conn // by our socket id
	peers     map[peerKey]*peer
	accepting map[netip.Addr]int
	pending   int       // calls of Accept
	rejected  []peerKey // oldest first
}

// peerKey identifies a caller, who may have several sockets at one address.
type peerKey struct {
	addr   netip.AddrPort
	socket uint32
}

// peer is what became of a caller. All fields are guarded by Listener.mu.
type peer struct {
	response []byte // nil while it is being decided
	conn     *Conn
	expires  int64 // of a rejection, microseconds
}

// Listen serves SRT on a socket, which it takes over. The socket must not be connected.
func Listen(sock *net.UDPConn, cfg Config) (*Listener, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	s, err := egress.WrapUDP(sock)
	if err != nil {
		return nil, fmt.Errorf("srt: %w", err)
	}
	s.SetTap(cfg.TapName, cfg.Tap)
	setReceiveBuffer(sock, cfg.ReceiveBuffer)
	ctx, cancel := context.WithCancel(context.Background())
	l := &Listener{
		cfg:       cfg,
		sock:      s,
		start:     time.Now(),
		cookies:   newCookies(),
		timers:    newTimers(),
		cancel:    cancel,
		conns:     make(map[uint32]*Conn),
		peers:     make(map[peerKey]*peer),
		accepting: make(map[netip.Addr]int),
	}
	l.loops.Go(func() { l.receive(ctx) })
	l.loops.Go(l.runTimers)
	return l, nil
}

// Addr returns the address of the socket.
func (l *Listener) Addr() netip.AddrPort {
	a, ok := l.sock.LocalAddr().(*net.UDPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	return a.AddrPort()
}

// Close ends all connections, tells their peers, and returns when nothing that the listener started is left. It waits for Accept, OnOpen
// and OnClose, and so must not be called by them or by OnData.
func (l *Listener) Close() {
	l.closeOnce.Do(func() {
		l.cancel()
		l.mu.Lock()
		l.closed = true
		conns := make([]*Conn, 0, len(l.conns))
		for _, c := range l.conns {
			conns = append(conns, c)
		}
		l.mu.Unlock()
		for _, c := range conns {
			c.Close(ErrClosed)
		}
		l.accepts.Wait()
		l.timers.close()
		// The timer loop has ended all connections before it ends; then nobody needs the socket.
		l.timers.wait()
		l.sock.Close()
	})
	l.loops.Wait()
	l.onClose.Wait()
}

// now is the time since the listener began, in microseconds.
func (l *Listener) now() int64 { return time.Since(l.start).Microseconds() }

// receive is the receive loop.
func (l *Listener) receive(ctx context.Context) {
	in, err := newSocketReader(l.sock.UDPConn)
	if err != nil {
		l.cfg.Log.Error("SRT socket cannot be read", "error", err)
		return
	}
	b := egress.NewBatch(0)
	for {
		n, err := in.read()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			// Errors of single datagrams (ICMP) must not end the loop, nor make it spin. Nor must a deadline
			// that somebody has left on the socket.
			l.sock.SetReadDeadline(time.Time{}) //nolint:errcheck // it is closed then
			time.Sleep(nap)
			continue
		}
		now, tapped := l.now(), l.sock.Tapped()
		for i := range n {
			if data, addr, ok := in.datagram(i); ok {
				if tapped {
					l.sock.Received(addr, data)
				}
				l.datagram(ctx, b, data, addr, now)
			}
		}
		b.Flush()
		l.mu.RLock()
		busy := len(l.conns) >= napConns
		l.mu.RUnlock()
		if busy {
			time.Sleep(nap)
		}
	}
}

// datagram handles what came from the network.
func (l *Listener) datagram(ctx context.Context, b *egress.Batch, data []byte, addr netip.AddrPort, now int64) {
	if len(data) < headerSize {
		return
	}
	h, payload := parseHeader(data)
	if h.control && h.typ == ctrlHandshake {
		l.handshake(ctx, b, h, payload, addr, now)
		return
	}
	l.mu.RLock()
	c := l.conns[h.dest]
	l.mu.RUnlock()
	if c != nil && c.addr == addr {
		c.packet(b, h, payload, now)
	}
}

// remove forgets a connection.
func (l *Listener) remove(c *Conn) {
	l.mu.Lock()
	delete(l.conns, c.id)
	delete(l.peers, c.key)
	l.mu.Unlock()
}

// write sends a single datagram, outside of the loops.
func (l *Listener) write(data []byte, addr netip.AddrPort) {
	l.sock.WriteToUDPAddrPort(data, addr) //nolint:errcheck // as if lost on the way
}

// recovered logs a panic; it returns it as an error.
func (l *Listener) recovered(what string, p any) error {
	l.cfg.Log.Error("panic", "in", what, "panic", p, "stack", string(debug.Stack()))
	return fmt.Errorf("srt: panic in %s: %v", what, p)
}
