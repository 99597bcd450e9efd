package srtcore

import (
	"encoding/binary"
	"slices"

	"github.com/org/mtx/protocol/internal/egress"
)

// Intervals in microseconds, and counts, after libsrt.
const (
	ackPeriod     = 10_000
	minNAKPeriod  = 20_000
	lightACKEvery = 64 // packets
	ackHistory    = 256
	maxLosses     = 4096 // ranges
)

// receiver is the receiving side of a connection, guarded by Conn.mu.
type receiver struct {
	window  int
	started bool // a packet has come

	// The ring holds packets from base (the next one to be delivered) up to end, excluding it. Its length is a
	// power of two, and grows as needed up to the window.
	ring   []slot
	head   int
	base   seq
	end    seq
	held   int // packets in the ring
	bytes  int // their payloads
	losses []loss

	clock tsbpd

	ackNo     uint32
	ackSent   seq   // what the last full acknowledgement said
	ackTime   int64 // when it was sent
	acked     bool  // it was acknowledged itself
	ackTimes  [ackHistory]ackTime
	unacked   int // packets since any acknowledgement
	rate      rate
	probe     linkProbe
	average   int // size of payloads, bytes
	belatedUS uint64
}

// ackTime is when a full acknowledgement was sent.
type ackTime struct {
	no uint32
	at int64
}

// data takes a data packet in.
func (c *Conn) data(b *egress.Batch, h header, payload []byte, now int64) {
	r := c.rcv
	size := uint64(len(payload) + c.overhead)
	c.stats.PacketsReceived++
	c.stats.BytesReceived += size
	rexmit := h.info&flagRexmit != 0
	if rexmit {
		c.stats.PacketsReceivedRetrans++
		c.stats.BytesReceivedRetrans += size
	}
	// Message number 0 is that of packet filters (FEC), which are never agreed on.
	if r == nil || len(payload) == 0 || len(payload) > maxPayload || h.info&maxMsgNo == 0 {
		return
	}
	r.rate.add(now, 1, int(size))
	r.average += (len(payload) - r.average) / 8
	if !rexmit {
		r.probe.packet(h.seq, now)
	}
	if key := keyOf(h); key != keyNone && c.crypto != nil && !c.crypto.ready(key, h.seq) {
		c.undecrypted(size) // its key is on the way; until then it has not come, and is asked for again
		return
	}
	i := h.seq.from(r.base)
	at := r.clock.playTime(h.ts, now, c.latency, !rexmit)
	if i < 0 || i < len(r.ring) && i < r.end.from(r.base) && r.at(i).full {
		c.belated(size, now-at)
		return
	}
	if i >= r.window {
		// There is no room. When there is nothing else to wait for, the stream goes on from here.
		if r.held > 0 {
			return
		}
		c.skipTo(h.seq)
		i = 0
	}
	r.started = true
	r.room(i)
	r.store(c, i, h, payload, at, size)
	c.noteSequence(b, h.seq, now)
	if r.unacked++; r.unacked >= lightACKEvery {
		r.unacked = 0
		var p [lightACKSize]byte
		binary.BigEndian.PutUint32(p[:], uint32(r.next()))
		c.stats.PacketsSentACK++
		c.control(b, ctrlACK, 0, 0, p[:], now)
	}
	c.drive(now, at)
}

// keyOf tells which key a packet is encrypted with.
func keyOf(h header) int { return int(h.info&keyMask) >> keyShift }

// drive makes sure that the timer loop comes in time.
func (c *Conn) drive(now, at int64) {
	if c.nextDrive > now && c.nextDrive <= min(at, now+ackPeriod)+tickGrain {
		return
	}
	c.nextDrive = now + ackPeriod
	c.l.timers.set(&c.due, now+ackPeriod)
}

// store decrypts a payload and keeps it in the i-th slot.
func (r *receiver) store(c *Conn, i int, h header, payload []byte, at int64, size uint64) {
	s := r.at(i)
	*s = slot{at: at, full: true}
	r.held++
	key := keyOf(h)
	encrypted := c.crypto != nil || c.v4Secret != ""
	if encrypted != (key != keyNone) || encrypted && c.crypto == nil {
		c.undecrypted(size)
		return
	}
	buf := getPacketBuffer()
	n := copy(buf[:], payload)
	if encrypted {
		c.crypto.decrypt(buf[:n], h.seq, key)
	}
	s.buf, s.size = buf, uint16(n)
	r.bytes += n
	c.stats.PacketsReceivedUnique++
	c.stats.BytesReceivedUnique += size
}

func (c *Conn) undecrypted(size uint64) {
	c.stats.PacketsReceivedUndecrypt++
	c.stats.BytesReceivedUndecrypt += size
}

func (c *Conn) belated(size uint64, late int64) {
	c.stats.PacketsReceivedBelated++
	c.stats.BytesReceivedBelated += size
	c.rcv.belatedUS += uint64(max(late, 0))
}

// skipTo gives up everything before a packet. The ring is empty.
func (c *Conn) skipTo(q seq) {
	r := c.rcv
	n := q.from(r.base)
	if r.started {
		c.lostForGood(n)
	}
	clear(r.ring)
	r.losses = r.losses[:0]
	r.base, r.end = q, q
}

func (c *Conn) lostForGood(n int) {
	c.stats.PacketsReceivedDrop += uint64(n)
	c.stats.BytesReceivedDrop += uint64(n) * uint64(c.rcv.average+c.overhead)
}

// noteSequence keeps the list of losses when a packet has come, and reports new ones at once.
func (c *Conn) noteSequence(b *egress.Batch, q seq, now int64) {
	r := c.rcv
	n := q.from(r.end)
	if n < 0 {
		r.found(q, q)
		return
	}
	first := r.end
	r.end = q.add(1)
	if n == 0 {
		return
	}
	c.stats.PacketsReceivedLoss += uint64(n)
	c.stats.BytesReceivedLoss += uint64(n) * uint64(r.average+c.overhead)
	if len(r.losses) >= maxLosses {
		r.losses[len(r.losses)-1].hi = q.add(-1) // reports a few too many
	} else {
		r.losses = append(r.losses, loss{lo: first, hi: q.add(-1), reported: now})
	}
	var p [8]byte
	c.stats.PacketsSentNAK++
	c.control(b, ctrlNAK, 0, 0, appendLoss(p[:0], first, q.add(-1)), now)
}

// found takes a range off the list of losses.
func (r *receiver) found(lo, hi seq) {
	i, _ := slices.BinarySearchFunc(r.losses, lo, func(l loss, q seq) int { return l.hi.from(q) })
	for i < len(r.losses) && r.losses[i].lo.from(hi) <= 0 {
		l := &r.losses[i]
		before, after := l.lo.from(lo) < 0, l.hi.from(hi) > 0
		switch {
		case before && after:
			if len(r.losses) >= maxLosses {
				return
			}
			tail := loss{hi.add(1), l.hi, l.reported}
			l.hi = lo.add(-1)
			r.losses = slices.Insert(r.losses, i+1, tail)
			return
		case before:
			l.hi = lo.add(-1)
			i++
		case after:
			l.lo = hi.add(1)
			return
		default:
			r.losses = slices.Delete(r.losses, i, i+1)
		}
	}
}

// onDropReq stops waiting for packets that the peer has given up. They still may come.
func (c *Conn) onDropReq(payload []byte) {
	r := c.rcv
	if r == nil || len(payload) < 8 {
		return
	}
	lo, hi := binary.BigEndian.Uint32(payload), binary.BigEndian.Uint32(payload[4:])
	if lo > maxSeq || hi > maxSeq || seq(hi).from(seq(lo)) < 0 {
		return
	}
	r.found(seq(lo), seq(hi))
}

// release takes the packets whose time has come. Missing ones before them are too late.
func (c *Conn) release(dst []delivery, now int64) []delivery {
	r := c.rcv
	for r.held > 0 {
		i := 0
		for !r.at(i).full {
			i++
		}
		s := r.at(i)
		if s.at > now {
			break
		}
		if i > 0 {
			c.lostForGood(i)
			r.advance(i)
		}
		dst = r.take(dst, s)
	}
	return dst
}

// take delivers the first packet.
func (r *receiver) take(dst []delivery, s *slot) []delivery {
	if s.buf != nil {
		dst = append(dst, delivery{s.buf, int(s.size)})
		r.bytes -= int(s.size)
	}
	*s = slot{}
	r.held--
	r.advance(1)
	return dst
}

// releaseAll takes all packets, whenever they are due.
func (r *receiver) releaseAll(dst []delivery) []delivery {
	for r.held > 0 {
		i := 0
		for !r.at(i).full {
			i++
		}
		if i > 0 {
			r.advance(i)
		}
		dst = r.take(dst, r.at(0))
	}
	return dst
}
