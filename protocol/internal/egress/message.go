package egress

import "sync/atomic"

// Message is one access unit (or part of one, or an RTCP packet) of one track, in all encodings that readers need.
type Message struct {
	// Track is the index of the track.
	Track int

	// Video says that after a loss the track is of no use until the next Key.
	Video bool

	// Key marks the beginning of a random access point.
	Key bool

	// Control marks RTCP. It goes to the RTCP address of UDP readers, is counted apart, and is sent while
	// a reader waits for a key frame too.
	Control bool

	frames []frames
	flat   *Block
	pool   *Pool
	refs   atomic.Int32
}

// frames is an encoding for the readers that have the track on one channel.
type frames struct {
	channel uint8
	block   *Block
}

// NewMessage returns an empty message with one reference.
func (p *Pool) NewMessage() *Message {
	m, ok := p.messages.Get().(*Message)
	if !ok {
		m = &Message{pool: p}
	}
	m.refs.Store(1)
	return m
}

// SetInterleaved adds the frames for the readers whose RTP channel for the track is channel, and takes over the
// block. Frames of a Control message carry channel+1 inside, but are still filed under the RTP channel.
func (m *Message) SetInterleaved(channel uint8, b *Block) {
	m.frames = append(m.frames, frames{channel, b})
}

// SetPackets adds the packets for readers that take them one by one (UDP), and takes over the block.
func (m *Message) SetPackets(b *Block) { m.flat = b }

// Interleaved returns the frames for an RTP channel, or nil.
func (m *Message) Interleaved(channel uint8) *Block {
	for i := range m.frames {
		if m.frames[i].channel == channel {
			return m.frames[i].block
		}
	}
	return nil
}

// Packets returns the packets, or nil.
func (m *Message) Packets() *Block { return m.flat }

// Len returns the size of all encodings together, in bytes.
func (m *Message) Len() int {
	n := 0
	for i := range m.frames {
		n += len(m.frames[i].block.Data)
	}
	if m.flat != nil {
		n += len(m.flat.Data)
	}
	return n
}

// Retain adds a reference. Who keeps a message after sending it (a cache of the current GOP) needs one.
func (m *Message) Retain() { m.refs.Add(1) }

// Release gives one reference back; with the last one the blocks of the message are released.
func (m *Message) Release() {
	switch n := m.refs.Add(-1); {
	case n > 0:
		return
	case n < 0:
		panic("egress: message released too often")
	}
	for i := range m.frames {
		m.frames[i].block.Release()
	}
	if m.flat != nil {
		m.flat.Release()
	}
	clear(m.frames)
	m.frames, m.flat = m.frames[:0], nil
	m.Track, m.Video, m.Key, m.Control = 0, false, false, false
	m.pool.messages.Put(m)
}

// loss describes the message to readers that will not get it.
func (m *Message) loss() Loss {
	l := Loss{Track: m.Track, Video: m.Video, Control: m.Control}
	switch {
	case m.flat != nil:
		l.Packets = m.flat.Packets
	case len(m.frames) > 0:
		l.Packets = m.frames[0].block.Packets
	}
	return l
}
