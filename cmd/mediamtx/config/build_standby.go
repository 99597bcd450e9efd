package config

import (
	"cmp"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
	"github.com/org/mtx/standby"
)

// buildStandby returns what a path shows while nobody publishes; nil if nothing.
// It reads the file, if there is one.
func buildStandby(p *Path) (router.Standby, error) {
	if !p.AlwaysAvailable {
		return nil, nil // a path without standby is no error
	}
	var s *standby.Segment
	var err error
	if p.AlwaysAvailableFile != "" {
		s, err = standby.Open(p.AlwaysAvailableFile)
	} else {
		list := make([]media.Codec, len(p.AlwaysAvailableTracks))
		for i := range list {
			list[i] = p.AlwaysAvailableTracks[i].codec()
		}
		s, err = standby.New(list...)
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// codec returns nil for codecs that do not exist.
func (t *OfflineTrack) codec() media.Codec {
	switch t.Codec {
	case "AV1":
		return &media.AV1{}
	case "VP9":
		return &media.VP9{}
	case "H265":
		return &media.H265{}
	case "H264":
		return &media.H264{}
	case "Opus":
		return &media.Opus{ChannelCount: cmp.Or(t.ChannelCount, 2)}
	case "MPEG4Audio":
		conf := &mpeg4audio.AudioSpecificConfig{
			Type: mpeg4audio.ObjectTypeAACLC, SampleRate: t.SampleRate,
			ChannelConfig: uint8(min(t.ChannelCount, 255)),
		}
		if t.ChannelCount == 8 {
			conf.ChannelConfig = 7 // 7.1
		}
		return &media.MPEG4Audio{Config: conf}
	case "G711":
		return &media.G711{MULaw: t.MuLaw, SampleRate: t.SampleRate, ChannelCount: t.ChannelCount}
	case "LPCM":
		return &media.LPCM{BitDepth: 16, SampleRate: t.SampleRate, ChannelCount: t.ChannelCount}
	}
	return nil
}
