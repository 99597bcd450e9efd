package mpegtsbridge

import (
	"errors"
	"fmt"
)

// Fields of a transport packet, ISO 13818-1 section 2.4.3.2.
const (
	packetSize = 188
	syncByte   = 0x47
	nullPID    = 0x1fff
)

// Bounds of what the parser may hold, in bytes of transport packets.
const (
	// maxPES is for one packet of an elementary stream: a key frame of 8K video
	// fits.
	maxPES = 8 << 20
	// maxPending is for all packets that are not complete.
	maxPending = 16 << 20
	// maxSection is for PIDs that are no elementary stream: sections have at
	// most 4 KiB.
	maxSection = 8 << 10
)

var errDamagedPacket = errors.New("damaged transport packet")

// guard lets through what the parser can take: whole packets, in order, and not
// more than a bounded number of bytes before the parser can let go of them.
//
// The parser keeps the packets of a PID until the next unit starts, recognizes
// gaps only by the continuity counter, which has 4 bits, and does not know when
// it waits for something that will never come.
type guard struct {
	buf     []byte // not yet taken
	pos     int    // in buf
	locked  bool   // packets start where they are expected
	streams map[uint16]bool
	pids    map[uint16]*pidState
	pending int // bytes that the parser holds
	damaged func(error)
}

// pidState is what is known about a PID.
type pidState struct {
	in, out uint8 // last continuity counter, received and sent on
	seen    bool
	waiting bool // drop until the next unit starts
	size    int  // bytes that the parser holds
}

func newGuard(damaged func(error)) *guard {
	return &guard{pids: map[uint16]*pidState{}, damaged: damaged}
}

// add appends input.
func (g *guard) add(p []byte) {
	g.buf = append(g.buf[:copy(g.buf, g.buf[g.pos:])], p...)
	g.pos = 0
}

// restart prepares for a parser that holds nothing.
func (g *guard) restart() {
	g.streams = nil
	g.pending = 0
	for _, st := range g.pids {
		st.size, st.waiting = 0, true
	}
}

// next returns the next packet to parse, or nil if more input is needed. last
// tells that there is no more input. The result is valid until the next call of
// add.
func (g *guard) next(last bool) []byte {
	for {
		g.sync(last)
		if !g.locked || len(g.buf)-g.pos < packetSize {
			return nil
		}
		pkt := g.buf[g.pos : g.pos+packetSize]
		g.pos += packetSize
		if g.accept(pkt) {
			return pkt
		}
	}
}

// sync moves to the start of a packet: a sync byte which is followed by another
// one, a packet later.
func (g *guard) sync(last bool) {
	if g.locked {
		g.locked = len(g.buf) == g.pos || g.buf[g.pos] == syncByte
	}
	skipped := 0
	for !g.locked {
		left := g.buf[g.pos:]
		if len(left) < packetSize || !last && len(left) == packetSize {
			break
		}
		if left[0] == syncByte && (len(left) == packetSize || left[packetSize] == syncByte) {
			g.locked = true
			break
		}
		g.pos++
		skipped++
	}
	if skipped > 0 {
		g.damaged(fmt.Errorf("%d bytes that are no transport packet", skipped))
	}
}

// accept tells whether to parse a packet. It rewrites the continuity counter.
func (g *guard) accept(pkt []byte) bool {
	pid := uint16(pkt[1]&0x1f)<<8 | uint16(pkt[2])
	start := pkt[1]&0x40 != 0
	switch {
	case pid == nullPID || pkt[3]&0x10 == 0: // no payload
		return false
	case pkt[1]&0x80 != 0, // transport_error_indicator
		pkt[3]&0xc0 != 0,                 // scrambled
		pkt[3]&0x20 != 0 && pkt[4] > 182: // the adaptation field leaves no payload
		g.damaged(errDamagedPacket)
		return false
	}
	st := g.pids[pid]
	if st == nil {
		st = &pidState{waiting: true}
		g.pids[pid] = st
	}
	if !g.inOrder(st, pid, pkt) {
		return false
	}
	if start {
		g.pending -= st.size
		st.size, st.waiting = 0, false
	}
	if st.waiting {
		return false
	}
	if st.size+packetSize > g.limit(pid) || g.pending+packetSize > maxPending {
		g.damaged(fmt.Errorf("a unit of PID %d is too large", pid))
		st.interrupt()
		return false
	}
	st.size += packetSize
	g.pending += packetSize
	st.out = (st.out + 1) & 0x0f
	pkt[3] = pkt[3]&0xf0 | st.out
	return true
}

// inOrder checks the continuity counter, section 2.4.3.3.
func (g *guard) inOrder(st *pidState, pid uint16, pkt []byte) bool {
	jump := pkt[3]&0x20 != 0 && pkt[4] > 0 && pkt[5]&0x80 != 0 // discontinuity_indicator
	cc := pkt[3] & 0x0f
	if st.seen && !jump {
		if cc == st.in { // packets may be sent twice
			return false
		}
		if cc != (st.in+1)&0x0f && !st.waiting {
			g.damaged(fmt.Errorf("transport packets of PID %d were lost", pid))
			st.interrupt()
		}
	}
	st.in, st.seen = cc, true
	return true
}

// interrupt drops the rest of the current unit, and makes a gap so that the
// parser drops its beginning.
func (st *pidState) interrupt() {
	st.waiting = true
	st.out++
}

func (g *guard) limit(pid uint16) int {
	if g.streams == nil || g.streams[pid] {
		return maxPES
	}
	return maxSection
}
