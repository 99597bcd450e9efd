package webrtc

import (
	"time"

	"github.com/org/mtx/router"
)

// Details is what the Control API shows about clients; see WebRTCSession there.
type Details struct {
	ID                        string    `json:"id"`
	Created                   time.Time `json:"created"`
	RemoteAddr                string    `json:"remoteAddr"`
	PeerConnectionEstablished bool      `json:"peerConnectionEstablished"`
	LocalCandidate            string    `json:"localCandidate"`
	RemoteCandidate           string    `json:"remoteCandidate"`
	State                     string    `json:"state"` // "read", "publish"
	Path                      string    `json:"path"`
	Query                     string    `json:"query"`
	User                      string    `json:"user"`

	InboundBytes            uint64  `json:"inboundBytes"`
	InboundRTPPackets       uint64  `json:"inboundRTPPackets"`
	InboundRTPPacketsLost   uint64  `json:"inboundRTPPacketsLost"`
	InboundRTPPacketsJitter float64 `json:"inboundRTPPacketsJitter"` // seconds
	InboundRTCPPackets      uint64  `json:"inboundRTCPPackets"`
	OutboundBytes           uint64  `json:"outboundBytes"`
	OutboundRTPPackets      uint64  `json:"outboundRTPPackets"`
	OutboundRTCPPackets     uint64  `json:"outboundRTCPPackets"`
	OutboundFramesDiscarded uint64  `json:"outboundFramesDiscarded"`

	// Older names of the same.
	BytesReceived       uint64  `json:"bytesReceived"`
	BytesSent           uint64  `json:"bytesSent"`
	RTPPacketsReceived  uint64  `json:"rtpPacketsReceived"`
	RTPPacketsSent      uint64  `json:"rtpPacketsSent"`
	RTPPacketsLost      uint64  `json:"rtpPacketsLost"`
	RTPPacketsJitter    float64 `json:"rtpPacketsJitter"`
	RTCPPacketsReceived uint64  `json:"rtcpPacketsReceived"`
	RTCPPacketsSent     uint64  `json:"rtcpPacketsSent"`
}

// state is that of WebRTCSession.
func (s *session) state() string { return string(s.action) }

// Info implements router.Session.
func (s *session) Info() router.SessionInfo {
	st := s.peer.Stats()
	d := &Details{
		ID: s.id, Created: s.created, RemoteAddr: s.remote,
		State: s.state(), Path: s.path, Query: s.query, User: s.user,

		InboundBytes: st.InboundBytes, InboundRTPPackets: st.InboundRTPPackets,
		InboundRTPPacketsLost: st.InboundRTPPacketsLost, InboundRTPPacketsJitter: st.InboundRTPPacketsJitter,
		InboundRTCPPackets: st.InboundRTCPPackets,
		OutboundBytes:      st.OutboundBytes, OutboundRTPPackets: st.OutboundRTPPackets,
		OutboundRTCPPackets: st.OutboundRTCPPackets, OutboundFramesDiscarded: st.OutboundFramesDiscarded,
	}
	if s.peer.Established() { // otherwise there is no pair of candidates
		d.PeerConnectionEstablished = true
		d.LocalCandidate, d.RemoteCandidate = s.peer.LocalCandidate(), s.peer.RemoteCandidate()
	}
	d.BytesReceived, d.BytesSent = d.InboundBytes, d.OutboundBytes
	d.RTPPacketsReceived, d.RTPPacketsSent = d.InboundRTPPackets, d.OutboundRTPPackets
	d.RTPPacketsLost, d.RTPPacketsJitter = d.InboundRTPPacketsLost, d.InboundRTPPacketsJitter
	d.RTCPPacketsReceived, d.RTCPPacketsSent = d.InboundRTCPPackets, d.OutboundRTCPPackets
	return router.SessionInfo{
		ID: s.id, Kind: kind, Created: s.created, RemoteAddr: s.remote, Path: s.path, Query: s.query,
		User: s.user, State: d.State, In: d.InboundBytes, Out: d.OutboundBytes, Details: d,
	}
}
