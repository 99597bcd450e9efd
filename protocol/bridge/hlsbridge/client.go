package hlsbridge

import (
	"github.com/bluenviron/gohlslib/v2"
	"github.com/bluenviron/gohlslib/v2/pkg/codecs"

	"github.com/org/mtx/router/media"
)

// FromTrack returns the track of the media model for one of a gohlslib.Client;
// false if it has no codec that we know.
func FromTrack(t *gohlslib.Track) (media.Track, bool) {
	out := media.Track{Name: t.Name, Language: t.Language}
	switch c := t.Codec.(type) {
	case *codecs.H264:
		out.Codec = &media.H264{SPS: notEmpty(c.SPS), PPS: notEmpty(c.PPS)}
	case *codecs.H265:
		out.Codec = &media.H265{VPS: notEmpty(c.VPS), SPS: notEmpty(c.SPS), PPS: notEmpty(c.PPS)}
	case *codecs.AV1:
		out.Codec = &media.AV1{SequenceHeader: notEmpty(c.SequenceHeader)}
	case *codecs.VP9:
		out.Codec = &media.VP9{Width: c.Width, Height: c.Height, Profile: int(c.Profile)}
	case *codecs.Opus:
		out.Codec = &media.Opus{ChannelCount: c.ChannelCount}
	case *codecs.MPEG4Audio:
		conf := c.Config
		out.Codec = &media.MPEG4Audio{Config: &conf}
	case *codecs.FLAC:
		if c.StreamInfo == nil {
			return out, false
		}
		info, err := c.StreamInfo.Marshal()
		if err != nil {
			return out, false
		}
		out.Codec = &media.FLAC{
			SampleRate: int(c.StreamInfo.SampleRate), ChannelCount: int(c.StreamInfo.ChannelCount), StreamInfo: info,
		}
	case *codecs.KLV:
		out.Codec = &media.KLV{}
	default:
		return out, false
	}
	return out, out.Codec.ClockRate() > 0 && t.ClockRate > 0
}

func notEmpty(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b
}

// OnData makes the client call f with the data of a track. PTS is in ticks of
// the clock of the track in the media model.
func OnData(c *gohlslib.Client, t *gohlslib.Track, f func(pts int64, payload [][]byte)) {
	m, ok := FromTrack(t)
	if !ok {
		return
	}
	from, to := int64(t.ClockRate), int64(m.Codec.ClockRate())
	rescaled := func(pts int64, payload [][]byte) {
		f(pts/from*to+pts%from*to/from, payload)
	}
	single := func(pts int64, p []byte) { rescaled(pts, [][]byte{p}) }
	switch t.Codec.(type) {
	case *codecs.H264, *codecs.H265:
		c.OnDataH26x(t, func(pts, _ int64, au [][]byte) { rescaled(pts, au) })
	case *codecs.AV1:
		c.OnDataAV1(t, rescaled)
	case *codecs.VP9:
		c.OnDataVP9(t, single)
	case *codecs.Opus:
		c.OnDataOpus(t, rescaled)
	case *codecs.MPEG4Audio:
		c.OnDataMPEG4Audio(t, rescaled)
	case *codecs.FLAC:
		c.OnDataFLAC(t, single)
	case *codecs.KLV:
		c.OnDataKLV(t, single)
	}
}
