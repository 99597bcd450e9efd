package media

import (
	"bytes"
	"reflect"
)

// Equal tells whether two codecs are the same in every parameter. Empty and
// missing parameter sets are the same.
func Equal(a, b Codec) bool {
	switch a := a.(type) {
	case *H264:
		if b, ok := b.(*H264); ok && a != nil && b != nil {
			return bytes.Equal(a.SPS, b.SPS) && bytes.Equal(a.PPS, b.PPS)
		}
	case *H265:
		if b, ok := b.(*H265); ok && a != nil && b != nil {
			return bytes.Equal(a.VPS, b.VPS) && bytes.Equal(a.SPS, b.SPS) && bytes.Equal(a.PPS, b.PPS)
		}
	case *AV1:
		if b, ok := b.(*AV1); ok && a != nil && b != nil {
			return bytes.Equal(a.SequenceHeader, b.SequenceHeader)
		}
	case *MPEG4Video:
		if b, ok := b.(*MPEG4Video); ok && a != nil && b != nil {
			return bytes.Equal(a.Config, b.Config)
		}
	}
	return reflect.DeepEqual(a, b)
}

// Compatible tells whether a stream with the tracks b can continue a stream
// with the tracks a, in front of readers that have seen a only: there are as
// many tracks, and in the same order they have the same codec, clock rate and,
// for audio, the same sample format. Parameter sets, picture sizes, names and
// languages may differ.
func Compatible(a, b []Track) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !compatibleCodecs(a[i].Codec, b[i].Codec) {
			return false
		}
	}
	return true
}

func compatibleCodecs(a, b Codec) bool {
	if a == nil || b == nil || reflect.TypeOf(a) != reflect.TypeOf(b) {
		return false
	}
	return a.Kind() == b.Kind() && a.ClockRate() == b.ClockRate() && formatOf(a) == formatOf(b)
}

// sampleFormat is what, besides type and clock rate of a codec, decoders
// cannot change in the middle of a stream. What does not apply is zero.
type sampleFormat struct {
	sampleRate   int
	channelCount int
	// variant tells forms of the same codec apart: bits per sample, bit rate.
	variant int
	flag    bool
	rtpMap  string
}

func formatOf(c Codec) sampleFormat {
	switch c := c.(type) {
	case *Opus:
		return sampleFormat{channelCount: c.ChannelCount}
	case *Vorbis:
		return sampleFormat{sampleRate: c.SampleRate, channelCount: c.ChannelCount}
	case *MPEG4Audio:
		return sampleFormat{sampleRate: c.ClockRate(), channelCount: aacChannelCount(c.Config)}
	case *MPEG4AudioLATM:
		if asc := latmAudioConfig(c.Config); asc != nil {
			return sampleFormat{sampleRate: asc.SampleRate, channelCount: aacChannelCount(asc)}
		}
	case *AC3:
		return sampleFormat{sampleRate: c.SampleRate, channelCount: c.ChannelCount}
	case *FLAC:
		return sampleFormat{sampleRate: c.SampleRate, channelCount: c.ChannelCount}
	case *Speex:
		return sampleFormat{sampleRate: c.SampleRate}
	case *G726:
		return sampleFormat{variant: c.BitRate, flag: c.BigEndian}
	case *G711:
		return sampleFormat{sampleRate: c.SampleRate, channelCount: c.ChannelCount, flag: c.MULaw}
	case *LPCM:
		return sampleFormat{sampleRate: c.SampleRate, channelCount: c.ChannelCount, variant: c.BitDepth}
	case *Generic:
		return sampleFormat{rtpMap: c.RTPMap}
	}
	return sampleFormat{}
}
