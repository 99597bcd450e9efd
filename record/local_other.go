//go:build !linux && !darwin && !freebsd && !windows

package record

import (
	"errors"
	"os"
)

const openFlags, dirFlags = 0, 0

func freeSpace(string) (uint64, error) { return 0, errors.ErrUnsupported }

func removed(*os.File) bool { return false }
