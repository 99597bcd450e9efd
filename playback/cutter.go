package playback

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"time"
)

// cutter takes a piece out of a segment: video from one key frame to another,
// everything else by its time.
type cutter struct {
	*segment
	from, to time.Duration
	origin   time.Time
	begun    []bool
	over     []bool
	late     bool
}

func newCutter(f *segment, from, to time.Duration, origin time.Time) *cutter {
	n := len(f.list())
	return &cutter{segment: f, from: from, to: to, origin: origin, begun: make([]bool, n), over: make([]bool, n)}
}

func (c *cutter) write(ctx context.Context, o *output) error {
	tracks := c.list()
	origin := make([]int64, len(tracks))
	for i := range tracks {
		origin[i] = -tracks[i].ticks(c.Start.Sub(c.origin))
	}
	p := pack{fragmentWriter: fragmentWriter{w: o, origin: origin}, src: c.file}
	err := c.walk(ctx, c.from, func(chunks []chunk) error {
		for _, ch := range chunks {
			if c.clip(&tracks[ch.track], &ch) {
				p.add(ch)
			}
		}
		if p.samples > maxPackSamples || p.bytes > maxPending {
			if err := p.flush(); err != nil {
				return err
			}
		}
		if c.done() {
			return errStop
		}
		return nil
	})
	if err != nil && !errors.Is(err, errStop) {
		return err
	}
	return p.flush()
}

// pack makes one fragment of many: players expect one per segment.
type pack struct {
	fragmentWriter
	src     io.ReaderAt
	chunks  []chunk
	samples int
	bytes   int // in memory
}

// maxPackSamples bounds what is kept in memory; only recordings with very few key
// frames have more in a segment.
const maxPackSamples = 1 << 14

func (p *pack) add(c chunk) {
	c.samples = slices.Clone(c.samples)
	if c.data != nil {
		c.data = bytes.Clone(c.data)
	}
	p.samples += len(c.samples)
	p.bytes += len(c.data)
	p.chunks = append(p.chunks, c)
}

func (p *pack) flush() error {
	if len(p.chunks) == 0 {
		return nil
	}
	slices.SortStableFunc(p.chunks, func(a, b chunk) int { return a.track - b.track })
	err := p.write(p.src, p.chunks)
	p.chunks, p.samples, p.bytes = p.chunks[:0], 0, 0
	return err
}

// clip is false if nothing is left.
func (c *cutter) clip(t *track, ch *chunk) bool {
	i := ch.track
	bounded := c.to < c.length() // the last piece has all that is left
	c.late = c.late || bounded && t.time(ch.dts) > c.to+patience
	if c.over[i] {
		return false
	}
	from, to := t.ticks(c.from), t.ticks(c.to)
	first, end, dts := 0, len(ch.samples), ch.dts
	for j, s := range ch.samples {
		pts := dts + int64(s.offset)
		dts += int64(s.duration)
		if !s.sync {
			continue
		}
		if bounded && pts >= to {
			end, c.over[i] = j, true
			break
		}
		if !c.begun[i] && (pts >= from || c.from == 0) {
			first, c.begun[i] = j, true
		}
	}
	if !c.begun[i] || first >= end {
		return false
	}
	ch.samples = ch.samples[:end]
	ch.skip(first)
	return true
}

func (c *cutter) done() bool {
	all := true
	for i := range c.over {
		all = all && c.over[i]
	}
	return all || c.late
}
