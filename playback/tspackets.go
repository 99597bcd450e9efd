package playback

import (
	"io"
)

// Packets of a transport stream (ISO 13818-1 section 2.4.3). Only as much is
// parsed here as seeking needs; the rest is done by mpegtsbridge.

const (
	tsPacket = 188
	tsSync   = 0x47
	// tsBlock is how much is read at once.
	tsBlock = 348 * tsPacket
	// tsClock is the rate of time stamps, tsWrap the number of their values.
	tsClock = 90000
	tsWrap  = 1 << 33
)

// tsHead is what the beginning of a file says.
type tsHead struct {
	tables []byte // the packets of the PAT and the PMT
	pmt    uint16
	pid    uint16 // the track that times are taken from: the first one with video
	video  bool
	first  int64 // its first time stamp
	early  int64 // how much earlier that picture is decoded
}

// tsInfo is what a packet says of itself.
type tsInfo struct {
	pid    uint16
	start  bool // of a PES packet or a table
	random bool // decoding can start here
	body   []byte
}

func parseTSPacket(p []byte) (i tsInfo, ok bool) {
	if len(p) < tsPacket || p[0] != tsSync {
		return i, false
	}
	i.pid = be.Uint16(p[1:]) & 0x1fff
	i.start = p[1]&0x40 != 0
	at := 4
	if p[3]&0x20 != 0 {
		n := int(p[4])
		if n > 0 {
			i.random = p[5]&0x40 != 0
		}
		at += 1 + n
	}
	if p[3]&0x10 == 0 || at > tsPacket {
		at = tsPacket
	}
	i.body = p[at:tsPacket]
	return i, true
}

// timestamp reads the PTS of a PES packet from its beginning.
func timestamp(pes []byte) (int64, bool) {
	if len(pes) < 14 || pes[0] != 0 || pes[1] != 0 || pes[2] != 1 || pes[7]&0x80 == 0 {
		return 0, false
	}
	b := pes[9:]
	return stamp(b), true
}

// decodingTime reads the DTS of a PES packet that has a PTS; it is the PTS if there is none.
func decodingTime(pes []byte, pts int64) int64 {
	if len(pes) < 19 || pes[7]&0x40 == 0 {
		return pts
	}
	return stamp(pes[14:])
}

// stamp reads the five bytes of a time stamp.
func stamp(b []byte) int64 {
	return int64(b[0]>>1&7)<<30 | int64(b[1])<<22 | int64(b[2]>>1)<<15 | int64(b[3])<<7 | int64(b[4]>>1)
}

// sinceFirst returns how long a time stamp is after the first one. Tracks begin
// at most a minute before each other.
func (h *tsHead) sinceFirst(pts int64) int64 {
	d := (pts - h.first) & (tsWrap - 1)
	if d > tsWrap-60*tsClock {
		d -= tsWrap
	}
	return d
}

// eachTSPacket calls f for packets between two offsets, until it returns false.
func eachTSPacket(r io.ReaderAt, from, to int64, f func(at int64, p []byte, i tsInfo) bool) error {
	buf := make([]byte, tsBlock)
	for at := from - from%tsPacket; at < to; at += tsBlock {
		n, err := r.ReadAt(buf[:min(tsBlock, to-at)], at)
		for o := 0; o+tsPacket <= n; o += tsPacket {
			if i, ok := parseTSPacket(buf[o : o+tsPacket]); ok && !f(at+int64(o), buf[o:o+tsPacket], i) {
				return nil
			}
		}
		if err != nil && err != io.EOF { // as io.ReaderAt says
			return err
		}
	}
	return nil
}

// add takes a packet from the beginning of a file. It is true when all is known.
func (h *tsHead) add(p []byte, i tsInfo) bool {
	switch {
	case i.pid == 0 && i.start && h.pmt == 0:
		if t := section(i.body); len(t) >= 12 {
			for e := t[8 : len(t)-4]; len(e) >= 4 && h.pmt == 0; e = e[4:] {
				if be.Uint16(e) != 0 {
					h.pmt = be.Uint16(e[2:]) & 0x1fff
				}
			}
			h.tables = append(h.tables, p...)
		}
	case h.pmt != 0 && i.pid == h.pmt && i.start && h.pid == 0:
		h.streams(section(i.body))
		h.tables = append(h.tables, p...)
	case h.pid != 0 && i.pid == h.pid && i.start:
		var ok bool
		if h.first, ok = timestamp(i.body); ok {
			h.early = -h.sinceFirst(decodingTime(i.body, h.first))
		}
		return ok
	}
	return false
}

// section returns a table that fits into a packet.
func section(body []byte) []byte {
	if len(body) < 1 || len(body) < 1+int(body[0])+3 {
		return nil
	}
	s := body[1+int(body[0]):]
	n := int(be.Uint16(s[1:])&0xfff) + 3
	if n > len(s) {
		return nil
	}
	return s[:n]
}

// streams reads a PMT.
func (h *tsHead) streams(t []byte) {
	if len(t) < 16 {
		return
	}
	skip := 12 + int(be.Uint16(t[10:])&0xfff)
	if skip > len(t)-4 {
		return
	}
	for e := t[skip : len(t)-4]; len(e) >= 5; {
		pid := be.Uint16(e[1:]) & 0x1fff
		switch e[0] {
		case 0x01, 0x02, 0x10, 0x1b, 0x24:
			if !h.video {
				h.pid, h.video = pid, true
			}
		default:
			if h.pid == 0 {
				h.pid = pid
			}
		}
		n := 5 + int(be.Uint16(e[3:])&0xfff)
		if n > len(e) {
			return
		}
		e = e[n:]
	}
}
