//go:build linux || darwin || freebsd

package record

import (
	"os"

	"golang.org/x/sys/unix"
)

// openFlags make Open return at once on a FIFO, and fail on a symbolic link.
const openFlags = unix.O_NONBLOCK | unix.O_NOFOLLOW

// dirFlags make sure that no FIFO is opened in place of a folder.
const dirFlags = unix.O_DIRECTORY | unix.O_NONBLOCK

func freeSpace(dir string) (uint64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	// the type of Bavail differs between systems
	return uint64(max(s.Bavail, 0)) * uint64(s.Bsize), nil //nolint:unconvert // see above
}

// removed tells whether a file that is open has no name anymore.
func removed(f *os.File) bool {
	var s unix.Stat_t
	return unix.Fstat(int(f.Fd()), &s) == nil && s.Nlink == 0
}
