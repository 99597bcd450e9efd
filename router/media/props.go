package media

import (
	"strconv"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
)

// AV1Props are the properties of an AV1 track.
type AV1Props struct {
	Width   int `json:"width"`  // pixels
	Height  int `json:"height"` // pixels
	Profile int `json:"profile"`
	Level   int `json:"level"` // seq_level_idx, e.g. 8 for level 4.0
	Tier    int `json:"tier"`  // 0 is main, 1 is high
}

// VP9Props are the properties of a VP9 track.
type VP9Props struct {
	Profile int `json:"profile"`
}

// H265Props are the properties of an H265 track.
type H265Props struct {
	Width   int    `json:"width"`   // pixels
	Height  int    `json:"height"`  // pixels
	Profile string `json:"profile"` // e.g. "Main 10"
	Level   string `json:"level"`   // e.g. "4.1"
}

// H264Props are the properties of an H264 track.
type H264Props struct {
	Width   int    `json:"width"`   // pixels
	Height  int    `json:"height"`  // pixels
	Profile string `json:"profile"` // e.g. "High"
	Level   string `json:"level"`   // e.g. "4.1"
}

// OpusProps are the properties of an Opus track.
type OpusProps struct {
	ChannelCount int `json:"channelCount"`
}

// MPEG4AudioProps are the properties of an MPEG-4 audio track.
type MPEG4AudioProps struct {
	SampleRate   int `json:"sampleRate"` // Hz
	ChannelCount int `json:"channelCount"`
}

// AC3Props are the properties of an AC-3 track.
type AC3Props struct {
	SampleRate   int `json:"sampleRate"` // Hz
	ChannelCount int `json:"channelCount"`
}

// G711Props are the properties of a G711 track.
type G711Props struct {
	MULaw        bool `json:"muLaw"`
	SampleRate   int  `json:"sampleRate"` // Hz
	ChannelCount int  `json:"channelCount"`
}

// LPCMProps are the properties of an LPCM track.
type LPCMProps struct {
	BitDepth     int `json:"bitDepth"`
	SampleRate   int `json:"sampleRate"` // Hz
	ChannelCount int `json:"channelCount"`
}

// Props returns the properties of a codec in the form that the Control API
// shows them: a pointer to one of the Props structs of this package. It returns
// nil for codecs that have none, and as long as the parameters that they are
// read from are unknown.
func Props(c Codec) any {
	switch c := c.(type) {
	case *AV1:
		return propsOrNil(av1Props(c))
	case *VP9:
		if c.Width != 0 || c.Profile != 0 {
			return &VP9Props{Profile: c.Profile}
		}
	case *H265:
		return propsOrNil(h265Props(c))
	case *H264:
		return propsOrNil(h264Props(c))
	case *Opus:
		return &OpusProps{ChannelCount: c.ChannelCount}
	case *MPEG4Audio:
		return propsOrNil(mpeg4AudioProps(c.Config))
	case *MPEG4AudioLATM:
		return propsOrNil(mpeg4AudioProps(latmAudioConfig(c.Config)))
	case *AC3:
		return &AC3Props{SampleRate: c.SampleRate, ChannelCount: c.ChannelCount}
	case *G711:
		return &G711Props{MULaw: c.MULaw, SampleRate: c.SampleRate, ChannelCount: c.ChannelCount}
	case *LPCM:
		return &LPCMProps{BitDepth: c.BitDepth, SampleRate: c.SampleRate, ChannelCount: c.ChannelCount}
	}
	return nil
}

// propsOrNil makes a nil pointer an untyped nil, that JSON shows as null and
// callers can compare.
func propsOrNil[T any](p *T) any {
	if p == nil {
		return nil
	}
	return p
}

func av1Props(c *AV1) *AV1Props {
	h := parseAV1SequenceHeader(c.SequenceHeader)
	if h == nil {
		return nil
	}
	p := &AV1Props{Width: h.Width(), Height: h.Height(), Profile: int(h.SeqProfile)}
	// The first operating point is the whole stream.
	if len(h.SeqLevelIdx) != 0 {
		p.Level = int(h.SeqLevelIdx[0])
	}
	if len(h.SeqTier) != 0 && h.SeqTier[0] {
		p.Tier = 1
	}
	return p
}

func h264Props(c *H264) *H264Props {
	sps := parseH264SPS(c.SPS)
	if sps == nil {
		return nil
	}
	return &H264Props{
		Width:   sps.Width(),
		Height:  sps.Height(),
		Profile: h264Profile(sps.ProfileIdc),
		Level:   h264Level(sps),
	}
}

// h264Profile names profile_idc (H.264 annex A); unnamed ones are numbers.
func h264Profile(idc uint8) string {
	switch idc {
	case 44:
		return "CAVLC 4:4:4 Intra"
	case 66:
		return "Baseline"
	case 77:
		return "Main"
	case 83:
		return "Scalable Baseline"
	case 86:
		return "Scalable High"
	case 88:
		return "Extended"
	case 100:
		return "High"
	case 110:
		return "High 10"
	case 118:
		return "Multiview High"
	case 122:
		return "High 4:2:2"
	case 128:
		return "Stereo High"
	case 244:
		return "High 4:4:4 Predictive"
	}
	return strconv.Itoa(int(idc))
}

// h264Level writes level_idc, ten times the level. Level 1b is either 9, or 11
// with a constraint flag (H.264 section A.3.1 and A.3.2).
func h264Level(sps *h264.SPS) string {
	if sps.LevelIdc == 9 {
		return "1b"
	}
	if sps.LevelIdc == 11 && sps.ConstraintSet3Flag {
		switch sps.ProfileIdc {
		case 66, 77, 88:
			return "1b"
		}
	}
	return dotted(int(sps.LevelIdc)/10, int(sps.LevelIdc)%10)
}

func h265Props(c *H265) *H265Props {
	sps := parseH265SPS(c.SPS)
	if sps == nil {
		return nil
	}
	return &H265Props{
		Width:   sps.Width(),
		Height:  sps.Height(),
		Profile: h265Profile(&sps.ProfileTierLevel),
		Level:   h265Level(sps.ProfileTierLevel.GeneralLevelIdc),
	}
}

// h265Profile names general_profile_idc (H.265 annex A, G, H, I); unnamed ones
// are numbers. Streams that leave it zero are named after the first profile
// that they declare to be compatible with.
func h265Profile(ptl *h265.SPS_ProfileTierLevel) string {
	idc := int(ptl.GeneralProfileIdc)
	for i := 1; idc == 0 && i < len(ptl.GeneralProfileCompatibilityFlag); i++ {
		if ptl.GeneralProfileCompatibilityFlag[i] {
			idc = i
		}
	}
	switch idc {
	case 1:
		return "Main"
	case 2:
		return "Main 10"
	case 3:
		return "Main Still Picture"
	case 4:
		return "Range Extensions"
	case 5:
		return "High Throughput"
	case 6:
		return "Multiview Main"
	case 7:
		return "Scalable Main"
	case 8:
		return "3D Main"
	case 9:
		return "Screen Content Coding"
	case 10:
		return "Scalable Range Extensions"
	case 11:
		return "High Throughput Screen Content Coding"
	}
	return strconv.Itoa(idc)
}

// h265Level writes general_level_idc, thirty times the level (H.265 section
// A.4).
func h265Level(idc uint8) string {
	return dotted(int(idc)/30, int(idc)%30/3)
}

// dotted writes a level the way the specifications do: "4.1", and "4" for 4.0.
func dotted(major, minor int) string {
	if minor == 0 {
		return strconv.Itoa(major)
	}
	return strconv.Itoa(major) + "." + strconv.Itoa(minor)
}

func mpeg4AudioProps(asc *mpeg4audio.AudioSpecificConfig) *MPEG4AudioProps {
	if asc == nil {
		return nil
	}
	return &MPEG4AudioProps{SampleRate: aacSampleRate(asc), ChannelCount: aacChannelCount(asc)}
}

// aacSampleRate returns the sample rate of the core, in Hz, or zero if unknown.
func aacSampleRate(asc *mpeg4audio.AudioSpecificConfig) int {
	if asc == nil {
		return 0
	}
	return asc.SampleRate
}

// aacChannelCount returns the number of channels of a channel configuration
// (ISO 14496-3, table 1.19), or zero if the bitstream defines it.
func aacChannelCount(asc *mpeg4audio.AudioSpecificConfig) int {
	switch {
	case asc == nil:
		return 0
	case asc.ChannelConfig >= 1 && asc.ChannelConfig <= 6:
		return int(asc.ChannelConfig)
	case asc.ChannelConfig == 7:
		return 8
	}
	// Configurations made by hand may only have the older field.
	return asc.ChannelCount //nolint:staticcheck // see above
}

// latmAudioConfig returns the configuration of the first layer, or nil.
func latmAudioConfig(c *mpeg4audio.StreamMuxConfig) *mpeg4audio.AudioSpecificConfig {
	if c == nil || len(c.Programs) == 0 || c.Programs[0] == nil ||
		len(c.Programs[0].Layers) == 0 || c.Programs[0].Layers[0] == nil {
		return nil
	}
	return c.Programs[0].Layers[0].AudioSpecificConfig
}
