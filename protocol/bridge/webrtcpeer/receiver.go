package webrtcpeer

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/report"
	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"github.com/org/mtx/protocol/bridge/rtpbridge"
	"github.com/org/mtx/router/media"
)

// ReceiveOptions are the options of a [Receiver].
type ReceiveOptions struct {
	// ICEServers are asked for our addresses, or relay.
	ICEServers []ICEServer

	// UseAbsoluteTimestamp fills NTP of units from sender reports and from the
	// header extension abs-capture-time.
	UseAbsoluteTimestamp bool

	// VideoSections and AudioSections are the numbers of media sections of an
	// offer of ours. Default to 1 each.
	VideoSections, AudioSections int

	// Log defaults to that of the engine.
	Log *slog.Logger
}

// Receiver is a peer whose remote side publishes to us.
type Receiver struct {
	*Peer
	o ReceiveOptions

	mu       sync.Mutex
	sections []receiveSection
	ingests  []*ingest     // in order of arrival; sorted once frozen
	changed  chan struct{} // closed and replaced when an ingest is ready
	frozen   bool          // Tracks has answered
}

// receiveSection is a media section in which something comes.
type receiveSection struct {
	mid  string
	rids []string // simulcast layers, in the order of the offer
}

// receiveInterceptors makes receiver reports, and the feedback without which
// browsers do not raise their bit rate.
func receiveInterceptors(reg *interceptor.Registry) error {
	rr, err := report.NewReceiverInterceptor()
	if err != nil {
		return err
	}
	cc, err := twcc.NewSenderInterceptor()
	if err != nil {
		return err
	}
	reg.Add(rr)
	reg.Add(cc)
	return nil
}

// Answer answers the offer of a publisher. If nothing of the offer can be
// received, the error is an ErrNoUsableTracks.
func (e *Engine) Answer(ctx context.Context, offer string, o ReceiveOptions) (*Receiver, string, error) {
	desc, err := parseDescription(offer)
	if err != nil {
		return nil, "", err
	}
	settings := &peerSettings{extensions: receiveExtensions, interceptors: receiveInterceptors}
	usable := map[*sdp.MediaDescription][]registeredCodec{}
	var seen []offered
	for i, m := range desc.MediaDescriptions {
		codecs := offeredCodecs(m)
		if d := direction(desc, m); live(m) && (d == sdp.AttrKeySendOnly || d == sdp.AttrKeySendRecv) {
			seen = append(seen, codecs...)
			if list := receivableCodecs(codecs); len(list) > 0 {
				usable[m] = list
				settings.codecs = append(settings.codecs, list...)
				continue
			}
		}
		settings.codecs = append(settings.codecs, filler(m, i)...)
	}
	if len(usable) == 0 {
		return nil, "", &reasonError{ErrNoUsableTracks, fmt.Sprintf(
			"the offer has no track that can be received: it sends %s; supported are %s", labels(seen), receivable)}
	}
	r, err := e.newReceiver(settings, o)
	if err != nil {
		return nil, "", err
	}
	r.signal.Lock()
	defer r.signal.Unlock()
	answer, err := r.answerTo(ctx, desc, usable)
	if err != nil {
		r.end(err)
		return nil, "", err
	}
	r.start()
	return r, answer, nil
}

func (r *Receiver) answerTo(
	ctx context.Context, desc *sdp.SessionDescription, usable map[*sdp.MediaDescription][]registeredCodec,
) (string, error) {
	for _, m := range desc.MediaDescriptions {
		if usable[m] != nil {
			r.expect(m)
		}
	}
	if err := r.setRemote(webrtc.SDPTypeOffer, desc); err != nil {
		return "", err
	}
	for _, m := range desc.MediaDescriptions {
		t := r.transceiver(m)
		if t == nil {
			continue
		}
		codecs, ok := usable[m]
		if !ok {
			if err := t.Stop(); err != nil {
				return "", err
			}
			continue
		}
		list := make([]webrtc.RTPCodecParameters, len(codecs))
		for i, c := range codecs {
			list[i] = c.RTPCodecParameters
		}
		if err := t.SetCodecPreferences(list); err != nil {
			return "", badOffer("%.200v", err)
		}
	}
	return r.answer(ctx)
}

// expect notes that something will come in a section.
func (r *Receiver) expect(m *sdp.MediaDescription) {
	s := receiveSection{}
	s.mid, _ = m.Attribute(sdp.AttrKeyMID)
	for _, a := range m.Attributes {
		if a.Key == "rid" {
			s.rids = append(s.rids, ridOf(a.Value))
		}
	}
	r.sections = append(r.sections, s)
}

// OfferReceive makes an offer to a server from which we read. It is completed by
// Receiver.SetAnswer.
func (e *Engine) OfferReceive(ctx context.Context, o ReceiveOptions) (*Receiver, string, error) {
	settings := &peerSettings{extensions: receiveExtensions, interceptors: receiveInterceptors}
	settings.codecs = append(receivableCodecs(allVideo()), receivableCodecs(allAudio())...)
	r, err := e.newReceiver(settings, o)
	if err != nil {
		return nil, "", err
	}
	offer, err := r.offerSections(ctx)
	if err != nil {
		r.end(err)
		return nil, "", err
	}
	return r, offer, nil
}

func (r *Receiver) offerSections(ctx context.Context) (string, error) {
	init := webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}
	for range max(r.o.VideoSections, 1) {
		if _, err := r.pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo, init); err != nil {
			return "", err
		}
	}
	for range max(r.o.AudioSections, 1) {
		if _, err := r.pc.AddTransceiverFromKind(webrtc.RTPCodecTypeAudio, init); err != nil {
			return "", err
		}
	}
	return r.offer(ctx)
}

// SetAnswer takes the answer to the offer of OfferReceive.
func (r *Receiver) SetAnswer(answer string) error {
	desc, err := parseDescription(answer)
	if err != nil {
		return err
	}
	r.mu.Lock()
	for _, m := range desc.MediaDescriptions {
		d := direction(desc, m)
		if kind := webrtc.NewRTPCodecType(m.MediaName.Media); kind != 0 && m.MediaName.Port.Value != 0 &&
			(d == sdp.AttrKeySendOnly || d == sdp.AttrKeySendRecv) {
			r.expect(m)
		}
	}
	none := len(r.sections) == 0
	r.mu.Unlock()
	if none {
		return &reasonError{ErrNoUsableTracks, "the answer has no track: the server sends nothing that can be received; supported are " + receivable}
	}
	return r.setAnswer(answer)
}

func (e *Engine) newReceiver(settings *peerSettings, o ReceiveOptions) (*Receiver, error) {
	p, err := e.newPeer(settings, o.ICEServers, o.Log)
	if err != nil {
		return nil, err
	}
	r := &Receiver{Peer: p, o: o, changed: make(chan struct{})}
	p.pc.OnTrack(r.onTrack)
	p.pc.OnDataChannel(refuseDataChannels(p))
	return r, nil
}

// Tracks waits until the connection is established and all tracks have had a
// packet, for at most TrackGatherTimeout; then it returns those that had one. The
// depacketizers belong to the tracks.
func (r *Receiver) Tracks(ctx context.Context) ([]media.Track, []media.Depacketizer, error) {
	if err := r.Connected(ctx); err != nil {
		return nil, nil, err
	}
	timeout := r.engine.cfg.TrackGatherTimeout
	late := time.NewTimer(timeout)
	defer late.Stop()
	for waiting := true; waiting; {
		complete, changed := r.gathered()
		if complete {
			break
		}
		select {
		case <-changed:
		case <-late.C:
			waiting = false
		case <-r.done:
			return nil, nil, r.err
		case <-ctx.Done():
			return nil, nil, context.Cause(ctx)
		}
	}
	ingests := r.freeze()
	if len(ingests) == 0 {
		return nil, nil, &reasonError{ErrNoPackets, fmt.Sprintf(
			"no track had a packet within %v; %d were announced", timeout, r.expected())}
	}
	tracks := make([]media.Track, len(ingests))
	origins := make([]media.Depacketizer, len(ingests))
	for i, in := range ingests {
		d, err := rtpbridge.NewDepacketizer(in.format)
		if err != nil {
			return nil, nil, err
		}
		origins[i] = d
		tracks[i] = media.Track{Codec: rtpbridge.CodecOf(in.format), Name: in.rid}
	}
	return tracks, origins, nil
}

// expected returns how many tracks will come.
func (r *Receiver) expected() int {
	n := 0
	for _, s := range r.sections {
		n += max(1, len(s.rids))
	}
	return n
}

func (r *Receiver) gathered() (complete bool, changed <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, in := range r.ingests {
		if in.ready.Load() {
			n++
		}
	}
	return n >= min(r.expected(), maxTracks), r.changed
}

// freeze fixes the tracks. What comes later is dropped.
func (r *Receiver) freeze() []*ingest {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.frozen {
		return r.ingests
	}
	r.frozen = true
	r.ingests = slices.DeleteFunc(r.ingests, func(in *ingest) bool {
		if in.ready.Load() {
			return false
		}
		in.drop()
		return true
	})
	slices.SortStableFunc(r.ingests, func(a, b *ingest) int { return a.place - b.place })
	r.counters.tracks.Store(int32(len(r.ingests)))
	for i, in := range r.ingests {
		in.index.Store(int32(i))
	}
	return r.ingests
}

// Run hands over units until the peer or ctx ends, and tells why. write and
// update are not called concurrently, and not after Run has returned. It is called
// once, after Tracks.
func (r *Receiver) Run(
	ctx context.Context, write func(track int, u *media.Unit), update func(track int, c media.Codec),
) error {
	ingests := r.freeze()
	formats := make([]format.Format, len(ingests))
	for i, in := range ingests {
		formats[i] = in.format
	}
	rec := rtpbridge.NewReceiver(rtpbridge.ReceiverOptions{
		Formats: formats, Write: write, Update: update, UseSenderReportNTP: r.o.UseAbsoluteTimestamp,
	})
	defer rec.Close()
	for i, in := range ingests {
		in.attach(rec, i)
	}
	defer func() {
		for _, in := range ingests {
			in.drop()
		}
	}()
	r.RequestKeyFrame()
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// RequestKeyFrame asks the publisher for a key frame of every video track, at
// most once per 500 ms and track: requests that come sooner are put together.
func (r *Receiver) RequestKeyFrame() {
	r.mu.Lock()
	ingests := slices.Clone(r.ingests)
	r.mu.Unlock()
	for _, in := range ingests {
		in.requestKeyFrame(keyFramePeriod)
	}
}
