package rtcegress

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/pion/interceptor"
	"github.com/pion/rtcp"

	"github.com/org/mtx/protocol/internal/egress"
)

func nackOf(ssrc uint32, seqs ...uint16) *rtcp.TransportLayerNack {
	return &rtcp.TransportLayerNack{MediaSSRC: ssrc, Nacks: rtcp.NackPairsFromSequenceNumbers(seqs)}
}

func TestNACK(t *testing.T) {
	t.Parallel()
	p, b := newPool(t), egress.NewBatch(0)
	w, tr := newWire(t, 7)
	v := NewViewer(nil, map[int]*Track{0: tr}, w.WriteRTCP)
	defer v.Close()
	vt := v.tracks[0]
	vt.seq = 0xfffe // wraps
	deliver(v, b, unit(p, 0, true, 1, 1000, 10, 20, 30))
	deliver(v, b, unit(p, 0, false, 2, 2000, 40, 50))
	eventually(t, "all written", func() bool { return len(w.packets()) == 5 })

	if v.feedback(vt, []rtcp.Packet{nackOf(7, 0xffff, 2), nackOf(8, 0), nackOf(7, 0xfffd, 3, 0x8000)}) {
		t.Error("a key frame is asked for")
	}
	eventually(t, "sent again", func() bool { return len(w.packets()) == 7 })
	got := w.packets()
	for i, want := range map[int]int{5: 1, 6: 4} {
		g, o := got[i], got[want]
		if g.SequenceNumber != o.SequenceNumber || g.Timestamp != o.Timestamp || g.Marker != o.Marker ||
			!bytes.Equal(g.Payload, o.Payload) {
			t.Errorf("sent again: %+v, first: %+v", g.Header, o.Header)
		}
	}
	direct(t, v)
	if s := v.Stats(); s.Asked != 5 || s.Retransmitted != 2 || s.Refused != 0 || s.Packets != 7 {
		t.Errorf("%+v", s)
	}
}

// Whatever a viewer asks for, it does not get more than twice the stream.
func TestNACKLimit(t *testing.T) {
	t.Parallel()
	p, b := newPool(t), egress.NewBatch(0)
	w, tr := newWire(t, 7)
	v := NewViewer(nil, map[int]*Track{0: tr}, w.WriteRTCP)
	defer v.Close()
	const units = 100
	for i := range units {
		deliver(v, b, unit(p, 0, true, i, 1000, 10, 20))
		first := v.tracks[0].seq - 2
		for range 20 {
			v.feedback(v.tracks[0], []rtcp.Packet{nackOf(7, first, first+1)})
		}
	}
	direct(t, v)
	s := v.Stats()
	if s.Retransmitted != initialCredits+2*units || s.Refused != s.Asked-s.Retransmitted || s.Refused == 0 {
		t.Errorf("%+v", s)
	}
	many := &rtcp.TransportLayerNack{MediaSSRC: 7}
	for i := range 300 {
		many.Nacks = append(many.Nacks, rtcp.NackPair{PacketID: uint16(i * 17), LostPackets: 0xffff})
	}
	v.feedback(v.tracks[0], []rtcp.Packet{many})
	if n := v.Stats().Asked - s.Asked; n != maxAsked {
		t.Errorf("looked at %d", n)
	}
}

func TestHistory(t *testing.T) {
	t.Parallel()
	p := newPool(t)
	var h history
	var blocks []*egress.Block
	add := func(seq uint16, n int, now int64) {
		b := p.Get(10)
		for range n {
			b.AppendPacket([]byte{1})
		}
		h.push(b, seq, now)
		blocks = append(blocks, b)
	}
	seq := uint16(65000)
	for i := range 2 * historyUnits {
		add(seq, 3, int64(i))
		seq += 3
	}
	if h.count != historyUnits || len(h.ring) != historyUnits {
		t.Fatalf("%d of %d", h.count, len(h.ring))
	}
	for back := range uint16(3 * historyUnits) {
		b, i, ok := h.find(seq - 1 - back)
		if k := len(blocks) - 1 - int(back)/3; !ok || b != blocks[k] || i != 2-int(back)%3 {
			t.Fatalf("%d before the end: packet %d, %v", back, i, ok)
		}
	}
	for _, s := range []uint16{seq, seq + 1000, seq - 3*historyUnits - 1, seq - 1<<15} {
		if _, _, ok := h.find(s); ok {
			t.Errorf("found %d, next is %d", s, seq)
		}
	}
	add(seq, 1, 2*historyUnits+historyAge)
	if h.count != 1 {
		t.Errorf("%d remembered", h.count)
	}
	h.clear()
	if h.count != 0 {
		t.Error("not empty")
	}
	for i, b := range blocks {
		if !last(b) {
			t.Fatalf("block %d is still referenced", i)
		}
	}
}

// last releases a block, and reports whether that was the last reference.
func last(b *egress.Block) (ok bool) {
	defer func() { ok = recover() != nil }()
	b.Release()
	b.Release()
	return false
}

// source is RTCP from a viewer.
type source [][]byte

func (s *source) Read(p []byte) (int, interceptor.Attributes, error) {
	if len(*s) == 0 {
		return 0, nil, io.EOF
	}
	b := (*s)[0]
	*s = (*s)[1:]
	if b == nil {
		return 0, nil, io.ErrShortBuffer
	}
	return copy(p, b), nil, nil
}

func TestReadRTCP(t *testing.T) {
	t.Parallel()
	_, tr := newWire(t, 7)
	v := NewViewer(nil, map[int]*Track{1: tr}, nil)
	defer v.Close()
	lost := []rtcp.ReceptionReport{{SSRC: 9, TotalLost: 5}, {SSRC: 7, TotalLost: 0xffffff}}
	var s source
	for _, p := range []rtcp.Packet{
		&rtcp.PictureLossIndication{MediaSSRC: 7},
		&rtcp.PictureLossIndication{MediaSSRC: 8},
		&rtcp.FullIntraRequest{FIR: []rtcp.FIREntry{{SSRC: 7}}},
		&rtcp.ReceiverReport{Reports: lost},
		&rtcp.SenderReport{Reports: lost[:1]},
	} {
		b, err := p.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		s = append(s, b, []byte{1, 2, 3}, nil)
	}
	asked := 0
	v.ReadRTCP(1, &s, func() { asked++ })
	if st := v.Stats(); asked != 2 || st.KeyFrameRequests != 2 || st.ControlReceived != 5 || st.Lost != -1 {
		t.Errorf("asked %d times, %+v", asked, st)
	}
	v.ReadRTCP(0, &s, nil) // no such track
	v.ReadRTCP(5, &s, nil)
	if _, _, err := s.Read(nil); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
}

func FuzzFeedback(f *testing.F) {
	b, err := rtcp.Marshal([]rtcp.Packet{nackOf(7, 1, 2, 30), &rtcp.PictureLossIndication{MediaSSRC: 7}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		p, batch := newPool(t), egress.NewBatch(0)
		w, tr := newWire(t, 7)
		v := NewViewer(nil, map[int]*Track{0: tr}, w.WriteRTCP)
		deliver(v, batch, unit(p, 0, true, 0, 1000, 10, 20))
		s := source{b}
		v.ReadRTCP(0, &s, func() {})
		direct(t, v)
		if st := v.Stats(); st.Retransmitted > initialCredits+2 {
			t.Errorf("%+v", st)
		}
		v.Close()
	})
}

func FuzzPacket(f *testing.F) {
	f.Add([]byte{0x90, 0xe0, 0, 1, 0, 0, 0, 9, 0, 0, 0, 0, 0xbe, 0xde, 0, 1, 0x10, 1, 0, 0, 'a', 'b'})
	f.Fuzz(func(t *testing.T, b []byte) {
		var w packetWriter
		if payload, ok := w.parse(b); ok && len(payload) > len(b)-rtpHeaderSize {
			t.Errorf("payload of %d bytes in %d", len(payload), len(b))
		}
		var c Conn
		if c.outletOf(b) != nil {
			t.Error("found an outlet")
		}
	})
}
