//go:build !unix

package rpicam

import (
	"errors"
	"io"
	"os"
)

// stampFile is empty: the program cannot inherit a pipe.
const stampFile = ""

// readPictures reads until the end.
func (a *assembler) readPictures(f *os.File) error {
	b := make([]byte, 64<<10)
	for {
		n, err := f.Read(b)
		a.mu.Lock()
		terr := a.take(b[:n])
		a.mu.Unlock()
		switch {
		case terr != nil:
			return terr
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// catchUp does nothing: there are no stamps.
func (a *assembler) catchUp(*os.File) error { return nil }
