package record

import (
	"encoding/binary"
	"time"

	"github.com/org/mtx/router/media"
)

// Boxes of a part (ISO 14496-12 section 8.8 and 8.16.5). They are written here
// because a part is one of the things that a recorder does most.
const (
	entrySize = 16 // bytes of a sample in "trun"

	trunDataOffset = 0x000001
	trunDuration   = 0x000100
	trunSize       = 0x000200
	trunFlags      = 0x000400
	trunOffset     = 0x000800 // of composition

	tfhdBaseIsMoof   = 0x020000
	tfhdDefaultFlags = 0x000020

	flagsSync    = 0x02000000 // depends on no other sample
	flagsNotSync = 0x01010000

	// prftCapture: the absolute time is that of the capture.
	prftCapture = 24
)

// ntpEpoch is the time of 1900 in seconds before 1970 (RFC 5905).
const ntpEpoch = 2208988800

// appendNTP appends a 64-bit NTP time stamp.
func appendNTP(b []byte, t time.Time) []byte {
	sec := uint64(t.Unix() + ntpEpoch)
	frac := (uint64(t.Nanosecond())<<32 + 500_000_000) / 1e9
	return binary.BigEndian.AppendUint64(b, sec<<32+min(frac, 1<<32-1))
}

// openBox appends the header of a box, whose size is set by closeBox.
func openBox(b []byte, name string) ([]byte, int) {
	return append(append(b, 0, 0, 0, 0), name...), len(b)
}

func openFullBox(b []byte, name string, version byte, flags uint32) ([]byte, int) {
	b, at := openBox(b, name)
	return binary.BigEndian.AppendUint32(b, uint32(version)<<24|flags), at
}

func closeBox(b []byte, at int) {
	binary.BigEndian.PutUint32(b[at:], uint32(len(b)-at))
}

// appendPart appends "prft", "moof" and the header of "mdat" to b. The data of
// the tracks follow in the same order. start is the absolute time of media time
// zero.
func appendPart(b []byte, seq uint32, start time.Time, tracks []*fragTrack) []byte {
	first := tracks[0]
	at := first.first - first.base
	b, prft := openFullBox(b, "prft", 1, prftCapture)
	b = binary.BigEndian.AppendUint32(b, uint32(first.id))
	b = appendNTP(b, start.Add(media.Duration(at, first.rate)))
	b = binary.BigEndian.AppendUint64(b, uint64(at))
	closeBox(b, prft)

	b, moof := openBox(b, "moof")
	b, mfhd := openFullBox(b, "mfhd", 0, 0)
	b = binary.BigEndian.AppendUint32(b, seq)
	closeBox(b, mfhd)
	offsets := make([]int, len(tracks)) // where the offsets of the data stand
	for i, t := range tracks {
		b, offsets[i] = t.appendTraf(b)
	}
	closeBox(b, moof)

	data := len(b) - moof + 8
	for i, t := range tracks {
		binary.BigEndian.PutUint32(b[offsets[i]:], uint32(data))
		data += t.complete
	}
	b, _ = openBox(b, "mdat")
	size := data - (len(b) - 8 - moof)
	binary.BigEndian.PutUint32(b[len(b)-8:], uint32(size))
	return b
}

func (t *fragTrack) appendTraf(b []byte) ([]byte, int) {
	b, traf := openBox(b, "traf")
	b, tfhd := openFullBox(b, "tfhd", 0, tfhdBaseIsMoof|tfhdDefaultFlags)
	b = binary.BigEndian.AppendUint32(b, uint32(t.id))
	b = binary.BigEndian.AppendUint32(b, flagsSync)
	closeBox(b, tfhd)
	b, tfdt := openFullBox(b, "tfdt", 1, 0)
	b = binary.BigEndian.AppendUint64(b, uint64(t.first-t.base))
	closeBox(b, tfdt)

	flags := uint32(trunDataOffset | trunDuration | trunSize)
	for _, s := range t.samples {
		if !s.sync {
			flags |= trunFlags
		}
		if s.offset != 0 {
			flags |= trunOffset
		}
	}
	b, trun := openFullBox(b, "trun", 1, flags)
	b = binary.BigEndian.AppendUint32(b, uint32(len(t.samples)))
	at := len(b)
	b = append(b, 0, 0, 0, 0)
	for _, s := range t.samples {
		b = binary.BigEndian.AppendUint32(b, s.duration)
		b = binary.BigEndian.AppendUint32(b, s.size)
		if flags&trunFlags != 0 {
			f := uint32(flagsSync)
			if !s.sync {
				f = flagsNotSync
			}
			b = binary.BigEndian.AppendUint32(b, f)
		}
		if flags&trunOffset != 0 {
			b = binary.BigEndian.AppendUint32(b, uint32(s.offset))
		}
	}
	closeBox(b, trun)
	closeBox(b, traf)
	return b, at
}
