package rtmpbridge

import (
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/ac3"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/opus"

	"github.com/org/mtx/protocol/bridge/internal/latm"
	"github.com/org/mtx/protocol/bridge/internal/mpegaudio"
	"github.com/org/mtx/router/media"
)

// duration returns how long a frame lasts, in ticks of the clock of its codec;
// zero if that cannot be told.
func duration(c media.Codec, frame []byte) int64 {
	switch c := c.(type) {
	case *media.MPEG4Audio:
		return mpeg4audio.SamplesPerAccessUnit
	case *media.MPEG4AudioLATM:
		if asc := latm.Config(c.Config); asc != nil {
			return mpeg4audio.SamplesPerAccessUnit * int64(c.Rate) / int64(asc.SampleRate)
		}
	case *media.Opus:
		return opus.PacketDuration2(frame)
	case *media.AC3:
		return ac3.SamplesPerFrame
	case *media.MPEG1Audio:
		h, err := mpegaudio.Parse(frame)
		if err != nil {
			return 0
		}
		return int64(h.SampleCount) * int64(c.ClockRate()) / int64(h.SampleRate)
	case *media.G711:
		return int64(len(frame) / max(1, c.ChannelCount))
	case *media.LPCM:
		return int64(len(frame) / max(1, c.ChannelCount*c.BitDepth/8))
	case *media.FLAC:
		return flacDuration(frame)
	}
	return 0
}

// flacDuration reads the block size of a frame header (RFC 9639, section 9.1.1);
// zero if it is not one of the usual ones.
func flacDuration(frame []byte) int64 {
	if len(frame) < 4 || frame[0] != 0xff || frame[1]&0xfc != 0xf8 {
		return 0
	}
	switch code := frame[2] >> 4; {
	case code == 1:
		return 192
	case code >= 2 && code <= 5:
		return 144 << code
	case code >= 8:
		return 1 << code
	}
	return 0
}

// swapBytes converts samples of 16 bits between byte orders, into dst.
func swapBytes(dst, src []byte) []byte {
	for i := 0; i+1 < len(src); i += 2 {
		dst = append(dst, src[i+1], src[i])
	}
	return dst
}

// flipSign converts samples of 8 bits between signed and unsigned, into dst.
func flipSign(dst, src []byte) []byte {
	for _, s := range src {
		dst = append(dst, s^0x80)
	}
	return dst
}
