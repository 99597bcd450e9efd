//go:build unix && !linux

package egress

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// writeNow writes to a socket, which does not block, as all of package net.
func writeNow(fd uintptr, p []byte) (int, syscall.Errno) {
	n, err := unix.Write(int(fd), p)
	var errno syscall.Errno
	if err != nil && !errors.As(err, &errno) {
		errno = syscall.EIO // it is always an Errno
	}
	return n, errno
}
