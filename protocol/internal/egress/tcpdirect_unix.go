//go:build unix

package egress

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// directConn returns the socket of a connection that can be written to without blocking, or nil. A connection that
// changes only what is read has a method that returns what it writes to.
func directConn(c net.Conn) syscall.RawConn {
	if s, ok := c.(interface{ Socket() net.Conn }); ok {
		c = s.Socket()
	}
	switch c.(type) {
	case *net.TCPConn, *net.UnixConn:
	default:
		return nil // writing past TLS and the like would break it
	}
	rc, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		return nil
	}
	return rc
}

// writeFd writes c.out without blocking. A full send buffer is not an error.
func (c *TCPConn) writeFd(fd uintptr) {
	for {
		n, errno := writeNow(fd, c.out)
		switch errno {
		case 0:
			c.outN = n
		case unix.EINTR:
			continue
		case unix.EAGAIN:
		default:
			c.outErr = errno
		}
		return
	}
}
