package playback

import (
	"encoding/binary"
	"errors"
)

// Boxes of ISO 14496-12. They are taken apart here, and not by a library, because
// the files may be damaged or hostile: nothing is allocated by what a box says
// of itself, and no box is entered that is not expected where it is.

var errBox = errors.New("damaged box")

// be reads and writes numbers.
var be = binary.BigEndian

// eachBox calls f for the boxes in b. Raw includes the header.
func eachBox(b []byte, f func(kind string, body, raw []byte) error) error {
	for len(b) > 0 {
		if len(b) < 8 {
			return errBox
		}
		size, head := uint64(be.Uint32(b)), 8
		switch size {
		case 0: // until the end
			size = uint64(len(b))
		case 1:
			if len(b) < 16 {
				return errBox
			}
			size, head = be.Uint64(b[8:]), 16
		}
		if size < uint64(head) || size > uint64(len(b)) {
			return errBox
		}
		if err := f(string(b[4:8]), b[head:size], b[:size]); err != nil {
			return err
		}
		b = b[size:]
	}
	return nil
}

// fields reads numbers off a box. Reading beyond the end gives zeros and makes
// it bad.
type fields struct {
	b   []byte
	bad bool
}

func (f *fields) take(n int) []byte {
	if f.bad || len(f.b) < n {
		f.bad = true
		return make([]byte, 8)
	}
	out := f.b[:n]
	f.b = f.b[n:]
	return out
}

func (f *fields) u32() uint32 { return be.Uint32(f.take(4)) }
func (f *fields) u64() uint64 { return be.Uint64(f.take(8)) }

// full reads what a full box begins with.
func (f *fields) full() (version byte, flags uint32) {
	v := f.u32()
	return byte(v >> 24), v & 0xffffff
}

// builder makes boxes.
type builder struct{ b []byte }

func (w *builder) u16(v uint16)   { w.b = be.AppendUint16(w.b, v) }
func (w *builder) u32(v uint32)   { w.b = be.AppendUint32(w.b, v) }
func (w *builder) u64(v uint64)   { w.b = be.AppendUint64(w.b, v) }
func (w *builder) i64(v int64)    { w.u64(uint64(v)) } // two's complement is meant
func (w *builder) bytes(p []byte) { w.b = append(w.b, p...) }
func (w *builder) text(s string)  { w.b = append(w.b, s...) }
func (w *builder) zeros(n int)    { w.b = append(w.b, make([]byte, n)...) }

// box adds a box whose body is what f adds.
func (w *builder) box(kind string, f func()) {
	at := len(w.b)
	w.u32(0)
	w.text(kind)
	f()
	be.PutUint32(w.b[at:], uint32(len(w.b)-at)) // boxes made here are small
}

// full adds a full box.
func (w *builder) full(kind string, version byte, flags uint32, f func()) {
	w.box(kind, func() {
		w.u32(uint32(version)<<24 | flags)
		f()
	})
}
