package rtcegress

import (
	"encoding/binary"

	"github.com/pion/rtp"

	"github.com/org/mtx/protocol/internal/egress"
)

// rtpHeaderSize is the size of a header without contributing sources and extensions, bytes.
const rtpHeaderSize = 12

// packetWriter gives packets to pion. It is reused, so that nothing is allocated.
type packetWriter struct {
	header rtp.Header
	packet rtp.Packet
}

// written is what became of packets.
type written struct {
	packets int // that pion has taken
	bytes   int // of them, SRTP included
	octets  int // of their payloads
	failed  int
}

// write sends packets of a block, of which the first is at the offset off, with consecutive sequence numbers.
func (w *packetWriter) write(to *binding, b *egress.Block, off int, sizes []int, seq uint16) written {
	var r written
	for _, size := range sizes {
		payload, ok := w.parse(b.Data[off : off+size])
		off += size
		w.header.PayloadType, w.header.SSRC, w.header.SequenceNumber = to.pt, to.ssrc, seq
		seq++
		n := 0
		if ok {
			n, _ = to.w.WriteRTP(&w.header, payload) // what cannot be written is lost
		}
		if n == 0 { // not connected
			r.failed++
			continue
		}
		r.packets++
		r.bytes += n
		r.octets += len(payload)
	}
	return r
}

// parse fills the header with what all viewers get. Extensions and padding are left out: they were not
// negotiated with the viewer.
func (w *packetWriter) parse(p []byte) (payload []byte, ok bool) {
	const plain = 0x80 // version 2, nothing optional
	w.header.Version = 2
	if len(p) >= rtpHeaderSize && p[0] == plain {
		w.header.Marker = p[1]&0x80 != 0
		w.header.Timestamp = binary.BigEndian.Uint32(p[4:])
		return p[rtpHeaderSize:], true
	}
	w.packet = rtp.Packet{}
	if w.packet.Unmarshal(p) != nil {
		return nil, false
	}
	w.header.Marker, w.header.Timestamp = w.packet.Marker, w.packet.Timestamp
	return w.packet.Payload, true
}
