package media

import (
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
)

// Codec describes how a track is encoded. The set of codecs is closed: switch
// on the concrete type. Whatever is unknown travels as [Generic].
//
// A codec holds parameters of the bitstream only. Payload types, packetization
// modes and container ids belong to the bridge of that wire format.
//
// Codecs are immutable once they are part of a track.
type Codec interface {
	// Name is the label of the codec in the Control API, e.g. "H264".
	Name() string

	// Kind tells video, audio and data apart.
	Kind() Kind

	// ClockRate is the number of ticks per second of [Unit.PTS].
	ClockRate() int

	isCodec()
}

// AV1 is AOMedia Video 1. The payload is one temporal unit, one OBU per
// element, without size fields and without temporal delimiters.
type AV1 struct {
	// SequenceHeader is the last sequence header OBU seen, if any.
	SequenceHeader []byte
}

// VP9 is VP9. The payload is one frame (or superframe) in one element.
type VP9 struct {
	// Width, Height, Profile are read from the last key frame; zero if unknown.
	Width, Height, Profile int
}

// VP8 is VP8. The payload is one frame in one element.
type VP8 struct{}

// H265 is H.265 (HEVC). The payload is one access unit, one NALU per element,
// without start codes and length prefixes.
type H265 struct {
	// Parameter sets. They may be empty until they are found in the bitstream.
	VPS, SPS, PPS []byte
}

// H264 is H.264 (AVC). The payload is one access unit, one NALU per element,
// without start codes and length prefixes.
type H264 struct {
	// Parameter sets. They may be empty until they are found in the bitstream.
	SPS, PPS []byte
}

// MPEG4Video is MPEG-4 part 2 video (H.263, Xvid, DivX). The payload is one
// frame in one element, with the configuration in front of key frames.
type MPEG4Video struct {
	// Config is the visual object sequence with everything up to the first
	// frame. It may be empty until it is found in the bitstream.
	Config []byte
}

// MPEG1Video is MPEG-1 or MPEG-2 video. The payload is one frame in one
// element, with the sequence header in front of key frames.
type MPEG1Video struct{}

// MJPEG is Motion JPEG. The payload is one JPEG picture in one element.
type MJPEG struct{}

// Opus is Opus. The payload holds one Opus packet per element.
type Opus struct {
	// ChannelCount is the number of channels; 1 and 2 are plain Opus, more is
	// multichannel Opus (RFC 7845 channel mapping family 1).
	ChannelCount int
}

// Vorbis is Vorbis. The payload holds one Vorbis packet per element.
type Vorbis struct {
	SampleRate   int // Hz
	ChannelCount int
	// Configuration is the packed configuration of RFC 5215.
	Configuration []byte
}

// MPEG4Audio is MPEG-4 audio (AAC). The payload holds one raw access unit per
// element, without ADTS headers.
type MPEG4Audio struct {
	// Config is the AudioSpecificConfig. It is never nil.
	Config *mpeg4audio.AudioSpecificConfig
}

// MPEG4AudioLATM is MPEG-4 audio in LATM transport (RFC 6416). The payload holds
// one AudioMuxElement per element.
type MPEG4AudioLATM struct {
	// Config is the StreamMuxConfig; nil if it travels in the bitstream only.
	Config *mpeg4audio.StreamMuxConfig
	// Rate is the clock rate, in Hz.
	Rate int
}

// MPEG1Audio is MPEG-1 or MPEG-2 audio, layers I, II and III (MP3). The payload
// holds one frame, with its header, per element. Its clock rate is 90000.
type MPEG1Audio struct{}

// AC3 is AC-3 (Dolby Digital). The payload holds one syncframe per element.
type AC3 struct {
	SampleRate   int // Hz
	ChannelCount int
}

// FLAC is FLAC. The payload holds one frame per element.
type FLAC struct {
	SampleRate   int // Hz
	ChannelCount int
	// StreamInfo is the STREAMINFO block without its header.
	StreamInfo []byte
}

// Speex is Speex. The payload holds one packet per element.
type Speex struct {
	SampleRate int // Hz
	// VBR tells whether the bit rate is variable; nil if unknown.
	VBR *bool
}

// G726 is G.726. The payload holds samples in one element. Its sample rate is
// 8000.
type G726 struct {
	BitRate   int // kbit/s: 16, 24, 32, 40
	BigEndian bool
}

// G722 is G.722. The payload holds samples in one element. Its clock rate is
// 8000 while its sample rate is 16000 (RFC 3551).
type G722 struct{}

// G711 is G.711. The payload holds samples in one element.
type G711 struct {
	MULaw        bool // PCMU, otherwise PCMA
	SampleRate   int  // Hz
	ChannelCount int
}

// LPCM is uncompressed audio. The payload holds interleaved, signed, big-endian
// samples in one element.
type LPCM struct {
	BitDepth     int // 8, 16, 24
	SampleRate   int // Hz
	ChannelCount int
}

// KLV is SMPTE 336M metadata. The payload holds one KLV unit in one element.
type KLV struct{}

// MPEGTS is a whole MPEG transport stream carried as one track. The payload
// holds a number of 188-byte packets per element.
type MPEGTS struct{}

// Generic is a codec that the router passes through as RTP packets, without
// knowing what is inside. It has no payload.
type Generic struct {
	Media  Kind              // as the publisher announced it
	RTPMap string            // e.g. "custom/90000"
	FMTP   map[string]string // format parameters
	Rate   int               // clock rate in Hz
}

// Name implements Codec.
func (*AV1) Name() string            { return "AV1" }
func (*VP9) Name() string            { return "VP9" }
func (*VP8) Name() string            { return "VP8" }
func (*H265) Name() string           { return "H265" }
func (*H264) Name() string           { return "H264" }
func (*MPEG4Video) Name() string     { return "MPEG-4 Video" }
func (*MPEG1Video) Name() string     { return "MPEG-1/2 Video" }
func (*MJPEG) Name() string          { return "M-JPEG" }
func (*Opus) Name() string           { return "Opus" }
func (*Vorbis) Name() string         { return "Vorbis" }
func (*MPEG4Audio) Name() string     { return "MPEG-4 Audio" }
func (*MPEG4AudioLATM) Name() string { return "MPEG-4 Audio LATM" }
func (*MPEG1Audio) Name() string     { return "MPEG-1/2 Audio" }
func (*AC3) Name() string            { return "AC3" }
func (*FLAC) Name() string           { return "FLAC" }
func (*Speex) Name() string          { return "Speex" }
func (*G726) Name() string           { return "G726" }
func (*G722) Name() string           { return "G722" }
func (*G711) Name() string           { return "G711" }
func (*LPCM) Name() string           { return "LPCM" }
func (*KLV) Name() string            { return "KLV" }
func (*MPEGTS) Name() string         { return "MPEG-TS" }
func (*Generic) Name() string        { return "Generic" }

// Kind implements Codec.
func (*AV1) Kind() Kind            { return Video }
func (*VP9) Kind() Kind            { return Video }
func (*VP8) Kind() Kind            { return Video }
func (*H265) Kind() Kind           { return Video }
func (*H264) Kind() Kind           { return Video }
func (*MPEG4Video) Kind() Kind     { return Video }
func (*MPEG1Video) Kind() Kind     { return Video }
func (*MJPEG) Kind() Kind          { return Video }
func (*Opus) Kind() Kind           { return Audio }
func (*Vorbis) Kind() Kind         { return Audio }
func (*MPEG4Audio) Kind() Kind     { return Audio }
func (*MPEG4AudioLATM) Kind() Kind { return Audio }
func (*MPEG1Audio) Kind() Kind     { return Audio }
func (*AC3) Kind() Kind            { return Audio }
func (*FLAC) Kind() Kind           { return Audio }
func (*Speex) Kind() Kind          { return Audio }
func (*G726) Kind() Kind           { return Audio }
func (*G722) Kind() Kind           { return Audio }
func (*G711) Kind() Kind           { return Audio }
func (*LPCM) Kind() Kind           { return Audio }
func (*KLV) Kind() Kind            { return Data }
func (*MPEGTS) Kind() Kind         { return Data }
func (c *Generic) Kind() Kind      { return c.Media }

// ClockRate implements Codec.
func (*AV1) ClockRate() int              { return 90000 }
func (*VP9) ClockRate() int              { return 90000 }
func (*VP8) ClockRate() int              { return 90000 }
func (*H265) ClockRate() int             { return 90000 }
func (*H264) ClockRate() int             { return 90000 }
func (*MPEG4Video) ClockRate() int       { return 90000 }
func (*MPEG1Video) ClockRate() int       { return 90000 }
func (*MJPEG) ClockRate() int            { return 90000 }
func (*Opus) ClockRate() int             { return 48000 }
func (c *Vorbis) ClockRate() int         { return c.SampleRate }
func (c *MPEG4Audio) ClockRate() int     { return aacSampleRate(c.Config) }
func (c *MPEG4AudioLATM) ClockRate() int { return c.Rate }
func (*MPEG1Audio) ClockRate() int       { return 90000 }
func (c *AC3) ClockRate() int            { return c.SampleRate }
func (c *FLAC) ClockRate() int           { return c.SampleRate }
func (c *Speex) ClockRate() int          { return c.SampleRate }
func (*G726) ClockRate() int             { return 8000 }
func (*G722) ClockRate() int             { return 8000 }
func (c *G711) ClockRate() int           { return c.SampleRate }
func (c *LPCM) ClockRate() int           { return c.SampleRate }
func (*KLV) ClockRate() int              { return 90000 }
func (*MPEGTS) ClockRate() int           { return 90000 }
func (c *Generic) ClockRate() int        { return c.Rate }

func (*AV1) isCodec()            {}
func (*VP9) isCodec()            {}
func (*VP8) isCodec()            {}
func (*H265) isCodec()           {}
func (*H264) isCodec()           {}
func (*MPEG4Video) isCodec()     {}
func (*MPEG1Video) isCodec()     {}
func (*MJPEG) isCodec()          {}
func (*Opus) isCodec()           {}
func (*Vorbis) isCodec()         {}
func (*MPEG4Audio) isCodec()     {}
func (*MPEG4AudioLATM) isCodec() {}
func (*MPEG1Audio) isCodec()     {}
func (*AC3) isCodec()            {}
func (*FLAC) isCodec()           {}
func (*Speex) isCodec()          {}
func (*G726) isCodec()           {}
func (*G722) isCodec()           {}
func (*G711) isCodec()           {}
func (*LPCM) isCodec()           {}
func (*KLV) isCodec()            {}
func (*MPEGTS) isCodec()         {}
func (*Generic) isCodec()        {}
