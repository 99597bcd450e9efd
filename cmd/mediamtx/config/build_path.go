package config

import (
	"time"

	"github.com/org/mtx/protocol/rtmp"
	"github.com/org/mtx/protocol/rtsp"
	"github.com/org/mtx/protocol/srt"
	"github.com/org/mtx/protocol/webrtc"
	"github.com/org/mtx/router"
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
	if p.Source == sourcePublisher && (p.RunOnDemand != "" || p.RunOnUnDemand != "") {
		d.invite(p, &c)
	}
	if commands, ok := d.buildCommands(p); ok {
		c.Extras = append(c.Extras, commands)
	}
	if p.RTSPDemuxMpegts {
		c.Extras = append(c.Extras, rtsp.PathOptions{DemuxMPEGTS: true})
	}
	if p.SRTPublishPassphrase != "" || p.SRTReadPassphrase != "" {
		c.Extras = append(c.Extras, srt.PathOptions{
			PublishPassphrase: p.SRTPublishPassphrase,
			ReadPassphrase:    p.SRTReadPassphrase,
		})
	}
	for _, dest := range p.Forward {
		if s := d.buildForward(dest); s != nil {
			c.Sinks = append(c.Sinks, s)
		}
	}
	return c
}

// buildForward returns nil for destinations that this version cannot reach.
// [Document.NotInForce] tells the user.
func (d *Document) buildForward(dest string) router.Sink {
	read, write := time.Duration(d.ReadTimeout), time.Duration(d.WriteTimeout)
	switch forwardFamily(dest) {
	case familyRTSP:
		return &rtsp.Forward{URL: dest, ReadTimeout: read, WriteTimeout: write}
	case familyRTMP:
		return &rtmp.Forward{URL: dest, ReadTimeout: read, WriteTimeout: write}
	case familySRT:
		return &srt.Forward{URL: dest, ReadTimeout: read}
	case familyWHIP:
		return webrtc.Forward{URL: dest, ReadTimeout: read}
	}
	return nil
}
