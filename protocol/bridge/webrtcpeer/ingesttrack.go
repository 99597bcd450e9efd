package webrtcpeer

import (
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

func ridOf(attribute string) string {
	rid, _, _ := strings.Cut(attribute, " ")
	return rid
}

// onTrack is called by the library when the first packet of a track is there.
func (r *Receiver) onTrack(track *webrtc.TrackRemote, recv *webrtc.RTPReceiver) {
	codec := track.Codec()
	o := offeredOf(codec)
	f := formatOf(&o)
	if f == nil {
		r.log.Debug("track ignored", "codec", codec.MimeType)
		return
	}
	in := &ingest{
		r: r, track: track, recv: recv, rid: track.RID(), format: f,
		video: o.kind == webrtc.RTPCodecTypeVideo, clock: float64(max(o.clock, 1)),
	}
	in.index.Store(-1)
	for _, fb := range codec.RTCPFeedback {
		switch {
		case fb.Type == "nack" && fb.Parameter == "":
			in.nack = true
		case fb.Type == "nack" && fb.Parameter == "pli":
			in.pli = true
		case fb.Type == "ccm" && fb.Parameter == "fir":
			in.fir = true
		}
	}
	if r.o.UseAbsoluteTimestamp {
		for _, e := range recv.GetParameters().HeaderExtensions {
			if e.URI == absCaptureTimeURI {
				in.abs = e.ID
			}
		}
	}
	if !r.admit(in) {
		return
	}
	r.goRead(in.read)
	r.goRead(in.readRTCP)
}

// admit adds a track unless there are enough, or it is too late.
func (r *Receiver) admit(in *ingest) bool {
	mid := ""
	for _, t := range r.pc.GetTransceivers() {
		if t.Receiver() == in.recv {
			mid = t.Mid()
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.frozen || len(r.ingests) >= maxTracks {
		r.log.Warn("track ignored: it came after the others", "codec", in.track.Codec().MimeType)
		return false
	}
	section := slices.IndexFunc(r.sections, func(s receiveSection) bool { return s.mid == mid })
	if section < 0 {
		section = len(r.sections)
	} else {
		in.place = 1 + slices.Index(r.sections[section].rids, in.rid)
	}
	in.place += section * (maxRIDs + 1)
	r.ingests = append(r.ingests, in)
	return true
}

// readRTCP is the goroutine of the reports of the track.
func (in *ingest) readRTCP() {
	buf := make([]byte, receiveMTU)
	for fails := 0; fails < readErrors; {
		var n int
		var err error
		if in.rid == "" {
			n, _, err = in.recv.Read(buf)
		} else {
			n, _, err = in.recv.ReadSimulcast(buf, in.rid)
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe) || in.r.closing.Load() {
			return
		}
		if err != nil {
			fails++
			continue
		}
		fails = 0
		in.r.counters.inRTCP.Add(1)
		in.r.counters.inBytes.Add(uint64(n))
		pkts, err := rtcp.Unmarshal(buf[:n])
		if err != nil {
			continue
		}
		for _, pkt := range pkts {
			if sr, ok := pkt.(*rtcp.SenderReport); ok && sr.SSRC == uint32(in.track.SSRC()) && !in.hasAbs.Load() {
				in.senderReport(sr)
			}
		}
	}
}

func (in *ingest) senderReport(sr *rtcp.SenderReport) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.sink == nil {
		in.report = sr
		return
	}
	in.sink.SenderReport(in.sinkAt, sr, time.Now())
}

// captureTime returns the header extension abs-capture-time in the form of a
// sender report, which it replaces: it tells when, RFC 5905 time in 64 bits.
func (in *ingest) captureTime(pkt *rtp.Packet) *rtcp.SenderReport {
	if in.abs == 0 {
		return nil
	}
	ext := pkt.GetExtension(uint8(in.abs))
	if len(ext) < 8 {
		return nil
	}
	in.hasAbs.Store(true)
	return &rtcp.SenderReport{SSRC: pkt.SSRC, NTPTime: binary.BigEndian.Uint64(ext), RTPTime: pkt.Timestamp}
}
