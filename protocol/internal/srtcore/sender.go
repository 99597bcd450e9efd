package srtcore

import (
	"encoding/binary"

	"github.com/org/mtx/protocol/internal/egress"
)

// Limits of sending.
const (
	// minDropDelay is the least age at which packets that were not acknowledged are given up, and dropMargin is added to
	// the age; microseconds, as in libsrt.
	minDropDelay = 1_000_000
	dropMargin   = 20_000

	// minRexmitGap is the least time between two retransmissions of a packet, microseconds.
	minRexmitGap = 10_000

	// Each new packet gives the right to so many retransmissions, up to a maximum, so that a
	// peer cannot make us send more than three times the stream, whatever it reports lost.
	rexmitPerPacket = 2
	rexmitInitial   = 256
	rexmitMax       = 8192

	// minProbeWait is the least time after which a packet without successors is sent again, microseconds.
	minProbeWait = 60_000

	// ackAnswerGap is the least time between answers to acknowledgements that say the same, microseconds.
	ackAnswerGap = 30_000

	// maxFlightMin is the least flow window that is taken seriously.
	maxFlightMin = 32
)

// sent is a packet that may have to be sent again. Its payload stays in the block that all readers share.
type sent struct {
	block *egress.Block
	at    int64 // when it was sent first, microseconds
	again int64 // when it was sent again, or 0
	off   uint32
	size  uint16
	key   uint8
	last  bool // of its block: the reference goes with it
}

// sender is the sending side of a connection, guarded by Conn.mu.
type sender struct {
	ring  []sent // the length is a power of two
	head  int
	count int
	bytes int // payloads in the ring

	base    seq // of the first packet in the ring
	isn     seq
	acked   seq // what the peer has acknowledged; behind base if packets were given up
	window  int // most packets in flight, by the handshake
	room    int // by the last acknowledgement
	credits int // retransmissions that may be made
	probes  int // of a lost tail, since the last acknowledgement
	probeAt int64
	busy    int64 // since when there is something not acknowledged, or 0

	answered   seq // acknowledgement that was itself acknowledged last
	answeredAt int64

	rate     rate
	capacity uint32 // of the link by the peer's measurement, packets per second
}

func (s *sender) init(isn seq, window int) {
	s.base, s.isn, s.acked = isn, isn, isn
	s.window = max(window, maxFlightMin)
	s.room = s.window
	s.credits = rexmitInitial
}

func (s *sender) next() seq          { return s.base.add(s.count) }
func (s *sender) at(i int) *sent     { return &s.ring[(s.head+i)&(len(s.ring)-1)] }
func (s *sender) msgNo(q seq) uint32 { return uint32(q.add(-int(s.isn)))%maxMsgNo + 1 }

func (s *sender) push(e sent) {
	if s.count == len(s.ring) {
		ring := make([]sent, max(2*len(s.ring), 64))
		for i := range s.count {
			ring[i] = *s.at(i)
		}
		s.ring, s.head = ring, 0
	}
	s.count++
	*s.at(s.count - 1) = e
	s.bytes += int(e.size)
}

func (s *sender) pop() {
	e := s.at(0)
	s.bytes -= int(e.size)
	if e.last {
		e.block.Release()
	}
	*e = sent{}
	s.head = (s.head + 1) & (len(s.ring) - 1)
	s.base = s.base.add(1)
	s.count--
}

func (s *sender) clear() {
	for s.count > 0 {
		s.pop()
	}
	s.ring = nil
}

// Wants implements egress.Reader.
func (c *Conn) Wants() []egress.Want {
	return []egress.Want{{Track: 0, Channel: egress.AsPackets}}
}

// Discard implements egress.Reader.
func (c *Conn) Discard(_ egress.Loss) {
	c.mu.Lock()
	c.stats.OutboundFramesDiscarded++
	c.mu.Unlock()
}

// Deliver implements egress.Reader: it sends the packets of the message, each as one SRT message.
func (c *Conn) Deliver(m *egress.Message, b *egress.Batch) {
	if blk := m.Packets(); blk != nil && !m.Control {
		c.send(b, blk, c.l.now())
	}
}

func (c *Conn) send(b *egress.Batch, blk *egress.Block, now int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing != nil {
		return
	}
	c.dropLate(now)
	packets := 0
	for _, n := range blk.Sizes {
		packets += (n + c.payload - 1) / c.payload
	}
	if packets == 0 {
		return
	}
	if c.snd.count+packets > min(c.snd.window, c.snd.room) {
		c.stats.OutboundFramesDiscarded++
		c.stats.PacketsSendDrop += uint64(packets)
		c.stats.BytesSendDrop += uint64(len(blk.Data) + packets*c.overhead)
		return
	}
	if c.crypto != nil {
		c.turnKeys(b, packets, now)
	}
	if c.snd.count == 0 {
		c.snd.busy = now
	}
	blk.Retain()
	c.transmit(b, blk, packets, now)
	c.snd.at(c.snd.count - 1).last = true
	c.snd.credits = min(c.snd.credits+rexmitPerPacket*packets, rexmitMax)
	c.lastSent = now
	n := uint64(len(blk.Data) + packets*c.overhead)
	c.stats.PacketsSent += uint64(packets)
	c.stats.PacketsSentUnique += uint64(packets)
	c.stats.BytesSent += n
	c.stats.BytesSentUnique += n
	c.snd.rate.add(now, packets, int(n))
}

// transmit sends the packets of a block in runs of one size, the last of which may be shorter.
func (c *Conn) transmit(b *egress.Batch, blk *egress.Block, packets int, now int64) {
	out := b.Scratch(len(blk.Data) + packets*headerSize)
	used, begin, segment := 0, 0, 0
	off := 0
	flush := func() {
		b.Send(c.dest, out[begin:used], segment, &c.counters, false)
		begin, segment = used, 0
	}
	for _, n := range blk.Sizes {
		for n > 0 {
			k := min(n, c.payload)
			if segment > 0 && headerSize+k > segment {
				flush()
			}
			e := sent{block: blk, at: now, off: uint32(off), size: uint16(k)}
			if c.crypto != nil {
				e.key = uint8(c.crypto.current)
			}
			q := c.snd.next()
			c.snd.push(e)
			c.write(out[used:used+headerSize+k], &e, q, 0)
			used += headerSize + k
			if segment == 0 {
				segment = headerSize + k
			} else if headerSize+k < segment {
				flush()
			}
			off += k
			n -= k
		}
	}
	if used > begin {
		flush()
	}
}

// write encodes a packet.
func (c *Conn) write(out []byte, e *sent, q seq, flags uint32) {
	flags |= solo | uint32(e.key)<<keyShift | c.snd.msgNo(q)
	putData(out, q, flags, c.timestamp(e.at), c.peerID)
	payload := out[headerSize:]
	copy(payload, e.block.Data[e.off:])
	if e.key != keyNone {
		c.crypto.send[e.key-1].crypt(payload, q)
	}
}

// retransmit sends the i-th packet of the ring again, if that makes sense. It reports whether there is credit left.
func (c *Conn) retransmit(b *egress.Batch, i int, now int64) bool {
	e := c.snd.at(i)
	if now-max(e.again, e.at) < minRexmitGap || e.again != 0 && now-e.again < c.rtt.smoothed {
		return true // a retransmission is under way
	}
	if c.snd.credits == 0 {
		return false
	}
	c.snd.credits--
	out := b.Scratch(headerSize + int(e.size))
	c.write(out, e, c.snd.base.add(i), flagRexmit)
	b.Send(c.dest, out, len(out), &c.counters, false)
	e.again = now
	c.lastSent = now
	n := uint64(len(out) - headerSize + c.overhead)
	c.stats.PacketsSent++
	c.stats.BytesSent += n
	c.stats.PacketsRetrans++
	c.stats.BytesRetrans += n
	c.snd.rate.add(now, 1, int(n))
	return true
}

// onACK removes what the peer has.
func (c *Conn) onACK(b *egress.Batch, h header, payload []byte, now int64) {
	a, ok := parseACK(payload)
	if !ok {
		return
	}
	c.stats.PacketsReceivedACK++
	if a.full {
		// Some peers repeat themselves every 10 ms; others only until they are answered.
		if a.next != c.snd.answered || now-c.snd.answeredAt >= ackAnswerGap {
			c.snd.answered, c.snd.answeredAt = a.next, now
			c.control(b, ctrlACKACK, 0, h.info, nil, now)
		}
		c.fullACK(a)
	}
	if n := a.next.from(c.snd.next()); n > 0 {
		return // of packets that were never sent
	}
	if a.next.from(c.snd.acked) > 0 {
		c.snd.acked = a.next
		c.snd.probes = 0
	}
	for n := a.next.from(c.snd.base); n > 0 && c.snd.count > 0; n-- {
		c.snd.pop()
	}
	c.idleSince(now)
}

// fullACK takes measurements of the peer over.
func (c *Conn) fullACK(a ackInfo) {
	if c.rcv == nil || !c.rcv.started {
		// Who sends only cannot measure.
		c.rtt = rtt{smoothed: min(int64(a.rtt), maxRTT), variance: min(int64(a.rttVar), maxRTT), measured: true}
	}
	c.snd.room = max(int(min(a.window, 1<<20)), maxFlightMin)
	if a.capacity != 0 {
		c.snd.capacity = a.capacity
	}
}

// idleSince notes the time at which everything was acknowledged or given up.
func (c *Conn) idleSince(now int64) {
	if c.snd.count == 0 && c.snd.busy != 0 {
		c.stats.USSendDuration += uint64(max(now-c.snd.busy, 0))
		c.snd.busy = 0
	}
}

// onNAK sends again what the peer reports lost.
func (c *Conn) onNAK(b *egress.Batch, payload []byte, now int64) {
	c.stats.PacketsReceivedNAK++
	c.dropLate(now)
	budget := 2 * c.snd.count // ranges may overlap
	for {
		lo, hi, rest, ok := nextLoss(payload)
		if !ok {
			return
		}
		payload = rest
		n := hi.from(lo) + 1
		if n <= 0 || hi.from(c.snd.next()) >= 0 || lo.from(c.snd.acked) < 0 && hi.from(c.snd.acked) < 0 {
			continue
		}
		if lo.from(c.snd.acked) < 0 {
			lo = c.snd.acked
		}
		if lo.from(c.snd.base) < 0 {
			end := c.snd.base.add(-1)
			if hi.from(end) < 0 {
				end = hi
			}
			c.sendDropReq(b, lo, end, now)
			lo = c.snd.base
		}
		for i := lo.from(c.snd.base); i <= hi.from(c.snd.base); i++ {
			c.stats.PacketsSendLoss++
			if budget--; budget < 0 || !c.retransmit(b, i, now) {
				return
			}
		}
	}
}

// sendDropReq tells the peer that packets will not come.
func (c *Conn) sendDropReq(b *egress.Batch, lo, hi seq, now int64) {
	var p [8]byte
	binary.BigEndian.PutUint32(p[:], uint32(lo))
	binary.BigEndian.PutUint32(p[4:], uint32(hi))
	c.control(b, ctrlDropReq, 0, c.snd.msgNo(lo), p[:], now)
}

// dropLate gives up packets that would be too late at the peer (section 4.6).
func (c *Conn) dropLate(now int64) {
	limit := max(c.peerLatency, minDropDelay) + dropMargin
	for c.snd.count > 0 {
		e := c.snd.at(0)
		if now-e.at <= limit {
			break
		}
		c.stats.PacketsSendDrop++
		c.stats.BytesSendDrop += uint64(int(e.size) + c.overhead)
		c.snd.pop()
	}
	c.idleSince(now)
}

// tickSender does what is due on the sending side, and returns when to be called again.
func (c *Conn) tickSender(b *egress.Batch, now int64) int64 {
	c.dropLate(now)
	next := now + idleTick
	if c.km.message != nil {
		next = min(next, c.announceKeys(b, now))
	}
	if c.snd.count == 0 {
		return next
	}
	// Losses show by later packets. Behind the last one there is none, so it is repeated until it is acknowledged.
	wait := max(c.rtt.timeout(), minProbeWait) << min(c.snd.probes, 6)
	if last := max(c.snd.at(c.snd.count-1).at, c.snd.probeAt); now-last < wait {
		return min(next, last+wait)
	}
	c.snd.probes++
	c.snd.probeAt = now
	c.retransmit(b, c.snd.count-1, now)
	return min(next, now+wait)
}
