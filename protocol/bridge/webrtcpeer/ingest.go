package webrtcpeer

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/org/mtx/protocol/bridge/rtpbridge"
)

const (
	keyFramePeriod     = 500 * time.Millisecond // between requests of readers
	lossKeyFramePeriod = time.Second            // between those because of losses

	minWait   = 60 * time.Millisecond // for missing packets that are asked for
	maxWait   = 200 * time.Millisecond
	audioWait = 40 * time.Millisecond // for packets that nobody asks for

	poll = 10 * time.Millisecond // while packets are missing

	// What a track keeps until Run takes it.
	maxHeldPackets = 4096
	maxHeldBytes   = 8 << 20
)

// ingest receives one track: a media section or a simulcast layer.
type ingest struct {
	r      *Receiver
	track  *webrtc.TrackRemote
	recv   *webrtc.RTPReceiver
	rid    string
	place  int // in the description
	format format.Format
	video  bool
	clock  float64 // Hz
	nack   bool
	pli    bool
	fir    bool
	abs    int // id of the header extension abs-capture-time; 0: none

	ready atomic.Bool  // it has had a packet with a payload
	index atomic.Int32 // of the track; -1 before Tracks has answered

	mu       sync.Mutex
	sink     *rtpbridge.Receiver
	sinkAt   int
	dropping bool
	held     []arrived
	heldSize int
	report   *rtcp.SenderReport // the last one, while there is no sink

	keyMu    sync.Mutex
	asked    time.Time // for a key frame
	askLater bool
	firSeq   uint8

	reorder reorder

	// of the reading goroutine
	removed uint16 // packets without media that were taken out
	others  int    // of them, in a row, with another payload type
	last    time.Time
	jitter  float64 // ticks
	transit float64
	begun   bool
	missing []uint16
	rtt     time.Duration
	rttAt   time.Time
	woken   bool // reads have a deadline
	hasAbs  atomic.Bool
}

// readErrors is how many reads may fail in a row.
const readErrors = 1000

// read is the goroutine of the track.
func (in *ingest) read() {
	buf := make([]byte, receiveMTU)
	in.reorder.emit, in.reorder.lost = in.emit, in.lost
	for fails := 0; fails < readErrors; {
		n, _, err := in.track.Read(buf)
		now := time.Now()
		var ne net.Error
		switch {
		case err == nil:
			fails = 0
			in.packet(buf[:n], now)
		case errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &ne) && ne.Timeout():
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe) || in.r.closing.Load():
			return
		default: // an unknown payload type, a packet that is too large
			fails++
		}
		in.repair(now)
	}
}

// packet takes a packet from the network.
func (in *ingest) packet(b []byte, now time.Time) {
	in.r.counters.rtp(len(b))
	pkt := &rtp.Packet{}
	if err := pkt.Unmarshal(append([]byte(nil), b...)); err != nil {
		return // e.g. padding that is longer than the payload
	}
	in.measure(pkt, now)
	in.reorder.push(pkt, now)
}

// measure computes the jitter, RFC 3550 section 6.4.1.
func (in *ingest) measure(pkt *rtp.Packet, now time.Time) {
	transit := float64(now.UnixNano())*1e-9*in.clock - float64(pkt.Timestamp)
	if in.begun {
		d := math.Abs(math.Remainder(transit-in.transit, 1<<32))
		in.jitter += (d - in.jitter) / 16
	}
	in.transit, in.begun = transit, true
	if i := in.index.Load(); i >= 0 && i < maxTracks {
		in.r.counters.jitters[i].Store(math.Float64bits(in.jitter / in.clock))
	}
}

// repair asks for missing packets, or gives them up.
func (in *ingest) repair(now time.Time) {
	if !in.reorder.waiting() {
		in.wake(time.Time{})
		return
	}
	wait := audioWait
	if in.nack {
		rtt := in.roundTrip(now)
		wait = min(max(rtt*5/2+30*time.Millisecond, minWait), maxWait)
		in.missing = in.reorder.ask(in.missing[:0], now, rtt)
		if len(in.missing) > 0 {
			in.r.writeRTCP(&rtcp.TransportLayerNack{
				MediaSSRC: uint32(in.track.SSRC()), Nacks: rtcp.NackPairsFromSequenceNumbers(in.missing),
			})
		}
	}
	in.reorder.expire(now, wait)
	if in.reorder.waiting() {
		in.wake(now.Add(poll))
	} else {
		in.wake(time.Time{})
	}
}

// wake makes the next read end at a time, or never.
func (in *ingest) wake(at time.Time) {
	if at.IsZero() && !in.woken {
		return
	}
	in.woken = !at.IsZero()
	_ = in.track.SetReadDeadline(at)
}

// roundTrip returns the time that ICE measured.
func (in *ingest) roundTrip(now time.Time) time.Duration {
	if now.Sub(in.rttAt) > time.Second {
		in.rttAt = now
		if s, ok := in.r.iceTransport().GetSelectedCandidatePairStats(); ok {
			in.rtt = time.Duration(s.CurrentRoundTripTime * float64(time.Second))
		}
	}
	return in.rtt
}

// lost is called when packets are given up.
func (in *ingest) lost(n int) {
	in.r.counters.inLost.Add(uint64(n))
	if in.video {
		in.requestKeyFrame(lossKeyFramePeriod)
	}
}

// emit takes packets in order. Those that hold no media (padding for bandwidth
// estimation, other payload types) are taken out without leaving a gap.
func (in *ingest) emit(a arrived) {
	pkt := a.pkt
	if len(pkt.Payload) == 0 {
		in.removed++
		return
	}
	if pkt.PayloadType != in.format.PayloadType() {
		in.removed++
		in.other(pkt.PayloadType)
		return
	}
	in.others = 0
	if a.at.Before(in.last) {
		a.at = in.last // it came late; the time line goes forward
	}
	in.last = a.at
	pkt.SequenceNumber -= in.removed
	capture := in.captureTime(pkt)
	pkt.Padding, pkt.PaddingSize = false, 0
	pkt.Extension, pkt.ExtensionProfile, pkt.Extensions = false, 0, nil
	pkt.CSRC = nil
	in.hold(a)
	if capture != nil {
		in.senderReport(capture)
	}
	if !in.ready.Load() {
		in.first(pkt)
	}
}

// maxOthers is how many packets of another payload type mean that video goes on in
// another codec.
const maxOthers = 100

// other is called for packets of another payload type.
func (in *ingest) other(pt uint8) {
	if in.others++; in.video && in.others == maxOthers {
		in.r.end(&reasonError{ErrCodecChanged, fmt.Sprintf(
			"the publisher goes on in another codec: payload type %d instead of %d", pt, in.format.PayloadType())})
	}
}

// first tells that the track has begun.
func (in *ingest) first(pkt *rtp.Packet) {
	r := in.r
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.frozen {
		return
	}
	if f, ok := in.format.(*format.Opus); ok && f.ChannelCount == 1 && stereo(pkt.Payload) {
		in.format = &format.Opus{PayloadTyp: f.PayloadTyp, ChannelCount: 2}
	}
	in.ready.Store(true)
	close(r.changed)
	r.changed = make(chan struct{})
}

// hold hands a packet over, or keeps it until Run begins.
func (in *ingest) hold(a arrived) {
	in.mu.Lock()
	defer in.mu.Unlock()
	switch {
	case in.dropping:
	case in.sink != nil:
		in.sink.Packet(in.sinkAt, a.pkt, a.at)
	case len(in.held) < maxHeldPackets && in.heldSize < maxHeldBytes:
		in.held = append(in.held, a)
		in.heldSize += len(a.pkt.Payload)
	}
}

// attach hands over what waits, and from then on everything.
func (in *ingest) attach(sink *rtpbridge.Receiver, index int) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.sink, in.sinkAt = sink, index
	for _, a := range in.held {
		sink.Packet(index, a.pkt, a.at)
	}
	in.held = nil
	if in.report != nil {
		sink.SenderReport(index, in.report, time.Now())
	}
}

// drop throws away everything from now on.
func (in *ingest) drop() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.dropping, in.sink, in.held = true, nil, nil
}

// requestKeyFrame asks for a key frame, RFC 4585 section 6.3.1 or RFC 5104
// section 4.3.1. If that was done within the period, then it is done again at its
// end: the key frame may have been on its way when the reader came who asks.
func (in *ingest) requestKeyFrame(period time.Duration) {
	if !in.video || !in.pli && !in.fir || in.r.closing.Load() {
		return
	}
	in.keyMu.Lock()
	defer in.keyMu.Unlock()
	now := time.Now()
	if passed := now.Sub(in.asked); passed < period {
		if !in.askLater {
			in.askLater = true
			time.AfterFunc(period-passed, func() {
				in.keyMu.Lock()
				in.askLater = false
				in.keyMu.Unlock()
				in.requestKeyFrame(0)
			})
		}
		return
	}
	in.asked = now
	ssrc := uint32(in.track.SSRC())
	if in.pli {
		in.r.writeRTCP(&rtcp.PictureLossIndication{MediaSSRC: ssrc})
		return
	}
	in.firSeq++
	in.r.writeRTCP(&rtcp.FullIntraRequest{MediaSSRC: ssrc, FIR: []rtcp.FIREntry{{SSRC: ssrc, SequenceNumber: in.firSeq}}})
}
