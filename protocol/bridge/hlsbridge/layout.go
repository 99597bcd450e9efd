package hlsbridge

import (
	"slices"
	"strconv"

	"github.com/bluenviron/gohlslib/v2"
	"github.com/bluenviron/gohlslib/v2/pkg/codecs"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/flac"

	"github.com/org/mtx/protocol/bridge/internal/latm"
	"github.com/org/mtx/router/media"
)

// Variant is a flavour of HLS.
type Variant string

// Variants.
const (
	MPEGTS     Variant = "mpegts"     // H264, MPEG-4 audio, KLV in transport streams
	FMP4       Variant = "fmp4"       // segments of fragmented MP4
	LowLatency Variant = "lowLatency" // the same, in parts that are announced ahead
)

// Muxer returns the constant of gohlslib; false if there is no such variant.
func (v Variant) Muxer() (gohlslib.MuxerVariant, bool) {
	switch v {
	case MPEGTS:
		return gohlslib.MuxerVariantMPEGTS, true
	case FMP4:
		return gohlslib.MuxerVariantFMP4, true
	case LowLatency:
		return gohlslib.MuxerVariantLowLatency, true
	}
	return 0, false
}

// Layout says which track of a stream goes where.
type Layout struct {
	// Muxers are the tracks of each muxer. The first muxer holds the first video
	// track and the audio; the others hold one more video track each. It is
	// empty if the variant can carry nothing of the stream.
	Muxers [][]*Track

	// Skipped are the indexes of tracks that the variant cannot carry.
	Skipped []int
}

// Track is a track of a stream in one muxer.
type Track struct {
	// Index is that of the track in the stream.
	Index int

	// HLS is what the muxer knows about it. The muxer updates its codec.
	HLS *gohlslib.Track
}

// Tracks returns what gohlslib.Muxer wants.
func Tracks(tracks []*Track) []*gohlslib.Track {
	out := make([]*gohlslib.Track, len(tracks))
	for i, t := range tracks {
		out[i] = t.HLS
	}
	return out
}

// NewLayout spreads tracks over muxers.
func NewLayout(tracks []media.Track, v Variant) Layout {
	var l Layout
	var video, audio, data []int
	for i, t := range tracks {
		switch {
		case toHLS(t.Codec, v) == nil:
			l.Skipped = append(l.Skipped, i)
		case t.Codec.Kind() == media.Video:
			video = append(video, i)
		case t.Codec.Kind() == media.Audio && v == MPEGTS && len(audio) > 0:
			l.Skipped = append(l.Skipped, i) // gohlslib has one audio track in MPEG-TS
		case t.Codec.Kind() == media.Audio:
			audio = append(audio, i)
		default:
			data = append(data, i)
		}
	}
	if len(video)+len(audio) == 0 {
		l.Skipped = append(l.Skipped, data...) // there is nothing that they could go along with
		return l
	}
	names := map[string]bool{}
	muxer := func(indexes ...int) {
		var m []*Track
		for _, i := range indexes {
			m = append(m, newTrack(tracks, i, v, names))
		}
		l.Muxers = append(l.Muxers, m)
	}
	muxer(slices.Concat(video[:min(len(video), 1)], audio, data)...)
	for i := 1; i < len(video); i++ {
		if v == MPEGTS {
			muxer(slices.Concat(video[i:i+1], audio)...)
		} else {
			muxer(video[i])
		}
	}
	return l
}

func newTrack(tracks []media.Track, i int, v Variant, names map[string]bool) *Track {
	t := tracks[i]
	h := &gohlslib.Track{Codec: toHLS(t.Codec, v), ClockRate: t.Codec.ClockRate(), Language: attribute(t.Language)}
	if name := attribute(t.Name); name != "" && t.Codec.Kind() == media.Audio {
		for n := 2; names[name]; n++ { // a name is unique in its group (RFC 8216 section 4.3.4.1)
			name = attribute(t.Name) + " " + strconv.Itoa(n)
		}
		names[name] = true
		h.Name = name
	}
	return &Track{Index: i, HLS: h}
}

// attribute removes what cannot stand in a quoted string (RFC 8216 section 4.2).
func attribute(s string) string {
	out := make([]rune, 0, len(s))
	for _, r := range s {
		if r != '"' && r >= 0x20 && r != 0x7f {
			out = append(out, r)
		}
	}
	return string(out)
}

// toHLS returns nil for codecs that the variant cannot carry.
func toHLS(c media.Codec, v Variant) codecs.Codec {
	switch c := c.(type) {
	case *media.H264:
		return &codecs.H264{SPS: c.SPS, PPS: c.PPS}
	case *media.MPEG4Audio:
		if c.Config != nil && c.Config.SampleRate > 0 {
			return &codecs.MPEG4Audio{Config: *c.Config}
		}
		return nil
	case *media.MPEG4AudioLATM:
		if asc := latm.Config(c.Config); asc != nil && asc.SampleRate == c.Rate {
			return &codecs.MPEG4Audio{Config: *asc}
		}
		return nil
	case *media.KLV:
		if v == MPEGTS {
			return &codecs.KLV{Synchronous: true}
		}
		return nil
	}
	if v == MPEGTS {
		return nil
	}
	switch c := c.(type) {
	case *media.AV1:
		return &codecs.AV1{SequenceHeader: c.SequenceHeader}
	case *media.VP9:
		return &codecs.VP9{Width: c.Width, Height: c.Height, Profile: uint8(c.Profile), BitDepth: 8}
	case *media.H265:
		return &codecs.H265{VPS: c.VPS, SPS: c.SPS, PPS: c.PPS}
	case *media.Opus:
		if c.ChannelCount > 0 {
			return &codecs.Opus{ChannelCount: c.ChannelCount}
		}
	case *media.FLAC:
		var info flac.StreamInfo
		if info.Unmarshal(c.StreamInfo) == nil && int(info.SampleRate) == c.SampleRate {
			return &codecs.FLAC{StreamInfo: &info}
		}
	}
	return nil
}
