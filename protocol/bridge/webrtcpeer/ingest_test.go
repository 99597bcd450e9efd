package webrtcpeer

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/pion/rtp"
)

// newIngest returns a track without a network. What it receives is held.
func newIngest() *ingest {
	in := &ingest{
		r: &Receiver{Peer: &Peer{}, changed: make(chan struct{})}, format: &format.VP8{PayloadTyp: 96},
		video: true, clock: 90000,
	}
	in.index.Store(0)
	in.reorder.emit, in.reorder.lost = in.emit, in.lost
	return in
}

func (in *ingest) take(t *testing.T, pkt rtp.Packet) {
	t.Helper()
	pkt.Version = 2
	b, err := pkt.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	in.packet(b, time.Now())
}

// TestIngestNumbers takes out packets without media: the sequence numbers of the
// others have no gap.
func TestIngestNumbers(t *testing.T) {
	t.Parallel()
	in := newIngest()
	media := func(seq uint16) rtp.Packet {
		return rtp.Packet{Header: rtp.Header{PayloadType: 96, SequenceNumber: seq}, Payload: []byte{1, 2, 3}}
	}
	in.take(t, media(10))
	in.take(t, rtp.Packet{Header: rtp.Header{PayloadType: 96, SequenceNumber: 11, Padding: true, PaddingSize: 200}})
	in.take(t, rtp.Packet{Header: rtp.Header{PayloadType: 96, SequenceNumber: 12}})
	in.take(t, rtp.Packet{Header: rtp.Header{PayloadType: 13, SequenceNumber: 13}, Payload: []byte{1}})
	padded := media(14)
	padded.Padding, padded.PaddingSize = true, 10
	in.take(t, padded)
	extended := media(15)
	if err := extended.SetExtension(1, []byte{1, 2}); err != nil {
		t.Fatal(err)
	}
	in.take(t, extended)
	if len(in.held) != 3 {
		t.Fatalf("%d packets", len(in.held))
	}
	for i, a := range in.held {
		if a.pkt.SequenceNumber != uint16(10+i) || len(a.pkt.Payload) != 3 || a.pkt.Padding || a.pkt.Extension {
			t.Errorf("packet %d: %v", i, a.pkt)
		}
	}
	if !in.ready.Load() {
		t.Error("the track has not begun")
	}
}

func TestIngestInvalid(t *testing.T) {
	t.Parallel()
	in := newIngest()
	for _, b := range [][]byte{
		{}, {0x80}, make([]byte, 12),
		{0xa0, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 200},         // padding longer than the payload
		{0xa0, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1},                    // padding without payload
		{0x8f, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1},                    // sources that are missing
		{0x90, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0xbe, 0xde, 0, 99}, // an extension that is longer
	} {
		in.packet(b, time.Now())
	}
	if len(in.held) != 0 || in.ready.Load() {
		t.Errorf("%d packets", len(in.held))
	}
}

// TestIngestBounds keeps a bounded number of packets before Run.
func TestIngestBounds(t *testing.T) {
	t.Parallel()
	in := newIngest()
	for i := range 2 * maxHeldPackets {
		in.take(t, rtp.Packet{Header: rtp.Header{PayloadType: 96, SequenceNumber: uint16(i)}, Payload: []byte{1}})
	}
	if len(in.held) != maxHeldPackets {
		t.Errorf("%d packets are held", len(in.held))
	}
	in.drop()
	in.take(t, rtp.Packet{Header: rtp.Header{PayloadType: 96, SequenceNumber: 2 * maxHeldPackets}, Payload: []byte{1}})
	if len(in.held) != 0 {
		t.Error("packets are held after the end")
	}
}

func TestCaptureTime(t *testing.T) {
	t.Parallel()
	in := newIngest()
	pkt := &rtp.Packet{Header: rtp.Header{Version: 2, SSRC: 5, Timestamp: 1234}}
	const when = 0xe5f0_0000_8000_0000
	if err := pkt.SetExtension(7, binary.BigEndian.AppendUint64(nil, when)); err != nil {
		t.Fatal(err)
	}
	if in.captureTime(pkt) != nil {
		t.Error("it was not negotiated")
	}
	in.abs = 7
	sr := in.captureTime(pkt)
	if sr == nil || sr.NTPTime != when || sr.RTPTime != 1234 || sr.SSRC != 5 {
		t.Errorf("%+v", sr)
	}
	short := &rtp.Packet{Header: rtp.Header{Version: 2}}
	if err := short.SetExtension(7, []byte{1, 2, 3}); err != nil {
		t.Fatal(err)
	}
	if in.captureTime(short) != nil || in.captureTime(&rtp.Packet{}) != nil {
		t.Error("a short extension is taken")
	}
}

func TestJitter(t *testing.T) {
	t.Parallel()
	in := newIngest()
	now := time.Unix(1700000000, 0)
	pkt := &rtp.Packet{}
	for i := range 1000 {
		at := now
		if i%2 == 1 {
			at = at.Add(4 * time.Millisecond)
		}
		pkt.Timestamp = uint32(0xffff0000) + uint32(i)*900 // it wraps
		in.measure(pkt, at)
		now = now.Add(10 * time.Millisecond)
	}
	in.r.counters.tracks.Store(1)
	if j := in.r.Stats().InboundRTPPacketsJitter; j < 0.0035 || j > 0.0045 {
		t.Errorf("%.4f s", j)
	}
}
