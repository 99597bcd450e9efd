package webrtc

import (
	"net"
	"sync"
	"time"
)

const (
	// maxTCPConns bounds the connections for media, of which every client needs
	// one, and maxTCPConnsPerClient those of one address.
	maxTCPConns          = 4096
	maxTCPConnsPerClient = 512
)

// tcpListener remembers connections, to close those at the end that have not
// said yet whose they are: nobody else does.
type tcpListener struct {
	net.Listener

	mu      sync.Mutex
	conns   map[*tcpConn]struct{}
	clients map[string]int // connections by address
	closed  bool
}

func newTCPListener(ln net.Listener) *tcpListener {
	return &tcpListener{Listener: ln, conns: map[*tcpConn]struct{}{}, clients: map[string]int{}}
}

// SetDeadline makes Accept return. A listener without deadlines is closed
// instead.
func (l *tcpListener) SetDeadline(t time.Time) error {
	if d, ok := l.Listener.(interface{ SetDeadline(time.Time) error }); ok {
		return d.SetDeadline(t)
	}
	if t.IsZero() {
		return nil
	}
	return l.Close()
}

// Accept implements net.Listener.
func (l *tcpListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if t, ok := l.add(c); ok {
			return t, nil
		}
		_ = c.Close()
	}
}

func (l *tcpListener) add(c net.Conn) (*tcpConn, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := &tcpConn{Conn: c, l: l}
	if a, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		t.client = clientKey(a.AddrPort().Addr())
	}
	if l.closed || len(l.conns) >= maxTCPConns || l.clients[t.client] >= maxTCPConnsPerClient {
		return nil, false
	}
	l.conns[t] = struct{}{}
	l.clients[t.client]++
	return t, true
}

// closeConns closes all connections, also those that come later.
func (l *tcpListener) closeConns() {
	l.mu.Lock()
	l.closed = true
	conns := make([]*tcpConn, 0, len(l.conns))
	for c := range l.conns {
		conns = append(conns, c)
	}
	l.mu.Unlock()
	for _, c := range conns {
		_ = c.Close()
	}
}

func (l *tcpListener) forget(c *tcpConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.conns[c]; !ok {
		return
	}
	delete(l.conns, c)
	if l.clients[c.client]--; l.clients[c.client] == 0 {
		delete(l.clients, c.client)
	}
}

// tcpConn is a connection that its listener forgets when it is closed.
type tcpConn struct {
	net.Conn
	l      *tcpListener
	client string
}

// Close implements net.Conn.
func (c *tcpConn) Close() error {
	c.l.forget(c)
	return c.Conn.Close()
}
