package srt

import (
	"sync"
	"time"

	"github.com/org/mtx/protocol/bridge/mpegtsbridge"
	"github.com/org/mtx/protocol/internal/egress"
	"github.com/org/mtx/protocol/internal/srtcore"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
)

// fan is a stream on its way to the readers of this server. It exists from the
// first reader to the end of the stream; it taps the stream only while there are
// readers.
//
// Locks: manage, then Stream.mu, then mu. What the tap uses is guarded by Stream.mu.
type fan struct {
	sv     *server
	stream *router.Stream
	group  *egress.Group
	size   int // of a full packet, bytes

	manage  sync.Mutex
	readers map[*session]*reader
	tap     *router.Tap
	closed  bool

	muxer    *mpegtsbridge.Muxer // of the present tap
	video    bool                // there is a video track
	known    []media.Track
	pending  *egress.Block // audio that waits for the next unit
	reported bool          // a unit that cannot be sent was logged

	mu  sync.Mutex // held while something is sent, and readers are added
	gop egress.GOP // of what was sent
}

// fanOf returns the fan of a stream. It fails if the stream has nothing that can
// be carried.
func (sv *server) fanOf(s *router.Stream) (*fan, error) {
	sv.mu.Lock()
	defer sv.mu.Unlock()
	if f := sv.fans[s]; f != nil {
		return f, nil
	}
	f := &fan{
		sv: sv, stream: s, group: sv.pool.NewGroup(), size: sv.cfg.packetPayload(),
		readers: map[*session]*reader{},
	}
	_, err := mpegtsbridge.NewMuxer(mpegtsbridge.MuxerOptions{
		Tracks: s.Tracks(),
		Skipped: func(e *mpegtsbridge.TrackError) {
			sv.log.Warn("track cannot be read by SRT", "track", e.Track+1, "codec", e.Codec, "reason", e.Err)
		},
	})
	if err != nil {
		return nil, err
	}
	sv.fans[s] = f
	sv.wg.Go(func() {
		select {
		case <-s.Done():
		case <-sv.ctx.Done():
		}
		sv.mu.Lock()
		delete(sv.fans, s)
		sv.mu.Unlock()
		f.close()
	})
	return f, nil
}

// backlogPause is between the end of the handshake and what the path keeps for new
// readers: clients lose what overtakes their own end of it.
const backlogPause = 20 * time.Millisecond

// join adds a reader. It is sent everything from the next key frame on, or from the
// last one if the path keeps it.
func (f *fan) join(s *session, c *srtcore.Conn) {
	f.stream.RequestKeyFrame()
	f.manage.Lock()
	defer f.manage.Unlock()
	if f.closed {
		c.Close(f.reason())
		return
	}
	if err := f.openTap(); err != nil {
		c.Close(err)
		return
	}
	r := &reader{Conn: c}
	f.readers[s] = r
	f.mu.Lock()
	defer f.mu.Unlock()
	backlog := f.gop.Messages(router.MaxGOPCacheAge)
	for _, m := range backlog {
		f.stream.AddOutbound(uint64(m.Len()))
	}
	f.group.AddPaced(r, backlogPause, backlog...)
}

// openTap begins to follow the stream, unless it does. manage is held.
func (f *fan) openTap() error {
	if f.tap != nil {
		return nil
	}
	tracks := f.stream.Tracks()
	m, err := mpegtsbridge.NewMuxer(mpegtsbridge.MuxerOptions{Tracks: tracks})
	if err != nil { // it worked in fanOf
		return err
	}
	f.muxer, f.known, f.video = m, tracks, false
	for i, t := range tracks {
		f.video = f.video || m.Carries(i) && t.Codec.Kind() == media.Video
	}
	f.tap = f.stream.Tap(router.TapOptions{Backlog: true}, f.onUnit)
	return nil
}

// reason tells why the fan is closed.
func (f *fan) reason() error {
	if err := f.stream.Err(); err != nil {
		return err
	}
	return errStops
}

// leave takes a reader out.
func (f *fan) leave(s *session) {
	f.manage.Lock()
	defer f.manage.Unlock()
	r := f.readers[s]
	if r == nil {
		return
	}
	delete(f.readers, s)
	f.group.Remove(r)
	if len(f.readers) == 0 {
		f.closeTap()
	}
}

func (f *fan) closeTap() {
	if f.tap == nil {
		return
	}
	f.tap.Close()
	f.tap = nil
	if f.pending != nil {
		f.pending.Release()
		f.pending = nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.gop.Clear()
}

// close disconnects all readers.
func (f *fan) close() {
	f.manage.Lock()
	defer f.manage.Unlock()
	f.closed = true
	f.closeTap()
	f.group.Close()
	for _, r := range f.readers {
		r.Conn.Close(f.reason())
	}
}

// onUnit is the tap. It runs on the goroutine of the publisher.
func (f *fan) onUnit(track int, u *media.Unit) {
	if !f.muxer.Carries(track) {
		return
	}
	tracks := f.stream.Tracks()
	if tracks[track].Codec != f.known[track].Codec {
		f.muxer.SetCodec(track, tracks[track].Codec)
		f.known = tracks
	}
	// Room for headers: 4 of 188 bytes, and what is in front of a unit.
	n := u.Size()
	b := f.sv.pool.Get(n + n/40 + 5*tsPacket)
	var start bool
	var err error
	b.Data, start, err = f.muxer.Append(b.Data, track, u)
	if err != nil {
		f.stream.AddInboundErrors(1)
		if !f.reported {
			f.reported = true
			f.sv.log.Warn("a unit cannot be sent by SRT; there may be more", "reason", err)
		}
	}
	switch {
	case len(b.Data) == 0:
		b.Release()
	case start:
		f.flush() // what others wait for must not be in front of the tables
		f.send(b, true)
	case f.pending == nil && f.video && tracks[track].Codec.Kind() == media.Audio:
		f.pending = b
	default:
		f.send(f.joined(b), false)
	}
}

// joined puts audio that waits in front of a block. A unit of audio fills a
// packet badly: it waits for the next unit of whatever track, which is a few
// milliseconds, much less than the latency of SRT.
func (f *fan) joined(b *egress.Block) *egress.Block {
	p := f.pending
	if p == nil {
		return b
	}
	f.pending = nil
	p.Data = append(p.Data, b.Data...)
	b.Release()
	return p
}

func (f *fan) flush() {
	if p := f.pending; p != nil {
		f.pending = nil
		f.send(p, false)
	}
}

// send cuts a block into packets and gives it to all readers.
func (f *fan) send(b *egress.Block, start bool) {
	for left := len(b.Data); left > 0; left -= f.size {
		b.Sizes = append(b.Sizes, min(left, f.size))
		b.Packets++
	}
	m := f.sv.pool.NewMessage()
	m.Video, m.Key = f.video, start
	m.SetPackets(b)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.gop.Add(m, start && f.video, f.stream.GOPCacheBytes())
	f.stream.AddOutbound(uint64(len(b.Data)) * uint64(f.group.Len()))
	f.group.Send(m)
}

// reader is a connection that begins at a start, and goes on at one after a loss.
type reader struct {
	*srtcore.Conn
	started   bool
	lossy     bool // it waits because of a loss
	discarded uint64
}

// Deliver implements egress.Reader.
func (r *reader) Deliver(m *egress.Message, b *egress.Batch) {
	switch {
	case m.Key:
		r.started, r.lossy = true, false
	case r.lossy:
		r.Conn.Discard(egress.Loss{})
		r.discarded++
		return
	case !r.started:
		return
	}
	r.Conn.Deliver(m, b)
	if n := r.Conn.Discarded(); n != r.discarded {
		r.discarded, r.lossy = n, true
	}
}

// Discard implements egress.Reader.
func (r *reader) Discard(l egress.Loss) {
	r.lossy = r.started
	r.Conn.Discard(l)
	r.discarded++
}
