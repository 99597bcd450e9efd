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
