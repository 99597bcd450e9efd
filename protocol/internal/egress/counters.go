package egress

import (
	"sync/atomic"
	"time"
)

// Counters count what one reader got. They are safe for concurrent use; the zero value is ready.
type Counters struct {
	bytes, packets, control, discarded atomic.Uint64
	lastWrite                          atomic.Int64 // Unix time in nanoseconds, 0: never
}

// Stats is a snapshot of Counters.
type Stats struct {
	// Bytes of packets that were sent, without the headers of interleaved frames.
	Bytes uint64

	// Packets is the number of RTP packets that were sent.
	Packets uint64

	// ControlPackets is the number of RTCP packets that were sent.
	ControlPackets uint64

	// Discarded is the number of packets that the reader was due and was not sent.
	Discarded uint64

	// LastWrite is when the reader was last sent something, or the zero time.
	LastWrite time.Time
}

// Stats returns the present values.
func (c *Counters) Stats() Stats {
	s := Stats{
		Bytes:          c.bytes.Load(),
		Packets:        c.packets.Load(),
		ControlPackets: c.control.Load(),
		Discarded:      c.discarded.Load(),
	}
	if t := c.lastWrite.Load(); t != 0 {
		s.LastWrite = time.Unix(0, t)
	}
	return s
}

// Sent counts packets that were handed to the operating system at the time now (Unix, nanoseconds).
func (c *Counters) Sent(packets, bytes int, control bool, now int64) {
	c.bytes.Add(uint64(bytes))
	if control {
		c.control.Add(uint64(packets))
	} else {
		c.packets.Add(uint64(packets))
	}
	c.lastWrite.Store(now)
}

// Lost counts packets that will not be sent.
func (c *Counters) Lost(packets int) { c.discarded.Add(uint64(packets)) }
