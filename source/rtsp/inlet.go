package rtsp

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
)

// maxEarly bounds the packets that wait for the publication. A server may send
// the first key frame right behind its answer to PLAY.
const maxEarly = 4096

// inlet holds packets back until there is a receiver for them.
type inlet struct {
	ready atomic.Bool
	rx    receiver // set before ready

	// senders are the SSRCs of the tracks, plus one; zero is unknown. Set before
	// the first packet.
	senders []atomic.Uint64

	mu    sync.Mutex
	early []earlyPacket
}

type earlyPacket struct {
	track int
	pkt   *rtp.Packet
	now   time.Time
}

func (i *inlet) packet(track int, pkt *rtp.Packet, now time.Time) {
	if s := uint64(pkt.SSRC) + 1; i.senders[track].Load() != s {
		i.senders[track].Store(s)
	}
	if i.ready.Load() {
		i.rx.packet(track, pkt, now)
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.ready.Load() {
		i.rx.packet(track, pkt, now)
		return
	}
	if len(i.early) < maxEarly {
		i.early = append(i.early, earlyPacket{track, pkt, now})
	}
}

// report gives a sender report to the track it is about, one of several of the
// same media section. Packets tell which SSRC is whose.
func (i *inlet) report(tracks []int, sr *rtcp.SenderReport, now time.Time) {
	if !i.ready.Load() {
		return // there will be more
	}
	for _, t := range tracks {
		if len(tracks) == 1 || i.senders[t].Load() == uint64(sr.SSRC)+1 {
			i.rx.report(t, sr, now)
			return
		}
	}
}

// open hands over what waits, and everything that follows.
func (i *inlet) open(rx receiver) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.rx = rx
	for _, e := range i.early {
		rx.packet(e.track, e.pkt, e.now)
	}
	i.early = nil
	i.ready.Store(true)
}
