package config

import (
	"context"
	"time"

	"github.com/org/mtx/router"
	"github.com/org/mtx/source/failover"
	srchls "github.com/org/mtx/source/hls"
	"github.com/org/mtx/source/mpegts"
	"github.com/org/mtx/source/redirect"
	srcrtmp "github.com/org/mtx/source/rtmp"
	srcrtp "github.com/org/mtx/source/rtp"
	srcrtsp "github.com/org/mtx/source/rtsp"
	srcsrt "github.com/org/mtx/source/srt"
	srcwhep "github.com/org/mtx/source/whep"
)

// buildSource returns nil if the path waits for publishers.
func (d *Document) buildSource(p *Path) router.Source {
	if len(p.Sources) > 0 {
		return d.buildFailover(p)
	}
	switch p.Source {
	case sourcePublisher:
		return nil
	case sourceRedirect:
		return redirect.Source{URL: p.SourceRedirect}
	}
	read, write := time.Duration(d.ReadTimeout), time.Duration(d.WriteTimeout)
	switch f := sourceFamily(p.Source); f {
	case familyRTSP:
		return d.buildRTSPSource(p)
	case familyRTMP:
		return &srcrtmp.Source{URL: p.Source, Fingerprint: p.SourceFingerprint, ReadTimeout: read, WriteTimeout: write}
	case familyHLS:
		return &srchls.Source{URL: p.Source, Fingerprint: p.SourceFingerprint, ReadTimeout: read}
	case familySRT:
		return &srcsrt.Source{URL: p.Source, ReadTimeout: read, UDPReadBufferSize: d.UDPReadBufferSize}
	case familyMPEGTS:
		return &mpegts.Source{URL: p.Source, ReadTimeout: read, UDPReadBufferSize: d.udpBuffer(p.MPEGTSUDPReadBufferSize)}
	case familyRTP:
		return &srcrtp.Source{URL: p.Source, SDP: p.RTPSDP, ReadTimeout: read, UDPReadBufferSize: d.udpBuffer(p.RTPUDPReadBufferSize)}
	case familyWHEP:
		return srcwhep.Source{
			URL: p.Source, BearerToken: p.WHEPBearerToken, Fingerprint: p.SourceFingerprint, ReadTimeout: read,
			STUNGatherTimeout: time.Duration(p.WHEPSTUNGatherTimeout), HandshakeTimeout: time.Duration(p.WHEPHandshakeTimeout),
			TrackGatherTimeout: time.Duration(p.WHEPTrackGatherTimeout),
		}
	case familyCamera:
		return p.buildCamera(read)
	default:
		return laterSource{Family: string(f)}
	}
}

// buildFailover makes one source of several.
func (d *Document) buildFailover(p *Path) *failover.Source {
	s := &failover.Source{StallTimeout: time.Duration(p.SourceStallTimeout)}
	for _, one := range p.eachSource() {
		s.Sources = append(s.Sources, d.buildSource(&one))
	}
	return s
}

// eachSource returns, for each of the sources of a path, the path with this
// source only.
func (p *Path) eachSource() []Path {
	if len(p.Sources) == 0 {
		return []Path{*p}
	}
	list := make([]Path, len(p.Sources))
	for i, s := range p.Sources {
		list[i] = *p
		list[i].Source, list[i].Sources = s, nil
	}
	return list
}

// udpBuffer returns the size of a receive buffer: that of a deprecated key of
// the path, if it is set.
func (d *Document) udpBuffer(own int) int {
	if own > 0 {
		return own
	}
	return d.UDPReadBufferSize
}

func (d *Document) buildRTSPSource(p *Path) *srcrtsp.Source {
	s := &srcrtsp.Source{
		URL:                p.Source,
		Transport:          srcrtsp.Transport(p.RTSPTransport),
		AnyPort:            p.RTSPAnyPort,
		Fingerprint:        p.SourceFingerprint,
		RangeType:          string(p.RTSPRangeType),
		RangeStart:         p.RTSPRangeStart,
		Scale:              p.RTSPScale,
		UDPSourcePortRange: p.RTSPUDPSourcePortRange,
		UDPReadBufferSize:  d.udpBuffer(p.RTSPUDPReadBufferSize),
		ReadTimeout:        time.Duration(d.ReadTimeout),
		WriteTimeout:       time.Duration(d.WriteTimeout),
		DemuxMPEGTS:        p.RTSPDemuxMpegts,
	}
	switch p.RTSPRangeType {
	case "":
		s.RangeStart = ""
	case "clock":
		if t, err := time.Parse("20060102T150405Z", p.RTSPRangeStart); err == nil {
			s.RangeStart = t.Format(time.RFC3339)
		}
	default:
		if t, err := parseDuration(p.RTSPRangeStart); err == nil {
			s.RangeStart = t.String() // without days
		}
	}
	return s
}

// laterSource stands for a source that this version cannot pull. The path must
// not accept publishers in its place, so it is a source that delivers nothing.
// [Document.NotInForce] tells the user.
type laterSource struct{ Family string }

// Type implements router.Source.
func (s laterSource) Type() string { return s.Family + "Source" }

// Run implements router.Source.
func (s laterSource) Run(ctx context.Context, run *router.SourceRun) error {
	run.Log.Warn("sources of this kind have no effect in this version", "kind", s.Family)
	<-ctx.Done()
	return ctx.Err()
}
