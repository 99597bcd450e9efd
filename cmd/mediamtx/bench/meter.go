package main

import (
	"bytes"
	"encoding/binary"
	"slices"
	"sync"
	"sync/atomic"
)

// meter checks the RTP packets of one reader. Method packet belongs to the
// goroutine that reads; everything else may be called from anywhere.
type meter struct {
	fps       uint32       // frames from one key frame to the next
	recording *atomic.Bool // whether latencies are kept

	packets, bytes         atomic.Int64
	lost, lostFrames       atomic.Int64
	firstFrame, firstKey   atomic.Int64  // when each was complete, 0 = not yet
	keyed                  chan struct{} // closed with firstKey
	ended                  chan struct{} // closed when reading ended
	started                bool          // a packet has been seen
	seq                    uint16
	pending                bool // a stamp was seen, the end of its frame not yet
	sent                   int64
	frameNumber, lastFrame uint32

	mu        sync.Mutex
	latencies []int64 // nanoseconds
	err       error
}

func newMeter(fps int, recording *atomic.Bool) *meter {
	return &meter{fps: uint32(fps), recording: recording, keyed: make(chan struct{}), ended: make(chan struct{})}
}

// end tells that nothing more will be read, and why.
func (m *meter) end(err error) {
	m.mu.Lock()
	m.err = err
	m.mu.Unlock()
	close(m.ended)
}

// gone tells whether reading has ended.
func (m *meter) gone() bool {
	select {
	case <-m.ended:
		return true
	default:
		return false
	}
}

func (m *meter) takeLatencies() []int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.latencies
	m.latencies = nil
	return l
}

// packet takes one RTP packet. The slice is not kept.
func (m *meter) packet(p []byte) {
	if len(p) < 12 {
		return
	}
	m.packets.Add(1)
	m.bytes.Add(int64(len(p)))
	m.sequence(binary.BigEndian.Uint16(p[2:]))
	if b := stampArea(p); b != nil {
		if sent, number, ok := findStamp(b); ok {
			m.sent, m.frameNumber, m.pending = sent, number, true
		}
	}
	if p[1]&0x80 != 0 && m.pending {
		m.pending = false
		m.frame()
	}
}

// sequence counts gaps. A packet that comes late takes its loss back.
func (m *meter) sequence(seq uint16) {
	if !m.started {
		m.started, m.seq = true, seq
		return
	}
	switch d := int16(seq - m.seq); {
	case d > 0:
		if d > 1 {
			m.lost.Add(int64(d - 1))
		}
		m.seq = seq
	case d < 0:
		m.lost.Add(-1)
	}
}

// frame is called when the last packet of a frame has arrived.
func (m *meter) frame() {
	t := now()
	if m.lastFrame != 0 && m.frameNumber > m.lastFrame+1 {
		m.lostFrames.Add(int64(m.frameNumber - m.lastFrame - 1))
	}
	m.lastFrame = m.frameNumber
	m.firstFrame.CompareAndSwap(0, t)
	if (m.frameNumber-1)%m.fps == 0 && m.firstKey.CompareAndSwap(0, t) {
		close(m.keyed)
	}
	if m.recording.Load() {
		m.mu.Lock()
		m.latencies = append(m.latencies, t-m.sent)
		m.mu.Unlock()
	}
}

// stampArea returns the part of an RTP packet that may hold a stamp, nil if it
// is not the first packet of a slice.
func stampArea(p []byte) []byte {
	at := 12 + 4*int(p[0]&0xf)
	if p[0]&0x10 != 0 && len(p) >= at+4 {
		at += 4 + 4*int(binary.BigEndian.Uint16(p[at+2:]))
	}
	if at+2 > len(p) {
		return nil
	}
	b := p[at:]
	switch b[0] & 0x1f {
	case naluSlice, naluIDR:
	case naluFUA:
		if b[1]&0x80 == 0 {
			return nil
		}
	case naluSTAPA: // the slice may follow parameter sets
		return b
	default:
		return nil
	}
	return b[:min(len(b), 4+stampLen)]
}

// interleaved splits what an RTSP connection carries while it plays: frames
// with an RTP or RTCP packet and, rarely, the answer to a keep-alive. It calls
// rtp for each packet of channel 0 and returns how much of b was used; the rest
// is the start of something incomplete.
func interleaved(b []byte, rtp func([]byte)) (used int, ok bool) {
	for len(b)-used >= 4 {
		f := b[used:]
		if f[0] == '$' {
			end := 4 + int(binary.BigEndian.Uint16(f[2:]))
			if len(f) < end {
				break
			}
			if f[1] == 0 {
				rtp(f[4:end])
			}
			used += end
			continue
		}
		// keep-alives are OPTIONS requests, whose answers have no body
		if !bytes.HasPrefix(f, []byte("RTSP")) {
			return used, false
		}
		end := bytes.Index(f, []byte("\r\n\r\n"))
		if end < 0 {
			break
		}
		used += end + 4
	}
	return used, true
}

// percentile returns the value below which the share q (0 to 1) of the sorted
// values lies, 0 if there are none.
func percentile(sorted []int64, q float64) int64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[int(float64(len(sorted)-1)*q+0.5)]
}

// median returns the middle value, or the mean of the two in the middle.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(values))
	n := len(s)
	return (s[(n-1)/2] + s[n/2]) / 2
}
