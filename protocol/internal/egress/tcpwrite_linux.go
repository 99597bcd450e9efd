package egress

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxQuickWrite is up to how many bytes a write is too short to tell the scheduler about it, which costs nearly a
// tenth of the write. Nobody takes over the processor meanwhile, and a garbage collection waits: for microseconds.
const maxQuickWrite = 64 << 10

// writeNow writes to a socket without blocking, whatever its mode.
func writeNow(fd uintptr, p []byte) (int, syscall.Errno) {
	const flags = unix.MSG_DONTWAIT | unix.MSG_NOSIGNAL
	var n uintptr
	var errno syscall.Errno
	if len(p) <= maxQuickWrite {
		n, _, errno = unix.RawSyscall6(unix.SYS_SENDTO, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), flags, 0, 0)
	} else {
		n, _, errno = unix.Syscall6(unix.SYS_SENDTO, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), flags, 0, 0)
	}
	return int(n), errno
}
