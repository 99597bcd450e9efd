package srt

import (
	"time"

	"github.com/org/mtx/protocol/internal/srtcore"
	"github.com/org/mtx/router"
)

// Details is what the Control API shows about clients; see SRTConn there. Bytes
// include the headers of IP, UDP and SRT.
type Details struct {
	ID         string    `json:"id"`
	Created    time.Time `json:"created"`
	RemoteAddr string    `json:"remoteAddr"`
	State      string    `json:"state"` // "idle", "read", "publish"
	Path       string    `json:"path"`
	Query      string    `json:"query"`
	User       string    `json:"user"`

	PacketsSent              uint64 `json:"packetsSent"`
	PacketsReceived          uint64 `json:"packetsReceived"`
	PacketsReceivedBelated   uint64 `json:"packetsReceivedBelated"`
	PacketsSentUnique        uint64 `json:"packetsSentUnique"`
	PacketsReceivedUnique    uint64 `json:"packetsReceivedUnique"`
	PacketsSendLoss          uint64 `json:"packetsSendLoss"`
	PacketsReceivedLoss      uint64 `json:"packetsReceivedLoss"`
	PacketsRetrans           uint64 `json:"packetsRetrans"`
	PacketsReceivedRetrans   uint64 `json:"packetsReceivedRetrans"`
	PacketsSentACK           uint64 `json:"packetsSentACK"`
	PacketsReceivedACK       uint64 `json:"packetsReceivedACK"`
	PacketsSentNAK           uint64 `json:"packetsSentNAK"`
	PacketsReceivedNAK       uint64 `json:"packetsReceivedNAK"`
	PacketsSentKM            uint64 `json:"packetsSentKM"`
	PacketsReceivedKM        uint64 `json:"packetsReceivedKM"`
	USSndDuration            uint64 `json:"usSndDuration"`
	PacketsSendDrop          uint64 `json:"packetsSendDrop"`
	PacketsReceivedDrop      uint64 `json:"packetsReceivedDrop"`
	PacketsReceivedUndecrypt uint64 `json:"packetsReceivedUndecrypt"`

	BytesSent              uint64 `json:"bytesSent"`
	BytesReceived          uint64 `json:"bytesReceived"`
	BytesReceivedBelated   uint64 `json:"bytesReceivedBelated"`
	BytesSentUnique        uint64 `json:"bytesSentUnique"`
	BytesReceivedUnique    uint64 `json:"bytesReceivedUnique"`
	BytesReceivedLoss      uint64 `json:"bytesReceivedLoss"`
	BytesRetrans           uint64 `json:"bytesRetrans"`
	BytesReceivedRetrans   uint64 `json:"bytesReceivedRetrans"`
	BytesSendDrop          uint64 `json:"bytesSendDrop"`
	BytesReceivedDrop      uint64 `json:"bytesReceivedDrop"`
	BytesReceivedUndecrypt uint64 `json:"bytesReceivedUndecrypt"`

	USPacketsSendPeriod  float64 `json:"usPacketsSendPeriod"`
	PacketsFlowWindow    uint64  `json:"packetsFlowWindow"`
	PacketsFlightSize    uint64  `json:"packetsFlightSize"`
	MsRTT                float64 `json:"msRTT"`
	MbpsSendRate         float64 `json:"mbpsSendRate"`
	MbpsReceiveRate      float64 `json:"mbpsReceiveRate"`
	MbpsLinkCapacity     float64 `json:"mbpsLinkCapacity"`
	BytesAvailSendBuf    uint64  `json:"bytesAvailSendBuf"`
	BytesAvailReceiveBuf uint64  `json:"bytesAvailReceiveBuf"`
	MbpsMaxBW            float64 `json:"mbpsMaxBW"` // -1: no limit
	ByteMSS              uint64  `json:"byteMSS"`
	PacketsSendBuf       uint64  `json:"packetsSendBuf"`
	BytesSendBuf         uint64  `json:"bytesSendBuf"`
	MsSendBuf            uint64  `json:"msSendBuf"`
	MsSendTsbPdDelay     uint64  `json:"msSendTsbPdDelay"`
	PacketsReceiveBuf    uint64  `json:"packetsReceiveBuf"`
	BytesReceiveBuf      uint64  `json:"bytesReceiveBuf"`
	MsReceiveBuf         uint64  `json:"msReceiveBuf"`
	MsReceiveTsbPdDelay  uint64  `json:"msReceiveTsbPdDelay"`

	PacketsReorderTolerance       uint64  `json:"packetsReorderTolerance"`
	PacketsReceivedAvgBelatedTime uint64  `json:"packetsReceivedAvgBelatedTime"`
	PacketsSendLossRate           float64 `json:"packetsSendLossRate"`     // per cent
	PacketsReceivedLossRate       float64 `json:"packetsReceivedLossRate"` // per cent
	OutboundFramesDiscarded       uint64  `json:"outboundFramesDiscarded"`
}

// Info implements router.Session.
func (s *session) Info() router.SessionInfo {
	s.mu.Lock()
	c, state := s.conn, s.state
	s.mu.Unlock()
	d := &Details{
		ID: s.id, Created: s.created, RemoteAddr: s.addr.String(), State: state,
		Path: s.path, Query: s.query, User: s.user,
	}
	if c != nil {
		st := c.Stats()
		d.count(&st)
	}
	return router.SessionInfo{
		ID: s.id, Kind: kind, Created: s.created, RemoteAddr: d.RemoteAddr,
		Path: s.path, Query: s.query, User: s.user, State: state,
		In: d.BytesReceived, Out: d.BytesSent, Details: d,
	}
}

func (d *Details) count(st *srtcore.Stats) {
	d.countPackets(st)
	d.countBytes(st)
	d.USSndDuration = st.USSendDuration
	d.USPacketsSendPeriod = st.USPacketsSendPeriod
	d.MsRTT = st.MsRTT
	d.MbpsSendRate, d.MbpsReceiveRate = st.MbpsSendRate, st.MbpsReceiveRate
	d.MbpsLinkCapacity, d.MbpsMaxBW = st.MbpsLinkCapacity, st.MbpsMaxBW
	d.ByteMSS = st.ByteMSS
	d.MsSendBuf, d.MsReceiveBuf = st.MsSendBuf, st.MsReceiveBuf
	d.MsSendTsbPdDelay, d.MsReceiveTsbPdDelay = st.MsSendTsbPdDelay, st.MsReceiveTsbPdDelay
	d.OutboundFramesDiscarded = st.OutboundFramesDiscarded
}

func (d *Details) countPackets(st *srtcore.Stats) {
	d.PacketsSent, d.PacketsReceived = st.PacketsSent, st.PacketsReceived
	d.PacketsReceivedBelated = st.PacketsReceivedBelated
	d.PacketsSentUnique, d.PacketsReceivedUnique = st.PacketsSentUnique, st.PacketsReceivedUnique
	d.PacketsSendLoss, d.PacketsReceivedLoss = st.PacketsSendLoss, st.PacketsReceivedLoss
	d.PacketsRetrans, d.PacketsReceivedRetrans = st.PacketsRetrans, st.PacketsReceivedRetrans
	d.PacketsSentACK, d.PacketsReceivedACK = st.PacketsSentACK, st.PacketsReceivedACK
	d.PacketsSentNAK, d.PacketsReceivedNAK = st.PacketsSentNAK, st.PacketsReceivedNAK
	d.PacketsSentKM, d.PacketsReceivedKM = st.PacketsSentKM, st.PacketsReceivedKM
	d.PacketsSendDrop, d.PacketsReceivedDrop = st.PacketsSendDrop, st.PacketsReceivedDrop
	d.PacketsReceivedUndecrypt = st.PacketsReceivedUndecrypt
	d.PacketsFlowWindow, d.PacketsFlightSize = st.PacketsFlowWindow, st.PacketsFlightSize
	d.PacketsSendBuf, d.PacketsReceiveBuf = st.PacketsSendBuf, st.PacketsReceiveBuf
	d.PacketsReorderTolerance = st.PacketsReorderTolerance
	d.PacketsReceivedAvgBelatedTime = st.PacketsReceivedAvgBelatedTime
	d.PacketsSendLossRate, d.PacketsReceivedLossRate = st.PacketsSendLossRate, st.PacketsReceivedLossRate
}

func (d *Details) countBytes(st *srtcore.Stats) {
	d.BytesSent, d.BytesReceived = st.BytesSent, st.BytesReceived
	d.BytesReceivedBelated = st.BytesReceivedBelated
	d.BytesSentUnique, d.BytesReceivedUnique = st.BytesSentUnique, st.BytesReceivedUnique
	d.BytesReceivedLoss = st.BytesReceivedLoss
	d.BytesRetrans, d.BytesReceivedRetrans = st.BytesRetrans, st.BytesReceivedRetrans
	d.BytesSendDrop, d.BytesReceivedDrop = st.BytesSendDrop, st.BytesReceivedDrop
	d.BytesReceivedUndecrypt = st.BytesReceivedUndecrypt
	d.BytesAvailSendBuf, d.BytesAvailReceiveBuf = st.BytesAvailSendBuf, st.BytesAvailReceiveBuf
	d.BytesSendBuf, d.BytesReceiveBuf = st.BytesSendBuf, st.BytesReceiveBuf
}
