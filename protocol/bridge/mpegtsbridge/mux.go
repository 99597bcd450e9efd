package mpegtsbridge

import (
	"errors"
	"fmt"
	"strings"

	"github.com/org/mtx/router/media"
)

// TrackError tells why a track, or a unit of one, cannot be carried.
type TrackError struct {
	Track int // index
	Codec string
	Err   error
}

func (e *TrackError) Error() string {
	return fmt.Sprintf("track %d (%s): %v", e.Track+1, e.Codec, e.Err)
}

// Unwrap returns the reason.
func (e *TrackError) Unwrap() error { return e.Err }

var (
	errNotCarried    = errors.New("MPEG-TS cannot carry this codec")
	errTooManyTracks = errors.New("too many tracks")
	errEmptyUnit     = errors.New("the unit is empty")
	errUnitSize      = errors.New("the unit is larger than a packet of an elementary stream can be")
	errOrder         = errors.New("the order of time stamps cannot be expressed")
)

// MuxerOptions configure a [Muxer].
type MuxerOptions struct {
	// Tracks are those of the stream. Required.
	Tracks []media.Track

	// Skipped is called by NewMuxer for each track that is left out. Optional.
	Skipped func(*TrackError)
}

// Muxer turns units into transport packets. The codecs are those of [Demuxer].
//
// It is used by one goroutine at a time. Its output is the same for all who
// read the same tracks, so one muxer serves them all: who joins late begins at
// a place that Append calls a start.
type Muxer struct {
	streams []*outStream // by track; nil if it is left out
	order   []*outStream
	leader  *outStream // carries the clock
	pat     table
	pmt     table
	payload []byte // scratch: a packet of an elementary stream

	hasTables  bool
	lastTables int64 // when they were written last, 90 kHz

	clock clock
}

// Times in ticks of 90 kHz.
const (
	// timeOrigin is the time stamp of PTS zero, so that what is a little earlier
	// does not wrap around.
	timeOrigin = 10 * 90000

	// clockLead is how far the clock is behind the time stamps: the time that a
	// receiver has to collect what it decodes.
	clockLead = 90000 / 10

	// tablePeriod and clockPeriod bound how long a receiver waits for tables and
	// for the clock (ISO 13818-1 section 2.7.2: 0.1 s).
	tablePeriod = 90000 / 4
	clockPeriod = 90000 * 8 / 100

	// jump is a change of time stamps that is taken for another clock.
	jump = 10 * 90000
)

// maxStreams bounds the tracks, so that they have stream ids of their own.
const maxStreams = 16

// NewMuxer returns a muxer. It fails if no track can be carried; the error names
// the codecs.
func NewMuxer(o MuxerOptions) (*Muxer, error) {
	m := &Muxer{streams: make([]*outStream, len(o.Tracks))}
	var names []string
	for i, t := range o.Tracks {
		s, err := newOutStream(t, len(m.order))
		if err == nil && len(m.order) == maxStreams {
			err = errTooManyTracks
		}
		if err != nil {
			names = append(names, t.Codec.Name())
			if o.Skipped != nil {
				o.Skipped(&TrackError{i, t.Codec.Name(), err})
			}
			continue
		}
		m.streams[i] = s
		m.order = append(m.order, s)
		if m.leader == nil || m.leader.kind != media.Video && s.kind == media.Video {
			m.leader = s
		}
	}
	if len(m.order) == 0 {
		return nil, fmt.Errorf("MPEG-TS cannot carry any track of the stream (%s)", strings.Join(names, ", "))
	}
	m.pat = newPAT()
	m.pmt = newPMT(m.order, m.leader.pid)
	return m, nil
}

// Carries tells whether a track is part of the output.
func (m *Muxer) Carries(track int) bool {
	return track >= 0 && track < len(m.streams) && m.streams[track] != nil
}

// SetCodec replaces the parameters of a track. They are written in front of key
// frames that do not bring their own. A codec of another type is ignored.
func (m *Muxer) SetCodec(track int, c media.Codec) {
	if m.Carries(track) {
		m.streams[track].setCodec(c)
	}
}

// Append adds the transport packets of a unit to dst. Start tells that they
// begin with the tables, and that decoding can begin with them: at a key frame
// of the first video track or, if there is no video, now and then.
//
// Nothing is added for units of tracks that are left out, and for video before
// the first key frame. The error tells why a unit was left out; the next ones
// are not affected.
func (m *Muxer) Append(dst []byte, track int, u *media.Unit) (out []byte, start bool, err error) {
	if !m.Carries(track) || u.Payload == nil {
		return dst, false, nil
	}
	s := m.streams[track]
	pts := toTransport(u.PTS, s.codec.ClockRate()) + timeOrigin
	dts, ok, err := s.encode(m.payload[:0], u, pts)
	if err != nil {
		return dst, false, &TrackError{track, s.codec.Name(), err}
	}
	if !ok {
		return dst, false, nil
	}
	m.payload = s.pes
	random := u.RandomAccess || s.kind != media.Video
	start = s == m.leader && random && (s.kind == media.Video || m.tablesDue(dts))
	if start || m.tablesDue(dts) {
		dst = m.pat.append(dst)
		dst = m.pmt.append(dst)
		m.hasTables, m.lastTables = true, dts
	}
	if s != m.leader {
		if v, due := m.clock.between(dts); due {
			dst = m.leader.appendClock(dst, v)
		}
		return s.append(dst, s.pes, reference{}, random), false, nil
	}
	return s.append(dst, s.pes, m.clock.at(dts, s.kind == media.Video), random), start, nil
}

// tablesDue tells whether it is time for the tables.
func (m *Muxer) tablesDue(now int64) bool {
	return !m.hasTables || now-m.lastTables >= tablePeriod || now < m.lastTables-jump
}

// toTransport converts ticks of a clock to 90 kHz, to the nearest.
func toTransport(pts int64, clockRate int) int64 {
	if clockRate == 90000 {
		return pts
	}
	rate := int64(clockRate)
	seconds, rest := pts/rate, pts%rate
	if rest < 0 {
		seconds, rest = seconds-1, rest+rate
	}
	return seconds*90000 + (rest*90000+rate/2)/rate
}

// reference is a value of the clock that goes into a packet.
type reference struct {
	set   bool
	jump  bool  // it does not follow from the last one
	value int64 // 90 kHz
}

// clock makes the program clock reference.
type clock struct {
	started bool
	last    int64 // that was written
	other   int64 // time stamp of the other tracks when it was; valid if hasOther
	has     bool
}

// at returns the reference for a unit of the leading track. It never runs
// backwards, unless time itself does. Audio has it less often than video.
func (c *clock) at(dts int64, always bool) reference {
	v := dts - clockLead
	r := reference{set: true, value: v}
	if c.started {
		switch d := v - c.last; {
		case d < -jump || d > jump:
			r.jump = true
		case d <= 0, !always && d < clockPeriod:
			return reference{}
		}
	}
	c.started, c.last, c.has = true, v, false
	return r
}

// between returns the reference to write on its own when the leading track has
// been silent for too long, by the time stamps of another track.
func (c *clock) between(dts int64) (int64, bool) {
	if !c.started {
		return 0, false
	}
	if !c.has || dts < c.other || dts-c.other > jump {
		c.other, c.has = dts, true
		return 0, false
	}
	d := dts - c.other
	if d < clockPeriod {
		return 0, false
	}
	c.last += d
	c.other = dts
	return c.last, true
}
