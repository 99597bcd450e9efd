package rtpbridge

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/pion/rtp"

	"github.com/org/mtx/router/media"
)

// DefaultMaxSize is the default of [PacketizerOptions.MaxSize]: an Ethernet
// frame without the headers of IPv6 and UDP.
const DefaultMaxSize = 1452

// Bounds of PacketizerOptions.MaxSize. One MPEG-TS packet, or one JPEG header
// with its tables, has to fit.
const (
	minMaxSize = 256
	maxMaxSize = 65535
)

const rtpHeaderSize = 12

// PacketizerOptions are the options of a [Packetizer].
type PacketizerOptions struct {
	// Track is the track whose units are packetized. Mandatory.
	Track media.Track

	// Format is the format for readers, with its payload type, as returned by
	// [Description]. Mandatory.
	Format format.Format

	// Origin is the depacketizer of the publisher of the track, nil if the
	// publisher does not send RTP. If it is a [Depacketizer] of this package,
	// then packets pass through where possible.
	Origin media.Depacketizer

	// SSRC of the packets.
	SSRC uint32

	// MaxSize is the greatest size of a whole RTP packet, in bytes, from 256 to
	// 65535. Defaults to DefaultMaxSize.
	MaxSize int
}

// Packets is a list of marshalled RTP packets, back to back in one buffer.
type Packets struct {
	Data  []byte
	Sizes []int // bytes of each packet
}

// Reset empties the list and keeps its memory.
func (p *Packets) Reset() {
	p.Data, p.Sizes = p.Data[:0], p.Sizes[:0]
}

// Stats counts what a [Packetizer] returned, as sender reports tell it (RFC 3550
// section 6.4.1).
type Stats struct {
	Packets uint64
	Octets  uint64 // of payload
}

// Packetizer turns the units of one track into RTP packets for all readers of
// one kind.
//
// Packets of the publisher pass through: they keep sequence numbers, time stamps
// and payload, and get the payload type and the SSRC of the packetizer; header
// extensions are dropped. As soon as one of them is greater than MaxSize, this
// and all following ones are unpacked and packed again, with the time stamps of
// the publisher and sequence numbers that go on.
//
// Units without packets are packed, with time stamps that follow their PTS.
//
// All methods may be called concurrently.
type Packetizer struct {
	ssrc      uint32
	format    format.Format
	maxSize   int
	rate      int64 // ticks per second of RTP
	codecRate int64 // ticks per second of the PTS

	mu       sync.Mutex
	codec    media.Codec
	origin   format.Format // nil if unknown
	pass     bool          // packets pass through
	encoded  bool          // the last unit was not passed through
	unpacker *Depacketizer
	encode   encodeFunc

	started  bool   // something was sent
	seq      uint16 // of the next packet
	seqShift uint16 // added to the sequence numbers of the publisher
	tsShift  uint32 // added to the time stamps of the publisher

	stats Stats
	pts   int64  // of the last unit
	time  uint32 // RTP time stamp of the last unit
	ntp   time.Time
}

// NewPacketizer returns a packetizer. It fails if options are invalid.
func NewPacketizer(o PacketizerOptions) (*Packetizer, error) {
	if o.Format == nil || o.Track.Codec == nil {
		return nil, errors.New("the packetizer needs a format and a codec")
	}
	if o.MaxSize == 0 {
		o.MaxSize = DefaultMaxSize
	}
	if o.MaxSize < minMaxSize || o.MaxSize > maxMaxSize {
		return nil, fmt.Errorf("the maximum size of RTP packets cannot be %d: it must be from %d to %d",
			o.MaxSize, minMaxSize, maxMaxSize)
	}
	rate, codecRate := ClockRate(o.Format), o.Track.Codec.ClockRate()
	if rate <= 0 || codecRate <= 0 {
		return nil, fmt.Errorf("%s has no clock rate", o.Track.Codec.Name())
	}

	p := &Packetizer{
		ssrc: o.SSRC, format: o.Format, maxSize: o.MaxSize,
		rate: int64(rate), codecRate: int64(codecRate), codec: o.Track.Codec,
		seq:  uint16(rand.Uint32()),
		time: rand.Uint32(),
	}
	if d, ok := o.Origin.(*Depacketizer); ok && d != nil {
		p.origin = d.Format()
		p.pass = sameWire(p.origin, p.format)
	}
	return p, nil
}

// SetCodec replaces the codec, after parameters changed in-band. Its parameter
// sets are put in front of key frames that come without.
func (p *Packetizer) SetCodec(c media.Codec) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.codec = c
}

// Stats returns the number of packets returned so far.
func (p *Packetizer) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stats
}

// Position returns what sender reports and RTP-Info headers need: the sequence
// number of the next packet, and the RTP time stamp of the last unit with its
// absolute time, which is zero if the unit had none. ok is false before the first
// unit.
func (p *Packetizer) Position() (seq uint16, rtpTime uint32, ntp time.Time, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seq, p.time, p.ntp, p.started
}

// Append adds the packets of a unit to dst. It does not allocate while packets
// pass through and dst is large enough.
//
// An error means that something could not be sent (a damaged access unit, an
// element that cannot be split) and was left out; dst is valid nevertheless.
func (p *Packetizer) Append(dst *Packets, u *media.Unit) error {
	p.mu.Lock()
	defer p.mu.Unlock()

	if len(u.RTP) == 0 {
		if len(u.Payload) == 0 {
			return nil
		}
		return p.appendPayload(dst, u, u.Payload, p.timeOf(u.PTS))
	}
	if p.pass && (p.fits(u) || !unpackable(p.origin)) {
		return p.passThrough(dst, u)
	}
	p.pass = false
	return p.repack(dst, u)
}

// timeOf returns the time stamp of a PTS: the distance from the last unit, or a
// random one for the first.
func (p *Packetizer) timeOf(pts int64) uint32 {
	at := func(pts int64) uint32 { return uint32(mulDiv(pts, p.rate, p.codecRate)) }
	return p.time + at(pts) - at(p.pts)
}

func (p *Packetizer) fits(u *media.Unit) bool {
	for _, pkt := range u.RTP {
		if size, _ := sizeOf(pkt); size > p.maxSize {
			return false
		}
	}
	return true
}

// sizeOf returns the bytes of a packet without header extensions, and those of
// them that are padding.
func sizeOf(pkt *rtp.Packet) (size, padding int) {
	if pkt.Header.Padding {
		padding = int(max(pkt.Header.PaddingSize, pkt.PaddingSize))
	}
	return rtpHeaderSize + 4*min(len(pkt.CSRC), 15) + len(pkt.Payload) + padding, padding
}

func (p *Packetizer) passThrough(dst *Packets, u *media.Unit) error {
	if p.encoded {
		// units without packets came before: go on where they ended
		p.encoded = false
		p.seqShift = p.seq - u.RTP[0].SequenceNumber
		p.tsShift = p.timeOf(u.PTS) - u.RTP[0].Timestamp
	}
	p.moved(u, u.RTP[0].Timestamp+p.tsShift)

	var err error
	for _, pkt := range u.RTP {
		size, padding := sizeOf(pkt)
		p.seq = pkt.SequenceNumber + p.seqShift + 1
		if size > p.maxSize {
			err = fmt.Errorf("an RTP packet of %d bytes cannot be split to %d bytes: dropped", size, p.maxSize)
			continue
		}
		p.marshal(dst, pkt, pkt.SequenceNumber+p.seqShift, pkt.Timestamp+p.tsShift, size, padding)
	}
	return err
}

// moved notes the position of a unit.
func (p *Packetizer) moved(u *media.Unit, rtpTime uint32) {
	p.started = true
	p.pts, p.time, p.ntp = u.PTS, rtpTime, u.NTP
}

// marshal appends a packet with the payload type and SSRC of the packetizer.
func (p *Packetizer) marshal(dst *Packets, pkt *rtp.Packet, seq uint16, ts uint32, size, padding int) {
	csrc := pkt.CSRC[:min(len(pkt.CSRC), 15)]
	first, second := byte(2<<6|len(csrc)), p.format.PayloadType()&0x7F
	if padding > 0 {
		first |= 1 << 5
	}
	if pkt.Marker {
		second |= 1 << 7
	}

	dst.Data = append(dst.Data, first, second, byte(seq>>8), byte(seq),
		byte(ts>>24), byte(ts>>16), byte(ts>>8), byte(ts),
		byte(p.ssrc>>24), byte(p.ssrc>>16), byte(p.ssrc>>8), byte(p.ssrc))
	for _, v := range csrc {
		dst.Data = append(dst.Data, byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
	}
	dst.Data = append(dst.Data, pkt.Payload...)
	if padding > 0 {
		for range padding - 1 {
			dst.Data = append(dst.Data, 0)
		}
		dst.Data = append(dst.Data, byte(padding))
	}
	dst.Sizes = append(dst.Sizes, size)

	p.stats.Packets++
	p.stats.Octets += uint64(len(pkt.Payload))
}

// repack unpacks the packets of a unit and packs them again.
func (p *Packetizer) repack(dst *Packets, u *media.Unit) error {
	if p.unpacker == nil {
		if p.origin == nil || !unpackable(p.origin) {
			return fmt.Errorf("packets of %s cannot be unpacked for this reader", p.codec.Name())
		}
		d, err := NewDepacketizer(p.origin)
		if err != nil {
			return err
		}
		p.unpacker = d
	}

	sameRate := int64(ClockRate(p.origin)) == p.rate
	var errs error
	for _, pkt := range u.RTP {
		payload, err := p.unpacker.Depacketize(pkt)
		if payload == nil {
			errs = errors.Join(errs, err)
			continue
		}
		ts := p.unpacker.time + p.tsShift
		if !sameRate {
			ts = p.timeOf(u.PTS)
		}
		errs = errors.Join(errs, p.appendPayload(dst, u, payload, ts))
	}
	return errs
}

// appendPayload packs a payload.
func (p *Packetizer) appendPayload(dst *Packets, u *media.Unit, payload [][]byte, ts uint32) error {
	if p.encode == nil {
		encode, err := encoderOf(p.format, p.maxSize-rtpHeaderSize, p.codecRate)
		if err != nil {
			return err
		}
		p.encode = encode
	}
	payload = withParameterSets(p.codec, withoutEmpty(payload))
	if len(payload) == 0 {
		return nil
	}
	pkts, err := p.encodeSafely(payload)
	if err != nil {
		return err
	}

	p.moved(u, ts)
	p.encoded = true
	for _, pkt := range pkts {
		size, _ := sizeOf(pkt)
		if size > p.maxSize {
			err = fmt.Errorf("a packet of %s of %d bytes cannot be split to %d bytes: dropped",
				p.codec.Name(), size, p.maxSize)
			continue
		}
		p.marshal(dst, pkt, p.seq, ts+pkt.Timestamp, size, 0)
		p.seq++
	}
	return err
}

// encodeSafely runs the encoder. Those of the library panic on payloads that are
// not what they should be, JPEG pictures above all.
func (p *Packetizer) encodeSafely(payload [][]byte) (pkts []*rtp.Packet, err error) {
	defer func() {
		if r := recover(); r != nil {
			// the encoder may be damaged too
			p.encode = nil
			pkts, err = nil, fmt.Errorf("payload of %s is invalid: %v", p.codec.Name(), r)
		}
	}()
	return p.encode(payload)
}
