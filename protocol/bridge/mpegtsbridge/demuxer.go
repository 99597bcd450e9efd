package mpegtsbridge

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts"

	"github.com/org/mtx/router/media"
)

var (
	// ErrNoTracks: the program has no elementary stream with a known codec.
	ErrNoTracks = errors.New("the MPEG transport stream has no track that can be received")

	// ErrProgramChanged: a track disappeared, or has another codec. Tracks that
	// are added are ignored.
	ErrProgramChanged = errors.New("the tracks of the MPEG transport stream have changed")

	// ErrClosed: a demuxer was used after Close.
	ErrClosed = errors.New("the demuxer is closed")
)

// DemuxerOptions are the callbacks of a [Demuxer]. They are called during Write
// and Close, by the goroutine that called these, and must not call the demuxer.
type DemuxerOptions struct {
	// Tracks is called once, when the elementary streams are known, and returns
	// the function that takes the units. Its error ends the demuxer: Write
	// returns it. Required.
	//
	// Elementary streams whose codec is not known, or of which nothing arrives
	// that tells its parameters, are left out.
	Tracks func(tracks []media.Track) (write func(track int, u *media.Unit), err error)

	// Damaged is called for everything that was dropped. It may be called very
	// often: limit what it logs. Optional.
	Damaged func(err error)
}

// Demuxer turns an MPEG transport stream into tracks and units. The codecs are
// H264, H265, MPEG-4 video, MPEG-1/2 video, Opus, MPEG-4 audio (ADTS and LATM),
// MPEG-1/2 audio, AC-3 and KLV.
//
// It takes the first program that it finds. It owns no goroutine, and is used by
// one goroutine at a time.
type Demuxer struct {
	o       DemuxerOptions
	packets packets
	closed  bool
	err     error // final

	// The program.
	pat, pmt   sections
	program    program
	lastPMT    []byte // to parse it only when it changes
	streams    map[uint16]*stream
	order      []*stream
	pending    int                // bytes that streams hold
	received   uint64             // packets of elementary streams
	time       mpegts.TimeDecoder // of all tracks: they share a clock
	lastPTS    int64              // unwrapped
	hasLastPTS bool

	// What waits until the tracks are known.
	write   func(track int, u *media.Unit)
	held    []heldUnit
	heldLen int // bytes
}

type heldUnit struct {
	s       *stream
	pts     int64 // 90 kHz
	payload [][]byte
}

// How much is held while the parameters of a codec are missing.
const (
	maxHeldUnits = 1024
	maxHeldBytes = 4 << 20
	maxHeldTime  = 5 * 90000 // ticks of 90 kHz, since the first unit that is held
)

// NewDemuxer returns a demuxer that waits for input.
func NewDemuxer(o DemuxerOptions) *Demuxer {
	if o.Damaged == nil {
		o.Damaged = func(error) {}
	}
	return &Demuxer{o: o, packets: packets{damaged: o.Damaged}}
}

// Write takes the next bytes of the stream, cut in any way, and calls the
// functions of [DemuxerOptions] for what is complete. It does not keep p. An
// error is final: that of DemuxerOptions.Tracks, [ErrNoTracks],
// [ErrProgramChanged] or [ErrClosed].
func (d *Demuxer) Write(p []byte) (int, error) {
	if d.closed {
		return 0, ErrClosed
	}
	if d.err == nil {
		d.packets.add(p)
		d.run(false)
	}
	if d.err != nil {
		return 0, d.err
	}
	return len(p), nil
}

// Received returns how many packets of elementary streams have come, of those that are
// not left out. It tells who sends media from who sends something else.
func (d *Demuxer) Received() uint64 { return d.received }

// Close delivers the units that only the end of the stream completes. It is
// idempotent; its error is always nil.
func (d *Demuxer) Close() error {
	if d.closed {
		return nil
	}
	d.closed = true
	d.run(true)
	for _, s := range d.order {
		if d.err == nil {
			s.pes.flush(d.taker(s), d.o.Damaged)
		}
	}
	if d.err == nil && d.order != nil {
		d.start(true)
	}
	d.streams, d.order, d.held = nil, nil, nil
	return nil
}

func (d *Demuxer) run(last bool) {
	for d.err == nil {
		b := d.packets.next(last)
		if b == nil {
			return
		}
		p, err := parsePacket(b)
		if err != nil {
			d.o.Damaged(err)
			continue
		}
		if len(p.payload) > 0 {
			d.packet(p)
		}
	}
}

func (d *Demuxer) packet(p packet) {
	switch p.pid {
	case 0:
		d.pat.push(p, d.takePAT)
	case d.program.pid: // not 0
		d.pmt.push(p, d.takePMT)
	default:
		s := d.streams[p.pid]
		if s == nil {
			return
		}
		d.pending -= s.pes.held()
		s.pes.push(p, maxPending-d.pending-s.pes.held(), d.taker(s), d.o.Damaged)
		d.pending += s.pes.held()
	}
}

func (d *Demuxer) takePAT(section []byte) {
	p, ok := parsePAT(section, d.program.number)
	if !ok || p == d.program {
		return
	}
	if p.pid != d.program.pid {
		d.pmt = sections{}
	}
	d.program = p
}

// takePMT starts with the first PMT, and follows changes of it.
func (d *Demuxer) takePMT(section []byte) {
	if d.err != nil || bytes.Equal(section, d.lastPMT) {
		return
	}
	elements, ok := parsePMT(section, d.program.number)
	if !ok {
		return
	}
	d.lastPMT = bytes.Clone(section)
	if d.streams != nil {
		d.compare(elements)
		return
	}
	d.streams = map[uint16]*stream{}
	for _, e := range elements {
		s := d.newStream(e)
		if s == nil {
			d.o.Damaged(fmt.Errorf("the codec of PID %d (stream type 0x%02x) is not known: the track is left out", e.pid, e.streamType))
			continue
		}
		if d.streams[e.pid] == nil {
			d.streams[e.pid] = s
			d.order = append(d.order, s)
		}
	}
	if len(d.order) == 0 {
		d.err = ErrNoTracks
		return
	}
	d.start(false)
}

// compare checks that all tracks are still there.
func (d *Demuxer) compare(elements []elementary) {
	for _, s := range d.order {
		i := slices.IndexFunc(elements, func(e elementary) bool { return e.pid == s.pid })
		if i >= 0 {
			if next := d.newStream(elements[i]); next != nil && next.kind == s.kind {
				continue
			}
		}
		d.err = ErrProgramChanged
		return
	}
}

// taker gives complete packets to the codec.
func (d *Demuxer) taker(s *stream) func(pesPacket) {
	return func(p pesPacket) {
		d.received++
		switch {
		case len(p.data) == 0:
		case p.hasPTS:
			p.pts = d.time.Decode(p.pts)
			d.lastPTS, d.hasLastPTS = p.pts, true
			s.timed = true
			s.take(p)
		case s.framed && s.timed: // frames go on where they were
			s.take(p)
		case s.loose && d.hasLastPTS:
			p.pts, p.hasPTS = d.lastPTS, true
			s.take(p)
		case !s.loose && !s.framed:
			d.o.Damaged(errors.New("a packet of an elementary stream has no time stamp"))
		}
	}
}

// emit delivers a payload of a stream.
func (d *Demuxer) emit(s *stream, pts int64, payload [][]byte) {
	u := heldUnit{s, pts, payload}
	if d.write != nil {
		d.deliver(u)
		return
	}
	d.held = append(d.held, u)
	for _, p := range payload {
		d.heldLen += len(p)
	}
	d.start(len(d.held) >= maxHeldUnits || d.heldLen >= maxHeldBytes || pts-d.held[0].pts >= maxHeldTime)
}

// start announces the tracks once all codecs are complete. If force is set, then
// streams whose codec is not complete are left out.
func (d *Demuxer) start(force bool) {
	if d.write != nil || d.err != nil {
		return
	}
	var tracks []media.Track
	for _, s := range d.order {
		if s.codec != nil {
			s.index = len(tracks)
			tracks = append(tracks, media.Track{Codec: s.codec, Language: s.language})
		} else if !force {
			return
		}
	}
	if len(tracks) == 0 {
		d.err = ErrNoTracks
		return
	}
	for _, s := range d.order {
		if s.codec == nil {
			d.o.Damaged(fmt.Errorf("nothing tells the parameters of PID %d (%s): the track is left out", s.pid, s.kind))
		}
	}
	if d.write, d.err = d.o.Tracks(tracks); d.err != nil {
		return
	}
	held := d.held
	d.held = nil
	for _, u := range held {
		d.deliver(u)
	}
}

func (d *Demuxer) deliver(u heldUnit) {
	if u.s.index >= 0 {
		d.write(u.s.index, &media.Unit{PTS: scale(u.pts, u.s.codec.ClockRate()), Payload: u.payload})
	}
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
