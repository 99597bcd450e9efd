package rtsp

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/description"
	"github.com/bluenviron/gortsplib/v5/pkg/format"

	"github.com/org/mtx/protocol/bridge/rtpbridge"
	"github.com/org/mtx/protocol/internal/egress"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
)

// fan is a stream on its way to the readers of this server. It exists from the
// first DESCRIBE to the end of the stream; it taps the stream only while
// sessions are attached.
//
// Locks: setups, then manage, then Stream.mu, then mu.
type fan struct {
	sv        *server
	stream    *router.Stream
	desc      *description.Session
	tracks    []*fanTrack // by track of the stream; nil if RTP cannot carry it
	byMedia   map[*description.Media][]*fanTrack
	group     *egress.Group
	multicast atomic.Int32 // readers of this kind

	setups   sync.RWMutex // held while SETUP is being answered, see lockSetup
	manage   sync.Mutex   // attaching and detaching
	attached int
	leave    *time.Timer // ends what expect began; nil if it is over
	tap      *router.Tap
	closed   bool
	streams  [2]*gortsplib.ServerStream // [0] signalling only, [1] written by the library; nil until used
	known    []media.Track              // what the description tells

	mu      sync.Mutex // guards packetizers, positions and what follows
	scratch rtpbridge.Packets
	joiners []*joiner
	libs    libReaders
	opening opening
}

// fanTrack is a track of a fan.
type fanTrack struct {
	index   int
	ref     rtpbridge.Ref
	ssrc    uint32
	video   bool
	readers atomic.Int32

	// guarded by fan.mu
	key    bool // of a unit whose packets are still to come
	codec  media.Codec
	pk     *rtpbridge.Packetizer
	report report
}

// fanOf returns the fan of a stream.
func (sv *server) fanOf(s *router.Stream) (*fan, error) {
	sv.mu.Lock()
	defer sv.mu.Unlock()
	if f := sv.fans[s]; f != nil {
		return f, nil
	}
	f, err := sv.newFan(s)
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

func (sv *server) newFan(s *router.Stream) (*fan, error) {
	tracks := s.Tracks()
	origins := make([]media.Depacketizer, len(tracks))
	for i := range tracks {
		origins[i] = s.Depacketizer(i)
	}
	desc, refs, err := rtpbridge.Description(tracks, origins)
	if err != nil {
		return nil, err
	}
	f := &fan{
		sv: sv, stream: s, desc: desc, known: tracks,
		tracks:  make([]*fanTrack, len(tracks)),
		byMedia: map[*description.Media][]*fanTrack{},
		group:   sv.pool.NewGroup(),
	}
	for i, ref := range refs {
		if ref.Format == nil {
			sv.log.Warn("track cannot be read by RTSP", "track", i+1, "codec", tracks[i].Codec.Name())
			continue
		}
		t := &fanTrack{index: i, ref: ref, codec: tracks[i].Codec, video: tracks[i].Codec.Kind() == media.Video}
		f.tracks[i] = t
		f.byMedia[ref.Media] = append(f.byMedia[ref.Media], t)
		if t.video && f.opening.lead == nil {
			f.opening.lead = t
		}
	}
	main, err := f.main()
	if err != nil {
		return nil, err
	}
	stats := main.Stats()
	for i, t := range f.tracks {
		if t == nil {
			continue
		}
		t.ssrc = stats.Medias[t.ref.Media].Formats[t.ref.Format].LocalSSRC
		t.pk, err = rtpbridge.NewPacketizer(rtpbridge.PacketizerOptions{
			Track: tracks[i], Format: t.ref.Format, Origin: origins[i], SSRC: t.ssrc, MaxSize: f.maxSize(),
		})
		if err != nil {
			main.Close()
			return nil, err
		}
	}
	return f, nil
}

// maxSize leaves room for what SRTP adds.
func (f *fan) maxSize() int {
	const srtpOverhead = 10 // RFC 3711 section 4.2, HMAC-SHA1 tag
	if f.sv.secure {
		return f.sv.cfg.UDPMaxPayloadSize - srtpOverhead
	}
	return f.sv.cfg.UDPMaxPayloadSize
}

// main is the stream that is described.
func (f *fan) main() (*gortsplib.ServerStream, error) { return f.streamFor(!f.sv.secure) }

// streamFor returns the library's view of the stream for sessions whose media
// is written by us (bypass), or by the library.
func (f *fan) streamFor(bypass bool) (*gortsplib.ServerStream, error) {
	i := 1
	if bypass {
		i = 0
	}
	f.manage.Lock()
	defer f.manage.Unlock()
	if f.closed {
		return nil, router.ErrStreamClosed
	}
	if f.streams[i] == nil {
		s := &gortsplib.ServerStream{Server: f.sv.g, Desc: f.desc}
		if err := s.Initialize(); err != nil {
			return nil, err
		}
		f.streams[i] = s
	}
	return f.streams[i], nil
}

// refreshDescription brings parameter sets that changed in the bitstream into
// the description.
func (f *fan) refreshDescription() {
	f.manage.Lock()
	defer f.manage.Unlock()
	tracks := f.stream.Tracks()
	if &tracks[0] == &f.known[0] {
		return
	}
	f.known = tracks
	for i, t := range f.tracks {
		if t == nil {
			continue
		}
		switch c := tracks[i].Codec.(type) {
		case *media.H264:
			h := t.ref.Format.(*format.H264) // made from this codec
			h.SPS, h.PPS = c.SPS, c.PPS
		case *media.H265:
			h := t.ref.Format.(*format.H265) // made from this codec
			h.VPS, h.SPS, h.PPS = c.VPS, c.SPS, c.PPS
		case *media.MPEG4Video:
			t.ref.Format.(*format.MPEG4Video).Config = c.Config // made from this codec
		}
	}
	for _, s := range f.streams {
		if s != nil {
			s.ReloadDesc()
		}
	}
}

// lockSetup keeps the stream from being closed while the library answers SETUP,
// and other sessions from being set up, whose transports the library compares
// without a lock. It makes GStreamer wait for a second: that must not hold up
// others.
func (f *fan) lockSetup(req *base.Request) (unlock func()) {
	if strings.HasPrefix(strings.Join(req.Header["User-Agent"], ""), "GStreamer") {
		f.setups.RLock()
		return f.setups.RUnlock
	}
	f.setups.Lock()
	return f.setups.Unlock
}

// attach begins to follow the stream.
func (f *fan) attach() {
	f.manage.Lock()
	defer f.manage.Unlock()
	f.attached++
	f.attachLocked()
}

// expect follows the stream for a while, because a client has asked for it.
func (f *fan) expect() {
	f.manage.Lock()
	defer f.manage.Unlock()
	f.attachLocked()
	switch {
	case f.closed:
	case f.leave == nil:
		f.leave = time.AfterFunc(keepOpening, f.leaveUnused)
	default:
		f.leave.Reset(keepOpening)
	}
}

func (f *fan) attachLocked() {
	f.mu.Lock()
	f.opening.until = time.Now().Add(keepOpening)
	f.mu.Unlock()
	if f.tap == nil && !f.closed {
		f.forget()
		f.tap = f.stream.Tap(router.TapOptions{RTP: true, Backlog: true, Earlier: true}, f.onUnit)
	}
}

// forget makes the positions of all tracks unknown: packets have passed that
// nobody followed.
func (f *fan) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, t := range f.tracks {
		if t != nil {
			t.report.forget()
		}
	}
	f.opening.drop()
}

func (f *fan) detach() {
	f.manage.Lock()
	defer f.manage.Unlock()
	f.attached--
	f.leaveLocked()
}

// leaveUnused runs when the time of expect is over.
func (f *fan) leaveUnused() {
	f.manage.Lock()
	defer f.manage.Unlock()
	f.leave = nil
	f.leaveLocked()
}

// leaveLocked stops following the stream if nobody needs it. f.manage is held.
func (f *fan) leaveLocked() {
	if f.attached == 0 && f.leave == nil && f.tap != nil {
		f.tap.Close()
		f.tap = nil
		f.forget()
	}
}

// addMulticast counts sessions.
func (f *fan) addMulticast(n int32) { f.multicast.Add(n) }

// close ends all sessions.
func (f *fan) close() {
	f.setups.Lock() // the library fails if a stream is closed while it answers SETUP
	defer f.setups.Unlock()
	f.manage.Lock()
	defer f.manage.Unlock()
	f.closed = true
	if f.leave != nil {
		f.leave.Stop()
		f.leave = nil
	}
	if f.tap != nil {
		f.tap.Close()
		f.tap = nil
		f.forget()
	}
	f.group.Close()
	for _, s := range f.streams {
		if s != nil {
			s.Close()
		}
	}
}
