package rtcegress

import (
	"time"

	"github.com/pion/rtcp"

	"github.com/org/mtx/protocol/internal/egress"
)

const (
	// maxWaiting is how much media may wait for a viewer that is written to by a goroutine, bytes, and maxDelay for how long. A single
	// access unit may be larger. It is room for the present GOP, with which a viewer may begin.
	maxWaiting = 4 << 20
	maxDelay   = int64(2 * time.Second)

	// A GOP at the start must not flood the network: after so many bytes there is a pause (170 Mbit/s).
	paceBytes = 64 << 10
	pacePause = 3 * time.Millisecond
)

// queued is an access unit, a packet that is sent again, or a report.
type queued struct {
	at     int64 // when it came, Unix time in nanoseconds
	track  *viewerTrack
	to     *binding
	block  *egress.Block
	off    int
	sizes  []int
	seq    uint16
	video  bool
	again  bool
	report []rtcp.Packet
}

func (q *queued) size() int {
	n := 0
	for _, s := range q.sizes {
		n += s
	}
	return n
}

func (q *queued) release() {
	if q.block != nil {
		q.block.Release()
	}
}

// enqueue leaves writing to a goroutine. It reports whether there was room. The caller holds v.mu.
func (v *Viewer) enqueue(q queued) bool {
	n := q.size()
	if v.waiting > 0 && (v.waiting+n > maxWaiting || q.at-v.queue[0].at > maxDelay) {
		return false
	}
	if q.block != nil {
		q.block.Retain()
	}
	v.waiting += n
	v.queue = append(v.queue, q)
	if !v.draining {
		v.draining = true
		go v.drain()
	}
	return true
}

// drain writes what waits. When nothing does and the packets came out at the Conn, which does not block, the viewer is written
// to directly from then on.
func (v *Viewer) drain() {
	var w packetWriter
	through, burst := false, 0
	for {
		v.mu.Lock()
		if len(v.queue) == 0 {
			v.queue, v.draining = nil, false
			v.slow = !through
			v.mu.Unlock()
			return
		}
		q := v.queue[0]
		v.queue[0] = queued{}
		v.queue = v.queue[1:]
		v.waiting -= q.size()
		v.mu.Unlock()

		if q.report != nil {
			v.writeReport(q.report, time.Now().UnixNano())
			continue
		}
		passed := v.passed()
		r := w.write(q.to, q.block, q.off, q.sizes, q.seq)
		through = v.passed()-passed >= uint64(len(q.sizes))
		q.block.Release()
		v.account(&q, r)
		if burst += r.bytes; burst >= paceBytes {
			burst = 0
			time.Sleep(pacePause)
		}
	}
}

// passed is used while the viewer is slow only by the one goroutine that writes.
func (v *Viewer) passed() uint64 {
	if v.outlet == nil {
		return 0
	}
	return v.outlet.passed
}

// account counts what was written directly.
func (v *Viewer) account(q *queued, r written) {
	if r.packets > 0 {
		v.Sent(r.packets, r.bytes, false, time.Now().UnixNano())
	}
	if r.failed > 0 {
		v.Lost(r.failed)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if q.again {
		v.stats.Retransmitted += uint64(r.packets)
		return
	}
	q.track.packets += uint32(r.packets)
	q.track.octets += uint32(r.octets)
	if r.failed > 0 && q.video { // a full buffer below pion
		q.track.wait, q.track.lossy = true, true
	}
}
