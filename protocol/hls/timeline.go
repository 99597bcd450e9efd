package hls

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/org/mtx/protocol/bridge/hlsbridge"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
)

const (
	// holdFor is how long requests wait for a stream that has just ended. Players
	// take longer silence, of 10 seconds and more, for a failure.
	holdFor = 5 * time.Second

	// keepTimeline is how long the numbers of a path are known after its stream.
	keepTimeline = 10 * time.Minute

	// maxPast is how many prefixes of files are known that do not exist anymore.
	maxPast = 8

	// gaps is how many segments that do not exist are in front of the first with
	// LowLatency, see gohlslib.
	gaps = 7
)

// timeline makes one stream of the instances of a path, which are muxers of
// their own and number their segments from zero. Players that were there before
// would wait until the old numbers are reached.
//
// Numbers of segments and of discontinuities go on, and so does the time, with
// that of the system, as if old segments had been removed (RFC 8216 section
// 6.2.2). Streams with other codecs are not for these players: their playlists
// have other names, so that the players notice.
type timeline struct {
	mu         sync.Mutex
	shape      string
	generation int // streams with other codecs that came before
	place      place
	next       uint64 // above all numbers that clients know
	began      time.Time
	end        time.Duration // of the last unit, since began
	ended      time.Time     // zero while there is an instance
	past       []string      // prefixes of the files of earlier instances
	back       chan struct{} // closed when there is a stream again
	rest       *rest         // of the last instance; nil after a while
}

// place is where an instance begins.
type place struct {
	generation    int
	sequence      uint64
	discontinuity int
}

// timeline returns that of a path, and makes it at the first time.
func (s *server) timeline(path string) *timeline {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.timelines[path]
	if t == nil {
		for p, old := range s.timelines {
			if old.forgotten(now) {
				delete(s.timelines, p)
			}
		}
		t = &timeline{back: make(chan struct{})}
		s.timelines[path] = t
	}
	return t
}

// pastOf returns the timeline of a path if it has one.
func (s *server) pastOf(path string) *timeline {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.timelines[path]
}

func (t *timeline) forgotten(now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.ended.IsZero() && now.Sub(t.ended) > keepTimeline
}

// begin finds the place of an instance.
func (t *timeline) begin(shape string) place {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = time.Time{}
	switch {
	case t.shape == "":
		t.shape = shape
	case t.shape != shape:
		t.shape, t.next, t.began, t.end = shape, 0, time.Time{}, 0
		t.generation++
		t.place = place{generation: t.generation}
	case t.next > t.place.sequence: // there were playlists
		t.place.sequence = t.next
		t.place.discontinuity++
	}
	return t.place
}

// start returns the time at which the first unit of an instance is.
func (t *timeline) start() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.began.IsZero() {
		t.began = time.Now()
	}
	return max(time.Since(t.began), t.end)
}

// know takes note of the numbers that clients have got.
func (t *timeline) know(next uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.next = max(t.next, next)
}

// over is called after an instance. end is the time of its last unit.
func (t *timeline) over(end time.Duration, prefix string, left *rest) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended, t.end = time.Now(), max(t.end, end)
	if left != nil {
		t.keep(left)
	}
	if prefix == "" {
		return
	}
	if len(t.past) >= maxPast {
		t.past = slices.Delete(t.past, 0, 1)
	}
	t.past = append(t.past, prefix)
}

// had tells whether a file may have been one of an earlier instance.
func (t *timeline) had(file string) bool {
	prefix, _, ok := strings.Cut(file, "_")
	t.mu.Lock()
	defer t.mu.Unlock()
	return ok && slices.Contains(t.past, prefix)
}

// ready is called when a path has a stream.
func (t *timeline) ready() {
	t.mu.Lock()
	defer t.mu.Unlock()
	close(t.back)
	t.back = make(chan struct{})
}

// hope is how long it is worth waiting for the stream to come back.
func (t *timeline) hope() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended.IsZero() {
		return 0
	}
	return time.Until(t.ended.Add(holdFor))
}

// await waits until a path that had a stream a moment ago has one again, as long as
// there is hope, and at least for some time. It returns false if it was in vain. t
// may be nil.
func (s *server) await(ctx context.Context, t *timeline, path string, atLeast time.Duration) bool {
	return t != nil && s.wait(ctx, t, path, max(t.hope(), atLeast))
}

func (s *server) wait(ctx context.Context, t *timeline, path string, d time.Duration) bool {
	t.mu.Lock()
	back := t.back
	t.mu.Unlock()
	if p, ok := s.host.Router().Path(path); ok && p.Stream() != nil {
		return true
	}
	if d <= 0 {
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-back:
		return true
	case <-timer.C:
	case <-ctx.Done():
	case <-s.ctx.Done():
	}
	return false
}

// isAway tells whether a path has no stream at this moment.
func isAway(err error) bool {
	return errors.Is(err, router.ErrNoStream) || errors.Is(err, router.ErrStreamClosed)
}

// shapeOf tells streams apart that cannot follow each other: what players and
// their decoders learn from multivariant playlists and initialization segments
// only. Parameters of video are in the segments too.
func shapeOf(tracks []media.Track, l hlsbridge.Layout) string {
	var b strings.Builder
	for _, m := range l.Muxers {
		b.WriteString("|")
		for _, t := range m {
			codec := tracks[t.Index].Codec
			b.WriteString(codec.Name())
			switch c := codec.(type) {
			case *media.MPEG4Audio:
				if conf, err := c.Config.Marshal(); err == nil {
					b.Write(conf)
				}
			case *media.Opus:
				b.WriteString(strconv.Itoa(c.ChannelCount))
			case *media.FLAC:
				b.WriteString(strconv.Itoa(c.SampleRate) + "/" + strconv.Itoa(c.ChannelCount))
			}
			b.WriteString(t.HLS.Name + "," + t.HLS.Language + ";")
		}
	}
	return b.String()
}

// prefix is what the names of playlists begin with, but for the index.
func (p place) prefix() string {
	if p.generation == 0 {
		return ""
	}
	return "g" + strconv.Itoa(p.generation) + "_"
}

// Tags of numbers.
const (
	tagSequence      = "#EXT-X-MEDIA-SEQUENCE:"
	tagDiscontinuity = "#EXT-X-DISCONTINUITY-SEQUENCE:"
	tagSkipped       = "SKIPPED-SEGMENTS="
	tagTarget        = "#EXT-X-TARGETDURATION:"
	tagPart          = "#EXT-X-PART:"
)

// put moves the numbers of a media playlist. next is that after its last segment.
func (p place) put(body []byte) (out []byte, next uint64) {
	head, tail, ok := bytes.Cut(body, []byte(tagSequence))
	line, rest, _ := bytes.Cut(tail, []byte("\n"))
	first, err := strconv.ParseUint(string(bytes.TrimSpace(line)), 10, 62)
	if !ok || err != nil {
		return body, 0
	}
	first += p.sequence
	next = first + uint64(bytes.Count(rest, []byte(tagInfo))) + skipped(rest)
	if p.sequence == 0 && p.discontinuity == 0 {
		return body, next
	}
	out = append(make([]byte, 0, len(body)+64), head...)
	out = append(strconv.AppendUint(append(out, tagSequence...), first, 10), '\n')
	out = append(strconv.AppendInt(append(out, tagDiscontinuity...), int64(p.discontinuity), 10), '\n')
	return append(out, rest...), next
}

// skipped returns how many segments a delta update leaves out.
func skipped(body []byte) uint64 {
	_, tail, _ := bytes.Cut(body, []byte(tagSkipped))
	end := 0
	for end < len(tail) && '0' <= tail[end] && tail[end] <= '9' {
		end++
	}
	n, _ := strconv.ParseUint(string(tail[:end]), 10, 32)
	return n
}

// filePrefix returns what the names of the files of an instance begin with.
func filePrefix(body []byte) string {
	for line := range bytes.Lines(body) {
		if name, _, ok := bytes.Cut(line, []byte("_")); ok && len(name) > 0 && name[0] != '#' {
			return string(name)
		}
	}
	return ""
}
