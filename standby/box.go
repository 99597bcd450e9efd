package standby

import (
	"encoding/binary"
	"errors"
	"fmt"
)

var errTruncated = errors.New("the file is truncated or damaged")

// box is a box of ISO 14496-12.
type box struct {
	typ  string
	raw  []byte // with its header
	body []byte
	pos  int // of raw in the file
}

// boxes splits what is in a file or in a box that starts at pos of the file. The
// last box of a file may go on to its end.
func boxes(buf []byte, pos int) ([]box, error) {
	var out []box
	for len(buf) > 0 {
		if len(buf) < 8 {
			return nil, errTruncated
		}
		size, head := uint64(binary.BigEndian.Uint32(buf)), 8
		switch size {
		case 0:
			size = uint64(len(buf))
		case 1:
			if len(buf) < 16 {
				return nil, errTruncated
			}
			size, head = binary.BigEndian.Uint64(buf[8:]), 16
		}
		if size < uint64(head) || size > uint64(len(buf)) {
			return nil, errTruncated
		}
		if len(out) == maxBoxes {
			return nil, errors.New("there are too many boxes")
		}
		out = append(out, box{string(buf[4:8]), buf[:size], buf[head:size], pos})
		buf, pos = buf[size:], pos+int(size)
	}
	return out, nil
}

// children splits the body of a box.
func (b box) children() ([]box, error) {
	return boxes(b.body, b.pos+len(b.raw)-len(b.body))
}

// child follows a path of types of boxes, to the first of each.
func (b box) child(types ...string) (box, error) {
	for _, typ := range types {
		list, err := b.children()
		if err != nil {
			return box{}, err
		}
		found := false
		for _, c := range list {
			if c.typ == typ {
				b, found = c, true
				break
			}
		}
		if !found {
			return box{}, missingError(typ)
		}
	}
	return b, nil
}

// missingError is the type of a box that is not there.
type missingError string

func (e missingError) Error() string { return fmt.Sprintf("the box %q is missing", string(e)) }

// reader reads numbers. After the end it returns zero and remembers the fault.
type reader struct {
	buf   []byte
	short bool
}

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.buf) {
		r.short, r.buf = true, nil
		return make([]byte, 8)
	}
	b := r.buf[:n]
	r.buf = r.buf[n:]
	return b
}

func (r *reader) u32() uint32 { return binary.BigEndian.Uint32(r.take(4)) }
func (r *reader) u64() uint64 { return binary.BigEndian.Uint64(r.take(8)) }

// full reads the head of a full box: its version, which does not matter here, and
// its flags.
func (r *reader) full() (flags uint32) { return r.u32() & 0xffffff }

// version reads the head of a full box too.
func (r *reader) version() uint32 { return r.u32() >> 24 }

// count reads the number of entries of a table; each takes size bytes.
func (r *reader) count(size int) (int, error) {
	n := r.u32()
	if r.short || uint64(n)*uint64(size) > uint64(len(r.buf)) {
		return 0, errTruncated
	}
	return int(n), nil
}
