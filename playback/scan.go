package playback

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// window reads a file in pieces, so that small boxes cost few system calls, and
// large ones that are skipped cost nothing.
type window struct {
	r    io.ReaderAt
	size int64 // of the file
	buf  []byte
	at   int64 // of buf
}

// windowSize is a little more than the headers of a second of media.
const windowSize = 4 << 10

// read returns n bytes of the file, which are valid until the next call.
func (w *window) read(at int64, n int) ([]byte, error) {
	if at < 0 || int64(n) > w.size-at {
		return nil, io.ErrUnexpectedEOF
	}
	if at < w.at || at+int64(n) > w.at+int64(len(w.buf)) {
		want := int(min(int64(max(n, windowSize)), w.size-at))
		w.buf = slices.Grow(w.buf[:0], want)[:want]
		got, err := w.r.ReadAt(w.buf, at)
		if got < n {
			w.buf = w.buf[:0]
			if err == nil || errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		w.buf, w.at = w.buf[:got], at
	}
	return w.buf[at-w.at:][:n], nil
}

// header reads the header of a box. The end may be beyond that of the file.
func (w *window) header(at int64) (kind string, body, end int64, err error) {
	b, err := w.read(at, 8)
	if err != nil {
		return "", 0, 0, err
	}
	kind, body = string(b[4:8]), at+8
	size := uint64(be.Uint32(b))
	switch size {
	case 0:
		return kind, body, w.size, nil
	case 1:
		if b, err = w.read(at, 16); err != nil {
			return "", 0, 0, err
		}
		size, body = be.Uint64(b[8:]), at+16
	}
	if size < uint64(body-at) || size > maxTicks { // 8 or 16
		return "", 0, 0, errBox
	}
	return kind, body, at + int64(size), nil // bounded
}

// maxBoxes bounds how many boxes are passed over in search of a fragment.
const maxBoxes = 1 << 16

// maxJump bounds the silence between two fragments; more is damage.
const maxJump = time.Hour

// scanner goes through the fragments of a file.
type scanner struct {
	window
	moof
	pos int64 // of the next box
	// begun is set with the first fragment: only then there is something to
	// compare times with.
	begun bool
	saved []int64
	// head is where the header of the file ends; zero if players would not take
	// it as it is.
	head int64
	// origin is the absolute time of the media time zero, if the first fragment tells.
	origin time.Time
}

// open reads a file up to its first fragment.
func (s *scanner) open(r io.ReaderAt, size int64) error {
	s.window = window{r: r, size: size}
	media := false
	for range 64 { // boxes in front of a moov are few
		kind, body, end, err := s.header(s.pos)
		if err != nil {
			return fmt.Errorf("no header: %w", err)
		}
		if s.pos = end; kind != "moov" {
			media = media || kind == "mdat"
			continue
		}
		if end-body > maxInit {
			return fmt.Errorf("the header has %d bytes, which is too much", end-body)
		}
		b, err := s.read(body, int(end-body))
		if err != nil {
			return err
		}
		if s.tracks, err = parseInit(slices.Clone(b)); err != nil {
			return err
		}
		s.next = make([]int64, len(s.tracks))
		if end <= maxInit && !media && playable(b, s.tracks) {
			s.head = end
		}
		return nil
	}
	return errors.New("no header")
}

// playable tells whether players take the body of a moov as it is: it announces
// fragments, and times are not moved by an edit list, which some ignore.
func playable(moov []byte, tracks []track) bool {
	found := false
	_ = eachBox(moov, func(kind string, _, _ []byte) error {
		found = found || kind == "mvex"
		return nil
	})
	return found && !slices.ContainsFunc(tracks, func(t track) bool { return t.shift != 0 })
}

// fragment is a moof with its mdat, and what stands in front of it.
type fragment struct {
	at     int64 // where the one before ends
	chunks []chunk
}

// scan returns the next fragment, which is valid until the next call. It returns
// io.EOF where the file ends, or is damaged so that nothing more can be found.
// Fragments that are damaged in themselves are left out.
func (s *scanner) scan(ctx context.Context) (fragment, error) {
	begin := s.pos
	var at, body, end int64 = -1, 0, 0 // of the moof
	for n := range maxBoxes {
		if n%256 == 0 && ctx.Err() != nil {
			return fragment{}, ctx.Err()
		}
		kind, from, to, err := s.header(s.pos)
		if err != nil || to > s.size {
			s.pos = begin // there may be more when the file has grown
			if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, errBox) {
				return fragment{}, err
			}
			return fragment{}, io.EOF
		}
		switch {
		case kind == "moof":
			s.odd = s.odd || at >= 0
			at, body, end = s.pos, from, to
		case kind == "moov":
			s.pos = begin
			return fragment{}, io.EOF // something else was appended
		case kind == "mdat" && at >= 0:
			if chunks := s.load(at, body, end, from, to); chunks != nil {
				s.pos = to
				return fragment{begin, chunks}, nil
			}
			at, s.odd = -1, true
		case kind == "mdat":
			s.odd = true
		case kind == "prft" && !s.begun:
			s.origin = s.reference(from, to)
		}
		s.pos = to
	}
	s.pos = begin
	return fragment{}, io.EOF
}

// ntpEpoch is the time of 1900 in seconds before 1970 (RFC 5905).
const ntpEpoch = 2208988800

// reference reads the body of a "prft" (ISO 14496-12 section 8.16.5), and returns the absolute
// time of the media time zero; the zero time if it makes no sense.
func (s *scanner) reference(from, to int64) time.Time {
	if to-from > 64 {
		return time.Time{}
	}
	b, err := s.read(from, int(to-from))
	if err != nil {
		return time.Time{}
	}
	f := fields{b: b}
	version, _ := f.full()
	id, ntp, at := f.u32(), f.u64(), f.u64()
	i := slices.IndexFunc(s.tracks, func(t track) bool { return t.id == id })
	if f.bad || version != 1 || i < 0 || at > maxTicks {
		return time.Time{}
	}
	t := time.Unix(int64(ntp>>32)-ntpEpoch, int64(ntp&(1<<32-1)*uint64(time.Second)>>32))
	return t.Add(-s.tracks[i].time(int64(at)))
}

// load reads the headers of a fragment. It returns nil if they are damaged.
func (s *scanner) load(at, body, end, from, to int64) []chunk {
	if end-body > maxFragment {
		return nil
	}
	b, err := s.read(body, int(end-body))
	if err != nil {
		return nil
	}
	s.saved = append(s.saved[:0], s.next...)
	chunks, err := s.parse(b, at, from, to)
	if err != nil || len(chunks) == 0 || !s.plausible(chunks) {
		copy(s.next, s.saved)
		return nil
	}
	s.begun = true
	return chunks
}

// plausible tells whether the times fit to those of the fragment before.
func (s *scanner) plausible(chunks []chunk) bool {
	for i := range chunks {
		c := &chunks[i]
		t := &s.tracks[c.track]
		if _, d := c.size(); t.time(d) > maxJump {
			return false
		}
		for _, x := range c.samples {
			if d := t.time(int64(x.offset)); d > patience || d < -patience {
				return false
			}
		}
		before := s.saved[c.track]
		if !s.begun {
			before = 0
		}
		// decoding may begin below zero, by what pictures are reordered
		if t.time(c.dts-before) > maxJump || t.time(c.dts-before) < -time.Minute || s.begun && before > 0 && c.dts < before-int64(t.scale) {
			return false
		}
	}
	return true
}
