//go:build linux || darwin || freebsd

package record

import (
	"testing"

	"golang.org/x/sys/unix"
)

func makeFIFO(t testing.TB, name string) {
	t.Helper()
	if err := unix.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
}
