package record

import (
	"slices"
	"time"

	"github.com/org/mtx/protocol/bridge/mpegtsbridge"
	"github.com/org/mtx/router/media"
)

// transport builds segments of MPEG-TS.
type transport struct {
	tracks []media.Track
	reason []error // why a track is left out
	w      *writer

	mux      *mpegtsbridge.Muxer
	codecs   []media.Codec // that the muxer knows
	first    []media.Codec // at the beginning of the segment
	base     time.Duration // of the segment
	duration []time.Duration
	last     []time.Duration // PTS, by track
	started  []bool          // in this segment
	buf      []byte
}

func newTransport(tracks []media.Track, w *writer) *transport {
	n := len(tracks)
	t := &transport{
		tracks: slices.Clone(tracks), reason: make([]error, n), w: w,
		codecs: make([]media.Codec, n), duration: make([]time.Duration, n), last: make([]time.Duration, n), started: make([]bool, n),
	}
	_, err := mpegtsbridge.NewMuxer(mpegtsbridge.MuxerOptions{
		Tracks:  tracks,
		Skipped: func(e *mpegtsbridge.TrackError) { t.reason[e.Track] = e.Err },
	})
	for i := range t.reason {
		if err != nil && t.reason[i] == nil {
			t.reason[i] = err
		}
	}
	return t
}

func (t *transport) carries(track int) error { return t.reason[track] }

func (t *transport) prepare(track int, u *media.Unit, c media.Codec) (time.Duration, bool) {
	t.tracks[track].Codec = c
	return media.Duration(u.PTS, c.ClockRate()), true
}

// changed looks at parameters that were known at the beginning.
func (t *transport) changed() bool {
	for i, c := range t.first {
		now := t.tracks[i].Codec
		if t.reason[i] != nil || c == now || media.Equal(c, now) {
			continue
		}
		if blank := blankCodec(c); blank == nil || !media.Equal(c, blank) {
			return true
		}
	}
	return false
}

func (t *transport) begin(track int, at time.Duration) time.Duration {
	// A muxer that goes on knows when pictures are decoded that are shown before the key
	// frame; it writes tables in front of that. In front of sound it does not.
	if t.mux == nil || t.changed() || t.tracks[track].Codec.Kind() != media.Video {
		// it worked in newTransport, and codecs keep their types
		t.mux, _ = mpegtsbridge.NewMuxer(mpegtsbridge.MuxerOptions{Tracks: t.tracks})
		for i := range t.tracks {
			t.codecs[i] = t.tracks[i].Codec
		}
	}
	t.base = at
	t.first = t.first[:0]
	for i := range t.tracks {
		t.started[i] = false
		t.first = append(t.first, t.tracks[i].Codec)
	}
	return at
}

func (t *transport) commit(track int, u *media.Unit) bool {
	c := t.tracks[track].Codec
	pts := media.Duration(u.PTS, c.ClockRate())
	if t.mux == nil || pts < t.base-maxLate {
		return false
	}
	if c != t.codecs[track] {
		t.mux.SetCodec(track, c)
		t.codecs[track] = c
	}
	if t.buf == nil {
		t.buf = t.w.buffer()
	}
	before := len(t.buf)
	var err error
	t.buf, _, err = t.mux.Append(t.buf, track, u)
	if err != nil || len(t.buf) == before {
		return false
	}
	if d := pts - t.last[track]; t.started[track] && d > 0 {
		t.duration[track] = d
	}
	if !t.started[track] || pts > t.last[track] {
		t.last[track], t.started[track] = pts, true
	}
	return true
}

// boundary is never needed: readers find key frames by themselves.
func (t *transport) boundary(int, time.Duration) bool { return false }

func (t *transport) size() int64 { return int64(len(t.buf)) }

func (t *transport) part(time.Time, bool) (chunks []chunk, end time.Duration) {
	for i := range t.tracks {
		if t.started[i] {
			end = max(end, t.last[i]+t.duration[i]-t.base)
		}
	}
	if len(t.buf) > 0 {
		chunks = []chunk{{t.buf, 0}}
	}
	t.buf = nil
	return chunks, end
}

// jump begins anew: samples have no durations, but pictures an order.
func (t *transport) jump(int) { t.mux = nil }

func (t *transport) drop() { t.buf, t.mux = t.buf[:0], nil }
