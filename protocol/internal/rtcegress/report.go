package rtcegress

import (
	"encoding/binary"
	"time"

	"github.com/pion/rtcp"

	"github.com/org/mtx/protocol/internal/egress"
)

// reportPeriod is the interval of sender reports that the viewer makes by itself, nanoseconds.
const reportPeriod = int64(time.Second)

// ntpTime converts Unix time in nanoseconds (RFC 3550 section 4).
func ntpTime(unix int64) uint64 {
	const epoch = 2208988800 // seconds from 1900 to 1970
	s, ns := uint64(unix/1e9), uint64(unix%1e9)
	return (s+epoch)<<32 | ns<<32/1e9
}

// timestamp returns the RTP time of the first packet of a block.
func timestamp(b *egress.Block) uint32 {
	if len(b.Data) < rtpHeaderSize {
		return 0
	}
	return binary.BigEndian.Uint32(b.Data[4:])
}

// relay passes a report of the group on: what it says about time (RFC 3550 section 6.4.1).
func (v *Viewer) relay(t *viewerTrack, b *egress.Block, now int64) {
	const (
		typeSR  = 200
		minSize = 28
	)
	if len(b.Data) < minSize || b.Data[1] != typeSR {
		return
	}
	v.told = true
	v.report(t, binary.BigEndian.Uint64(b.Data[8:]), binary.BigEndian.Uint32(b.Data[16:]), now)
}

// report sends a sender report. The caller holds v.mu.
func (v *Viewer) report(t *viewerTrack, ntp uint64, rtpTime uint32, now int64) {
	t.reported = now
	pkts := []rtcp.Packet{
		&rtcp.SenderReport{
			SSRC: t.to.ssrc, NTPTime: ntp, RTPTime: rtpTime, PacketCount: t.packets, OctetCount: t.octets,
		},
		rtcp.NewCNAMESourceDescription(t.to.ssrc, t.track.StreamID()), // as in the SDP
	}
	if v.slow {
		v.enqueue(queued{at: now, report: pkts})
		return
	}
	v.writeReport(pkts, now)
}

func (v *Viewer) writeReport(pkts []rtcp.Packet, now int64) {
	if v.writeRTCP == nil || v.writeRTCP(pkts) != nil {
		return // not connected
	}
	n := 0
	for _, p := range pkts {
		n += p.MarshalSize()
	}
	v.Sent(1, n, true, now)
}
