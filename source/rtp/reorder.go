package rtp

import (
	"time"

	"github.com/pion/rtp"
)

const (
	// window is how many packets a packet may be ahead of one that is missing. It
	// divides 65536.
	window = 64
	// maxWait is how long packets are held back for one that is missing.
	maxWait = 100 * time.Millisecond

	// Sequence numbers further ahead, or further back, belong to a sender that has
	// started over (RFC 3550 appendix A.1).
	maxDropout  = 3000
	maxMisorder = 100
	// silence is how long after the last packet a sequence number from before is
	// not taken for a late packet.
	silence = time.Second
)

// reorder puts the packets of one sender in order and drops duplicates.
type reorder struct {
	deliver func(pkt *rtp.Packet, now time.Time)
	lost    func(n uint64)

	started bool
	next    uint16    // sequence number that is expected
	last    time.Time // arrival of the last packet that fitted
	slots   [window]slot
	held    int         // slots in use
	stray   *rtp.Packet // far from what is expected; the next one tells what it means
}

type slot struct {
	pkt     *rtp.Packet
	arrival time.Time
}

func (o *reorder) push(pkt *rtp.Packet, now time.Time) {
	if !o.started {
		o.started, o.next = true, pkt.SequenceNumber
	}
	ahead := pkt.SequenceNumber - o.next
	switch {
	case ahead < maxDropout:
	case ahead > ^uint16(0)-maxMisorder && now.Sub(o.last) < silence:
		return // late, or a duplicate
	case o.stray == nil || o.stray.SequenceNumber+1 != pkt.SequenceNumber:
		if o.stray != nil {
			o.lost(1)
		}
		o.stray = pkt
		return
	default:
		o.restart(now)
		ahead = 1
	}
	o.last = now
	if o.stray != nil {
		o.lost(1)
		o.stray = nil
	}
	if ahead >= window {
		o.advance(pkt.SequenceNumber-window+1, now)
	}
	if o.place(pkt, now) {
		o.drain(now)
	}
}

// restart begins again with the stray packet.
func (o *reorder) restart(now time.Time) {
	stray := o.stray
	o.flush(now)
	o.started, o.next, o.stray = true, stray.SequenceNumber, nil
	o.place(stray, now)
	o.drain(now)
}

// place stores a packet of the window.
func (o *reorder) place(pkt *rtp.Packet, now time.Time) bool {
	s := &o.slots[pkt.SequenceNumber%window]
	if s.pkt != nil {
		return false // a duplicate
	}
	*s = slot{pkt, now}
	o.held++
	return true
}

// take delivers the packet that is expected, which is there.
func (o *reorder) take(now time.Time) {
	s := &o.slots[o.next%window]
	pkt := s.pkt
	*s = slot{}
	o.held--
	o.next++
	o.deliver(pkt, now)
}

// drain delivers what is in order.
func (o *reorder) drain(now time.Time) {
	for o.slots[o.next%window].pkt != nil {
		o.take(now)
	}
}

// advance gives up on everything that is missing before a sequence number.
func (o *reorder) advance(to uint16, now time.Time) {
	missing := uint64(0)
	for o.next != to {
		switch {
		case o.slots[o.next%window].pkt != nil:
			o.take(now)
		case o.held == 0:
			missing += uint64(to - o.next)
			o.next = to
		default:
			missing++
			o.next++
		}
	}
	o.lost(missing)
}

// oldest returns the first packet that is held back.
func (o *reorder) oldest() slot {
	for i := range uint16(window) {
		if s := o.slots[(o.next+i)%window]; s.pkt != nil {
			return s
		}
	}
	return slot{}
}

// patience is how long the oldest packet that is held back may still wait.
func (o *reorder) patience(now time.Time) time.Duration {
	return o.oldest().arrival.Add(maxWait).Sub(now)
}

// expire delivers packets that waited too long for others.
func (o *reorder) expire(now time.Time) {
	for o.held > 0 && o.patience(now) <= 0 {
		o.advance(o.oldest().pkt.SequenceNumber, now)
		o.drain(now)
	}
}

// flush delivers everything that is held back, and forgets the order.
func (o *reorder) flush(now time.Time) {
	for o.held > 0 {
		o.advance(o.oldest().pkt.SequenceNumber, now)
		o.drain(now)
	}
	o.started, o.stray = false, nil
}
