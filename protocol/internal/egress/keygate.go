package egress

import "time"

// maxKeyWait bounds how long a reader waits for its first key frame. Streams that refresh pictures piece by piece have
// none, and of some codecs it is not known where they begin.
const maxKeyWait = 5 * time.Second

// keyGate holds back the video tracks of a new reader until they can be decoded. Guarded by whoever calls Deliver.
type keyGate struct {
	wait  []bool // by track
	until int64  // Unix time in nanoseconds; 0 before the first message
}

// hold makes a track wait.
func (g *keyGate) hold(track int) {
	for track >= len(g.wait) {
		g.wait = append(g.wait, false)
	}
	g.wait[track] = true
}

// shut reports whether a message comes too early.
func (g *keyGate) shut(m *Message, now int64) bool {
	if m.Control || m.Track >= len(g.wait) || !g.wait[m.Track] {
		return false
	}
	if g.until == 0 {
		g.until = now + int64(maxKeyWait)
	}
	if m.Key || now >= g.until {
		g.wait[m.Track] = false
		return false
	}
	return true
}
