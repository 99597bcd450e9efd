package webrtcpeer

import (
	"math"
	"net"
	"strconv"
	"sync/atomic"

	"github.com/pion/webrtc/v4"
)

// Stats counts what a peer sent and received. Bytes are those of RTP and RTCP
// packets; what SRTP adds is part of them for RTP that is sent.
type Stats struct {
	InboundBytes            uint64
	InboundRTPPackets       uint64
	InboundRTPPacketsLost   uint64
	InboundRTPPacketsJitter float64 // seconds, mean of the tracks
	InboundRTCPPackets      uint64
	OutboundBytes           uint64
	OutboundRTPPackets      uint64
	OutboundRTCPPackets     uint64
	OutboundFramesDiscarded uint64
}

// counters are what the goroutines of a peer count.
type counters struct {
	inBytes, inRTP, inLost, inRTCP atomic.Uint64
	outBytes, outRTCP              atomic.Uint64
	jitters                        [maxTracks]atomic.Uint64 // float64 bits, seconds
	tracks                         atomic.Int32
}

func (c *counters) rtp(size int) {
	c.inBytes.Add(uint64(size))
	c.inRTP.Add(1)
}

func (c *counters) stats() Stats {
	s := Stats{
		InboundBytes:          c.inBytes.Load(),
		InboundRTPPackets:     c.inRTP.Load(),
		InboundRTPPacketsLost: c.inLost.Load(),
		InboundRTCPPackets:    c.inRTCP.Load(),
		OutboundBytes:         c.outBytes.Load(),
		OutboundRTCPPackets:   c.outRTCP.Load(),
	}
	n := min(int(c.tracks.Load()), maxTracks)
	for i := range n {
		s.InboundRTPPacketsJitter += math.Float64frombits(c.jitters[i].Load()) / float64(n)
	}
	return s
}

// Stats returns the counters.
func (p *Peer) Stats() Stats {
	s := p.counters.stats()
	if f, ok := p.outbound.Load(); ok {
		f(&s)
	}
	return s
}

// LocalCandidate returns our end of the connection as type/protocol/address/port,
// or an empty string before there is one.
func (p *Peer) LocalCandidate() string {
	if pair := p.pair(); pair != nil {
		return candidateString(pair.Local)
	}
	return ""
}

// RemoteCandidate returns the other end of the connection, in the same form.
func (p *Peer) RemoteCandidate() string {
	if pair := p.pair(); pair != nil {
		return candidateString(pair.Remote)
	}
	return ""
}

func candidateString(c *webrtc.ICECandidate) string {
	if c == nil {
		return ""
	}
	return c.Typ.String() + "/" + c.Protocol.String() + "/" + c.Address + "/" + strconv.Itoa(int(c.Port))
}

// RemoteAddr returns the address of the other end, or an empty string.
func (p *Peer) RemoteAddr() string {
	if pair := p.pair(); pair != nil && pair.Remote != nil {
		return net.JoinHostPort(pair.Remote.Address, strconv.Itoa(int(pair.Remote.Port)))
	}
	return ""
}

func (p *Peer) iceTransport() *webrtc.ICETransport {
	return p.pc.SCTP().Transport().ICETransport()
}

func (p *Peer) pair() *webrtc.ICECandidatePair {
	pair, err := p.iceTransport().GetSelectedCandidatePair()
	if err != nil {
		return nil
	}
	return pair
}
