package router

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// listeners hands TCP listeners over from a protocol that stops to the one that
// takes its place, so that a reload refuses no connection and a rollback always
// gets its address back.
type listeners struct {
	mu      sync.Mutex
	parking bool // protocols are being exchanged
	parked  map[string]*net.TCPListener
}

func (l *listeners) listen(network, addr string) (net.Listener, error) {
	key := network + " " + addr
	l.mu.Lock()
	ln, ok := l.parked[key]
	delete(l.parked, key)
	l.mu.Unlock()
	if !ok {
		n, err := net.Listen(network, addr)
		if err != nil {
			return nil, err
		}
		if ln, ok = n.(*net.TCPListener); !ok {
			return n, nil
		}
	}
	return &listener{TCPListener: ln, key: key, pool: l}, nil
}

// park begins an exchange of protocols; the returned function ends it.
func (l *listeners) park() (end func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.parking = true
	l.parked = map[string]*net.TCPListener{}
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, ln := range l.parked {
			_ = ln.Close()
		}
		l.parking, l.parked = false, nil
	}
}

// release takes back a listener that its protocol closed.
func (l *listeners) release(key string, ln *net.TCPListener) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.parking || l.parked[key] != nil {
		return ln.Close()
	}
	l.parked[key] = ln
	return nil
}

type listener struct {
	*net.TCPListener
	key  string
	pool *listeners

	accepting sync.Mutex
	closed    atomic.Bool
	once      sync.Once
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	l.accepting.Lock()
	defer l.accepting.Unlock()
	if l.closed.Load() {
		return nil, net.ErrClosed
	}
	c, err := l.TCPListener.Accept()
	if err != nil && l.closed.Load() {
		return nil, net.ErrClosed
	}
	return c, err
}

// Close implements net.Listener. It makes Accept return before anybody else can
// use the listener. Whoever comes second waits for the first, so that the
// address is free, or parked, when any Close returns.
func (l *listener) Close() error {
	err := net.ErrClosed
	l.once.Do(func() {
		l.closed.Store(true)
		_ = l.SetDeadline(time.Unix(1, 0))
		l.accepting.Lock()
		defer l.accepting.Unlock()
		_ = l.SetDeadline(time.Time{})
		err = l.pool.release(l.key, l.TCPListener)
	})
	return err
}
