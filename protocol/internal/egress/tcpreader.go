package egress

// TCPTrack is the RTP channel under which a reader has a track.
type TCPTrack struct {
	Track   int
	Channel uint8
}

// TCPReader receives interleaved frames over a TCPConn.
type TCPReader struct {
	Counters

	conn  *TCPConn
	wants []Want

	// By track. Guarded by whoever calls Deliver.
	channels []int16 // -1: none
	skip     []bool  // until the next key frame
}

// NewTCPReader returns a reader for the given tracks. A connection may have several readers.
func NewTCPReader(c *TCPConn, tracks []TCPTrack) *TCPReader {
	r := &TCPReader{conn: c}
	for _, t := range tracks {
		for t.Track >= len(r.channels) {
			r.channels = append(r.channels, -1)
		}
		r.channels[t.Track] = int16(t.Channel)
		r.wants = append(r.wants, Want{Track: t.Track, Channel: int(t.Channel)})
	}
	r.skip = make([]bool, len(r.channels))
	return r
}

// Wants implements Reader.
func (r *TCPReader) Wants() []Want { return r.wants }

// Deliver implements Reader.
func (r *TCPReader) Deliver(m *Message, b *Batch) {
	if m.Track >= len(r.channels) || r.channels[m.Track] < 0 {
		return
	}
	blk := m.Interleaved(uint8(r.channels[m.Track]))
	if blk == nil {
		return // the reader came while the message was made
	}
	if r.skip[m.Track] && !m.Control {
		if !m.Key {
			r.Lost(blk.Packets)
			return
		}
		r.skip[m.Track] = false
	}
	if !r.conn.send(r, blk, m.Control, b.backlog, b.clock()) {
		r.Lost(blk.Packets)
		if m.Video && !m.Control {
			r.skip[m.Track] = true
		}
	}
}

// Discard implements Reader.
func (r *TCPReader) Discard(l Loss) {
	if l.Track >= len(r.channels) || r.channels[l.Track] < 0 {
		return
	}
	r.Lost(l.Packets)
	if l.Video && !l.Control {
		r.skip[l.Track] = true
	}
}

func (r *TCPReader) purge() { r.conn.purge(r) }

// done counts a block that the connection has taken.
func (r *TCPReader) done(blk *Block, control bool, now int64) {
	r.Sent(blk.Packets, len(blk.Data)-frameHeader*blk.Packets, control, now)
}
