package rtmpbridge

import (
	"errors"
	"fmt"
	"slices"

	"github.com/org/mtx/router/media"
)

// ChunkSize is the size of the chunks that an [Encoder] makes, bytes. It must be
// announced to who reads them.
const ChunkSize = 65536

// Chunk streams of media. The others are left to commands.
const (
	chunkAudio = 4 // and metadata
	chunkVideo = 6
)

// streamID is the message stream that media is on.
const streamID = 1

// maxIDs is the number of tracks of a kind that enhanced RTMP can tell apart.
const maxIDs = 256

// discontinuity is how far time may go back, milliseconds, before it is taken for
// a new beginning.
const discontinuity = 5000

// ErrNotCarried tells that no track of a stream can be sent by RTMP.
var ErrNotCarried = errors.New("the stream has no track that RTMP can carry: " +
	"it can carry AV1, VP9, H265, H264, Opus, MPEG-4 audio, MPEG-1/2 audio, AC-3, FLAC, G711, LPCM")

// Skipped is a track that RTMP cannot carry.
type Skipped struct {
	Track  int // index in the stream
	Reason string
}

// Encoder turns the units of a stream into the bytes of RTMP messages. Each begins
// with a complete chunk header, so that they do not depend on what a reader got
// before, and can be shared. It is for one goroutine at a time.
type Encoder struct {
	tracks  []*encTrack // by track of the stream; nil: not carried
	skipped []Skipped

	origin  int64 // milliseconds of the stream at which the time stamps are zero
	started bool
	now     int64 // the last time stamp
}

// NewEncoder returns an encoder for a stream, or [ErrNotCarried].
func NewEncoder(tracks []media.Track) (*Encoder, error) {
	e := &Encoder{tracks: make([]*encTrack, len(tracks))}
	var ids [2]int
	for i, t := range tracks {
		video := t.Codec.Kind() == media.Video
		tr, reason := newEncTrack(t.Codec, ids[index(video)])
		if reason != "" {
			e.skipped = append(e.skipped, Skipped{i, reason})
			continue
		}
		e.tracks[i] = tr
		ids[index(video)]++
	}
	if ids == [2]int{} {
		return nil, ErrNotCarried
	}
	return e, nil
}

// Skipped returns the tracks that are left out.
func (e *Encoder) Skipped() []Skipped { return e.skipped }

// Carries tells whether a track is sent. MPEG-1/2 audio no longer is when its first frame
// turns out to be of a layer that RTMP cannot carry.
func (e *Encoder) Carries(track int) bool {
	return track >= 0 && track < len(e.tracks) && e.tracks[track] != nil
}

// Undecided tells whether only a frame that is still to come tells if a track is sent.
func (e *Encoder) Undecided() bool {
	return slices.ContainsFunc(e.tracks, func(t *encTrack) bool { return t != nil && t.fourCC == codecMP3 && !t.started })
}

// CarriesAny tells whether any track is sent.
func (e *Encoder) CarriesAny() bool {
	return slices.ContainsFunc(e.tracks, func(t *encTrack) bool { return t != nil })
}

// First tells whether a track is the first of its kind. Who does not know enhanced
// RTMP takes the others for something else, and must not get them.
func (e *Encoder) First(track int) bool { return e.Carries(track) && e.tracks[track].id == 0 }

// Head selects what [Encoder.AppendHead] appends.
type Head struct {
	// Publish is set for servers that are published to: they want the metadata in
	// another form than readers.
	Publish bool
	// FirstOnly leaves out tracks that are not the first of their kind.
	FirstOnly bool
	// Time is the time stamp of the configuration in milliseconds: that of the
	// message that follows, or [Encoder.Now].
	Time int64
}

// Now returns the last time stamp, in milliseconds.
func (e *Encoder) Now() int64 { return e.now }

// Time returns the time stamp of the last message of a track, in milliseconds.
func (e *Encoder) Time(track int) int64 {
	if !e.Carries(track) {
		return e.now
	}
	return e.tracks[track].last
}

// AppendHead appends what everybody needs first: metadata, and what is known by
// now of the configuration of the tracks.
func (e *Encoder) AppendHead(dst []byte, h Head) []byte {
	dst = e.appendMetadata(dst, h)
	for _, video := range []bool{true, false} {
		for _, t := range e.tracks {
			if t != nil && t.video == video && (t.id == 0 || !h.FirstOnly) {
				dst = e.appendConfig(dst, t, h.Time)
			}
		}
	}
	return dst
}

// AppendConfig tells the encoder the present codec of a track. If its
// configuration is another one than before, it appends the message that everybody
// needs before the next unit.
func (e *Encoder) AppendConfig(dst []byte, track int, c media.Codec) []byte {
	if !e.Carries(track) {
		return dst
	}
	t := e.tracks[track]
	if c == t.codec || !t.update(c) {
		return dst
	}
	return e.appendConfig(dst, t, e.now)
}

func (e *Encoder) appendConfig(dst []byte, t *encTrack, at int64) []byte {
	if t.config == nil {
		return dst
	}
	m := t.message(at)
	m.begin(dst)
	t.appendHeader(&m, packetSequenceStart, true, 0)
	m.write(t.config)
	return m.end()
}

// Append appends the messages of a unit, and tells how many there are. Units that
// cannot be sent (video that comes before decoding can start, damaged audio)
// yield none, and an error if it is not the usual course of things.
func (e *Encoder) Append(dst []byte, track int, u *media.Unit) ([]byte, int, error) {
	if !e.Carries(track) || len(u.Payload) == 0 {
		return dst, 0, nil
	}
	t := e.tracks[track]
	if t.video {
		return e.appendVideo(dst, t, u)
	}
	return e.appendAudio(dst, track, u)
}

// time turns milliseconds of the stream into a time stamp.
func (e *Encoder) time(t *encTrack, ms int64) int64 {
	if !e.started {
		e.started, e.origin = true, ms
	}
	ts := ms - e.origin
	if t.started && ts < t.last-discontinuity {
		e.origin = ms - t.last // the publisher began anew
		ts = t.last
	}
	ts = max(ts, 0)
	if t.started {
		ts = max(ts, t.last)
	}
	t.started, t.last = true, ts
	e.now = max(e.now, ts)
	return ts
}

func (e *Encoder) appendVideo(dst []byte, t *encTrack, u *media.Unit) ([]byte, int, error) {
	au := t.clean(u.Payload)
	if len(au) == 0 {
		return dst, 0, nil
	}
	if !t.synced && !u.RandomAccess {
		return dst, 0, nil
	}
	t.synced = true
	const rate = 90
	dts := t.dts.extract(au, u.PTS, u.RandomAccess)
	pts := milliseconds(u.PTS, rate*1000)
	ts := e.time(t, milliseconds(dts, rate*1000))
	delta := min(max(pts-e.origin-ts, -1<<23), 1<<23-1)
	if delta < 0 && t.dts.reorders() {
		delta = 0
	}
	packet := byte(packetCodedFrames)
	if delta == 0 || !t.hasDelta() {
		packet = packetCodedFramesX
	}
	m := t.message(ts)
	m.begin(dst)
	t.appendHeader(&m, packet, u.RandomAccess, int32(delta))
	t.appendPicture(&m, au)
	if m.size() > maxMessage {
		return dst, 0, fmt.Errorf("access unit of %d bytes: at most %d can be sent", m.size(), maxMessage)
	}
	return m.end(), 1, nil
}

func (e *Encoder) appendAudio(dst []byte, track int, u *media.Unit) ([]byte, int, error) {
	t := e.tracks[track]
	rate := int64(t.codec.ClockRate())
	at, n := u.PTS, 0
	frames, err := t.frames(u.Payload)
	for _, frame := range frames {
		if len(frame) == 0 || len(frame) > maxMessage {
			continue
		}
		if reason, other := t.check(frame); reason != "" {
			err = errors.New(reason)
			if other && !t.started {
				// players would wait for it for long, if it was in the metadata
				e.tracks[track] = nil
				e.skipped = append(e.skipped, Skipped{track, reason})
				return dst, n, err
			}
			continue
		}
		ts := e.time(t, milliseconds(at, rate))
		m := t.message(ts)
		m.begin(dst)
		t.appendHeader(&m, packetCodedFrames, false, 0)
		t.appendFrame(&m, frame)
		dst = m.end()
		at += duration(t.codec, frame)
		n++
	}
	return dst, n, err
}
