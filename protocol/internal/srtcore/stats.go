package srtcore

// Stats are the statistics of a connection, with the meanings of libsrt. Bytes count payloads and
// headers (IP, UDP, SRT). Rates are in units of 10^6 bit per second.
type Stats struct {
	PacketsSent           uint64 // with retransmissions
	PacketsReceived       uint64 // with retransmissions
	PacketsSentUnique     uint64
	PacketsReceivedUnique uint64 // in time, decrypted, to be delivered
	PacketsSendLoss       uint64 // reported lost by the peer
	PacketsReceivedLoss   uint64 // found missing (lost or reordered)
	PacketsRetrans        uint64 // retransmitted by us
	// PacketsReceivedRetrans counts retransmissions by the peer that arrived.
	PacketsReceivedRetrans uint64
	PacketsReceivedBelated uint64 // too late, or twice
	PacketsSentACK         uint64
	PacketsReceivedACK     uint64
	PacketsSentNAK         uint64
	PacketsReceivedNAK     uint64
	PacketsSentKM          uint64
	PacketsReceivedKM      uint64

	// USSendDuration is how long there was something sent that had not been acknowledged, in microseconds.
	USSendDuration uint64

	PacketsSendDrop          uint64 // given up by us as too late, or no room
	PacketsReceivedDrop      uint64 // not delivered
	PacketsReceivedUndecrypt uint64

	BytesSent              uint64
	BytesReceived          uint64
	BytesSentUnique        uint64
	BytesReceivedUnique    uint64
	BytesReceivedLoss      uint64 // estimated by the average size
	BytesRetrans           uint64
	BytesReceivedRetrans   uint64
	BytesReceivedBelated   uint64
	BytesSendDrop          uint64
	BytesReceivedDrop      uint64 // estimated by the average size
	BytesReceivedUndecrypt uint64

	USPacketsSendPeriod float64 // least time between packets, in microseconds
	PacketsFlowWindow   uint64  // most packets in flight
	PacketsFlightSize   uint64
	MsRTT               float64
	MbpsSendRate        float64
	MbpsReceiveRate     float64
	MbpsLinkCapacity    float64
	MbpsMaxBW           float64 // -1: no limit
	ByteMSS             uint64

	BytesAvailSendBuf    uint64
	BytesAvailReceiveBuf uint64
	PacketsSendBuf       uint64 // not acknowledged yet
	BytesSendBuf         uint64
	MsSendBuf            uint64
	MsSendTsbPdDelay     uint64 // latency of the peer
	PacketsReceiveBuf    uint64 // acknowledged, waiting for their time
	BytesReceiveBuf      uint64
	MsReceiveBuf         uint64
	MsReceiveTsbPdDelay  uint64 // our latency

	PacketsReorderTolerance uint64

	// PacketsReceivedAvgBelatedTime is by how many milliseconds late packets came too late, on average.
	PacketsReceivedAvgBelatedTime uint64

	PacketsSendLossRate     float64 // percentage of retransmitted among sent packets
	PacketsReceivedLossRate float64 // percentage of retransmitted among received packets

	// OutboundFramesDiscarded is how many messages of the egress group did not reach the peer because of overload.
	OutboundFramesDiscarded uint64
}

// defaultBandwidth is what live mode is limited to by default, in bytes per second.
const defaultBandwidth = 125e6

// Stats returns the present statistics.
func (c *Conn) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.l.now()
	s := c.stats
	_, sent := c.snd.rate.perSecond(now)
	s.MbpsSendRate = sent * 8 / 1e6
	s.MbpsMaxBW = -1
	s.MsRTT = float64(c.rtt.smoothed) / 1000
	s.ByteMSS = uint64(c.mtu)
	s.PacketsFlowWindow = uint64(c.snd.window)
	s.PacketsFlightSize = uint64(c.snd.count)
	s.USPacketsSendPeriod = float64(c.payload+c.overhead) / defaultBandwidth * 1e6
	s.PacketsSendLossRate = percent(s.PacketsRetrans, s.PacketsSent)
	s.PacketsReceivedLossRate = percent(s.PacketsReceivedRetrans, s.PacketsReceived)
	s.MbpsLinkCapacity = float64(c.snd.capacity) * float64(c.mtu) * 8 / 1e6
	s.sendBuffer(c, now)
	s.receiveBuffer(c, now)
	return s
}

func (s *Stats) sendBuffer(c *Conn, now int64) {
	s.PacketsSendBuf = uint64(c.snd.count)
	s.BytesSendBuf = uint64(c.snd.bytes + c.snd.count*c.overhead)
	s.BytesAvailSendBuf = uint64(max(c.l.cfg.Window-c.snd.count, 0) * c.mtu)
	s.MsSendTsbPdDelay = millis(c.peerLatency)
	if c.snd.count > 0 {
		s.MsSendBuf = millis(c.snd.at(c.snd.count-1).at-c.snd.at(0).at) + 1
	}
	if c.snd.busy != 0 {
		s.USSendDuration += uint64(max(now-c.snd.busy, 0))
	}
}

func (s *Stats) receiveBuffer(c *Conn, now int64) {
	s.MsReceiveTsbPdDelay = millis(c.latency)
	s.BytesAvailReceiveBuf = uint64(c.l.cfg.Window * c.mtu)
	r := c.rcv
	if r == nil {
		return
	}
	_, received := r.rate.perSecond(now)
	s.MbpsReceiveRate = received * 8 / 1e6
	if r.probe.interval != 0 {
		s.MbpsLinkCapacity = r.probe.capacity() * float64(c.mtu) * 8 / 1e6
	}
	if s.PacketsReceivedBelated > 0 {
		s.PacketsReceivedAvgBelatedTime = millis(int64(r.belatedUS / s.PacketsReceivedBelated))
	}
	s.BytesAvailReceiveBuf = uint64(max(r.window-r.end.from(r.base), 0) * c.mtu)
	s.PacketsReceiveBuf = uint64(r.held)
	s.BytesReceiveBuf = uint64(r.bytes + r.held*c.overhead)
	first, last := int64(0), int64(0)
	for i := range r.end.from(r.base) {
		if p := r.at(i); p.full {
			if first == 0 {
				first = p.at
			}
			last = p.at
		}
	}
	if r.held > 0 {
		s.MsReceiveBuf = millis(last-first) + 1
	}
	if c.inbox != nil {
		s.PacketsReceivedDrop += c.inbox.dropped()
	}
}

func percent(part, whole uint64) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) / float64(whole) * 100
}
