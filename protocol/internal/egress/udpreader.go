package egress

import "net/netip"

// UDPTrack is where a reader wants a track.
type UDPTrack struct {
	Track int

	// RTP is the address for media.
	RTP netip.AddrPort

	// RTCP is the address for control packets. Without one (the zero value) they are not sent.
	RTCP netip.AddrPort
}

// UDPReader receives packets as datagrams.
type UDPReader struct {
	Counters

	wants  []Want
	tracks []udpTrack // by track
}

type udpTrack struct {
	rtp, rtcp *Destination
}

// NewUDPReader returns a reader that is sent media from the socket rtp and control packets from the socket rtcp.
func NewUDPReader(rtp, rtcp *UDPSocket, tracks []UDPTrack) (*UDPReader, error) {
	r := &UDPReader{}
	for _, t := range tracks {
		var u udpTrack
		var err error
		if u.rtp, err = rtp.Destination(t.RTP); err != nil {
			return nil, err
		}
		if t.RTCP.IsValid() {
			if u.rtcp, err = rtcp.Destination(t.RTCP); err != nil {
				return nil, err
			}
		}
		for t.Track >= len(r.tracks) {
			r.tracks = append(r.tracks, udpTrack{})
		}
		r.tracks[t.Track] = u
		r.wants = append(r.wants, Want{Track: t.Track, Channel: AsPackets})
	}
	return r, nil
}

// Wants implements Reader.
func (r *UDPReader) Wants() []Want { return r.wants }

// Deliver implements Reader.
func (r *UDPReader) Deliver(m *Message, b *Batch) {
	if m.Track >= len(r.tracks) || m.flat == nil {
		return
	}
	d := r.tracks[m.Track].rtp
	if m.Control {
		d = r.tracks[m.Track].rtcp
	}
	if d != nil {
		b.SendBlock(d, m.flat, &r.Counters, m.Control)
	}
}

// Discard implements Reader.
func (r *UDPReader) Discard(l Loss) {
	if l.Track < len(r.tracks) && r.tracks[l.Track].rtp != nil {
		r.Lost(l.Packets)
	}
}
