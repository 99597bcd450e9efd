package rtcegress

import (
	"testing"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"github.com/org/mtx/protocol/internal/egress"
)

// deliver gives a message to a viewer and lets go of it.
func deliver(v *Viewer, b *egress.Batch, m *egress.Message) {
	v.Deliver(m, b)
	b.Flush()
	m.Release()
}

// direct makes the viewer one that is written to directly, as if packets had come out at its Conn.
func direct(t *testing.T, v *Viewer) {
	t.Helper()
	eventually(t, "nothing waits", func() bool {
		v.mu.Lock()
		defer v.mu.Unlock()
		return !v.draining
	})
}

func TestSequence(t *testing.T) {
	t.Parallel()
	p, b := newPool(t), egress.NewBatch(0)
	w, tr := newWire(t, 7)
	v := NewViewer(nil, map[int]*Track{0: tr}, w.WriteRTCP)
	defer v.Close()
	loss := egress.Loss{Track: 0, Video: true, Packets: 2}

	needed := 0
	v.OnKeyFrameNeeded(func() { needed++ })
	deliver(v, b, unit(p, 0, false, 1, 1000, 10, 10)) // before the first key frame
	deliver(v, b, unit(p, 0, false, 1, 1000, 10, 10))
	v.Discard(loss) // too
	deliver(v, b, unit(p, 0, true, 2, 2000, 10, 20))
	deliver(v, b, unit(p, 0, false, 3, 3000, 10))
	v.Discard(loss)
	deliver(v, b, unit(p, 0, false, 4, 4000, 10))
	deliver(v, b, unit(p, 0, true, 5, 5000, 10, 10))
	deliver(v, b, unit(p, 1, false, 6, 5000, 10)) // of no track
	eventually(t, "all written", func() bool { return len(w.packets()) == 5 })

	got := w.packets()
	for i, want := range []struct {
		unit, packet byte
		time         uint32
		marker       bool
	}{{2, 0, 2000, false}, {2, 1, 2000, true}, {3, 0, 3000, true}, {5, 0, 5000, false}, {5, 1, 5000, true}} {
		g := got[i]
		if g.Payload[0] != want.unit || g.Payload[1] != want.packet || g.Timestamp != want.time || g.Marker != want.marker {
			t.Errorf("packet %d: unit %d, packet %d, time %d, marker %v", i, g.Payload[0], g.Payload[1], g.Timestamp, g.Marker)
		}
		if g.SequenceNumber != got[0].SequenceNumber+uint16(i) || g.SSRC != 7 || g.PayloadType != 102 || g.Version != 2 {
			t.Errorf("packet %d: header %+v", i, g.Header)
		}
	}
	if needed != 1 {
		t.Errorf("asked for key frames %d times", needed)
	}
	if s := v.Stats(); s.Discarded != 3 || s.Packets != 5 {
		t.Errorf("%+v, want 3 discarded of 8 after the start", s)
	}
}

func TestNotBound(t *testing.T) {
	t.Parallel()
	p, b := newPool(t), egress.NewBatch(0)
	w, tr := newWire(t, 7)
	if _, ssrc, ok := tr.Negotiated(); !ok || ssrc != 7 {
		t.Fatal(ssrc, ok)
	}
	v := NewViewer(nil, map[int]*Track{0: tr}, w.WriteRTCP)
	defer v.Close()
	if err := tr.Unbind(w); err != nil {
		t.Fatal(err)
	}
	deliver(v, b, unit(p, 0, true, 1, 1000, 10))
	if _, err := tr.Bind(w); err != nil {
		t.Fatal(err)
	}
	deliver(v, b, unit(p, 0, false, 2, 1000, 10)) // no key frame
	deliver(v, b, unit(p, 0, true, 3, 2000, 10))
	eventually(t, "a packet", func() bool { return len(w.packets()) == 1 })
	if g := w.packets()[0]; g.Payload[0] != 3 {
		t.Errorf("began with unit %d", g.Payload[0])
	}
	v.Close()
	deliver(v, b, unit(p, 0, true, 4, 3000, 10))
	if n := len(w.packets()); n != 1 {
		t.Errorf("%d packets after Close", n)
	}
	other := &wire{codec: webrtc.RTPCodecParameters{RTPCodecCapability: audioCodec, PayloadType: 111}}
	if _, err := tr.Bind(other); err == nil {
		t.Error("bound with the wrong codec")
	}
}

// Extensions and padding of a publisher do not reach viewers; garbage is left out.
func TestOddPackets(t *testing.T) {
	t.Parallel()
	p, b := newPool(t), egress.NewBatch(0)
	w, tr := newWire(t, 7)
	v := NewViewer(nil, map[int]*Track{0: tr}, w.WriteRTCP)
	defer v.Close()
	m := p.NewMessage()
	m.Video, m.Key = true, true
	blk := p.Get(100)
	blk.AppendPacket([]byte{0x90, 0xe0, 0, 1, 0, 0, 0, 9, 0, 0, 0, 0, 0xbe, 0xde, 0, 1, 0x10, 1, 0, 0, 'a', 'b'}) // RFC 8285
	blk.AppendPacket([]byte{0xa0, 0x60, 0, 2, 0, 0, 0, 9, 0, 0, 0, 0, 'c', 0, 0, 3})
	blk.AppendPacket([]byte{0x80, 0x60, 0})
	m.SetPackets(blk)
	deliver(v, b, m)
	eventually(t, "lost", func() bool { return v.Stats().Discarded == 1 })
	got := w.packets()
	if len(got) != 2 || string(got[0].Payload) != "ab" || string(got[1].Payload) != "c" || got[0].Extension || got[1].Padding ||
		!got[0].Marker || got[1].Timestamp != 9 {
		t.Fatalf("%+v", got)
	}
}

// A viewer whose writes block loses media, and holds up nobody.
func TestBlockedViewer(t *testing.T) {
	t.Parallel()
	p := newPool(t)
	g := p.NewGroup()
	block := make(chan struct{})
	var wires []*wire
	var viewers []*Viewer
	for i := range 4 {
		w, tr := newWire(t, uint32(i))
		if i == 0 {
			w.block = block
		}
		v := NewViewer(nil, map[int]*Track{0: tr}, w.WriteRTCP)
		g.Add(v)
		wires, viewers = append(wires, w), append(viewers, v)
	}
	const units, packets = 90, 50
	sizes := make([]int, packets)
	for i := range sizes {
		sizes[i] = 1188
	}
	for i := range units { // 5.4 MB
		g.Send(unit(p, 0, i%10 == 0, i, uint32(i), sizes...))
		eventually(t, "the others go on", func() bool {
			return len(wires[1].packets()) == (i+1)*packets && len(wires[3].packets()) == (i+1)*packets
		})
	}
	if s := viewers[0].Stats(); s.Discarded == 0 || s.Packets != 0 {
		t.Errorf("blocked viewer: %+v", s)
	}
	if s := viewers[2].Stats(); s.Discarded != 0 {
		t.Errorf("other viewer: %+v", s)
	}
	close(block)
	direct(t, viewers[0])
	g.Send(unit(p, 0, false, 99, 1, 10))
	g.Send(unit(p, 0, true, 100, 1, 10))
	eventually(t, "it goes on", func() bool {
		got := wires[0].packets()
		return len(got) > 0 && got[len(got)-1].Payload[0] == 100
	})
	got := wires[0].packets()
	for i := range got {
		if got[i].SequenceNumber != got[0].SequenceNumber+uint16(i) {
			t.Fatalf("packet %d: sequence number %d", i, got[i].SequenceNumber)
		}
	}
	if n := got[len(got)-2].Payload[0]; n == 99 {
		t.Error("sent a picture that needs one that was lost")
	}
	for _, v := range viewers {
		g.Remove(v)
		v.Close()
	}
}

func TestReports(t *testing.T) {
	t.Parallel()
	p, b := newPool(t), egress.NewBatch(0)
	w, tr := newWire(t, 7)
	v := NewViewer(nil, map[int]*Track{0: tr}, w.WriteRTCP)
	defer v.Close()
	report := func(i int) *rtcp.SenderReport {
		t.Helper()
		eventually(t, "a report", func() bool {
			w.mu.Lock()
			defer w.mu.Unlock()
			return len(w.reports) > i
		})
		return w.reports[i][0].(*rtcp.SenderReport)
	}
	deliver(v, b, unit(p, 0, true, 1, 1000, 10, 20))
	deliver(v, b, unit(p, 0, false, 2, 1500, 10)) // not due
	r := report(0)
	if r.SSRC != 7 || r.RTPTime != 1000 || r.PacketCount > 3 {
		t.Errorf("own report: %+v", r)
	}
	direct(t, v)

	raw, err := rtcp.Marshal([]rtcp.Packet{&rtcp.SenderReport{SSRC: 1, NTPTime: 2, RTPTime: 3}, rtcp.NewCNAMESourceDescription(1, "x")})
	if err != nil {
		t.Fatal(err)
	}
	for _, raw := range [][]byte{raw, raw[:20]} {
		m := p.NewMessage()
		m.Control = true
		blk := p.Get(100)
		blk.AppendPacket(raw)
		m.SetPackets(blk)
		deliver(v, b, m)
	}
	r = report(1)
	if r.SSRC != 7 || r.NTPTime != 2 || r.RTPTime != 3 || r.PacketCount != 3 || r.OctetCount != 40 {
		t.Errorf("relayed report: %+v", r)
	}
	if c := w.reports[1][1].(*rtcp.SourceDescription); c.Chunks[0].Source != 7 || c.Chunks[0].Items[0].Text != "s" {
		t.Errorf("%v", c)
	}
	v.mu.Lock()
	v.tracks[0].reported = 0
	v.mu.Unlock()
	deliver(v, b, unit(p, 0, true, 1, 1000, 10, 20)) // reports come from the group now
	direct(t, v)
	if n := len(w.reports); n != 2 {
		t.Errorf("%d reports", n)
	}
	if s := v.Stats(); s.ControlPackets != 2 {
		t.Errorf("%+v", s)
	}
	if n := ntpTime(1_500_000_000); n != (2208988800+1)<<32|1<<31 {
		t.Errorf("NTP time %x", n)
	}
}
