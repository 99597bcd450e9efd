package mpegtsbridge

import (
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts"

	"github.com/org/mtx/router/media"
)

var (
	// ErrNoTracks: the program has no elementary stream with a known codec.
	ErrNoTracks = errors.New("the MPEG transport stream has no track that can be received")

	// ErrClosed: a demuxer was used after Close.
	ErrClosed = errors.New("the demuxer is closed")
)

// DemuxerOptions are the callbacks of a [Demuxer]. They are called during Write
// and Close, by the goroutine that called these.
type DemuxerOptions struct {
	// Tracks is called once, when the elementary streams are known, and returns
	// the function that takes the units. Its error ends the demuxer: Write
	// returns it. Required.
	//
	// Elementary streams whose codec is not known are left out.
	Tracks func(tracks []media.Track) (write func(track int, u *media.Unit), err error)

	// Damaged is called for everything that was dropped. It may be called very
	// often: limit what it logs. Optional.
	Damaged func(err error)
}

// Demuxer turns an MPEG transport stream into tracks and units. The codecs are
// H264, H265, MPEG-4 video, MPEG-1/2 video, Opus, MPEG-4 audio (ADTS and LATM),
// MPEG-1/2 audio, AC-3 and KLV.
//
// It takes the first program that it finds. It must be closed, and is used by one
// goroutine at a time.
type Demuxer struct {
	o     DemuxerOptions
	guard *guard

	// The parser pulls its input while ours is pushed, so it runs as a coroutine:
	// resume lets it work until it has taken all input.
	resume func() (struct{}, bool)
	stop   func()
	pause  func(struct{}) bool

	closed bool
	last   bool // no input will follow
	err    error
}

// NewDemuxer returns a demuxer that waits for input.
func NewDemuxer(o DemuxerOptions) *Demuxer {
	if o.Damaged == nil {
		o.Damaged = func(error) {}
	}
	d := &Demuxer{o: o, guard: newGuard(o.Damaged)}
	d.resume, d.stop = iter.Pull(d.run)
	return d
}

// Write takes the next bytes of the stream, cut in any way, and calls the
// functions of [DemuxerOptions] for what is complete. It does not keep p. An
// error is final: that of DemuxerOptions.Tracks, [ErrNoTracks] or [ErrClosed].
func (d *Demuxer) Write(p []byte) (int, error) {
	if d.closed {
		return 0, ErrClosed
	}
	if d.err == nil {
		d.guard.add(p)
		d.resume()
	}
	if d.err != nil {
		return 0, d.err
	}
	return len(p), nil
}

// Close delivers the units that only the end of the stream completes, and
// releases everything. It is idempotent; its error is always nil.
func (d *Demuxer) Close() error {
	if d.closed {
		return nil
	}
	d.closed = true
	if d.err == nil {
		d.last = true
		d.resume()
	}
	d.stop()
	return nil
}

// run is the coroutine.
func (d *Demuxer) run(pause func(struct{}) bool) {
	d.pause = pause
	for d.err == nil {
		d.guard.restart()
		s := &session{d: d}
		err := s.run()
		if errors.Is(err, io.EOF) {
			return
		}
		if d.err == nil {
			d.o.Damaged(fmt.Errorf("the tracks of the MPEG transport stream cannot be told: %w", err))
		}
	}
}

// input is the reader of the parser.
type input struct{ d *Demuxer }

func (i input) Read(p []byte) (int, error) {
	d := i.d
	for {
		if pkt := d.guard.next(d.last); pkt != nil {
			return copy(p, pkt), nil
		}
		if d.last || !d.pause(struct{}{}) {
			return 0, io.EOF
		}
	}
}

// session is the work of one parser. The first one that finds the program lives
// as long as the demuxer.
type session struct {
	d    *Demuxer
	time mpegts.TimeDecoder // shared by all tracks: they have one clock

	tracks  []streamTrack
	write   func(track int, u *media.Unit) // nil until the tracks are known
	held    []heldUnit                     // until the tracks are known
	heldLen int                            // bytes
}

// streamTrack is an elementary stream. Its codec is nil while parameters are
// missing.
type streamTrack struct {
	codec    media.Codec
	language string
	index    int // among the tracks that are written; -1 if left out
}

type heldUnit struct {
	track   int
	pts     int64 // 90 kHz
	payload [][]byte
}

func (s *session) run() error {
	r := &mpegts.Reader{R: input{s.d}}
	if err := r.Initialize(); err != nil {
		return err
	}
	r.OnDecodeError(s.d.o.Damaged)
	s.d.guard.streams = map[uint16]bool{}
	for _, t := range r.Tracks() {
		s.add(r, t)
	}
	if len(s.tracks) == 0 {
		s.d.err = ErrNoTracks
		return s.d.err
	}
	s.start(false)
	for s.d.err == nil {
		if err := r.Read(); err != nil {
			s.start(true)
			return err
		}
	}
	return s.d.err
}

// What is held while a codec is not complete.
const (
	maxHeldUnits = 1024
	maxHeldBytes = 4 << 20
)

// emit delivers the payload of a track.
func (s *session) emit(track int, pts int64, payload [][]byte) {
	u := heldUnit{track: track, pts: s.time.Decode(pts), payload: payload}
	if s.write != nil {
		s.deliver(u)
		return
	}
	s.held = append(s.held, u)
	for _, p := range payload {
		s.heldLen += len(p)
	}
	s.start(len(s.held) >= maxHeldUnits || s.heldLen >= maxHeldBytes)
}

// start announces the tracks once all codecs are complete. If force is set, then
// tracks whose codec is not complete are left out.
func (s *session) start(force bool) {
	if s.write != nil || s.d.err != nil {
		return
	}
	var tracks []media.Track
	for i := range s.tracks {
		t := &s.tracks[i]
		if t.codec == nil {
			if !force {
				return
			}
			t.index = -1
			continue
		}
		t.index = len(tracks)
		tracks = append(tracks, media.Track{Codec: t.codec, Language: t.language})
	}
	if len(tracks) == 0 {
		s.d.err = ErrNoTracks
		return
	}
	if s.write, s.d.err = s.d.o.Tracks(tracks); s.d.err != nil {
		return
	}
	for _, u := range s.held {
		s.deliver(u)
	}
	s.held = nil
}

func (s *session) deliver(u heldUnit) {
	t := s.tracks[u.track]
	if t.index < 0 {
		return
	}
	s.write(t.index, &media.Unit{PTS: scale(u.pts, t.codec.ClockRate()), Payload: u.payload})
}

// scale converts ticks of 90 kHz to those of another clock, to the nearest.
func scale(pts int64, clockRate int) int64 {
	if clockRate == 90000 {
		return pts
	}
	rate := int64(clockRate)
	seconds, rest := pts/90000, pts%90000
	if rest < 0 {
		seconds, rest = seconds-1, rest+90000
	}
	return seconds*rate + (rest*rate+45000)/90000
}
