package webrtcpeer

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/stun/v3"

	"github.com/org/mtx/protocol/internal/rtcegress"
)

// lateConn is a connection whose first packet is read when the mux is closing.
type lateConn struct {
	net.Conn
	reading chan struct{}
	closing <-chan struct{}
	data    []byte
	once    sync.Once
}

func (c *lateConn) Read(p []byte) (int, error) {
	c.once.Do(func() { close(c.reading) })
	<-c.closing
	if len(c.data) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.data)
	c.data = c.data[n:]
	return n, nil
}

// oneListener accepts one connection.
type oneListener struct {
	net.Listener
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *oneListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *oneListener) SetDeadline(time.Time) error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// A client of ICE over TCP that says who it is while the mux is being closed must not
// hold that up.
func TestTCPMuxClosesInTime(t *testing.T) {
	t.Parallel()
	msg, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.NewUsername("a:b"))
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	raw, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { raw.Close() })

	one := &oneListener{Listener: ln, conns: make(chan net.Conn, 1), closed: make(chan struct{})}
	lent := &lentListener{Listener: one}
	late := &lateConn{
		Conn: raw, reading: make(chan struct{}), closing: one.closed,
		data: append(binary.BigEndian.AppendUint16(nil, uint16(len(msg.Raw))), msg.Raw...),
	}
	one.conns <- late
	mux := ice.NewTCPMuxDefault(ice.TCPMuxParams{Listener: lent, AliveDurationForConnFromStun: time.Minute})
	<-late.reading
	done := make(chan struct{})
	go func() { _ = mux.Close(); close(done) }()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("the mux waits for a client")
	}
}

// deaf is a socket without deadlines.
type deaf struct {
	net.PacketConn
	reading chan struct{}
}

func (d deaf) ReadFrom(p []byte) (int, net.Addr, error) {
	select {
	case d.reading <- struct{}{}:
	default:
	}
	return d.PacketConn.ReadFrom(p)
}

func (deaf) SetReadDeadline(time.Time) error { return io.ErrUnexpectedEOF }

// A socket that knows no deadlines cannot be given back, but must not be waited for.
func TestLentUDPWithoutDeadlines(t *testing.T) {
	t.Parallel()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pc.Close() })
	reading := make(chan struct{}, 1)
	conn, err := rtcegress.Wrap(deaf{pc, reading})
	if err != nil {
		t.Fatal(err)
	}
	lent := lendUDP(conn)
	read := make(chan error, 1)
	go func() {
		_, _, err := lent.ReadFromAddrPort(make([]byte, 10))
		read <- err
	}()
	<-reading
	_ = lent.Close()
	select {
	case <-read:
	case <-time.After(10 * time.Second):
		t.Fatal("a read does not end")
	}
	lent.giveBack()
}

// A handshake that begins when the library has closed everything else ends with the
// peer: it would be waited for, for ever.
func TestHandshakeEndsWithPeer(t *testing.T) {
	t.Parallel()
	e := newServer(t, nil)
	p, err := e.newPeer(&peerSettings{}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	during, cancel := p.dtlsContext()
	defer cancel()
	if during.Err() != nil {
		t.Fatal("a handshake cannot begin")
	}
	p.Close()
	after, cancel := p.dtlsContext()
	defer cancel()
	for _, ctx := range []context.Context{during, after} {
		if ctx.Err() == nil {
			t.Error("a handshake outlives the peer")
		}
	}
}
