package srtcore

import (
	"encoding/binary"

	"github.com/org/mtx/protocol/internal/egress"
)

// onACKACK measures the round-trip time and the drift of the peer's clock.
func (c *Conn) onACKACK(h header, now int64) {
	r := c.rcv
	if r == nil {
		return
	}
	a := &r.ackTimes[h.info%ackHistory]
	if a.no != h.info || a.at == 0 {
		return
	}
	c.rtt.sample(now - a.at)
	a.at = 0
	if h.info == r.ackNo {
		r.acked = true
	}
	r.clock.sample(h.ts, now, c.rtt.smoothed)
}

// tickReceiver delivers what is due, acknowledges and reports losses. It returns when to be called again.
func (c *Conn) tickReceiver(b *egress.Batch, w *tickWork, now int64) int64 {
	r := c.rcv
	next := now + idleTick
	if c.opened {
		w.deliver = c.release(w.deliver, now)
	}
	if !r.started {
		return next
	}
	if r.next() != r.ackSent && now-r.ackTime >= ackPeriod || !r.acked && now-r.ackTime >= c.rtt.timeout() {
		c.sendACK(b, now)
	}
	if len(r.losses) > 0 {
		next = min(next, c.reportLosses(b, now))
	}
	if r.next() != r.ackSent {
		next = min(next, r.ackTime+ackPeriod)
	} else if !r.acked {
		next = min(next, r.ackTime+c.rtt.timeout())
	}
	if r.held > 0 {
		if c.opened {
			next = min(next, max(r.firstDue(), now+1))
		}
		next = min(next, now+idleTick)
	}
	c.nextDrive = next
	return next
}

// sendACK sends a full acknowledgement (section 3.2.4).
func (c *Conn) sendACK(b *egress.Batch, now int64) {
	r := c.rcv
	if r.ackNo++; r.ackNo == 0 {
		r.ackNo = 1
	}
	r.ackTimes[r.ackNo%ackHistory] = ackTime{r.ackNo, now}
	r.ackSent, r.ackTime, r.acked, r.unacked = r.next(), now, false, 0
	packets, bytes := r.rate.perSecond(now)
	var p [fullACKSize]byte
	binary.BigEndian.PutUint32(p[:], uint32(r.ackSent))
	binary.BigEndian.PutUint32(p[4:], uint32(c.rtt.smoothed))
	binary.BigEndian.PutUint32(p[8:], uint32(c.rtt.variance))
	binary.BigEndian.PutUint32(p[12:], uint32(max(r.window-r.end.from(r.base), 2)))
	binary.BigEndian.PutUint32(p[16:], uint32(packets))
	binary.BigEndian.PutUint32(p[20:], uint32(r.probe.capacity()))
	binary.BigEndian.PutUint32(p[24:], uint32(bytes))
	c.stats.PacketsSentACK++
	c.control(b, ctrlACK, 0, r.ackNo, p[:], now)
}

// reportLosses sends a periodic loss report (section 4.8.2) and returns when the next one is due.
func (c *Conn) reportLosses(b *egress.Batch, now int64) int64 {
	r := c.rcv
	period := max((c.rtt.smoothed+4*c.rtt.variance)/2, minNAKPeriod)
	next := now + period
	var space [maxControl]byte
	p := space[:0]
	for i := range r.losses {
		l := &r.losses[i]
		if now-l.reported < period {
			next = min(next, l.reported+period)
			continue
		}
		if len(p)+8 > maxPayload {
			next = now
			break
		}
		p = appendLoss(p, l.lo, l.hi)
		l.reported = now
	}
	if len(p) > 0 {
		c.stats.PacketsSentNAK++
		c.control(b, ctrlNAK, 0, 0, p, now)
	}
	return max(next, now+tickGrain)
}
