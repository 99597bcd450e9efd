package webrtcpeer

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/pion/webrtc/v4"

	"github.com/org/mtx/protocol/internal/rtcegress"
	"github.com/org/mtx/router/media"
)

// SendOptions are the options of a [Sender].
type SendOptions struct {
	// Tracks are the tracks of the stream. Mandatory.
	Tracks []media.Track

	// ICEServers are asked for our addresses, or relay.
	ICEServers []ICEServer

	// Log defaults to that of the engine.
	Log *slog.Logger
}

// Output is a track as the remote side gets it.
type Output struct {
	// Track is the index in SendOptions.Tracks.
	Track int

	// Codec is what is sent. It is the codec of the track but if Convert is set.
	Codec media.Codec

	// Format is what rtpbridge.Packetizer needs. Nil for a track that goes over a
	// data channel.
	Format format.Format

	// PayloadType and SSRC are those of the packets of this peer. The viewer sets
	// them: packets are made once for all viewers with the same Codec.
	PayloadType uint8
	SSRC        uint32

	// Convert turns units of the track into what is sent; nil if they are sent as
	// they are. It has state and is for one goroutine. Who serves several peers
	// makes one for all with [NewG711Converter].
	Convert func(*media.Unit) *media.Unit

	// Data sends a unit of a track that goes over a data channel (KLV); nil for all
	// others. It does not block: what the remote side does not take is dropped.
	Data func(*media.Unit)
}

// Sender is a peer to whose remote side we send.
type Sender struct {
	*Peer
	o SendOptions

	mu      sync.Mutex
	outputs []Output
	skipped []error
	viewer  *rtcegress.Viewer

	tracks   map[int]*rtcegress.Track
	senders  map[int]*webrtc.RTPSender
	keyFrame atomic.Pointer[func()]
}

// Outputs returns what is sent, in the order of SendOptions.Tracks. Before the
// answer to an offer of ours it is what we offer.
func (s *Sender) Outputs() []Output {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.outputs
}

// Skipped returns the reasons why tracks are not sent, one for each of them.
func (s *Sender) Skipped() []error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.skipped
}

// Viewer returns the reader for the group of the stream. It is to be added when
// the peer is connected, and removed before or after the peer ends. It is nil
// before the answer to an offer of ours.
func (s *Sender) Viewer() *rtcegress.Viewer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.viewer
}

// OnKeyFrameRequest sets the function that is called when the remote side asks for
// a key frame (PLI, FIR). It is called often and must not block.
func (s *Sender) OnKeyFrameRequest(f func()) { s.keyFrame.Store(&f) }

func (s *Sender) requestKeyFrame() {
	if f := s.keyFrame.Load(); f != nil && *f != nil {
		(*f)()
	}
}

// Connected waits until the connection is established.
func (s *Sender) Connected(ctx context.Context) error { return s.Peer.Connected(ctx) }

// newSender opens the peer of a sender.
func (e *Engine) newSender(codecs []registeredCodec, o SendOptions) (*Sender, error) {
	settings := &peerSettings{codecs: codecs}
	p, err := e.newPeer(settings, o.ICEServers, o.Log)
	if err != nil {
		return nil, err
	}
	s := &Sender{
		Peer: p, o: o, tracks: map[int]*rtcegress.Track{}, senders: map[int]*webrtc.RTPSender{},
	}
	p.pc.OnDataChannel(refuseDataChannels(p))
	return s, nil
}

// begin makes the viewer, once it is known what is sent.
func (s *Sender) begin() {
	s.viewer = rtcegress.NewViewer(s.engine.cfg.UDP, s.tracks, s.pc.WriteRTCP)
	viewer := s.viewer
	s.release.Store(func() { viewer.Close() })
	s.outbound.Store(func(st *Stats) {
		v := viewer.Stats()
		st.OutboundRTPPackets = v.Packets
		st.OutboundBytes += v.Bytes
		st.OutboundFramesDiscarded = v.Discarded
		st.InboundRTCPPackets += v.ControlReceived
	})
	for i, sender := range s.senders {
		if s.tracks[i] != nil {
			s.goRead(func() { viewer.ReadRTCP(i, sender, s.requestKeyFrame) })
		}
	}
}
