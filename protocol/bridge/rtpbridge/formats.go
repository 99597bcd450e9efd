package rtpbridge

import (
	"fmt"

	"github.com/bluenviron/gortsplib/v5/pkg/format"

	"github.com/org/mtx/router/media"
)

// CodecOf returns the codec that a format carries. It never fails: what has no
// codec of its own, or is packed in a way that cannot be unpacked (H264 with
// packetization-mode 2, H265 with sprop-max-don-diff), is a [media.Generic],
// which passes through as packets.
func CodecOf(f format.Format) media.Codec {
	if !unpackable(f) {
		return genericOf(f)
	}

	switch f := f.(type) {
	case *format.AV1:
		return &media.AV1{}
	case *format.VP9:
		return &media.VP9{}
	case *format.VP8:
		return &media.VP8{}
	case *format.H265:
		return &media.H265{VPS: f.VPS, SPS: f.SPS, PPS: f.PPS}
	case *format.H264:
		return &media.H264{SPS: f.SPS, PPS: f.PPS}
	case *format.MPEG4Video:
		return &media.MPEG4Video{Config: f.Config}
	case *format.MPEG1Video:
		return &media.MPEG1Video{}
	case *format.MJPEG:
		return &media.MJPEG{}
	case *format.KLV:
		return &media.KLV{}
	case *format.MPEGTS:
		return &media.MPEGTS{}
	}
	if c := audioCodecOf(f); c != nil {
		return c
	}
	return genericOf(f)
}

func audioCodecOf(f format.Format) media.Codec {
	switch f := f.(type) {
	case *format.Opus:
		return &media.Opus{ChannelCount: f.ChannelCount}
	case *format.Vorbis:
		return &media.Vorbis{
			SampleRate:    f.SampleRate,
			ChannelCount:  f.ChannelCount,
			Configuration: f.Configuration,
		}
	case *format.MPEG4Audio:
		return &media.MPEG4Audio{Config: f.Config}
	case *format.MPEG4AudioLATM:
		return &media.MPEG4AudioLATM{Config: f.StreamMuxConfig, Rate: f.ClockRate()}
	case *format.MPEG1Audio:
		return &media.MPEG1Audio{}
	case *format.AC3:
		return &media.AC3{SampleRate: f.SampleRate, ChannelCount: f.ChannelCount}
	case *format.Speex:
		return &media.Speex{SampleRate: f.SampleRate, VBR: f.VBR}
	case *format.G726:
		return &media.G726{BitRate: f.BitRate, BigEndian: f.BigEndian}
	case *format.G722:
		return &media.G722{}
	case *format.G711:
		return &media.G711{MULaw: f.MULaw, SampleRate: f.SampleRate, ChannelCount: f.ChannelCount}
	case *format.LPCM:
		return &media.LPCM{BitDepth: f.BitDepth, SampleRate: f.SampleRate, ChannelCount: f.ChannelCount}
	}
	return nil
}

// FormatOf returns the format in which a codec is sent to readers. Codecs that
// own a static payload type (RFC 3551 section 6) get that one if their
// parameters are those of the payload type, the others get payloadType.
//
// It fails if the codec cannot be sent over RTP (FLAC), or if parameters
// without which it cannot be described are missing.
func FormatOf(c media.Codec, payloadType uint8) (format.Format, error) {
	switch c := c.(type) {
	case *media.AV1:
		return &format.AV1{PayloadTyp: payloadType}, nil
	case *media.VP9:
		return &format.VP9{PayloadTyp: payloadType}, nil
	case *media.VP8:
		return &format.VP8{PayloadTyp: payloadType}, nil
	case *media.H265:
		return &format.H265{PayloadTyp: payloadType, VPS: c.VPS, SPS: c.SPS, PPS: c.PPS}, nil
	case *media.H264:
		return &format.H264{PayloadTyp: payloadType, SPS: c.SPS, PPS: c.PPS, PacketizationMode: 1}, nil
	case *media.MPEG4Video:
		// profile-level-id 1 is the default of RFC 6416 section 7.1
		return &format.MPEG4Video{PayloadTyp: payloadType, ProfileLevelID: 1, Config: c.Config}, nil
	case *media.MPEG1Video:
		return &format.MPEG1Video{}, nil
	case *media.MJPEG:
		return &format.MJPEG{}, nil
	case *media.KLV:
		return &format.KLV{PayloadTyp: payloadType}, nil
	case *media.MPEGTS:
		return &format.MPEGTS{}, nil
	case *media.Generic:
		return genericFormat(c, payloadType)
	}
	return audioFormatOf(c, payloadType)
}

func audioFormatOf(c media.Codec, payloadType uint8) (format.Format, error) {
	switch c := c.(type) {
	case *media.Opus:
		return &format.Opus{PayloadTyp: payloadType, ChannelCount: c.ChannelCount}, nil
	case *media.Vorbis:
		return vorbisFormat(c, payloadType)
	case *media.MPEG4Audio:
		return aacFormat(c, payloadType)
	case *media.MPEG4AudioLATM:
		return latmFormat(c, payloadType)
	case *media.MPEG1Audio:
		return &format.MPEG1Audio{}, nil
	case *media.AC3:
		return &format.AC3{
			PayloadTyp: payloadType, SampleRate: c.SampleRate, ChannelCount: c.ChannelCount,
		}, nil
	case *media.Speex:
		return &format.Speex{PayloadTyp: payloadType, SampleRate: c.SampleRate, VBR: c.VBR}, nil
	case *media.G726:
		return &format.G726{PayloadTyp: payloadType, BitRate: c.BitRate, BigEndian: c.BigEndian}, nil
	case *media.G722:
		return &format.G722{}, nil
	case *media.G711:
		return &format.G711{
			PayloadTyp: g711PayloadType(c, payloadType), MULaw: c.MULaw,
			SampleRate: c.SampleRate, ChannelCount: c.ChannelCount,
		}, nil
	case *media.LPCM:
		return lpcmFormat(c, payloadType)
	}
	if c == nil {
		return nil, fmt.Errorf("there is no codec")
	}
	return nil, fmt.Errorf("%s cannot be sent over RTP", c.Name())
}

func g711PayloadType(c *media.G711, payloadType uint8) uint8 {
	switch {
	case c.SampleRate != 8000 || c.ChannelCount != 1:
		return payloadType
	case c.MULaw:
		return 0
	default:
		return 8
	}
}

func lpcmFormat(c *media.LPCM, payloadType uint8) (format.Format, error) {
	switch c.BitDepth {
	case 8, 16, 24:
	default:
		return nil, fmt.Errorf("LPCM with %d bits cannot be sent over RTP; 8, 16 and 24 bits can", c.BitDepth)
	}
	if c.BitDepth == 16 && c.SampleRate == 44100 {
		switch c.ChannelCount {
		case 2:
			payloadType = 10
		case 1:
			payloadType = 11
		}
	}
	return &format.LPCM{
		PayloadTyp: payloadType, BitDepth: c.BitDepth,
		SampleRate: c.SampleRate, ChannelCount: c.ChannelCount,
	}, nil
}

func vorbisFormat(c *media.Vorbis, payloadType uint8) (format.Format, error) {
	if len(c.Configuration) == 0 {
		return nil, fmt.Errorf("Vorbis without configuration cannot be sent over RTP")
	}
	return &format.Vorbis{
		PayloadTyp: payloadType, SampleRate: c.SampleRate,
		ChannelCount: c.ChannelCount, Configuration: c.Configuration,
	}, nil
}

// aacFormat uses the field lengths of AAC-hbr, RFC 3640 section 3.3.6.
func aacFormat(c *media.MPEG4Audio, payloadType uint8) (format.Format, error) {
	if c.Config == nil {
		return nil, fmt.Errorf("MPEG-4 audio without configuration cannot be sent over RTP")
	}
	if _, err := c.Config.Marshal(); err != nil {
		return nil, fmt.Errorf("MPEG-4 audio configuration is invalid: %w", err)
	}
	return &format.MPEG4Audio{
		PayloadTyp: payloadType, ProfileLevelID: 1, Config: c.Config,
		SizeLength: 13, IndexLength: 3, IndexDeltaLength: 3,
	}, nil
}

// latmFormat uses the default profile-level-id of RFC 6416 section 7.3.
func latmFormat(c *media.MPEG4AudioLATM, payloadType uint8) (format.Format, error) {
	f := &format.MPEG4AudioLATM{
		PayloadTyp: payloadType, ProfileLevelID: 30,
		CPresent: c.Config == nil, StreamMuxConfig: c.Config,
	}
	if c.Config == nil {
		return f, nil
	}
	if len(c.Config.Programs) == 0 || len(c.Config.Programs[0].Layers) == 0 ||
		c.Config.Programs[0].Layers[0].AudioSpecificConfig == nil {
		return nil, fmt.Errorf("MPEG-4 audio LATM configuration has no layer")
	}
	if _, err := c.Config.Marshal(); err != nil {
		return nil, fmt.Errorf("MPEG-4 audio LATM configuration is invalid: %w", err)
	}
	return f, nil
}

// unpackable tells whether payloads can be got out of packets of a format.
func unpackable(f format.Format) bool {
	switch f := f.(type) {
	case *format.H264:
		return f.PacketizationMode == 0 || f.PacketizationMode == 1
	case *format.H265:
		return f.MaxDONDiff == 0
	case *format.MPEG4Audio:
		// sizes of access units have 13 bits in AAC-hbr; beyond 32 they are nonsense
		return f.Config != nil && f.SizeLength > 0 && f.SizeLength <= 32 &&
			f.IndexLength <= 32 && f.IndexDeltaLength <= 32
	case *format.Generic, nil:
		return false
	}
	return true
}
