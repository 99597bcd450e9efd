package rtcegress

import (
	"slices"
	"sync/atomic"

	"github.com/pion/interceptor"
	"github.com/pion/webrtc/v4"
)

// Track is a track that is sent to one peer connection. It is a webrtc.TrackLocal for PeerConnection.AddTrack; media comes from
// a [Viewer].
type Track struct {
	matcher *webrtc.TrackLocalStaticRTP // finds the codec among those that were negotiated
	bound   atomic.Pointer[binding]
}

// binding is what was negotiated.
type binding struct {
	ssrc  uint32
	pt    uint8
	clock uint32 // Hz
	nack  bool
	w     webrtc.TrackLocalWriter
}

// NewTrack returns a track. capability must be among what the media engine has; id and streamID are shown in the SDP (msid).
func NewTrack(capability webrtc.RTPCodecCapability, id, streamID string) *Track {
	// It fails only if an option does.
	m, _ := webrtc.NewTrackLocalStaticRTP(capability, id, streamID)
	return &Track{matcher: m}
}

// Registry returns the interceptors that a sending peer connection needs: none. Without this registry pion adds its own ones.
func Registry() *interceptor.Registry { return &interceptor.Registry{} }

// Bind implements webrtc.TrackLocal.
func (t *Track) Bind(c webrtc.TrackLocalContext) (webrtc.RTPCodecParameters, error) {
	p, err := t.matcher.Bind(c)
	if err != nil {
		return p, err
	}
	_ = t.matcher.Unbind(c) // cannot fail: it was bound above
	t.bound.Store(&binding{
		ssrc: uint32(c.SSRC()), pt: uint8(p.PayloadType), clock: p.ClockRate, w: c.WriteStream(),
		nack: slices.Contains(p.RTCPFeedback, webrtc.RTCPFeedback{Type: webrtc.TypeRTCPFBNACK}),
	})
	return p, nil
}

// Unbind implements webrtc.TrackLocal.
func (t *Track) Unbind(webrtc.TrackLocalContext) error {
	t.bound.Store(nil)
	return nil
}

// ID implements webrtc.TrackLocal.
func (t *Track) ID() string { return t.matcher.ID() }

// RID implements webrtc.TrackLocal.
func (t *Track) RID() string { return "" }

// StreamID implements webrtc.TrackLocal.
func (t *Track) StreamID() string { return t.matcher.StreamID() }

// Kind implements webrtc.TrackLocal.
func (t *Track) Kind() webrtc.RTPCodecType { return t.matcher.Kind() }

// Codec returns what the track was made with.
func (t *Track) Codec() webrtc.RTPCodecCapability { return t.matcher.Codec() }

// Negotiated returns the payload type and the SSRC, once the answer is set.
func (t *Track) Negotiated() (payloadType uint8, ssrc uint32, ok bool) {
	b := t.bound.Load()
	if b == nil {
		return 0, 0, false
	}
	return b.pt, b.ssrc, true
}
