package webrtcpeer

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/org/mtx/protocol/internal/rtcegress"
)

// A mux that is closed while it handles a packet does not read again; others wait
// in a read. The socket must come back from both.
func TestLentUDPComesBack(t *testing.T) {
	t.Parallel()
	conn, err := rtcegress.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	buf := make([]byte, 10)

	for _, reads := range []bool{false, true} {
		lent := lendUDP(conn)
		read := make(chan error, 1)
		if reads {
			go func() {
				_, _, err := lent.ReadFromAddrPort(make([]byte, 10))
				read <- err
			}()
		} else {
			read <- net.ErrClosed
		}
		_ = lent.Close()
		back := make(chan struct{})
		go func() { lent.giveBack(); close(back) }()
		select {
		case <-back:
		case <-time.After(10 * time.Second):
			t.Fatalf("with a reader (%v): the socket does not come back", reads)
		}
		if err := <-read; !errors.Is(err, net.ErrClosed) {
			t.Errorf("read: %v", err)
		}
		if _, _, err := lent.ReadFromAddrPort(buf); !errors.Is(err, net.ErrClosed) {
			t.Errorf("read after the end: %v", err)
		}
		if _, err := conn.WriteToAddrPort([]byte("x"), conn.LocalAddr().(*net.UDPAddr).AddrPort()); err != nil {
			t.Fatal(err)
		}
		if n, _, err := conn.ReadFromAddrPort(buf); n != 1 || err != nil {
			t.Errorf("the socket that came back: %d bytes, %v", n, err)
		}
	}
}
