package srtcore

import (
	"testing"

	"golang.org/x/sys/unix"
)

// The buffer of the socket is what the configuration says: less than the default, which every system gives.
func TestReceiveBuffer(t *testing.T) {
	t.Parallel()
	const small = 32 << 10
	got := map[int]int{}
	for _, size := range []int{0, small} {
		l := listen(t, Config{ReceiveBuffer: size}, acceptAll)
		rc, err := l.sock.SyscallConn()
		if err == nil {
			err = rc.Control(func(fd uintptr) {
				got[size], _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF)
			})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if got[small] != 2*small { // the kernel takes as much again for itself
		t.Errorf("%d bytes for %d", got[small], small)
	}
	if got[0] <= got[small] {
		t.Errorf("%d bytes by default", got[0])
	}
}
