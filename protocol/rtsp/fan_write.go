package rtsp

import (
	"time"

	"github.com/pion/rtp"

	"github.com/org/mtx/protocol/internal/egress"
	"github.com/org/mtx/router/media"
)

// onUnit is the tap. It runs on the goroutine of the publisher.
func (f *fan) onUnit(track int, u *media.Unit) {
	t := f.tracks[track]
	if t == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if c := f.stream.Tracks()[track].Codec; c != t.codec {
		t.codec = c
		t.pk.SetCodec(c)
	}
	if f.libs.live < len(f.libs.list) {
		f.catchUp()
	}
	f.scratch.Reset()
	if err := t.pk.Append(&f.scratch, u); err != nil {
		f.stream.AddInboundErrors(1)
	}
	t.key = t.key || u.RandomAccess
	n := len(f.scratch.Sizes)
	if n == 0 {
		return // the packetizer needs the rest of the access unit
	}
	key := t.key
	t.key = false
	t.report.count(n, len(f.scratch.Data))
	keep := f.begin(t, key, u.More)
	if readers := t.readers.Load(); readers > 0 {
		f.stream.AddOutbound(uint64(len(f.scratch.Data)) * uint64(readers))
		if f.due(t) {
			f.reportAll(t) // before the packets that it is about
		}
		f.libs.sent(t.index, n)
		f.group.Send(f.encode(t, key))
	}
	if keep {
		f.opening.add(f, t, key)
	}
	f.writeLive(t, key, u.NTP)
}

// begin lets readers in, and tells whether the unit in scratch is kept for others.
func (f *fan) begin(t *fanTrack, key, more bool) (keep bool) {
	if f.opening.lead == nil {
		return false
	}
	now := t.report.last
	f.opening.limit = f.stream.GOPCacheBytes()
	f.opening.begin(f, t, key, more, now)
	if len(f.joiners) > 0 {
		f.admit(t, key, now)
	}
	return len(f.joiners) > 0 || f.opening.wanted(now)
}

// encode makes what readers need of the packets in scratch.
func (f *fan) encode(t *fanTrack, key bool) *egress.Message {
	m := f.message(t, key)
	for _, ch := range f.group.Channels(t.index) {
		f.encodeFor(m, int(ch), f.scratch.Data, f.scratch.Sizes)
	}
	if f.group.WantsPackets(t.index) {
		f.encodeFor(m, egress.AsPackets, f.scratch.Data, f.scratch.Sizes)
	}
	return m
}

func (f *fan) message(t *fanTrack, key bool) *egress.Message {
	m := f.sv.pool.NewMessage()
	m.Track, m.Video, m.Key = t.index, t.video, key
	return m
}

// encodeFor adds packets in the form that a channel needs (see egress.Want).
func (f *fan) encodeFor(m *egress.Message, channel int, data []byte, sizes []int) {
	const frameHeader = 4
	if channel == egress.AsPackets {
		b := f.sv.pool.Get(len(data))
		for _, n := range sizes {
			b.AppendPacket(data[:n])
			data = data[n:]
		}
		m.SetPackets(b)
		return
	}
	b := f.sv.pool.Get(len(data) + frameHeader*len(sizes))
	for _, n := range sizes {
		b.AppendFrame(uint8(channel), data[:n])
		data = data[n:]
	}
	m.SetInterleaved(uint8(channel), b)
}

// writeAll gives packets to the library, which copies them, for all readers that it
// writes to.
func (f *fan) writeAll(t *fanTrack, ntp time.Time) {
	s := f.streams[1]
	if s == nil {
		return
	}
	off := 0
	for _, n := range f.scratch.Sizes {
		var pkt rtp.Packet
		if pkt.Unmarshal(f.scratch.Data[off:off+n]) == nil {
			_ = s.WritePacketRTPWithNTP(t.ref.Media, &pkt, ntp) // readers that are too slow: see OnStreamWriteError
		}
		off += n
	}
}
