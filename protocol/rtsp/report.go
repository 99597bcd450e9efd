package rtsp

import (
	"strconv"
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/ntp"
	"github.com/pion/rtcp"

	"github.com/org/mtx/protocol/bridge/rtpbridge"
	"github.com/org/mtx/protocol/internal/egress"
	"github.com/org/mtx/router/media"
)

const (
	// reportPeriod is the interval of RTCP sender reports.
	reportPeriod = 10 * time.Second

	// minReportPause is the least interval, between reports that are sent because
	// a track has moved.
	minReportPause = 100 * time.Millisecond

	// maxReportError is how far a track may move, against what the last report
	// told, until the next regular report.
	maxReportError = 10 * time.Millisecond
)

// rtpHeaderSize is the size of the headers that we send, bytes.
const rtpHeaderSize = 12

// report is what sender reports tell about a track. All readers get the same.
type report struct {
	packets, octets uint32
	last            time.Time // when packets were sent last
	sent            time.Time // when the last report was
	rtpTime         uint32    // that the last report told, and its absolute time
	ntp             time.Time
}

func (r *report) count(packets, bytes int) {
	r.packets += uint32(packets)
	r.octets += uint32(bytes - rtpHeaderSize*packets)
	r.last = time.Now()
}

// due tells whether it is time for another report. The first one comes with the
// first packets: without it, readers that were there before would have to guess
// how the tracks are aligned. Another one is due when tracks were moved against
// each other, because the publisher told only then where they belong.
func (f *fan) due(t *fanTrack) bool {
	r := &t.report
	switch since := r.last.Sub(r.sent); {
	case r.sent.IsZero() || since >= reportPeriod:
		return true
	case since < minReportPause:
		return false
	}
	_, rtpTime, at, _ := t.pk.Position()
	told := r.ntp.Add(media.Duration(int64(int32(rtpTime-r.rtpTime)), rtpbridge.ClockRate(t.ref.Format)))
	return at.Sub(told).Abs() > maxReportError
}

// forget makes the position unknown until the next packet.
func (r *report) forget() { r.last, r.sent = time.Time{}, time.Time{} }

// senderReport makes a compound packet of sender report and source description (RFC
// 3550 section 6.1). The name ties the tracks of a stream together. It returns
// nil before the first packet.
func (f *fan) senderReport(t *fanTrack) []byte {
	if t == nil {
		return nil
	}
	_, rtpTime, when, ok := t.pk.Position()
	if !ok || when.IsZero() || t.report.last.IsZero() {
		return nil
	}
	b, err := rtcp.Marshal([]rtcp.Packet{
		&rtcp.SenderReport{
			SSRC: t.ssrc, NTPTime: ntp.Encode(when), RTPTime: rtpTime,
			PacketCount: t.report.packets, OctetCount: t.report.octets,
		},
		rtcp.NewCNAMESourceDescription(t.ssrc, "mtx-"+strconv.FormatUint(uint64(f.first().ssrc), 16)),
	})
	if err != nil {
		return nil
	}
	return b
}

// first is the track after which the stream is named.
func (f *fan) first() *fanTrack {
	for _, t := range f.tracks {
		if t != nil {
			return t
		}
	}
	return nil
}

// reportsLocked makes reports for readers of these tracks, about those of which
// there is something to report yet. f.mu is held.
func (f *fan) reportsLocked(r egress.Reader, tracks []int) []*egress.Message {
	var list []*egress.Message
	for _, i := range tracks {
		if b := f.senderReport(f.tracks[i]); b != nil {
			list = append(list, f.reportMessage(f.tracks[i], r.Wants(), b))
		}
	}
	return list
}

// reportMessage makes a message of a report for readers that want these encodings.
func (f *fan) reportMessage(t *fanTrack, wants []egress.Want, rtcp []byte) *egress.Message {
	m := f.sv.pool.NewMessage()
	m.Track, m.Control = t.index, true
	for _, w := range wants {
		if w.Track != t.index {
			continue
		}
		if w.Channel == egress.AsPackets {
			f.setPackets(m, rtcp)
		} else {
			f.setFrame(m, uint8(w.Channel), rtcp)
		}
	}
	return m
}

// reportAll sends a report to all readers. f.mu is held.
func (f *fan) reportAll(t *fanTrack) {
	b := f.senderReport(t)
	if b == nil {
		return
	}
	_, t.report.rtpTime, t.report.ntp, _ = t.pk.Position()
	t.report.sent = t.report.last
	m := f.sv.pool.NewMessage()
	m.Track, m.Control = t.index, true
	for _, ch := range f.group.Channels(t.index) {
		f.setFrame(m, ch, b)
	}
	if f.group.WantsPackets(t.index) {
		f.setPackets(m, b)
	}
	f.group.Send(m)
	f.reportLive(t, b)
}

// setFrame adds RTCP for the readers that have the track on an RTP channel: it
// goes to the channel after it.
func (f *fan) setFrame(m *egress.Message, channel uint8, rtcp []byte) {
	b := f.sv.pool.Get(len(rtcp) + 4)
	b.AppendFrame(channel+1, rtcp)
	m.SetInterleaved(channel, b)
}

func (f *fan) setPackets(m *egress.Message, rtcp []byte) {
	b := f.sv.pool.Get(len(rtcp))
	b.AppendPacket(rtcp)
	m.SetPackets(b)
}

// position is what RTP-Info tells about a track: its next sequence number, and
// the RTP time of now.
func (f *fan) position(t *fanTrack) (seq *uint16, rtpTime *uint32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	next, ts, _, ok := t.pk.Position()
	if !ok || t.report.last.IsZero() {
		return nil, nil
	}
	rate := rtpbridge.ClockRate(t.ref.Format)
	// a little earlier, so that no frame comes before the start; as much for all
	// tracks, so that they stay aligned
	const early = 100 * time.Millisecond
	ts += uint32(media.Ticks(time.Since(t.report.last)-early, rate))
	return &next, &ts
}
