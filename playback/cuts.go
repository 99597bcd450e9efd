package playback

import (
	"slices"
	"time"
)

// leastPiece is the duration that segments of HLS have at least; they end with
// the next key frame.
const leastPiece = 4 * time.Second

// cut is a place at which a recording can be cut.
type cut struct {
	at  time.Duration // presentation time, in whole microseconds
	pos int64         // offset in the file; -1: it cannot be cut there as it is
}

// extent is a file, or the part of it that is complete, in bytes.
type extent struct {
	head int64 // of the header, with which every piece can be decoded; 0: there are no such pieces
	end  int64
}

// cuts are places with a distance. They are never taken back while a file grows,
// so that what was announced stays true.
type cuts struct {
	list    []cut
	least   time.Duration
	longest time.Duration // distance so far
}

// maxCuts bounds the places that are remembered: nine hours, after which the
// distance is doubled.
const maxCuts = 8192

// newCuts begins with the first sample, at an offset.
func newCuts(pos int64) cuts { return cuts{list: []cut{{0, pos}}, least: leastPiece} }

// add takes a place, unless it is too close to the last one.
func (c *cuts) add(x cut) {
	last := c.list[len(c.list)-1]
	d := x.at - last.at
	if d < c.least || x.pos >= 0 && x.pos == last.pos { // the first sample may come late
		return
	}
	c.longest = max(c.longest, d)
	if len(c.list) == maxCuts {
		c.thin()
	}
	c.list = append(c.list, x)
}

// thin drops every second place. The list may be that of others, too.
func (c *cuts) thin() {
	var out []cut
	for i := 0; i < len(c.list); i += 2 {
		out = append(out, c.list[i])
		if n := len(out); n > 1 {
			c.longest = max(c.longest, out[n-1].at-out[n-2].at)
		}
	}
	c.list, c.least = out, 2*c.least
}

// until returns the places of a recording that ends at a time.
func (c *cuts) until(end time.Duration) []cut {
	n := len(c.list)
	for n > 1 && c.list[n-1].at >= end {
		n--
	}
	return slices.Clip(c.list[:n])
}

// worst is the longest piece.
func (c *cuts) worst(end time.Duration) time.Duration {
	return max(c.longest, end-c.list[len(c.list)-1].at)
}
