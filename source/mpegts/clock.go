package mpegts

import "time"

const (
	// Time stamps may be this far from where they should be by the time that went
	// by. Tracks are interleaved by less, and B-frames go back by less.
	maxForward  = 10 * time.Second
	maxBackward = 3 * time.Second
	// leftover is how long after a jump units from before it may come.
	leftover = time.Second
)

// clock keeps time stamps going forward when those of the sender jump: it was
// restarted, or loops over a file. All tracks share it.
type clock struct {
	started  bool
	last     time.Duration // shifted time stamp of the last unit
	arrival  time.Time     // of the last unit
	jump     time.Time     // when the last jump was
	current  time.Duration // what to add
	previous time.Duration // what was added before the last jump
}

// shift returns what to add to a time stamp. After a jump of one track, units of
// the others from before it may still come; so they may after a time stamp that
// was wrong.
func (c *clock) shift(pts time.Duration, now time.Time) time.Duration {
	if !c.started {
		c.started, c.last, c.arrival = true, pts, now
		return 0
	}
	expected := c.last + max(now.Sub(c.arrival), 0)
	switch {
	case near(pts+c.current, c.last, expected):
	case now.Sub(c.jump) < leftover && near(pts+c.previous, c.last, expected):
		c.current, c.previous = c.previous, c.current
	default:
		c.current, c.previous = expected-pts, c.current
		c.jump = now
	}
	c.last, c.arrival = pts+c.current, now
	return c.current
}

// near tells whether a time stamp is not far from the last one, and not far from
// where it is expected: after a pause the sender may go on with either.
func near(pts, last, expected time.Duration) bool {
	return pts > last-maxBackward && pts < expected+maxForward
}
