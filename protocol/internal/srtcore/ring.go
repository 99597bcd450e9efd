package srtcore

import "slices"

// slot is a place for a packet in the ring of the receiver.
type slot struct {
	buf  *packetBuffer
	at   int64 // when it is to be delivered, microseconds
	size uint16
	full bool // a packet has come; without buf there is nothing to deliver (it could not be decrypted)
}

// loss is a range of packets that are missing.
type loss struct {
	lo, hi   seq
	reported int64 // microseconds
}

func newReceiver(isn seq, window int, arrival int64, ts uint32) *receiver {
	return &receiver{
		window: window, base: isn, end: isn, ackSent: isn, acked: true, average: maxPayload,
		clock: newTSBPD(arrival, ts),
	}
}

func (r *receiver) at(i int) *slot { return &r.ring[(r.head+i)&(len(r.ring)-1)] }

// next returns the first packet that has not come.
func (r *receiver) next() seq {
	if len(r.losses) > 0 {
		return r.losses[0].lo
	}
	return r.end
}

// room makes the ring long enough for the i-th packet.
func (r *receiver) room(i int) {
	if i < len(r.ring) {
		return
	}
	size := max(len(r.ring), 64)
	for size <= i {
		size *= 2
	}
	ring := make([]slot, size)
	for j := range r.end.from(r.base) {
		ring[j] = *r.at(j)
	}
	r.ring, r.head = ring, 0
}

// advance moves base on. The slots it passes must be empty.
func (r *receiver) advance(n int) {
	if len(r.ring) > 0 {
		r.head = (r.head + n) & (len(r.ring) - 1)
	}
	r.base = r.base.add(n)
	if r.end.from(r.base) < 0 {
		r.end = r.base
	}
	for len(r.losses) > 0 && r.losses[0].hi.from(r.base) < 0 {
		r.losses = slices.Delete(r.losses, 0, 1)
	}
	if len(r.losses) > 0 && r.losses[0].lo.from(r.base) < 0 {
		r.losses[0].lo = r.base
	}
}

func (r *receiver) clear() {
	for i := range r.end.from(r.base) {
		if s := r.at(i); s.buf != nil {
			putPacketBuffer(s.buf)
		}
	}
	r.ring, r.losses, r.held, r.bytes = nil, nil, 0, 0
	r.base = r.end
}

// firstDue returns when the first packet that is there is to be delivered.
func (r *receiver) firstDue() int64 {
	for i := range r.end.from(r.base) {
		if s := r.at(i); s.full {
			return s.at
		}
	}
	return 1<<63 - 1
}
