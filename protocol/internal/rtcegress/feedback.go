package rtcegress

import (
	"errors"
	"io"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtcp"

	"github.com/org/mtx/protocol/internal/egress"
)

const (
	// Each packet gives the right to send one again, up to a maximum, so that a viewer cannot make us send more than twice the stream
	// whatever it asks for.
	initialCredits = 64
	maxCredits     = 512

	// maxAsked is how many sequence numbers of one NACK are looked at. Who misses more needs a key frame.
	maxAsked = 512

	// maxRTCP is the size of RTCP packets that are read, bytes.
	maxRTCP = 1500
)

// Stats are the figures of a viewer.
type Stats struct {
	// Stats has what was sent: RTP with retransmissions, and RTCP (ControlPackets). Bytes include what SRTP adds.
	egress.Stats

	// Asked is the number of packets that NACKs asked for, Retransmitted how many were sent again, and Refused how many were not because
	// of the limit.
	Asked, Retransmitted, Refused uint64

	// ControlReceived is the number of compound RTCP packets from the viewer, KeyFrameRequests that of PLI and FIR in them.
	ControlReceived, KeyFrameRequests uint64

	// Lost is the number of packets that the viewer reports as lost, all tracks together. It may be negative, RFC 3550 section 6.4.1.
	Lost int64
}

// Stats returns the present figures.
func (v *Viewer) Stats() Stats {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.stats
	s.Stats = v.Counters.Stats()
	for _, t := range v.tracks {
		if t != nil {
			s.Lost += t.lost
		}
	}
	return s
}

// RTCPSource is what a *webrtc.RTPSender reads.
type RTCPSource interface {
	Read(p []byte) (int, interceptor.Attributes, error)
}

// ReadRTCP answers NACKs and calls onKeyFrame for each PLI and FIR, until the sender of the track stops. Each track needs it, on a
// goroutine of its own.
func (v *Viewer) ReadRTCP(track int, s RTCPSource, onKeyFrame func()) {
	t := v.trackAt(track)
	if t == nil {
		return
	}
	buf := make([]byte, maxRTCP)
	for {
		n, _, err := s.Read(buf)
		if errors.Is(err, io.ErrShortBuffer) {
			continue
		}
		if err != nil {
			return
		}
		pkts, err := rtcp.Unmarshal(buf[:n])
		if err != nil {
			continue
		}
		if v.feedback(t, pkts) {
			onKeyFrame()
		}
	}
}

// feedback handles a compound packet, and reports whether a key frame is asked for.
func (v *Viewer) feedback(t *viewerTrack, pkts []rtcp.Packet) (keyFrame bool) {
	v.mu.Lock()
	v.stats.ControlReceived++
	v.mu.Unlock()
	to := t.track.bound.Load() // a viewer that waits for its first packets asks for a key frame already
	if to == nil {
		return false
	}
	for _, p := range pkts {
		switch p := p.(type) {
		case *rtcp.TransportLayerNack:
			if p.MediaSSRC == to.ssrc {
				v.nack(t, p)
			}
		case *rtcp.PictureLossIndication:
			keyFrame = keyFrame || p.MediaSSRC == to.ssrc
		case *rtcp.FullIntraRequest:
			for _, e := range p.FIR {
				keyFrame = keyFrame || e.SSRC == to.ssrc
			}
		case *rtcp.ReceiverReport:
			v.receiverReport(t, to, p.Reports)
		case *rtcp.SenderReport:
			v.receiverReport(t, to, p.Reports)
		}
	}
	if keyFrame {
		v.mu.Lock()
		v.stats.KeyFrameRequests++
		v.mu.Unlock()
	}
	return keyFrame
}

func (v *Viewer) receiverReport(t *viewerTrack, to *binding, reports []rtcp.ReceptionReport) {
	for _, r := range reports {
		if r.SSRC == to.ssrc {
			v.mu.Lock()
			t.lost = int64(int32(r.TotalLost<<8) >> 8) // 24 bits, signed
			v.mu.Unlock()
		}
	}
}

// nack sends packets again. The viewer is locked for one packet at a time, so that its worker does not wait.
func (v *Viewer) nack(t *viewerTrack, p *rtcp.TransportLayerNack) {
	asked := 0
	for i := range p.Nacks {
		p.Nacks[i].Range(func(seq uint16) bool {
			asked++
			v.resend(t, seq)
			return asked < maxAsked
		})
		if asked >= maxAsked {
			return
		}
	}
}

func (v *Viewer) resend(t *viewerTrack, seq uint16) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.stats.Asked++
	blk, i, ok := t.history.find(seq)
	if !ok || v.closed {
		return
	}
	if v.credits == 0 {
		v.stats.Refused++
		return
	}
	v.credits--
	off := 0
	for _, n := range blk.Sizes[:i] {
		off += n
	}
	sizes := blk.Sizes[i : i+1]
	if v.slow {
		if !v.enqueue(queued{at: time.Now().UnixNano(), track: t, to: t.to, block: blk, off: off, sizes: sizes, seq: seq, again: true}) {
			v.stats.Refused++
		}
		return
	}
	w := v.writer.write(t.to, blk, off, sizes, seq)
	v.stats.Retransmitted += uint64(w.packets)
	if w.packets > 0 {
		v.Sent(w.packets, w.bytes, false, time.Now().UnixNano())
	}
}
