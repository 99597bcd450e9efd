package rtcegress

import (
	"maps"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/org/mtx/protocol/internal/egress"
)

const (
	// srtpOverhead is what SRTP adds to a packet: 16 bytes with AES-GCM, at most (RFC 7714, RFC 3711).
	srtpOverhead = 16

	// chunkSize is the memory that is taken from a batch at once: an access unit of 8 Mbit/s.
	chunkSize = 32 << 10
)

// outlet is where the packets of a viewer come out below pion. All of it belongs to whom writes to the peer connection: one
// goroutine at a time, see Viewer.
type outlet struct {
	conn  *Conn
	count *egress.Counters

	passed uint64        // packets that came here
	taken  uint64        // those that the batch got
	batch  *egress.Batch // while an access unit is delivered; nil: packets are sent at once

	addr netip.AddrPort // where dest leads
	dest *egress.Destination

	left    int    // bytes of the access unit that may still come
	run     []byte // datagrams of one size, the rest of the capacity is free
	segment int    // that size
}

// begin makes packets go to the batch until end.
func (o *outlet) begin(b *egress.Batch, bytes, packets int) {
	o.batch = b
	o.left = bytes + packets*srtpOverhead
}

// end hands what was collected to the batch.
func (o *outlet) end() {
	o.flush()
	o.batch, o.run = nil, nil
}

// collect takes a packet, or reports that it has to be sent at once. pion uses p again afterwards.
func (o *outlet) collect(p []byte, to netip.AddrPort) bool {
	o.passed++
	if o.batch == nil {
		return false
	}
	if o.dest == nil || o.addr != to {
		o.flush()
		d, err := o.conn.socket.Destination(to)
		if err != nil {
			return false
		}
		o.addr, o.dest = to, d
	}
	if o.segment > 0 && len(p) > o.segment {
		o.flush()
	}
	if len(o.run)+len(p) > cap(o.run) {
		o.flush()
		o.grow(len(p))
	}
	o.taken++
	o.run = append(o.run, p...)
	o.left -= len(p)
	if o.segment == 0 {
		o.segment = len(p)
	} else if len(p) < o.segment {
		o.flush()
	}
	return true
}

// flush ends a run.
func (o *outlet) flush() {
	if len(o.run) > 0 {
		o.batch.Send(o.dest, o.run, o.segment, o.count, false)
		o.run = o.run[len(o.run):]
	}
	o.segment = 0
}

// grow gets memory for at least n bytes. There is no run.
func (o *outlet) grow(n int) {
	n = max(n, min(o.left, chunkSize))
	if o.batch.Room() < n {
		o.batch.Flush()
	}
	o.run = o.batch.Scratch(n)[:0]
}

// outlets finds outlets by SSRC. Looking one up takes no lock.
type outlets struct {
	shards [64]outletShard
}

type outletShard struct {
	mu    sync.Mutex // for changes
	table atomic.Pointer[map[uint32]*outlet]
}

func (t *outlets) shard(ssrc uint32) *outletShard { return &t.shards[ssrc%uint32(len(t.shards))] }

func (t *outlets) get(ssrc uint32) *outlet {
	m := t.shard(ssrc).table.Load()
	if m == nil {
		return nil
	}
	return (*m)[ssrc]
}

// add makes the packets with an SSRC go through an outlet. SSRCs are random: if two viewers happen to have the same one,
// the packets of both are sent at once from then on.
func (t *outlets) add(ssrc uint32, o *outlet) {
	t.change(ssrc, func(m map[uint32]*outlet) {
		if _, taken := m[ssrc]; taken {
			o = nil
		}
		m[ssrc] = o
	})
}

// remove undoes add. An SSRC that was taken twice stays unusable.
func (t *outlets) remove(ssrc uint32, o *outlet) {
	t.change(ssrc, func(m map[uint32]*outlet) {
		if m[ssrc] == o {
			delete(m, ssrc)
		}
	})
}

func (t *outlets) change(ssrc uint32, f func(map[uint32]*outlet)) {
	s := t.shard(ssrc)
	s.mu.Lock()
	defer s.mu.Unlock()
	m := map[uint32]*outlet{}
	if old := s.table.Load(); old != nil {
		m = maps.Clone(*old)
	}
	f(m)
	s.table.Store(&m)
}
