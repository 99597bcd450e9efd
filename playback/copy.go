package playback

import (
	"errors"
	"io"
	"math"
)

// copySize is how much is copied at once, in bytes.
const copySize = 128 << 10

// output passes on a part of what is written to it. What is left out at the
// beginning is not even read.
type output struct {
	w    io.Writer
	skip int64 // bytes that are left out at the beginning
	left int64 // bytes that are passed on after that
	sent int64
	buf  []byte
}

func newOutput(w io.Writer) *output { return &output{w: w, left: math.MaxInt64} }

// Write implements io.Writer. It fails with errStop when it has enough.
func (o *output) Write(p []byte) (int, error) {
	n := len(p)
	cut := min(o.skip, int64(n))
	o.skip -= cut
	p = p[cut:]
	p = p[:min(int64(len(p)), o.left)]
	if len(p) > 0 {
		m, err := o.w.Write(p)
		o.left -= int64(m)
		o.sent += int64(m)
		if err != nil {
			return 0, err
		}
	}
	if o.left == 0 {
		return 0, errStop
	}
	return n, nil
}

// copy writes size bytes of r from an offset on. It fails if there are fewer.
func (o *output) copy(r io.ReaderAt, at, size int64) error {
	cut := min(o.skip, size)
	o.skip -= cut
	at, size = at+cut, size-cut
	if o.buf == nil {
		o.buf = make([]byte, copySize)
	}
	for size > 0 {
		b := o.buf[:min(size, copySize)]
		n, err := r.ReadAt(b, at)
		if n < len(b) {
			if err == nil || errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		if _, err := o.Write(b); err != nil {
			return err
		}
		at, size = at+int64(n), size-int64(n)
	}
	return nil
}
