package rtsp

import (
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/bluenviron/gortsplib/v5/pkg/headers"
	"github.com/bluenviron/gortsplib/v5/pkg/ntp"
	"github.com/pion/rtcp"

	"github.com/org/mtx/router/routertest"
)

// A reader that comes before the first packets gets reports together with them.
func TestReportsOfFirstPackets(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]mode{"tcp": overTCP, "udp": overUDP} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newRig(t, anyPath(), plainServer())
			p := g.publish("s", overTCP, newSession(video(h264Format(96)), audio(&format.Opus{PayloadTyp: 97, ChannelCount: 2})))
			rd := g.read("s", m)
			cname := ""
			for i, rtpTime := range []uint32{90000, 48000} {
				if i == 0 {
					p.write(0, h264Frame(96, 500, rtpTime, 2, 100)...)
				} else {
					p.write(1, audioPacket(97, 700, rtpTime, 50))
				}
				checkReports(t, rd.reported(i), rd.got(i, 96+i, 1)[0].SSRC, rtpTime, &cname)
			}
		})
	}
}

// What passed while nobody read is no position for those who come later.
func TestNoStalePosition(t *testing.T) {
	t.Parallel()
	g := newRig(t, anyPath(), plainServer())
	p := g.publish("s", overTCP, newSession(video(h264Format(96))))
	first := g.read("s", overTCP)
	p.write(0, h264Frame(96, 500, 90000, 2, 100)...)
	first.got(0, 96, 2)
	first.Close()
	routertest.Eventually(t, "nobody reads", func() bool { return len(g.sessions("read")) == 0 })

	rd := g.read("s", overTCP)
	var info headers.RTPInfo
	if h := rd.play.Header["RTP-Info"]; h != nil {
		if err := info.Unmarshal(h); err != nil {
			t.Fatal(err)
		}
	}
	for _, i := range info {
		if i.SequenceNumber != nil || i.Timestamp != nil {
			t.Errorf("RTP-Info tells a position: %v", rd.play.Header["RTP-Info"])
		}
	}
	p.write(0, h264Frame(96, 900, 990000, 2, 100)...)
	cname := ""
	checkReports(t, rd.reported(0), rd.got(0, 96, 1)[0].SSRC, 990000, &cname)
}

// When a publisher tells how its tracks are aligned, readers are told too.
func TestReportsOfMovedTracks(t *testing.T) {
	t.Parallel()
	g := newRig(t, anyPath(), plainServer())
	p := g.publish("s", overTCP, newSession(video(h264Format(96)), audio(&format.Opus{PayloadTyp: 97, ChannelCount: 2})))
	rd := g.read("s", overTCP)
	p.write(0, h264Frame(96, 500, 90000, 2, 100)...)
	p.write(1, audioPacket(97, 700, 48000, 50))
	rd.await("the first report", func() bool { return len(audioReports(rd)) == 1 })

	const later = 2 * time.Second // is what was heard, than what was seen
	seen := time.Now()
	for i, sr := range []*rtcp.SenderReport{
		{NTPTime: ntp.Encode(seen), RTPTime: 90000},
		{NTPTime: ntp.Encode(seen.Add(later)), RTPTime: 48000},
	} {
		if err := p.WritePacketRTCP(p.desc.Medias[i], sr); err != nil {
			t.Fatal(err)
		}
	}
	seq, rtpTime := uint16(700), uint32(48000)
	routertest.Eventually(t, "another report", func() bool {
		seq, rtpTime = seq+1, rtpTime+960
		p.write(1, audioPacket(97, seq, rtpTime, 50))
		rd.mu.Lock()
		defer rd.mu.Unlock()
		return len(audioReports(rd)) > 1
	})
	rd.mu.Lock()
	defer rd.mu.Unlock()
	all := audioReports(rd)
	passed := time.Duration(all[1].RTPTime-all[0].RTPTime) * time.Second / 48000
	moved := ntp.Decode(all[1].NTPTime).Sub(ntp.Decode(all[0].NTPTime)) - passed
	if d := (moved - later).Abs(); d > 500*time.Millisecond {
		t.Errorf("audio has moved by %v, want about %v", moved, later)
	}
}

// audioReports are the sender reports of the second section.
func audioReports(rd *reader) []*rtcp.SenderReport {
	var out []*rtcp.SenderReport
	for _, pkt := range rd.reports[1] {
		if sr, ok := pkt.(*rtcp.SenderReport); ok {
			out = append(out, sr)
		}
	}
	return out
}
