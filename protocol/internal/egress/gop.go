package egress

import "time"

// messageOverhead is about what a message takes beside its media, bytes.
const messageOverhead = 256

// GOP keeps the messages since the last key frame, for readers that join. It
// shares them with the readers; nothing is copied. The zero value is empty. It is for
// one goroutine at a time.
type GOP struct {
	list  []*Message
	bytes int
	keyed bool
	came  time.Time // the key frame did
}

// Add keeps a message, before it is sent. begins tells that it is the start of a key
// frame, so that everything before it is forgotten. What is larger than limit bytes is
// forgotten up to the next key frame; with zero nothing is kept.
func (g *GOP) Add(m *Message, begins bool, limit int) {
	if begins || limit <= 0 {
		g.Clear()
		g.keyed, g.came = begins && limit > 0, time.Now()
	}
	if !g.keyed {
		return
	}
	if g.bytes += m.Len() + messageOverhead; g.bytes > limit {
		g.Clear()
		return
	}
	m.Retain()
	g.list = append(g.list, m)
}

// Messages returns what is kept, for Group.Add, unless the key frame is older than maxAge: then it is forgotten. The
// slice is valid until the next call.
func (g *GOP) Messages(maxAge time.Duration) []*Message {
	if g.keyed && time.Since(g.came) > maxAge {
		g.Clear()
	}
	return g.list
}

// Clear forgets everything up to the next key frame.
func (g *GOP) Clear() {
	for _, m := range g.list {
		m.Release()
	}
	clear(g.list)
	g.list, g.bytes, g.keyed = g.list[:0], 0, false
}
