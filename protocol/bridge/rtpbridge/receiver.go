package rtpbridge

import (
	"sync"
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/bluenviron/gortsplib/v5/pkg/ntp"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"github.com/org/mtx/router/media"
)

// DefaultMaxWait is the default of [ReceiverOptions.MaxWait].
const DefaultMaxWait = 2 * time.Millisecond

// Bounds of what waits for the end of an access unit. Beyond them a part of it
// is handed over at once.
const (
	maxPendingPackets = 512
	maxPendingBytes   = 1 << 20
)

// ReceiverOptions are the options of a [Receiver].
type ReceiverOptions struct {
	// Formats of the tracks, by index. Mandatory.
	Formats []format.Format

	// Write takes a unit of a track. Mandatory. It is never called concurrently,
	// neither with itself nor with Update, and must not call the receiver.
	//
	// An access unit of video whose packets arrive slowly comes in several units
	// with the same PTS, of which all but the last have More set. A unit with
	// another PTS ends an access unit too: its last packet may have been lost.
	Write func(track int, u *media.Unit)

	// Update takes the codec of a track when parameters changed in-band, before
	// the unit that carries them. Optional.
	Update func(track int, c media.Codec)

	// MaxWait is the longest time that a packet of video waits for the end of its
	// access unit. Defaults to DefaultMaxWait.
	MaxWait time.Duration

	// Now is the clock. Defaults to time.Now.
	Now func() time.Time

	// UseSenderReportNTP fills NTP of units from RTCP sender reports, as soon as
	// there are some. Otherwise NTP stays zero.
	UseSenderReportNTP bool
}

// Receiver turns the packets of all tracks of a publisher into units with
// packets.
//
// Packets of video are grouped into access units, which end with the marker bit
// or with the time stamp. Packets of audio and data are units by themselves.
//
// The first packet of all has PTS zero. Tracks are placed by the arrival of
// their first packet and, once two of them had RTCP sender reports, by those.
// Corrections move tracks forward only.
//
// Packets must come in order, without duplicates, and belong to the receiver
// from then on. All methods may be called concurrently.
type Receiver struct {
	o ReceiverOptions

	mu      sync.Mutex
	tracks  []*receiverTrack
	lines   []*timeline
	started bool
	origin  time.Time // arrival of the first packet
	closed  bool
}

// receiverTrack is guarded by Receiver.mu.
type receiverTrack struct {
	r     *Receiver
	index int
	video bool
	line  timeline
	spot  spotter

	// The access unit under way.
	open     bool
	ts       uint32
	pts      int64
	ntp      time.Time
	parts    bool // parts of it were handed over
	keyFound bool // of the packets that wait
	keySent  bool // of the parts
	pending  []*rtp.Packet
	bytes    int
	since    time.Time // arrival of the first packet that waits

	size       int  // packets of the last unit: a guess for the next one
	markerless bool // the sender sets no marker bits
	timer      *time.Timer
	armed      bool
}

// NewReceiver returns a receiver. It must be closed.
func NewReceiver(o ReceiverOptions) *Receiver {
	if o.MaxWait <= 0 {
		o.MaxWait = DefaultMaxWait
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	r := &Receiver{o: o}
	for i, f := range o.Formats {
		c := CodecOf(f)
		t := &receiverTrack{r: r, index: i, video: c.Kind() == media.Video, spot: spotter{codec: c}}
		t.line.rtpRate = int64(max(ClockRate(f), 1))
		t.line.codecRate = int64(max(c.ClockRate(), 1))
		r.tracks = append(r.tracks, t)
		r.lines = append(r.lines, &t.line)
	}
	return r
}

// Packet takes the next packet of a track and the time of its arrival.
func (r *Receiver) Packet(track int, pkt *rtp.Packet, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()

	if r.closed || track < 0 || track >= len(r.tracks) || pkt == nil {
		return
	}
	t := r.tracks[track]

	switch {
	case t.line.started:
		t.line.advance(pkt.Timestamp, now)
	case r.started:
		t.line.start(pkt.Timestamp, max(now.Sub(r.origin), 0), now)
		align(r.lines)
	default:
		r.started, r.origin = true, now
		t.line.start(pkt.Timestamp, 0, now)
	}

	if t.video {
		t.videoPacket(pkt, now)
		return
	}
	t.alone(pkt, true)
}

// SenderReport takes an RTCP sender report of a track. Reports without absolute
// time are ignored.
func (r *Receiver) SenderReport(track int, sr *rtcp.SenderReport, _ time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()

	if r.closed || track < 0 || track >= len(r.tracks) || sr == nil || sr.NTPTime == 0 {
		return
	}
	line := &r.tracks[track].line
	line.report = senderReport{valid: true, ntp: ntp.Decode(sr.NTPTime), ts: line.unwrap(sr.RTPTime)}
	align(r.lines)
}

// Close hands over what waits and stops. When it returns no Write is running,
// and none will follow.
func (r *Receiver) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()

	if r.closed {
		return
	}
	for _, t := range r.tracks {
		t.end()
	}
	r.closed = true
}

// alone hands over a unit of one packet.
func (t *receiverTrack) alone(pkt *rtp.Packet, randomAccess bool) {
	// one allocation for the unit and its list
	u := &struct {
		media.Unit
		list [1]*rtp.Packet
	}{}
	u.list[0] = pkt
	u.PTS = t.line.pts(t.line.ts)
	u.NTP = t.absolute()
	u.RandomAccess = randomAccess
	u.RTP = u.list[:]
	t.r.o.Write(t.index, &u.Unit)
}

func (t *receiverTrack) absolute() time.Time {
	if !t.r.o.UseSenderReportNTP {
		return time.Time{}
	}
	return t.line.ntp(t.line.ts)
}

func (t *receiverTrack) videoPacket(pkt *rtp.Packet, now time.Time) {
	if t.open && pkt.Timestamp != t.ts {
		t.markerless = true
		t.end()
	}
	if !t.open {
		if len(pkt.Payload) == 0 {
			t.alone(pkt, false)
			return
		}
		t.begin(pkt)
	}

	if len(t.pending) == 0 {
		t.since = now
		if t.pending == nil {
			t.pending = make([]*rtp.Packet, 0, max(t.size, 1))
		}
	}
	first := len(t.pending) == 0 && !t.parts
	t.pending = append(t.pending, pkt)
	t.bytes += len(pkt.Payload)
	if len(pkt.Payload) != 0 && t.spot.packet(pkt.Payload, first) {
		t.keyFound = true
	}

	switch {
	case pkt.Marker:
		t.markerless = false
		t.end()
	case len(t.pending) >= maxPendingPackets || t.bytes >= maxPendingBytes ||
		now.Sub(t.since) >= t.r.o.MaxWait:
		t.flush(true)
	case !t.armed:
		t.arm(t.r.o.MaxWait)
	}
}

// begin starts an access unit.
func (t *receiverTrack) begin(pkt *rtp.Packet) {
	t.open = true
	t.ts = pkt.Timestamp
	t.pts = t.line.pts(t.line.ts)
	t.ntp = t.absolute()
	t.parts, t.keyFound, t.keySent = false, false, false
	t.spot.begin()
}

// end ends the access unit, if there is one.
func (t *receiverTrack) end() {
	if t.armed {
		t.armed = false
		t.timer.Stop()
	}
	if len(t.pending) > 0 {
		t.flush(false)
	}
	t.open = false
}

// flush hands over the packets that wait.
func (t *receiverTrack) flush(more bool) {
	if c, ok := t.spot.take(); ok && t.r.o.Update != nil {
		t.r.o.Update(t.index, c)
	}
	u := &media.Unit{
		PTS:          t.pts,
		NTP:          t.ntp,
		RandomAccess: t.keyFound && !t.keySent,
		More:         more,
		RTP:          t.pending,
	}
	t.size = len(t.pending)
	t.pending, t.bytes = nil, 0
	t.parts = true
	t.keySent = t.keySent || t.keyFound
	t.r.o.Write(t.index, u)
}

func (t *receiverTrack) arm(d time.Duration) {
	t.armed = true
	if t.timer == nil {
		t.timer = time.AfterFunc(d, t.expired)
		return
	}
	t.timer.Reset(d)
}

// expired runs on the timer. It may run late, for a unit that has ended.
func (t *receiverTrack) expired() {
	t.r.mu.Lock()
	defer t.r.mu.Unlock()

	t.armed = false
	if t.r.closed || len(t.pending) == 0 {
		return
	}
	if rest := t.r.o.MaxWait - t.r.o.Now().Sub(t.since); rest > 0 {
		t.arm(rest)
		return
	}
	if t.markerless {
		// nothing else will tell the end in time
		t.end()
		return
	}
	t.flush(true)
}
