//go:build unix

package config

import (
	"io/fs"
	"strconv"
	"syscall"
)

// fileID tells files apart that have the same name, size and time.
func fileID(st fs.FileInfo) string {
	if s, ok := st.Sys().(*syscall.Stat_t); ok {
		return strconv.FormatUint(uint64(s.Ino), 10) //nolint:unconvert // 32 bits wide on some systems
	}
	return ""
}
