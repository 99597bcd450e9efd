package webrtcpeer

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
)

// gatherGrace is how long gathering may exceed the time of the STUN servers.
const gatherGrace = time.Second

// setRemote gives a description to the library and keeps it.
func (p *Peer) setRemote(typ webrtc.SDPType, desc *sdp.SessionDescription) error {
	body, err := desc.Marshal()
	if err != nil {
		return badOffer("%.200v", err)
	}
	err = guard(ErrBadOffer, func() error {
		return p.pc.SetRemoteDescription(webrtc.SessionDescription{Type: typ, SDP: string(body)})
	})
	if err != nil {
		if e := p.Err(); e != nil {
			return e
		}
		return badOffer("%.200v", err)
	}
	p.received = remoteState{
		known: true, offer: typ == webrtc.SDPTypeOffer, candidates: countCandidates(desc),
		ufrag: anyAttribute(desc, "ice-ufrag"), pwd: anyAttribute(desc, "ice-pwd"),
	}
	return nil
}

// answer makes the answer, with all candidates of ours.
func (p *Peer) answer(ctx context.Context) (string, error) {
	var desc webrtc.SessionDescription
	err := guard(ErrBadOffer, func() (err error) {
		desc, err = p.pc.CreateAnswer(nil)
		return err
	})
	if err != nil {
		return "", badOffer("%.200v", err)
	}
	return p.setLocal(ctx, desc)
}

// offer makes the offer, with all candidates of ours.
func (p *Peer) offer(ctx context.Context) (string, error) {
	desc, err := p.pc.CreateOffer(nil)
	if err != nil {
		return "", fmt.Errorf("offer: %w", err)
	}
	return p.setLocal(ctx, desc)
}

func (p *Peer) setLocal(ctx context.Context, desc webrtc.SessionDescription) (string, error) {
	gathered := webrtc.GatheringCompletePromise(p.pc)
	err := guard(ErrBadOffer, func() error { return p.pc.SetLocalDescription(desc) })
	if err != nil {
		return "", badOffer("%.200v", err)
	}
	late := time.NewTimer(p.engine.cfg.STUNGatherTimeout + gatherGrace)
	defer late.Stop()
	select {
	case <-gathered:
	case <-late.C: // what was found until now has to do
	case <-p.done:
		return "", p.err
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
	return p.engine.withHostCandidates(p.pc.LocalDescription().SDP), nil
}

// setAnswer takes the answer to our offer.
func (p *Peer) setAnswer(answer string) error {
	desc, err := parseDescription(answer)
	if err != nil {
		return err
	}
	p.signal.Lock()
	defer p.signal.Unlock()
	if p.received.known {
		return badOffer("there is an answer already")
	}
	if err := p.setRemote(webrtc.SDPTypeAnswer, desc); err != nil {
		return err
	}
	p.start()
	return nil
}

// IsRestart tells whether a trickle fragment asks for an ICE restart (RFC 9725
// section 4.3.2): it has ICE credentials that are not those of the session.
func (p *Peer) IsRestart(text string) (bool, error) {
	f, err := parseFragment(text)
	if err != nil {
		return false, err
	}
	p.signal.Lock()
	defer p.signal.Unlock()
	return f.pwd != "" && f.ufrag != "" && f.ufrag != p.received.ufrag, nil
}

// Restart begins ICE anew with the credentials and candidates of a fragment. It
// returns the fragment with ours. Media goes on.
func (p *Peer) Restart(ctx context.Context, text string) (string, error) {
	f, err := parseFragment(text)
	if err != nil {
		return "", err
	}
	p.signal.Lock()
	defer p.signal.Unlock()
	switch {
	case !p.received.known || !p.received.offer:
		return "", badFragment("only the side that made the offer may restart ICE")
	case f.ufrag == "" || f.pwd == "":
		return "", badFragment("an ICE restart needs ice-ufrag and ice-pwd")
	case f.ufrag == p.received.ufrag:
		return "", badFragment("ice-ufrag must change in an ICE restart")
	}
	old, err := parseDescription(p.pc.RemoteDescription().SDP)
	if err != nil {
		return "", err
	}
	if err := p.setRemote(webrtc.SDPTypeOffer, restarted(old, f)); err != nil {
		return "", err
	}
	if err := p.addCandidates(f); err != nil {
		return "", err
	}
	answer, err := p.answer(ctx)
	if err != nil {
		return "", err
	}
	return localFragment(answer).String(), nil
}

// restarted returns the description with other ICE credentials and without
// candidates.
func restarted(old *sdp.SessionDescription, f *fragment) *sdp.SessionDescription {
	desc := *old
	desc.Origin.SessionVersion++
	desc.Attributes = withCredentials(old.Attributes, f)
	desc.MediaDescriptions = nil
	for _, m := range old.MediaDescriptions {
		section := *m
		section.Attributes = withCredentials(m.Attributes, f)
		desc.MediaDescriptions = append(desc.MediaDescriptions, &section)
	}
	return &desc
}

func withCredentials(old []sdp.Attribute, f *fragment) []sdp.Attribute {
	var list []sdp.Attribute
	for _, a := range old {
		switch a.Key {
		case "ice-ufrag":
			a.Value = f.ufrag
		case "ice-pwd":
			a.Value = f.pwd
		case sdp.AttrKeyCandidate, sdp.AttrKeyEndOfCandidates:
			continue
		}
		list = append(list, a)
	}
	return list
}

// localFragment takes credentials and candidates out of a description of ours.
func localFragment(desc string) *fragment {
	f := &fragment{end: true}
	mid, first := "", ""
	for line := range strings.Lines(desc) {
		line = strings.TrimRight(line, "\r\n")
		key, value, _ := strings.Cut(strings.TrimPrefix(line, "a="), ":")
		switch {
		case strings.HasPrefix(line, "m="):
			mid = ""
		case key == "mid":
			mid = value
			if first == "" {
				first = mid
			}
		case key == "ice-ufrag":
			f.ufrag = value
		case key == "ice-pwd":
			f.pwd = value
		case key == "candidate":
			f.candidates = append(f.candidates, fragmentCandidate{mid, "candidate:" + value})
		}
	}
	for i := range f.candidates {
		if f.candidates[i].mid == "" {
			f.candidates[i].mid = first
		}
	}
	return f
}

// transceiver returns the transceiver of a section.
func (p *Peer) transceiver(m *sdp.MediaDescription) *webrtc.RTPTransceiver {
	mid, _ := m.Attribute(sdp.AttrKeyMID)
	for _, t := range p.pc.GetTransceivers() {
		if t.Mid() == mid {
			return t
		}
	}
	return nil
}

// filler returns a codec that keeps a section of which nothing is used from being
// rejected: the library puts candidates into the first section only, which must
// not be a rejected one.
func filler(m *sdp.MediaDescription, i int) []registeredCodec {
	if list := offeredCodecs(m); len(list) > 0 {
		return []registeredCodec{list[0].register()}
	}
	kind := webrtc.NewRTPCodecType(m.MediaName.Media)
	if kind == 0 || len(m.MediaName.Formats) == 0 {
		return nil
	}
	pt, err := strconv.ParseUint(m.MediaName.Formats[0], 10, 7)
	if err != nil {
		return nil
	}
	o := offered{kind: kind, pt: uint8(pt), name: "x-unused" + strconv.Itoa(i), clock: 90000, channels: 1}
	return []registeredCodec{o.register()}
}
