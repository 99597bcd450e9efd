package config

import (
	"time"

	"github.com/org/mtx/protocol/rtmp"
	"github.com/org/mtx/protocol/rtsp"
	"github.com/org/mtx/protocol/srt"
	"github.com/org/mtx/protocol/webrtc"
	"github.com/org/mtx/router"
)

// failoverGrace is how long readers wait for the next one of several sources,
// unless publisherGracePeriod says it.
const failoverGrace = 20 * time.Second

func (d *Document) buildPath(p *Path, s Shared) router.PathConfig {
	c := router.PathConfig{
		Name:                 p.Name,
		Source:               d.buildSource(p),
		MaxReaders:           p.MaxReaders,
		Override:             p.OverridePublisher,
		Fallback:             p.Fallback,
		PublisherGrace:       time.Duration(p.PublisherGracePeriod),
		UseAbsoluteTimestamp: p.UseAbsoluteTimestamp,
	}
	if p.GOPCache {
		c.GOPCache.MaxBytes = int(p.GOPCacheMaxSize)
	}
	if len(p.Sources) > 0 && c.PublisherGrace == 0 {
		// a source that stalls, and the next one that has to connect
		c.PublisherGrace = time.Duration(p.SourceStallTimeout) + failoverGrace
	}
	if p.SourceOnDemand {
		c.OnDemand = router.OnDemand{
			Enabled:      true,
			StartTimeout: time.Duration(p.SourceOnDemandStartTimeout),
			CloseAfter:   time.Duration(p.SourceOnDemandCloseAfter),
		}
	}
	if c.Source == nil && (p.RunOnDemand != "" || p.RunOnUnDemand != "") {
		d.invite(p, s, &c)
	}
	if commands, ok := d.buildCommands(p, s); ok {
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
