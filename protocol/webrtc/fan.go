package webrtc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/format"

	"github.com/org/mtx/protocol/bridge/rtpbridge"
	"github.com/org/mtx/protocol/bridge/webrtcpeer"
	"github.com/org/mtx/protocol/internal/egress"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
)

// maxPacket is the size of RTP packets, bytes: with what SRTP adds (16), and the
// headers of UDP and IPv6 (48), they fit into the smallest packet that every IPv6
// network carries, 1280.
const maxPacket = 1200

// orderPatience bounds how long a viewer waits until it is known whether a stream
// has the B-frames that it declares.
const orderPatience = time.Second

// fan is a stream on its way to the viewers of this server. It exists from the
// first viewer to the end of the stream; it taps the stream only while sessions
// hold it.
//
// Viewers who negotiated the same formats are in one group. Nearly always there
// is one, as browsers have the same codecs; payload types, which differ, are
// written by the viewers.
//
// Locks: manage, then Stream.mu, then mu.
type fan struct {
	sv     *server
	stream *router.Stream
	bad    chan struct{} // closed when B-frames were seen

	manage sync.Mutex
	held   int
	tap    *router.Tap
	closed bool

	mu      sync.Mutex
	tracks  []*fanTrack
	groups  []*fanGroup
	scratch rtpbridge.Packets
	judged  chan struct{} // closed when enough pictures were seen; nil if nobody waits
}

// fanTrack is a track of a fan, guarded by fan.mu.
type fanTrack struct {
	index    int
	kind     media.Kind
	codec    media.Codec
	order    order
	variants []*variant

	// of tracks that viewers do not get as RTP packets of the publisher
	unpack *rtpbridge.Depacketizer // nil until used
	data   map[egress.Reader]func(*media.Unit)
}

// fanGroup are the viewers with the same formats.
type fanGroup struct {
	key      string
	group    *egress.Group
	viewers  int
	variants []*variant // one of each track
}

// fanOf returns the fan of a stream.
func (sv *server) fanOf(s *router.Stream) *fan {
	sv.mu.Lock()
	defer sv.mu.Unlock()
	if f := sv.fans[s]; f != nil {
		return f
	}
	f := &fan{sv: sv, stream: s, bad: make(chan struct{})}
	for i, t := range s.Tracks() {
		f.tracks = append(f.tracks, &fanTrack{
			index: i, kind: t.Codec.Kind(), codec: t.Codec, data: map[egress.Reader]func(*media.Unit){},
		})
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
	return f
}

// hold begins to follow the stream.
func (f *fan) hold() (release func()) {
	f.manage.Lock()
	defer f.manage.Unlock()
	f.held++
	if f.tap == nil && !f.closed {
		f.forget()
		f.tap = f.stream.Tap(router.TapOptions{RTP: true, Backlog: true}, f.onUnit)
	}
	return sync.OnceFunc(func() {
		f.manage.Lock()
		defer f.manage.Unlock()
		f.held--
		if f.held == 0 && f.tap != nil {
			f.tap.Close()
			f.tap = nil
		}
	})
}

// forget is called when packets have passed that nobody followed.
func (f *fan) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, t := range f.tracks {
		t.order.seen, t.order.steps = 0, 0
	}
}

// close is called at the end of the stream, which ends the sessions too.
func (f *fan) close() {
	f.manage.Lock()
	defer f.manage.Unlock()
	f.closed = true
	if f.tap != nil {
		f.tap.Close()
		f.tap = nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, g := range f.groups {
		g.group.Close()
	}
}

// checkOrder refuses tracks with B-frames: those of outputs, or all if there are
// none. It waits for pictures only if a track declares that it may have some.
func (f *fan) checkOrder(ctx context.Context, outputs ...webrtcpeer.Output) error {
	patience := time.NewTimer(orderPatience)
	defer patience.Stop()
	for {
		judged, err := f.judge(outputs)
		if judged == nil || err != nil {
			return err
		}
		select {
		case <-judged:
		case <-patience.C:
			return nil
		case <-f.stream.Done():
			return f.stream.Err()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// judge returns an error if one of the tracks has B-frames, or what to wait for.
func (f *fan) judge(outputs []webrtcpeer.Output) (<-chan struct{}, error) {
	tracks := f.stream.Tracks()
	f.mu.Lock()
	defer f.mu.Unlock()
	wait := false
	for i, t := range f.tracks {
		switch {
		case len(outputs) > 0 && !slices.ContainsFunc(outputs, func(o webrtcpeer.Output) bool { return o.Track == i }):
		case t.order.found:
			return nil, bFramesError(t.codec)
		case t.order.seen < orderPictures && declaresReordering(tracks[i].Codec):
			wait = true
		}
	}
	if !wait {
		return nil, nil
	}
	if f.judged == nil {
		f.judged = make(chan struct{})
	}
	return f.judged, nil
}

// watchOrder looks for B-frames. f.mu is held.
func (f *fan) watchOrder(t *fanTrack, u *media.Unit) {
	if t.order.found || !mayReorder(t.codec) {
		return
	}
	t.order.add(u.PTS, t.codec.ClockRate())
	if t.order.found {
		select {
		case <-f.bad:
		default:
			close(f.bad)
		}
	}
	if f.judged != nil && (t.order.found || t.order.seen == orderPictures) {
		close(f.judged)
		f.judged = nil
	}
}

// disorder returns an error if one of the tracks is known to have B-frames.
func (f *fan) disorder(outputs []webrtcpeer.Output) error {
	_, err := f.judge(outputs)
	return err
}

var errNoOutputs = errors.New("the viewer takes no track")

// join adds a viewer. It begins with the next key frame, for which the publisher
// is asked, or with the last one if the path keeps it.
func (f *fan) join(outputs []webrtcpeer.Output, v egress.Reader) (leave func(), err error) {
	if len(outputs) == 0 {
		return nil, errNoOutputs
	}
	f.manage.Lock()
	defer f.manage.Unlock()
	if f.closed {
		return nil, router.ErrStreamClosed
	}
	f.mu.Lock()
	g, err := f.groupLocked(outputs)
	if err != nil {
		f.mu.Unlock()
		return nil, err
	}
	g.viewers++
	for _, o := range outputs {
		if o.Data != nil {
			f.tracks[o.Track].data[v] = o.Data
		}
	}
	f.mu.Unlock()
	f.enter(g, v)
	f.stream.RequestKeyFrame()
	return sync.OnceFunc(func() { f.leave(g, v) }), nil
}

func (f *fan) leave(g *fanGroup, v egress.Reader) {
	g.group.Remove(v)
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, t := range f.tracks {
		delete(t.data, v)
	}
	if g.viewers--; g.viewers > 0 {
		return
	}
	g.group.Close()
	f.groups = slices.DeleteFunc(f.groups, func(o *fanGroup) bool { return o == g })
	for _, va := range g.variants {
		va.drop(g)
	}
}

// groupLocked finds the group for a set of formats, or makes it.
func (f *fan) groupLocked(outputs []webrtcpeer.Output) (*fanGroup, error) {
	keys := make([]string, len(outputs))
	for i, o := range outputs {
		keys[i] = strconv.Itoa(o.Track) + " " + formatKey(o)
	}
	slices.Sort(keys)
	key := strings.Join(keys, "\n")
	for _, g := range f.groups {
		if g.key == key {
			return g, nil
		}
	}
	g := &fanGroup{key: key, group: f.sv.pool.NewGroup()}
	for _, o := range outputs {
		t := f.tracks[o.Track]
		var err error
		if o.Convert != nil || o.Data != nil {
			err = f.unpackLocked(t)
		}
		if o.Data != nil && err == nil {
			continue
		}
		var va *variant
		if err == nil {
			va, err = f.variantLocked(o)
		}
		if err != nil {
			for _, va := range g.variants {
				va.drop(g)
			}
			return nil, err
		}
		va.groups = append(va.groups, g)
		g.variants = append(g.variants, va)
	}
	f.groups = append(f.groups, g)
	return g, nil
}

// formatKey names all that makes a difference for the packets: not the payload
// type, nor what viewers declare about what they can decode.
func formatKey(o webrtcpeer.Output) string {
	if o.Format == nil {
		return "data"
	}
	mode := ""
	if h, ok := o.Format.(*format.H264); ok {
		mode = strconv.Itoa(h.PacketizationMode)
	}
	return fmt.Sprintf("%T %s %s %t", o.Format, o.Format.RTPMap(), mode, o.Convert != nil)
}

// onUnit is the tap. It runs on the goroutine of the publisher.
func (f *fan) onUnit(track int, u *media.Unit) {
	t := f.tracks[track]
	f.mu.Lock()
	defer f.mu.Unlock()
	if c := f.stream.Tracks()[track].Codec; c != t.codec {
		t.codec = c
		for _, va := range t.variants {
			if va.conv == nil {
				va.pk.SetCodec(c)
			}
		}
	}
	f.watchOrder(t, u)
	payloads := t.payloads(u)
	for _, va := range t.variants {
		var err error
		if va.conv != nil {
			err = f.sendConverted(va, payloads)
		} else {
			err = f.send(va, u)
		}
		if err != nil {
			f.stream.AddInboundErrors(1)
		}
	}
	for _, send := range t.data {
		for _, u := range payloads {
			send(u)
			f.stream.AddOutbound(uint64(u.Size()))
		}
	}
}

// payloads returns units with payloads, if anybody wants some. fan.mu is held.
func (t *fanTrack) payloads(u *media.Unit) []*media.Unit {
	switch {
	case len(t.data) == 0 && !slices.ContainsFunc(t.variants, func(va *variant) bool { return va.conv != nil }):
		return nil
	case u.Payload != nil:
		return []*media.Unit{u}
	case t.unpack == nil:
		return nil
	}
	var out []*media.Unit
	for _, pkt := range u.RTP {
		if payload, err := t.unpack.Depacketize(pkt); err == nil && payload != nil {
			out = append(out, &media.Unit{PTS: u.PTS, NTP: u.NTP, Payload: payload})
		}
	}
	return out
}

// unpackLocked prepares payloads of a track whose publisher sends RTP. The
// depacketizer of the stream cannot be shared.
func (f *fan) unpackLocked(t *fanTrack) error {
	d, ok := f.stream.Depacketizer(t.index).(*rtpbridge.Depacketizer)
	if !ok || t.unpack != nil {
		return nil
	}
	var err error
	t.unpack, err = rtpbridge.NewDepacketizer(d.Format())
	return err
}
