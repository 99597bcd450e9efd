package rpicam

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
)

// errNotH264 is the fault of a stream that is something else.
var errNotH264 = errors.New("what arrives is not H264 in Annex-B format")

// splitter cuts a stream of bytes into pictures.
type splitter interface {
	// write takes a piece of the stream, which it does not keep.
	write(b []byte) error

	// flush is told that what was written ends with a picture.
	flush() error

	// open tells whether a picture has begun that is not complete.
	open() bool
}

// annexB cuts a byte stream (ITU-T H.264 Annex B) into access units, along
// 7.4.1.2.3 of the specification as far as cameras need it.
type annexB struct {
	emit func(au [][]byte) // takes ownership

	buf     []byte   // from the first start code of the access unit on
	scan    int      // buf was searched up to here
	start   int      // of the current NALU in buf; -1: a start code must come
	nalus   [][2]int // complete NALUs in buf
	picture bool     // a slice has begun
}

func newAnnexB(emit func([][]byte)) *annexB { return &annexB{emit: emit, start: -1} }

func (a *annexB) open() bool { return a.picture }

func (a *annexB) write(b []byte) error {
	a.buf = append(a.buf, b...)
	for {
		if a.start < 0 {
			more, err := a.startCode()
			if err != nil || !more {
				return err
			}
		}
		i := bytes.Index(a.buf[a.scan:], []byte{0, 0, 1})
		if i < 0 {
			a.scan = max(a.scan, len(a.buf)-2)
			return a.checkSize()
		}
		i += a.scan
		if err := a.endNALU(i); err != nil {
			return err
		}
		a.scan = i
		a.start = -1
	}
}

// startCode moves behind the start code at scan, and behind the first bytes of
// the NALU, which tell whether it begins an access unit. It returns false if
// they have not arrived.
func (a *annexB) startCode() (bool, error) {
	i := a.scan
	for i < len(a.buf) && a.buf[i] == 0 {
		i++
	}
	if i-a.scan > 1<<10 {
		return false, errNotH264
	}
	if i == len(a.buf) {
		return false, nil
	}
	if a.buf[i] != 1 || i-a.scan < 2 {
		return false, errNotH264
	}
	if len(a.buf) < i+3 {
		return false, nil
	}
	header, first := a.buf[i+1], a.buf[i+2]
	if header&0x80 != 0 { // forbidden_zero_bit
		return false, errNotH264
	}
	typ := h264.NALUType(header & 0x1F)
	slice := typ >= h264.NALUTypeNonIDR && typ <= h264.NALUTypeIDR
	if a.picture && begins(typ, first) {
		i -= a.cut(a.scan)
	}
	a.picture = a.picture || slice
	a.start, a.scan = i+1, i+2 // a NALU has at least one byte
	return true, nil
}

// begins tells whether a NALU behind a slice begins an access unit.
func begins(typ h264.NALUType, first byte) bool {
	switch typ {
	case h264.NALUTypeNonIDR, h264.NALUTypeDataPartitionA, h264.NALUTypeIDR:
		return first&0x80 != 0 // first_mb_in_slice is 0, as ue(v)
	case h264.NALUTypeSEI, h264.NALUTypeSPS, h264.NALUTypePPS, h264.NALUTypeAccessUnitDelimiter:
		return true
	}
	return typ >= 14 && typ <= 18
}

// endNALU ends the current NALU at a position of buf.
func (a *annexB) endNALU(end int) error {
	for end > a.start && a.buf[end-1] == 0 {
		end-- // trailing_zero_8bits, or the first byte of a start code of four
	}
	if end == a.start {
		return nil
	}
	if len(a.nalus) == h264.MaxNALUsPerAccessUnit {
		return fmt.Errorf("an access unit has more than %d NALUs", h264.MaxNALUsPerAccessUnit)
	}
	a.nalus = append(a.nalus, [2]int{a.start, end})
	return nil
}

// cut emits a copy of the NALUs that are complete, and keeps what comes from a
// position on. It returns by how much that moved.
func (a *annexB) cut(from int) int {
	size := 0
	for _, n := range a.nalus {
		size += n[1] - n[0]
	}
	all, au := make([]byte, 0, size), make([][]byte, len(a.nalus))
	for i, n := range a.nalus {
		begin := len(all)
		all = append(all, a.buf[n[0]:n[1]]...)
		au[i] = all[begin:len(all):len(all)]
	}
	a.buf = append(a.buf[:0], a.buf[from:]...)
	a.nalus, a.picture, a.scan = a.nalus[:0], false, 0
	if len(au) > 0 {
		a.emit(au)
	}
	return from
}

func (a *annexB) flush() error {
	if a.start < 0 {
		return nil // behind nothing, or in a start code
	}
	if err := a.endNALU(len(a.buf)); err != nil {
		return err
	}
	a.start, a.scan = -1, len(a.buf)
	if a.picture {
		a.cut(len(a.buf))
	}
	return nil
}

func (a *annexB) checkSize() error {
	if len(a.buf) > h264.MaxAccessUnitSize {
		return fmt.Errorf("an access unit has more than %d bytes", h264.MaxAccessUnitSize)
	}
	return nil
}
