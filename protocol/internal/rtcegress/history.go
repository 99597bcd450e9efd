package rtcegress

import (
	"time"

	"github.com/org/mtx/protocol/internal/egress"
)

const (
	// historyAge is for how long packets can be sent again.
	historyAge = int64(time.Second)

	// historyUnits bounds the access units that are remembered for a viewer and track.
	historyUnits = 256
)

// history knows in which blocks the packets are that a viewer was sent last. The blocks are those that all viewers share: a
// viewer has some 24 bytes per access unit of its own.
type history struct {
	ring  []remembered // the length is a power of two
	head  int
	count int
}

// remembered is an access unit: packet i of the block was sent with the sequence number seq+i.
type remembered struct {
	block *egress.Block
	at    int64 // Unix time in nanoseconds
	seq   uint16
	n     uint16
}

func (h *history) at(i int) *remembered { return &h.ring[(h.head+i)&(len(h.ring)-1)] }

// push remembers a block, and forgets what is too old.
func (h *history) push(b *egress.Block, seq uint16, now int64) {
	for h.count > 0 && (now-h.at(0).at > historyAge || h.count == historyUnits) {
		h.pop()
	}
	if h.count == len(h.ring) {
		ring := make([]remembered, max(2*len(h.ring), 16))
		for i := range h.count {
			ring[i] = *h.at(i)
		}
		h.ring, h.head = ring, 0
	}
	b.Retain()
	h.count++
	*h.at(h.count - 1) = remembered{block: b, at: now, seq: seq, n: uint16(len(b.Sizes))}
}

func (h *history) pop() {
	e := h.at(0)
	e.block.Release()
	*e = remembered{}
	h.head = (h.head + 1) & (len(h.ring) - 1)
	h.count--
}

// find returns where the packet with a sequence number is.
func (h *history) find(seq uint16) (b *egress.Block, index int, ok bool) {
	for i := h.count - 1; i >= 0; i-- {
		e := h.at(i)
		d := seq - e.seq
		if d < e.n {
			return e.block, int(d), true
		}
		if d < 1<<15 {
			break // behind this unit, and not in the next one
		}
	}
	return nil, 0, false
}

func (h *history) clear() {
	for h.count > 0 {
		h.pop()
	}
	h.ring = nil
}
