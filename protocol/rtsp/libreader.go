package rtsp

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/description"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"github.com/org/mtx/protocol/bridge/rtpbridge"
	"github.com/org/mtx/protocol/internal/egress"
	"github.com/org/mtx/router/media"
)

// libReader is a reader that the library writes to: it encrypts media (SRTP), or
// knows the tunnel.
//
// It begins as a member of the group, which gives it its backlog. When it has all of
// it, it is live, and leaves the group: the library writes to all live readers, and to
// multicast, at once, so that it encrypts once. Its list has the others too: while one
// of them waits or catches up, live readers are written to one by one.
type libReader struct {
	s      *session
	ss     *gortsplib.ServerSession
	fan    *fan
	wants  []egress.Want
	medias map[int]*description.Media // by track
	ssrcs  map[int]uint32             // by track, those of the library

	// guarded by fan.mu
	joined bool   // it is in the group, or was
	live   bool   // it left the group
	due    uint64 // packets that the group has to give to it, or to lose

	taken atomic.Uint64 // packets that the group gave to it, or lost

	// Guarded by whoever calls Deliver, and by fan.mu when it is live.
	skip map[int]bool // by track: until the next key frame
	pkt  rtp.Packet
}

// newLibReader makes a reader of the sections that were set up. s.mu is held.
func (s *session) newLibReader() *libReader {
	r := &libReader{
		s: s, ss: s.ss, fan: s.fan,
		medias: map[int]*description.Media{}, ssrcs: map[int]uint32{}, skip: map[int]bool{},
	}
	stats := s.ss.Stream().Stats()
	for _, m := range s.ss.Medias() {
		for _, t := range s.fan.byMedia[m] {
			r.medias[t.index] = m
			r.ssrcs[t.index] = stats.Medias[m].Formats[t.ref.Format].LocalSSRC
			r.wants = append(r.wants, egress.Want{Track: t.index, Channel: egress.AsPackets})
		}
	}
	return r
}

// Wants implements egress.Reader.
func (r *libReader) Wants() []egress.Want { return r.wants }

// Deliver implements egress.Reader.
func (r *libReader) Deliver(m *egress.Message, _ *egress.Batch) {
	md, blk := r.medias[m.Track], m.Packets()
	switch {
	case md == nil || blk == nil:
	case m.Control:
		_ = r.ss.WritePacketRTCP(md, withSSRC(blk.Data, r.ssrcs[m.Track])) // without room for it, the next one tells more
	default:
		if r.fan.multicast.Load() == 0 { // or it gets what they do
			r.write(r.fan.tracks[m.Track], m.Key, blk.Data, blk.Sizes)
		}
		r.taken.Add(uint64(blk.Packets))
	}
}

// write writes a unit, unless it is of no use anymore.
func (r *libReader) write(t *fanTrack, key bool, data []byte, sizes []int) {
	if r.skip[t.index] {
		if !key {
			r.s.tooSlow(len(sizes))
			return
		}
		r.skip[t.index] = false
	}
	for i, n := range sizes {
		if r.pkt.Unmarshal(data[:n]) == nil && r.ss.WritePacketRTPWithNTP(r.medias[t.index], &r.pkt, t.timeOf(r.pkt.Timestamp)) != nil {
			r.s.tooSlow(len(sizes) - i)
			r.skip[t.index] = t.video
			return
		}
		data = data[n:]
	}
}

// withSSRC is a sender report of ours, see fan.senderReport, as the library sends it. Its
// own do not come when tracks were moved.
func withSSRC(data []byte, ssrc uint32) rtcp.Packet {
	pkts, _ := rtcp.Unmarshal(data) // it was made by us
	for _, p := range pkts {
		switch p := p.(type) {
		case *rtcp.SenderReport:
			p.SSRC = ssrc
		case *rtcp.SourceDescription:
			for i := range p.Chunks {
				p.Chunks[i].Source = ssrc
			}
		}
	}
	compound := rtcp.CompoundPacket(pkts)
	return &compound
}

// Discard implements egress.Reader.
func (r *libReader) Discard(l egress.Loss) {
	if r.medias[l.Track] == nil || l.Control {
		return
	}
	r.s.tooSlow(l.Packets)
	r.skip[l.Track] = r.skip[l.Track] || l.Video
	r.taken.Add(uint64(l.Packets)) // at last: catchUp may look at what is above from here on
}

// timeOf returns the absolute time of a packet that was packed not long ago.
func (t *fanTrack) timeOf(rtpTime uint32) time.Time {
	_, last, ntp, ok := t.pk.Position()
	if !ok || ntp.IsZero() {
		return time.Now()
	}
	return ntp.Add(media.Duration(int64(int32(rtpTime-last)), rtpbridge.ClockRate(t.ref.Format)))
}

// libReaders are the readers of a fan that the library writes to. Guarded by fan.mu.
type libReaders struct {
	list []*libReader // that are playing
	live int          // of them
}

func (l *libReaders) add(r *libReader) { l.list = append(l.list, r) }

func (l *libReaders) remove(r *libReader) {
	if r.live {
		l.live--
	}
	l.list = slices.DeleteFunc(l.list, func(o *libReader) bool { return o == r })
}

// sent counts what the group was given for readers that are not live.
func (l *libReaders) sent(track, packets int) {
	if l.live == len(l.list) {
		return
	}
	for _, r := range l.list {
		if r.joined && !r.live && r.medias[track] != nil {
			r.due += uint64(packets)
		}
	}
}

// catchUp makes readers live that have got all that was sent. It is called between
// units.
func (f *fan) catchUp() {
	for _, r := range f.libs.list {
		if r.joined && !r.live && r.taken.Load() == r.due && !r.skips() {
			r.live = true
			f.libs.live++
			f.group.Remove(r)
		}
	}
}

// skips tells whether a track waits for a key frame.
func (r *libReader) skips() bool {
	for _, waits := range r.skip {
		if waits {
			return true
		}
	}
	return false
}

// writeLive gives the packets in scratch to the library, for readers that are live and
// for multicast.
func (f *fan) writeLive(t *fanTrack, key bool, ntp time.Time) {
	multicast := f.multicast.Load()
	if multicast > 0 {
		f.stream.AddOutbound(uint64(len(f.scratch.Data)) * uint64(multicast))
	}
	switch {
	case multicast > 0 || f.libs.live > 0 && f.libs.live == len(f.libs.list):
		f.writeAll(t, ntp)
	case f.libs.live > 0:
		for _, r := range f.libs.list {
			if r.live && r.medias[t.index] != nil {
				r.write(t, key, f.scratch.Data, f.scratch.Sizes)
			}
		}
	}
}

// reportLive sends a sender report to readers that are live.
func (f *fan) reportLive(t *fanTrack, data []byte) {
	for _, r := range f.libs.list {
		if md := r.medias[t.index]; r.live && md != nil {
			_ = r.ss.WritePacketRTCP(md, withSSRC(data, r.ssrcs[t.index]))
		}
	}
}
