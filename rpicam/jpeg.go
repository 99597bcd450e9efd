package rpicam

import (
	"bytes"
	"errors"
	"fmt"
)

// maxJPEG bounds a picture, in bytes: twice what 12 million pixels take at the
// best quality.
const maxJPEG = 32 << 20

// errNotJPEG is the fault of a stream that is something else.
var errNotJPEG = errors.New("what arrives is not a series of JPEG pictures")

// Markers of JPEG (ITU-T T.81, table B.1).
const (
	markerTEM  = 0x01
	markerSOF  = 0xC0 // the first of the kinds of start of frame
	markerDHT  = 0xC4
	markerJPG  = 0xC8
	markerDAC  = 0xCC
	markerRST0 = 0xD0
	markerRST7 = 0xD7
	markerSOI  = 0xD8
	markerEOI  = 0xD9
	markerSOS  = 0xDA
)

// jpegs cuts concatenated JPEG pictures (ITU-T T.81 annex B) apart.
type jpegs struct {
	emit func(picture []byte) // takes ownership

	buf     []byte
	pos     int  // up to which buf is understood
	begun   bool // SOI was seen
	framed  bool // SOF was seen
	scanned bool // SOS was seen
	entropy bool // pos is in coded data, not at a marker
}

func newJPEGs(emit func([]byte)) *jpegs { return &jpegs{emit: emit} }

func (j *jpegs) open() bool { return j.begun }

// flush has nothing to do: a picture tells where it ends.
func (j *jpegs) flush() error { return nil }

func (j *jpegs) write(b []byte) error {
	j.buf = append(j.buf, b...)
	for {
		more, err := j.step()
		if err != nil {
			return err
		}
		if !more {
			break
		}
	}
	if len(j.buf) > maxJPEG {
		return fmt.Errorf("a picture has more than %d bytes", maxJPEG)
	}
	return nil
}

// step moves on by a marker or a stretch of coded data. It returns false if more
// bytes are needed.
func (j *jpegs) step() (bool, error) {
	if j.entropy {
		i := bytes.IndexByte(j.buf[j.pos:], 0xFF)
		if i < 0 {
			j.pos = len(j.buf)
			return false, nil
		}
		j.pos += i
		if len(j.buf) < j.pos+2 {
			return false, nil
		}
		switch m := j.buf[j.pos+1]; {
		case m == 0xFF: // fill
			j.pos++
			return true, nil
		case m == 0 || m >= markerRST0 && m <= markerRST7:
			j.pos += 2
			return true, nil
		}
		j.entropy = false
	}
	if len(j.buf) < j.pos+2 {
		return false, nil
	}
	if j.buf[j.pos] != 0xFF {
		return false, errNotJPEG
	}
	return j.marker(j.buf[j.pos+1])
}

// marker takes the marker at pos.
func (j *jpegs) marker(m byte) (bool, error) {
	switch {
	case !j.begun && m != markerSOI, j.begun && m == markerSOI:
		return false, errNotJPEG
	case m == markerSOI:
		j.begun = true
		j.pos += 2
		return true, nil
	case m == 0xFF:
		j.pos++
		return true, nil
	case m == markerTEM:
		j.pos += 2
		return true, nil
	case m == markerEOI:
		if !j.framed || !j.scanned {
			return false, errNotJPEG
		}
		j.cut(j.pos + 2)
		return true, nil
	case m < markerSOF, m >= markerRST0 && m <= markerRST7:
		return false, errNotJPEG
	}
	return j.segment(m)
}

func (j *jpegs) segment(m byte) (bool, error) {
	if len(j.buf) < j.pos+4 {
		return false, nil
	}
	size := int(j.buf[j.pos+2])<<8 | int(j.buf[j.pos+3]) // with itself
	if size < 2 {
		return false, errNotJPEG
	}
	if len(j.buf) < j.pos+2+size {
		return false, nil
	}
	switch {
	case m == markerSOS && !j.framed:
		return false, errNotJPEG
	case m == markerSOS:
		j.scanned, j.entropy = true, true
	case m >= markerSOF && m < markerRST0 && m != markerDHT && m != markerJPG && m != markerDAC:
		j.framed = true
	}
	j.pos += 2 + size
	return true, nil
}

// cut emits a copy of the picture that ends at a position of buf.
func (j *jpegs) cut(end int) {
	picture := bytes.Clone(j.buf[:end])
	*j = jpegs{emit: j.emit, buf: append(j.buf[:0], j.buf[end:]...)}
	j.emit(picture)
}
