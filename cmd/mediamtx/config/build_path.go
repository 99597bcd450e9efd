package config

import (
	"context"
	"time"

	"github.com/org/mtx/protocol/rtsp"
	"github.com/org/mtx/router"
	"github.com/org/mtx/source/redirect"
	srcrtsp "github.com/org/mtx/source/rtsp"
)

func (d *Document) buildPath(p *Path) router.PathConfig {
	c := router.PathConfig{
		Name:                 p.Name,
		Source:               d.buildSource(p),
		MaxReaders:           p.MaxReaders,
		Override:             p.OverridePublisher,
		Fallback:             p.Fallback,
		UseAbsoluteTimestamp: p.UseAbsoluteTimestamp,
	}
	if p.SourceOnDemand {
		c.OnDemand = router.OnDemand{
			Enabled:      true,
			StartTimeout: time.Duration(p.SourceOnDemandStartTimeout),
			CloseAfter:   time.Duration(p.SourceOnDemandCloseAfter),
		}
	}
	if p.RTSPDemuxMpegts {
		c.Extras = append(c.Extras, rtsp.PathOptions{DemuxMPEGTS: true})
	}
	for _, dest := range p.Forward {
		if forwardInForce(dest) {
			c.Sinks = append(c.Sinks, &rtsp.Forward{
				URL:          dest,
				ReadTimeout:  time.Duration(d.ReadTimeout),
				WriteTimeout: time.Duration(d.WriteTimeout),
			})
		}
	}
	return c
}

// buildSource returns nil if the path waits for publishers.
func (d *Document) buildSource(p *Path) router.Source {
	switch p.Source {
	case sourcePublisher:
		return nil
	case sourceRedirect:
		return redirect.Source{URL: p.SourceRedirect}
	}
	f := sourceFamily(p.Source)
	if f != familyRTSP {
		return laterSource{Family: string(f)}
	}
	s := &srcrtsp.Source{
		URL:                p.Source,
		Transport:          srcrtsp.Transport(p.RTSPTransport),
		AnyPort:            p.RTSPAnyPort,
		Fingerprint:        p.SourceFingerprint,
		RangeType:          string(p.RTSPRangeType),
		RangeStart:         p.RTSPRangeStart,
		Scale:              p.RTSPScale,
		UDPSourcePortRange: p.RTSPUDPSourcePortRange,
		UDPReadBufferSize:  d.UDPReadBufferSize,
		ReadTimeout:        time.Duration(d.ReadTimeout),
		WriteTimeout:       time.Duration(d.WriteTimeout),
		DemuxMPEGTS:        p.RTSPDemuxMpegts,
	}
	if p.RTSPUDPReadBufferSize > 0 {
		s.UDPReadBufferSize = p.RTSPUDPReadBufferSize
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
	run.Log.Warn("sources of this kind are not yet in force", "kind", s.Family)
	<-ctx.Done()
	return ctx.Err()
}
