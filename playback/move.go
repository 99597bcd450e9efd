package playback

import (
	"io"
	"slices"
	"time"

	"github.com/org/mtx/record"
)

// sender sends parts of a file.
type sender struct {
	w   io.Writer
	f   record.ReadFile
	buf []byte
}

// send sends n bytes from an offset on. If what is below w can, it lets the system
// copy (io.ReaderFrom, which is sendfile for a plain connection).
func (s *sender) send(from, n int64) error {
	if _, err := s.f.Seek(from, io.SeekStart); err != nil {
		return err
	}
	src := &io.LimitedReader{R: s.f, N: n}
	var sent int64
	var err error
	if rf, ok := s.w.(io.ReaderFrom); ok {
		sent, err = rf.ReadFrom(src)
	} else {
		if s.buf == nil {
			s.buf = make([]byte, copySize)
		}
		sent, err = io.CopyBuffer(s.w, src, s.buf)
	}
	if err == nil && sent < n {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// send writes a part of the file, with time stamps that are later by a shift.
func (x *index) send(w io.Writer, f record.ReadFile, from, n int64, shift time.Duration) error {
	out := sender{w: w, f: f}
	moves := make([]uint64, len(x.tracks))
	moved := false
	for i := range x.tracks {
		moves[i] = uint64(max(0, x.tracks[i].ticks(shift)))
		moved = moved || moves[i] > 0
	}
	if !moved {
		return out.send(from, n)
	}
	e, _ := slices.BinarySearch(x.entries, from+1)
	win := window{r: f, size: x.pos}
	to := from + n
	for pos := x.entries[max(0, e-1)]; from < to && pos < to; {
		kind, body, end, err := win.header(pos)
		if err != nil {
			return err
		}
		if kind == "moof" && end > from {
			if end-pos > 2*maxFragment {
				return errFragment
			}
			if from < pos {
				if err := out.send(from, pos-from); err != nil {
					return err
				}
				from = pos
			}
			b, err := win.read(pos, int(end-pos))
			if err != nil {
				return err
			}
			if err := x.move(b[body-pos:], moves); err != nil {
				return err
			}
			b = b[from-pos : min(to, end)-pos]
			if _, err := w.Write(b); err != nil {
				return err
			}
			from += int64(len(b))
		}
		pos = end
	}
	if from == to {
		return nil
	}
	return out.send(from, to-from)
}

// move adds to the decoding times in the body of a moof.
func (x *index) move(moof []byte, by []uint64) error {
	return eachBox(moof, func(kind string, body, _ []byte) error {
		if kind != "traf" {
			return nil
		}
		n := -1
		return eachBox(body, func(kind string, body, _ []byte) error {
			switch {
			case kind == "tfhd" && len(body) >= 8:
				id := be.Uint32(body[4:])
				n = slices.IndexFunc(x.tracks, func(t track) bool { return t.id == id })
			case kind == "tfdt" && (n < 0 || len(body) < 12 || body[0] != 1):
				return errFragment
			case kind == "tfdt":
				be.PutUint64(body[4:], be.Uint64(body[4:])+by[n])
			}
			return nil
		})
	})
}
