package rtp

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"github.com/org/mtx/protocol/bridge/datagram"
	"github.com/org/mtx/protocol/bridge/rtpbridge"
	"github.com/org/mtx/router"
)

// Fields of packets, RFC 3550 sections 5.1 and 6.4.1.
const (
	rtpHeaderSize  = 12
	rtcpHeaderSize = 8 // with the SSRC
	senderReport   = 200
	reportSize     = 28
	// Second bytes of RTCP packets on a port that RTP uses too, RFC 5761 section 4.
	firstRTCP, lastRTCP = 192, 223
)

// payloadTypeError is a payload type that the session description does not have.
type payloadTypeError uint8

func (t payloadTypeError) Error() string {
	return fmt.Sprintf("payload type %d is not in the SDP", uint8(t))
}

// receiver publishes what arrives. All methods but reports belong to one
// goroutine.
type receiver struct {
	*session
	faults  *datagram.Faults
	publish func() (*router.Publisher, error)
	senders []sender // by track
	memory  slab
	pub     *router.Publisher // nil before the first packet
	valid   time.Time         // when the last valid packet came
	err     error             // of the publication

	// For reports.
	rx    atomic.Pointer[rtpbridge.Receiver]
	ssrcs []atomic.Uint64 // by track, plus one; zero is unknown
}

func newReceiver(ctx context.Context, run *router.SourceRun, s *session) *receiver {
	r := &receiver{
		session: s,
		faults:  datagram.NewFaults(run.Log),
		senders: make([]sender, len(s.tracks)),
		ssrcs:   make([]atomic.Uint64, len(s.tracks)),
	}
	for i := range r.senders {
		r.senders[i].begun = func(ssrc uint32) { r.ssrcs[i].Store(uint64(ssrc) + 1) }
		r.senders[i].invalid = r.faults.Invalid
		r.senders[i].order.lost = r.faults.Lost
		r.senders[i].order.deliver = func(pkt *rtp.Packet, now time.Time) { r.deliver(i, pkt, now) }
	}
	r.publish = func() (*router.Publisher, error) {
		pub, err := run.Publish(ctx, s.tracks, router.PublishOptions{Depacketizers: s.depack})
		if err != nil {
			return nil, err
		}
		r.faults.Attach(pub.Stream())
		r.rx.Store(rtpbridge.NewReceiver(rtpbridge.ReceiverOptions{
			Formats:            s.formats,
			Write:              pub.Write,
			Update:             pub.SetCodec,
			UseSenderReportNTP: run.Config.UseAbsoluteTimestamp,
		}))
		return pub, nil
	}
	return r
}

// datagram takes a packet. It does not keep b.
func (r *receiver) datagram(b []byte, now time.Time) {
	if len(b) < rtpHeaderSize || b[0]>>6 != 2 {
		if !isRTCP(b) {
			r.faults.Invalid(fmt.Errorf("%d bytes that are no RTP packet", len(b)))
		}
		return
	}
	track := r.byType[b[1]&0x7f] - 1
	if track < 0 {
		if isRTCP(b) {
			r.reports(b, now)
		} else {
			r.faults.Invalid(payloadTypeError(b[1] & 0x7f))
		}
		return
	}
	pkt := r.memory.packet()
	if err := pkt.Unmarshal(r.memory.copy(b)); err != nil {
		r.faults.Invalid(fmt.Errorf("invalid RTP packet: %w", err))
		return
	}
	// the padding is gone
	pkt.Header.Padding, pkt.Header.PaddingSize, pkt.PaddingSize = false, 0, 0
	r.valid = now
	r.senders[track].push(pkt, now)
}

// deliver takes the packets of a track, in order.
func (r *receiver) deliver(track int, pkt *rtp.Packet, now time.Time) {
	if r.err != nil {
		return
	}
	if r.pub == nil {
		if r.pub, r.err = r.publish(); r.err != nil {
			return
		}
	}
	r.rx.Load().Packet(track, pkt, now)
}

// patience is how long packets that are held back can still wait.
func (r *receiver) patience(now time.Time) time.Duration {
	d := time.Hour
	for i := range r.senders {
		if o := &r.senders[i].order; o.held > 0 {
			d = min(d, o.patience(now))
		}
	}
	return d
}

// expire gives up waiting for packets that are late.
func (r *receiver) expire(now time.Time) {
	for i := range r.senders {
		if o := &r.senders[i].order; o.held > 0 {
			o.expire(now)
		}
	}
}

// isRTCP tells whether a packet is RTCP, on a port that RTP uses too.
func isRTCP(b []byte) bool {
	return len(b) >= rtcpHeaderSize && b[0]>>6 == 2 && b[1] >= firstRTCP && b[1] <= lastRTCP
}

// reports takes a compound RTCP packet. It may be called by any goroutine.
func (r *receiver) reports(b []byte, now time.Time) {
	rx := r.rx.Load()
	if rx == nil {
		return // there will be more
	}
	for len(b) >= rtcpHeaderSize && b[0]>>6 == 2 {
		size := 4 * (int(binary.BigEndian.Uint16(b[2:])) + 1)
		if size > len(b) {
			return
		}
		if b[1] == senderReport && size >= reportSize {
			sr := &rtcp.SenderReport{
				SSRC:    binary.BigEndian.Uint32(b[4:]),
				NTPTime: binary.BigEndian.Uint64(b[8:]),
				RTPTime: binary.BigEndian.Uint32(b[16:]),
			}
			for track := range r.ssrcs {
				if r.ssrcs[track].Load() == uint64(sr.SSRC)+1 {
					rx.SenderReport(track, sr, now)
				}
			}
		}
		b = b[size:]
	}
}

func (r *receiver) close() {
	for i := range r.senders {
		r.senders[i].order.flush(time.Now())
	}
	if r.pub != nil {
		r.rx.Load().Close()
		r.pub.Close()
	}
	r.faults.Flush()
}
