package record

import (
	"os"

	"golang.org/x/sys/windows"
)

// There are no FIFOs among files, and symbolic links are recognized before.
const openFlags, dirFlags = 0, 0

func freeSpace(dir string) (uint64, error) {
	name, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, err
	}
	var free uint64
	if err := windows.GetDiskFreeSpaceEx(name, &free, nil, nil); err != nil {
		return 0, &os.PathError{Op: "GetDiskFreeSpaceEx", Path: dir, Err: err}
	}
	return free, nil
}

// removed is never true: files that are open cannot be removed.
func removed(*os.File) bool { return false }
