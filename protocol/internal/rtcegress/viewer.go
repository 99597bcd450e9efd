package rtcegress

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/pion/rtcp"

	"github.com/org/mtx/protocol/internal/egress"
)

// Viewer is the reader of a stream's group that sends to one peer connection.
//
// Sequence numbers are the viewer's own and have no gaps but for packets that the system did not take: access units that
// were left out, while it waits for a key frame or because of overload, are none that it could ask for. RTP times are
// those of the messages.
//
// A control message of the group must hold a sender report. The viewer takes the relation of absolute time and RTP time from
// it, and fills in the rest. Viewers that never get one relate RTP times to the time of sending, once per second.
type Viewer struct {
	egress.Counters

	conn      *Conn
	writeRTCP func([]rtcp.Packet) error
	needKey   func()
	tracks    []*viewerTrack // by track of the stream; nil: not sent

	mu      sync.Mutex // held while access units are delivered and packets are sent again
	outlet  *outlet    // nil: without conn
	writer  packetWriter
	told    bool // reports come from the group
	credits int  // packets that may be sent again
	closed  bool
	stats   Stats // what Counters do not have

	// What is written by a goroutine, since writing may block.
	slow     bool
	queue    []queued
	waiting  int // bytes in the queue
	draining bool
}

// viewerTrack is a track of a viewer, guarded by Viewer.mu.
type viewerTrack struct {
	track *Track
	to    *binding
	seq   uint16 // of the next packet

	wait  bool  // for a key frame
	lossy bool  // it waits because of a loss
	asked int64 // when a key frame was asked for, Unix time in nanoseconds

	history         history
	packets, octets uint32 // for reports
	reported        int64  // when, Unix time in nanoseconds
	lost            int64  // as the viewer reports
}

// NewViewer returns a viewer. tracks are those of the peer connection by their index in the stream. conn is the socket
// under its UDP mux; it may be nil, for peer connections with sockets of their own. writeRTCP is PeerConnection.WriteRTCP.
func NewViewer(conn *Conn, tracks map[int]*Track, writeRTCP func([]rtcp.Packet) error) *Viewer {
	v := &Viewer{conn: conn, writeRTCP: writeRTCP, slow: true, credits: initialCredits}
	if conn != nil && conn.socket != nil {
		v.outlet = &outlet{conn: conn, count: &v.Counters}
	}
	for i, t := range tracks {
		for i >= len(v.tracks) {
			v.tracks = append(v.tracks, nil)
		}
		v.tracks[i] = &viewerTrack{track: t, seq: uint16(rand.Uint32()), wait: true}
	}
	return v
}

// OnKeyFrameNeeded sets a function that is called when video passes that the viewer cannot use without a key frame, at most
// once per second and track. It must not block. It is set before the viewer is added to a group.
func (v *Viewer) OnKeyFrameNeeded(f func()) { v.needKey = f }

// askPeriod is how often key frames are asked for, nanoseconds.
const askPeriod = int64(time.Second)

// Wants implements egress.Reader.
func (v *Viewer) Wants() []egress.Want {
	var w []egress.Want
	for i, t := range v.tracks {
		if t != nil {
			w = append(w, egress.Want{Track: i, Channel: egress.AsPackets})
		}
	}
	return w
}

func (v *Viewer) trackAt(i int) *viewerTrack {
	if i < 0 || i >= len(v.tracks) {
		return nil
	}
	return v.tracks[i]
}

// Deliver implements egress.Reader.
func (v *Viewer) Deliver(m *egress.Message, b *egress.Batch) {
	t, blk := v.trackAt(m.Track), m.Packets()
	if t == nil || blk == nil {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed || !v.bind(t) {
		return
	}
	now := b.Now().UnixNano()
	if m.Control {
		v.relay(t, blk, now)
		return
	}
	if m.Video && t.wait {
		if !m.Key {
			if t.lossy {
				v.Lost(blk.Packets)
			}
			if v.needKey != nil && now-t.asked >= askPeriod {
				t.asked = now
				v.needKey()
			}
			return
		}
		t.wait, t.lossy = false, false
	}
	if !v.send(t, blk, m.Video, b, now) {
		v.Lost(blk.Packets)
		if m.Video {
			t.wait, t.lossy = true, true
		}
		return
	}
	if t.to.nack {
		t.history.push(blk, t.seq, now)
	}
	t.seq += uint16(len(blk.Sizes))
	v.credits = min(v.credits+len(blk.Sizes), maxCredits)
	if !v.told && now-t.reported >= reportPeriod {
		v.report(t, ntpTime(now), timestamp(blk), now)
	}
}

// bind learns what was negotiated. It reports whether the track can be sent.
func (v *Viewer) bind(t *viewerTrack) bool {
	to := t.track.bound.Load()
	if to == t.to {
		return to != nil
	}
	if v.outlet != nil {
		if t.to != nil {
			v.conn.outlets.remove(t.to.ssrc, v.outlet)
		}
		if to != nil {
			v.conn.outlets.add(to.ssrc, v.outlet)
		}
	}
	t.history.clear() // it was sent with another SSRC
	t.to = to
	return to != nil
}

// send writes an access unit, or queues it. It reports whether that was possible.
func (v *Viewer) send(t *viewerTrack, blk *egress.Block, video bool, b *egress.Batch, now int64) bool {
	if v.slow {
		return v.enqueue(queued{at: now, track: t, to: t.to, block: blk, sizes: blk.Sizes, seq: t.seq, video: video})
	}
	o := v.outlet
	passed, taken := o.passed, o.taken
	o.begin(b, len(blk.Data), len(blk.Sizes))
	w := v.writer.write(t.to, blk, 0, blk.Sizes, t.seq)
	o.end()
	t.packets += uint32(w.packets)
	t.octets += uint32(w.octets)
	if w.failed > 0 {
		v.Lost(w.failed)
	}
	// What the batch has is counted when it is sent.
	if direct := w.packets - int(o.taken-taken); direct > 0 {
		v.Sent(direct, w.bytes*direct/w.packets, false, now)
	}
	v.slow = o.passed == passed // the packets went another way, which may block
	return true
}

// Discard implements egress.Reader.
func (v *Viewer) Discard(l egress.Loss) {
	t := v.trackAt(l.Track)
	if t == nil || l.Control {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if l.Video && t.wait && !t.lossy {
		return // it has not begun
	}
	v.Lost(l.Packets)
	if l.Video {
		t.wait, t.lossy = true, true
	}
}

// Close gives back what the viewer holds. It is called after the viewer was removed from its group and the peer connection was
// closed. It does not wait for a write that is under way.
func (v *Viewer) Close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.closed = true
	for _, it := range v.queue {
		it.release()
	}
	v.queue, v.waiting = nil, 0
	for _, t := range v.tracks {
		if t == nil {
			continue
		}
		t.history.clear()
		if t.to != nil && v.outlet != nil {
			v.conn.outlets.remove(t.to.ssrc, v.outlet)
		}
		t.to = nil
	}
}
