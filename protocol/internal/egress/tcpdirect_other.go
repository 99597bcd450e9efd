//go:build !unix

package egress

import (
	"net"
	"syscall"
)

// directConn returns nil: all connections go through the queue.
func directConn(net.Conn) syscall.RawConn { return nil }

func (*TCPConn) writeFd(uintptr) {}
