package rtpbridge

import (
	"errors"
	"fmt"

	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/pion/rtp"

	"github.com/org/mtx/router/media"
)

// Bounds of what a depacketizer holds while an access unit is incomplete. The
// decoders bound the size of an access unit, but not the number of fragments
// that are empty or never end.
const (
	maxHeldPackets = 16384
	maxHeldBytes   = 16 << 20
)

var (
	errHeldTooMuch = errors.New("access unit does not end: dropped")
	errPacketLost  = errors.New("packets of the access unit are missing: dropped")
)

// decodeFunc returns the payload that a packet completes, or nil.
type decodeFunc func(pkt *rtp.Packet) ([][]byte, error)

// Depacketizer turns the packets of one track into payloads, in the form that
// each codec of package media documents. It implements [media.Depacketizer].
// It is not safe for concurrent use.
//
// Elements of payloads refer to the memory of packets where no copy was needed.
//
// After a packet was lost it skips what is left of the access unit and goes on
// with the next one.
type Depacketizer struct {
	f         format.Format
	newDecode func() (decodeFunc, error)
	decode    decodeFunc

	// framed formats set the marker bit on the last packet of an access unit.
	framed bool

	// State of the access unit under way.
	open     bool   // packets came, the end did not
	damaged  bool   // the rest of the access unit is skipped
	lastSeq  uint16 // of the last packet
	lastTime uint32 // of the last packet
	packets  int    // held by the decoder
	bytes    int    // held by the decoder

	// time is the RTP time stamp of the payload returned last.
	time uint32
}

// NewDepacketizer returns the depacketizer of a format. For formats that cannot
// be unpacked (see [CodecOf]) it returns one that never returns a payload.
func NewDepacketizer(f format.Format) (*Depacketizer, error) {
	if f == nil {
		return nil, errors.New("there is no format")
	}
	d := &Depacketizer{f: f, newDecode: decoderOf(f)}
	if d.newDecode == nil {
		return d, nil
	}

	switch f.(type) {
	case *format.AV1, *format.VP9, *format.VP8, *format.H265, *format.H264,
		*format.MPEG4Video, *format.MPEG1Video, *format.MJPEG,
		*format.MPEG4Audio, *format.MPEG4AudioLATM, *format.KLV:
		d.framed = true
	}
	if err := d.restart(); err != nil {
		return nil, fmt.Errorf("%s cannot be unpacked: %w", CodecOf(f).Name(), err)
	}
	return d, nil
}

// Renew implements [media.Renewer].
func (d *Depacketizer) Renew() media.Depacketizer {
	n, err := NewDepacketizer(d.f)
	if err != nil { // it worked before
		return &Depacketizer{f: d.f}
	}
	return n
}

// Format returns the format that the depacketizer was made for.
func (d *Depacketizer) Format() format.Format { return d.f }

// Depacketize implements [media.Depacketizer].
func (d *Depacketizer) Depacketize(pkt *rtp.Packet) ([][]byte, error) {
	if d.decode == nil {
		return nil, nil
	}
	if len(pkt.Payload) == 0 {
		// padding only: it takes part in the sequence, and in nothing else
		if pkt.SequenceNumber == d.lastSeq+1 {
			d.lastSeq = pkt.SequenceNumber
		}
		return nil, nil
	}

	if d.framed {
		return d.framedPacket(pkt)
	}
	return d.step(pkt)
}

// framedPacket adds care for lost packets around the decoders, most of which
// would join the halves of two access units.
func (d *Depacketizer) framedPacket(pkt *rtp.Packet) ([][]byte, error) {
	next := d.open && pkt.Timestamp != d.lastTime
	gap := d.open && pkt.SequenceNumber != d.lastSeq+1
	prevTime := d.lastTime
	var lost error

	switch {
	case next && (gap || d.damaged):
		if !d.damaged {
			lost = errPacketLost
		}
		if err := d.restart(); err != nil {
			return nil, err
		}
	case gap && !d.damaged:
		d.damaged = true
		lost = errPacketLost
	}
	d.open = true
	d.lastSeq, d.lastTime = pkt.SequenceNumber, pkt.Timestamp

	if d.damaged {
		return nil, errors.Join(lost, d.endIf(pkt.Marker))
	}
	payload, err := d.step(pkt)
	if err != nil {
		d.damaged = true
		return nil, errors.Join(err, d.endIf(pkt.Marker))
	}
	if next && payload != nil && lost == nil {
		// no marker: the decoder found the end of the access unit by the time stamp
		d.time = prevTime
	}
	if pkt.Marker {
		d.open = false
	}
	if payload == nil {
		return nil, lost
	}
	return payload, nil
}

// endIf forgets a damaged access unit at its end.
func (d *Depacketizer) endIf(marker bool) error {
	if !marker {
		return nil
	}
	return d.restart()
}

// step runs the decoder on one packet and counts what it holds.
func (d *Depacketizer) step(pkt *rtp.Packet) (payload [][]byte, err error) {
	// A panic of a decoder must not end the program because of a packet. None is
	// known; the fuzz test would find it, since it looks for this error.
	defer func() {
		if r := recover(); r != nil {
			payload, err = nil, errors.Join(d.restart(), fmt.Errorf("%w: %v", errDecoderPanic, r))
		}
	}()

	d.time = pkt.Timestamp
	payload, err = d.decode(pkt)
	if payload != nil || err != nil {
		d.packets, d.bytes = 0, 0
		return payload, err
	}

	d.packets++
	d.bytes += len(pkt.Payload)
	if d.packets > maxHeldPackets || d.bytes > maxHeldBytes {
		return nil, errors.Join(errHeldTooMuch, d.restart())
	}
	return nil, nil
}

var errDecoderPanic = errors.New("RTP decoder failed")

// restart forgets the access unit under way.
func (d *Depacketizer) restart() error {
	decode, err := d.newDecode()
	if err != nil {
		return err
	}
	d.decode = decode
	d.open, d.damaged = false, false
	d.packets, d.bytes = 0, 0
	return nil
}
