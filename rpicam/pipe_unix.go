//go:build unix

package rpicam

import (
	"errors"
	"io"
	"os"
	"syscall"
)

// stampFile is the name under which the program finds the first of the extra
// files that it inherits.
const stampFile = "/dev/fd/3"

// readPictures reads until the end.
func (a *assembler) readPictures(f *os.File) error {
	c, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var result error
	err = c.Read(func(fd uintptr) bool {
		for {
			a.mu.Lock()
			n, err := a.readSome(fd)
			a.mu.Unlock()
			switch {
			case errors.Is(err, syscall.EAGAIN):
				return false // waits until there is more
			case err == nil && n == 0:
				err = io.EOF
			}
			if err != nil {
				result = err
				return true
			}
		}
	})
	if result == nil {
		result = err
	}
	if errors.Is(result, io.EOF) {
		return nil
	}
	return result
}

// readSome reads what is there, up to a bound. mu is locked.
func (a *assembler) readSome(fd uintptr) (int, error) {
	for {
		n, err := syscall.Read(int(fd), a.buffer())
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil {
			return 0, err
		}
		return n, a.take(a.chunk[:n])
	}
}

// catchUp reads what is there without waiting. mu is locked.
func (a *assembler) catchUp(f *os.File) error {
	c, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var result error
	err = c.Control(func(fd uintptr) {
		for {
			n, err := a.readSome(fd)
			if errors.Is(err, syscall.EAGAIN) || err == nil && n == 0 {
				return
			}
			if err != nil {
				result = err
				return
			}
		}
	})
	if result == nil {
		result = err
	}
	return result
}
