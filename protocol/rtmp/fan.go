package rtmp

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/org/mtx/protocol/bridge/rtmpbridge"
	"github.com/org/mtx/protocol/internal/egress"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
)

// fan is a stream on its way to the readers of this server. It taps the stream
// while there are readers, and makes the messages for all of them.
//
// Locks: server.mu, then Stream.mu, then mu.
type fan struct {
	sv     *server
	stream *router.Stream
	tracks []media.Track
	group  *egress.Group
	warn   warnings

	// heads are what readers need that missed a configuration: those of enhanced
	// RTMP, and others.
	heads [2]atomic.Pointer[[]byte]

	attached int // guarded by server.mu
	tap      *router.Tap

	mu      sync.Mutex
	enc     *rtmpbridge.Encoder
	scratch []byte
	gop     egress.GOP // of what was sent
	keptAt  int64      // the time stamp of its key frame
	lead    int        // the first video track that is carried; -1: none
}

// join returns the fan of a stream, with one more reader. It is an error if RTMP
// can carry no track.
func (sv *server) join(s *router.Stream) (*fan, error) {
	sv.mu.Lock()
	defer sv.mu.Unlock()
	if f := sv.fans[s]; f != nil {
		f.attached++
		return f, nil
	}
	enc, err := rtmpbridge.NewEncoder(s.Tracks())
	if err != nil {
		return nil, err
	}
	for _, t := range enc.Skipped() {
		sv.log.Warn("track cannot be read by RTMP", "track", t.Track+1, "reason", t.Reason)
	}
	f := &fan{
		sv: sv, stream: s, tracks: s.Tracks(), group: sv.pool.NewGroup(),
		attached: 1, enc: enc, warn: warnings{log: sv.log}, lead: -1,
	}
	for i, t := range f.tracks {
		if f.lead < 0 && t.Codec.Kind() == media.Video && enc.Carries(i) {
			f.lead = i
		}
	}
	f.tap = s.Tap(router.TapOptions{Backlog: true}, f.onUnit)
	sv.fans[s] = f
	return f, nil
}

// leave takes back join. With the last reader the fan is over, and another one
// begins its time at zero.
func (f *fan) leave() {
	f.sv.mu.Lock()
	defer f.sv.mu.Unlock()
	if f.attached--; f.attached > 0 {
		return
	}
	delete(f.sv.fans, f.stream)
	f.tap.Close()
	f.warn.flush()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.gop.Clear()
}

// play gives a reader what it needs first, what is kept for new readers, and then
// the stream.
func (f *fan) play(r *reader) {
	f.stream.RequestKeyFrame()
	f.mu.Lock()
	defer f.mu.Unlock()
	backlog := f.gop.Messages(router.MaxGOPCacheAge)
	r.head.Time = f.enc.Now()
	if len(backlog) > 0 {
		r.head.Time = f.keptAt // time does not go back
	}
	_, _ = r.out.Write(f.enc.AppendHead(nil, r.head)) // errors end the connection
	for _, m := range backlog {
		f.stream.AddOutbound(uint64(m.Len()))
	}
	f.group.Add(r, backlog...)
}

// stop removes a reader. When it returns, nothing is sent to it anymore.
func (f *fan) stop(r *reader) { f.group.Remove(r) }

// onUnit is the tap. It runs on the goroutine of the publisher.
func (f *fan) onUnit(track int, u *media.Unit) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.enc.Carries(track) {
		return
	}
	codec := f.stream.Tracks()[track].Codec
	f.scratch = f.enc.AppendConfig(f.scratch[:0], track, codec)
	if len(f.scratch) > 0 {
		b := f.sv.pool.Get(len(f.scratch))
		b.Data, b.Packets = append(b.Data, f.scratch...), 1
		for i := range f.heads {
			head := f.enc.AppendHead(nil, rtmpbridge.Head{FirstOnly: i == 1, Time: f.enc.Now()})
			f.heads[i].Store(&head)
		}
		f.send(track, codec, b, true, false)
	}
	const overhead = 32 // of a message, or of a NALU
	b := f.sv.pool.Get(u.Size() + overhead*(1+len(u.Payload)))
	data, n, err := f.enc.Append(b.Data, track, u)
	if err != nil {
		f.warn.add(err)
	}
	if n == 0 {
		b.Release()
		return
	}
	b.Data, b.Packets = data, n
	f.send(track, codec, b, false, u.RandomAccess)
}

// send gives a block to all readers. f.mu is held.
func (f *fan) send(track int, c media.Codec, b *egress.Block, config, key bool) {
	if readers := f.group.Len(); readers > 0 {
		f.stream.AddOutbound(uint64(len(b.Data)) * uint64(readers))
	}
	m := f.sv.pool.NewMessage()
	m.Track, m.Video, m.Key, m.Control = track, c.Kind() == media.Video, key, config
	m.SetInterleaved(0, b)
	f.keep(m)
	f.group.Send(m)
}

// keep keeps a message for new readers, while the path wants that. f.mu is held.
func (f *fan) keep(m *egress.Message) {
	limit := f.stream.GOPCacheBytes()
	if m.Control {
		limit = 0 // new readers get the configuration first: what is older does not fit it
	}
	begins := m.Key && m.Track == f.lead
	if begins {
		f.keptAt = f.enc.Time(f.lead)
	}
	f.gop.Add(m, begins, limit)
}

// maxAudioWait is how long audio is held back from a new reader, so that it
// begins together with the first key frame.
const maxAudioWait = 3 * time.Second

// reader is a reader of a fan.
type reader struct {
	*egress.TCPReader
	fan    *fan
	out    *egress.TCPConn
	joined time.Time
	head   rtmpbridge.Head

	// guarded by whoever calls Deliver
	waiting  []bool // by track: for the first key frame
	quiet    bool   // no picture was sent yet
	headLost bool   // a configuration was
}

// newReader returns a reader of all tracks that RTMP can carry, or of the first
// ones if it does not know enhanced RTMP.
func (f *fan) newReader(out *egress.TCPConn, enhanced bool) *reader {
	r := &reader{
		fan: f, out: out, joined: time.Now(), waiting: make([]bool, len(f.tracks)),
		head: rtmpbridge.Head{FirstOnly: !enhanced},
	}
	var tracks []egress.TCPTrack
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.tracks {
		if f.enc.First(i) || enhanced && f.enc.Carries(i) {
			tracks = append(tracks, egress.TCPTrack{Track: i})
			r.waiting[i] = f.tracks[i].Codec.Kind() == media.Video
			r.quiet = r.quiet || r.waiting[i]
		}
	}
	r.TCPReader = egress.NewTCPReader(out, tracks)
	return r
}

// Deliver implements egress.Reader.
func (r *reader) Deliver(m *egress.Message, b *egress.Batch) {
	switch {
	case m.Control:
		lost := r.Stats().Discarded
		r.TCPReader.Deliver(m, b)
		r.headLost = r.headLost || r.Stats().Discarded != lost
		return
	case m.Video && r.waiting[m.Track]:
		if !m.Key {
			return
		}
		r.waiting[m.Track], r.quiet = false, false
	case !m.Video && r.quiet && time.Since(r.joined) < maxAudioWait:
		return
	}
	if m.Key && m.Video && r.headLost {
		r.headLost = false
		i := 0
		if r.head.FirstOnly {
			i = 1
		}
		if head := r.fan.heads[i].Load(); head != nil {
			_, _ = r.out.Write(*head) // errors end the connection
		}
	}
	r.TCPReader.Deliver(m, b)
}

// Discard implements egress.Reader.
func (r *reader) Discard(l egress.Loss) {
	r.headLost = r.headLost || l.Control
	r.TCPReader.Discard(l)
}
