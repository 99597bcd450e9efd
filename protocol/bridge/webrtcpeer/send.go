package webrtcpeer

import (
	"context"
	"fmt"
	"slices"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"github.com/org/mtx/protocol/bridge/rtpbridge"
	"github.com/org/mtx/protocol/internal/rtcegress"
	"github.com/org/mtx/router/media"
)

// streamID groups the tracks of a viewer in one MediaStream.
const streamID = "mtx"

// assignment is a track with its place in an offer.
type assignment struct {
	track   int
	section *sdp.MediaDescription
	codec   sent
}

// AnswerSend answers the offer of a reader: each track gets a media section whose
// codecs it fits. Sections that are left over become inactive. If nothing fits,
// the error is an ErrNoUsableTracks.
func (e *Engine) AnswerSend(ctx context.Context, offer string, o SendOptions) (*Sender, string, error) {
	desc, err := parseDescription(offer)
	if err != nil {
		return nil, "", err
	}
	list, data, skipped := assign(o.Tracks, desc)
	if len(list) == 0 && len(data) == 0 {
		return nil, "", noneFits(o.Tracks, desc)
	}
	s, err := e.newSender(sectionCodecs(desc, list), o)
	if err != nil {
		return nil, "", err
	}
	s.signal.Lock()
	defer s.signal.Unlock()
	s.skipped = skipped
	answer, err := s.answerWith(ctx, desc, list, data)
	if err != nil {
		s.end(err)
		return nil, "", err
	}
	s.begin()
	s.start()
	return s, answer, nil
}

// takes tells whether media can be sent in a section.
func takes(desc *sdp.SessionDescription, m *sdp.MediaDescription) bool {
	d := direction(desc, m)
	return live(m) && (d == sdp.AttrKeyRecvOnly || d == sdp.AttrKeySendRecv)
}

// assign finds a section for each track. Indexes of tracks for data channels are
// returned apart.
func assign(tracks []media.Track, desc *sdp.SessionDescription) (list []assignment, data []int, skipped []error) {
	used := map[*sdp.MediaDescription]bool{}
	for i, t := range tracks {
		if t.Codec.Kind() == media.Data {
			if _, ok := t.Codec.(*media.KLV); !ok {
				skipped = append(skipped, fmt.Errorf("track %d: %s cannot be sent over WebRTC; %s can", i+1, t.Codec.Name(), sendable))
			} else if hasApplication(desc) {
				data = append(data, i)
			} else {
				skipped = append(skipped, fmt.Errorf("track %d: KLV needs a data channel, which the offer does not have", i+1))
			}
			continue
		}
		var best *assignment
		var seen []offered
		free := 0
		for _, m := range desc.MediaDescriptions {
			if m.MediaName.Media != t.Codec.Kind().String() || !takes(desc, m) {
				continue
			}
			codecs := offeredCodecs(m)
			seen = append(seen, codecs...)
			if used[m] {
				continue
			}
			free++
			if c, ok := matchCodec(t.Codec, codecs); ok && best == nil {
				best = &assignment{i, m, c}
			}
		}
		switch {
		case best != nil:
			used[best.section] = true
			list = append(list, *best)
		case free == 0 && len(seen) > 0:
			skipped = append(skipped, fmt.Errorf("track %d: %s finds no place, the offer has too few %s sections", i+1, t.Codec.Name(), t.Codec.Kind()))
		default:
			skipped = append(skipped, fmt.Errorf("track %d: %s is not taken by the reader, which takes %s", i+1, t.Codec.Name(), labels(seen)))
		}
	}
	return list, data, skipped
}

func hasApplication(desc *sdp.SessionDescription) bool {
	return slices.ContainsFunc(desc.MediaDescriptions, func(m *sdp.MediaDescription) bool {
		return m.MediaName.Media == "application" && live(m)
	})
}

func noneFits(tracks []media.Track, desc *sdp.SessionDescription) error {
	var seen []offered
	for _, m := range desc.MediaDescriptions {
		if takes(desc, m) {
			seen = append(seen, offeredCodecs(m)...)
		}
	}
	return &reasonError{ErrNoUsableTracks, fmt.Sprintf(
		"the reader takes none of the tracks: the stream has %s, the reader takes %s", codecNames(tracks), labels(seen))}
}

// sectionCodecs returns what the library must know to answer: the codecs in use,
// and one for every section that is not used.
func sectionCodecs(desc *sdp.SessionDescription, list []assignment) []registeredCodec {
	var codecs []registeredCodec
	used := map[*sdp.MediaDescription]bool{}
	for _, a := range list {
		used[a.section] = true
		codecs = append(codecs, a.codec.register(sendFeedback...))
	}
	for i, m := range desc.MediaDescriptions {
		if !used[m] {
			codecs = append(codecs, filler(m, i)...)
		}
	}
	return codecs
}

func (s *Sender) answerWith(ctx context.Context, desc *sdp.SessionDescription, list []assignment, data []int) (string, error) {
	if err := s.setRemote(webrtc.SDPTypeOffer, desc); err != nil {
		return "", err
	}
	used := map[*webrtc.RTPTransceiver]bool{}
	for _, a := range list {
		t := s.transceiver(a.section)
		if t == nil {
			return "", badOffer("section of track %d is unusable", a.track+1)
		}
		used[t] = true
		if err := s.send(t, a); err != nil {
			return "", badOffer("%.200v", err)
		}
	}
	for _, t := range s.pc.GetTransceivers() {
		if !used[t] {
			if err := t.Stop(); err != nil {
				return "", err
			}
		}
	}
	for _, i := range data {
		if err := s.addDataTrack(i); err != nil {
			return "", err
		}
	}
	slices.SortFunc(s.outputs, func(a, b Output) int { return a.Track - b.Track })
	return s.answer(ctx)
}

// send puts a track into a transceiver that the offer made.
func (s *Sender) send(t *webrtc.RTPTransceiver, a assignment) error {
	codec := a.codec.register(sendFeedback...).RTPCodecParameters
	track := newTrack(a.track, codec)
	sender, err := s.api.NewRTPSender(track, s.pc.SCTP().Transport())
	if err != nil {
		return err
	}
	if err := t.SetSender(sender, track); err != nil {
		return err
	}
	if err := t.SetCodecPreferences([]webrtc.RTPCodecParameters{codec}); err != nil {
		return err
	}
	return s.addOutput(a, track, sender)
}

func newTrack(i int, codec webrtc.RTPCodecParameters) *rtcegress.Track {
	return rtcegress.NewTrack(codec.RTPCodecCapability, fmt.Sprintf("track%d", i+1), streamID)
}

func (s *Sender) addOutput(a assignment, track *rtcegress.Track, sender *webrtc.RTPSender) error {
	f, err := rtpbridge.FormatOf(a.codec.codec, a.codec.pt)
	if err != nil {
		return err
	}
	o := Output{
		Track: a.track, Codec: a.codec.codec, Format: f, PayloadType: a.codec.pt,
		SSRC: uint32(sender.GetParameters().Encodings[0].SSRC),
	}
	if a.codec.convert {
		o.Convert = NewG711Converter(s.o.Tracks[a.track].Codec.(*media.LPCM), a.codec.codec.(*media.G711))
	}
	s.tracks[a.track], s.senders[a.track] = track, sender
	s.outputs = append(s.outputs, o)
	return nil
}

// firstPayloadType is the first dynamic one, RFC 3551 section 3.
const firstPayloadType = 96

// OfferSend makes an offer to a server to which we publish. It is completed by
// Sender.SetAnswer.
func (e *Engine) OfferSend(ctx context.Context, o SendOptions) (*Sender, string, error) {
	var list []assignment
	var skipped []error
	var codecs []registeredCodec
	for i, t := range o.Tracks {
		c, err := ownCodec(t.Codec, uint8(firstPayloadType+len(list)))
		if _, klv := t.Codec.(*media.KLV); klv {
			err = fmt.Errorf("KLV is sent to readers only")
		}
		if err == nil && len(list) >= maxSections {
			err = fmt.Errorf("more than %d tracks", maxSections)
		}
		if err != nil {
			skipped = append(skipped, fmt.Errorf("track %d: %w", i+1, err))
			continue
		}
		list = append(list, assignment{track: i, codec: c})
		codecs = append(codecs, c.register(sendFeedback...))
	}
	if len(list) == 0 {
		return nil, "", &reasonError{ErrNoUsableTracks, fmt.Sprintf(
			"no track can be sent over WebRTC: the stream has %s; %s can be sent", codecNames(o.Tracks), sendable)}
	}
	s, err := e.newSender(codecs, o)
	if err != nil {
		return nil, "", err
	}
	s.skipped = skipped
	for _, a := range list {
		if err = s.offerTrack(a); err != nil {
			break
		}
	}
	var offer string
	if err == nil {
		offer, err = s.offer(ctx)
	}
	if err != nil {
		s.end(err)
		return nil, "", err
	}
	return s, offer, nil
}

func (s *Sender) offerTrack(a assignment) error {
	codec := a.codec.register(sendFeedback...).RTPCodecParameters
	track := newTrack(a.track, codec)
	t, err := s.pc.AddTransceiverFromTrack(track, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
	if err != nil {
		return err
	}
	if err := t.SetCodecPreferences([]webrtc.RTPCodecParameters{codec}); err != nil {
		return err
	}
	return s.addOutput(a, track, t.Sender())
}

// SetAnswer takes the answer to the offer of OfferSend. Tracks that the server
// does not take move to Skipped.
func (s *Sender) SetAnswer(answer string) error {
	if err := s.setAnswer(answer); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := s.outputs[:0]
	for _, o := range s.outputs {
		t := s.tracks[o.Track]
		pt, ssrc, ok := t.Negotiated()
		if !ok {
			s.skipped = append(s.skipped, fmt.Errorf("track %d: %s is not taken by the server", o.Track+1, o.Codec.Name()))
			delete(s.tracks, o.Track)
			continue
		}
		o.PayloadType, o.SSRC = pt, ssrc
		taken = append(taken, o)
	}
	s.outputs = taken
	if len(taken) == 0 {
		err := &reasonError{ErrNoUsableTracks, fmt.Sprintf("the server takes none of the tracks: %s", codecNames(s.o.Tracks))}
		s.end(err)
		return err
	}
	s.begin()
	return nil
}
