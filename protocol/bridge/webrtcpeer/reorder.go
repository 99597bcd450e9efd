package webrtcpeer

import (
	"time"

	"github.com/pion/rtp"
)

const (
	// reorderWindow is how many packets may lie between the first missing one and
	// the newest one.
	reorderWindow = 1024
	// restartDistance: a sequence number that is further away belongs to a sender
	// that began anew, if a second one follows it (RFC 3550 appendix A.1).
	restartDistance = 3000

	maxAsks     = 10  // per packet
	maxPerNACK  = 128 // sequence numbers
	minAskAgain = 20 * time.Millisecond
)

// arrived is a packet with the time of its arrival.
type arrived struct {
	pkt *rtp.Packet
	at  time.Time
}

// slot is the place of a sequence number in the window.
type slot struct {
	arrived
	missed time.Time // since when it is missing
	asked  time.Time
	asks   int
}

// reorder puts packets in order and tells which ones are missing. A packet that
// is missing is waited for, for at most maxWait; then it is lost.
//
// It holds at most reorderWindow packets.
type reorder struct {
	emit func(arrived)
	lost func(n int)

	started bool
	next    uint16 // that is emitted next
	end     uint16 // after the newest one; next if nothing waits
	bad     uint16 // after the last number that was far away
	hasBad  bool
	slots   [reorderWindow]slot
}

func (r *reorder) slot(seq uint16) *slot { return &r.slots[seq%reorderWindow] }

// waiting tells whether packets wait for a missing one.
func (r *reorder) waiting() bool { return r.next != r.end }

// push takes a packet. Duplicates and packets that are too late are dropped.
func (r *reorder) push(pkt *rtp.Packet, now time.Time) {
	seq := pkt.SequenceNumber
	if !r.started {
		r.started, r.next, r.end = true, seq, seq
	}
	d := int(int16(seq - r.next))
	if d >= restartDistance || d <= -restartDistance {
		if !r.hasBad || seq != r.bad {
			r.hasBad, r.bad = true, seq+1
			return
		}
		r.flush()
		r.next, r.end, d = seq, seq, 0
	}
	r.hasBad = false
	if d < 0 {
		return
	}
	if d >= reorderWindow {
		r.skipTo(seq - reorderWindow + 1)
	}
	if int16(seq-r.end) >= 0 {
		for s := r.end; s != seq; s++ {
			*r.slot(s) = slot{missed: now}
		}
		*r.slot(seq) = slot{}
		r.end = seq + 1
	}
	s := r.slot(seq)
	if s.pkt != nil {
		return
	}
	s.arrived = arrived{pkt, now}
	r.drain()
}

// drain emits what is complete.
func (r *reorder) drain() {
	for r.next != r.end {
		s := r.slot(r.next)
		if s.pkt == nil {
			return
		}
		a := s.arrived
		*s = slot{}
		r.next++
		r.emit(a)
	}
}

// expire gives up what was missing too long.
func (r *reorder) expire(now time.Time, maxWait time.Duration) {
	n := 0
	for r.next != r.end {
		s := r.slot(r.next)
		if s.pkt == nil {
			if now.Sub(s.missed) < maxWait {
				break
			}
			n++
			r.next++
			continue
		}
		r.drain()
	}
	if n > 0 {
		r.lost(n)
	}
}

// skipTo gives up everything in front of seq.
func (r *reorder) skipTo(seq uint16) {
	n := 0
	for r.next != seq && r.next != r.end {
		s := r.slot(r.next)
		r.next++
		if s.pkt == nil {
			n++
			continue
		}
		a := s.arrived
		*s = slot{}
		r.emit(a)
	}
	if r.next != seq { // nothing of what lies between was seen
		n += int(seq - r.next)
		r.next, r.end = seq, seq
	}
	if n > 0 {
		r.lost(n)
	}
	r.drain()
}

// flush emits all that waits, in front of a new beginning.
func (r *reorder) flush() { r.skipTo(r.end) }

// ask returns sequence numbers to be asked for now, appended to list.
func (r *reorder) ask(list []uint16, now time.Time, again time.Duration) []uint16 {
	again = max(again, minAskAgain)
	for seq := r.next; seq != r.end && len(list) < maxPerNACK; seq++ {
		s := r.slot(seq)
		if s.pkt != nil || s.asks >= maxAsks || s.asks > 0 && now.Sub(s.asked) < again {
			continue
		}
		s.asks++
		s.asked = now
		list = append(list, seq)
	}
	return list
}
