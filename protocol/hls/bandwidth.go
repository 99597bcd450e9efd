package hls

import (
	"bytes"
	"regexp"
	"strconv"
	"sync"
	"time"

	"github.com/org/mtx/router/media"
)

const (
	// sampleCost is about what fragmented MP4 adds to a packet of audio, in bytes.
	sampleCost = 16

	// fragmentCost is about what it adds to a part, or to a segment.
	fragmentCost = 120
)

// rate measures how much a track takes.
type rate struct {
	mu    sync.Mutex
	since time.Duration // when the segment began, about
	last  time.Duration
	bytes int
	begun bool
	peak  float64 // bit/s, of a whole segment
}

// add counts a unit. A segment has a minimum duration.
func (r *rate) add(u *media.Unit, pts, segment, part time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if d := pts - r.since; !r.begun || d < 0 || d >= segment {
		if r.begun && d > 0 {
			r.peak = max(r.peak, r.rate(d))
		}
		r.begun, r.since, r.bytes = true, pts, fragmentCost*int(max(1, segment/max(part, time.Millisecond)))
	}
	r.last = pts
	for _, p := range u.Payload {
		r.bytes += len(p) + sampleCost
	}
}

func (r *rate) rate(d time.Duration) float64 { return float64(r.bytes) * 8 / d.Seconds() }

// value returns bit/s.
func (r *rate) value() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.peak == 0 && r.last > r.since {
		return int(r.rate(r.last - r.since))
	}
	return int(r.peak)
}

// audioRate is what the largest audio rendition beside a video adds to the bit
// rate of a variant stream. gohlslib leaves it out.
func (in *instance) audioRate() (most int) {
	for _, r := range in.rates {
		most = max(most, r.value())
	}
	return most
}

var bandwidth = regexp.MustCompile(`([:,](?:AVERAGE-)?BANDWIDTH=)([0-9]+)`)

// addBandwidth corrects a multivariant playlist.
func addBandwidth(body []byte, more int) []byte {
	return bandwidth.ReplaceAllFunc(body, func(m []byte) []byte {
		name, value, _ := bytes.Cut(m, []byte("="))
		n, _ := strconv.Atoi(string(value))
		return strconv.AppendInt(append(append([]byte(nil), name...), '='), int64(n+more), 10)
	})
}
