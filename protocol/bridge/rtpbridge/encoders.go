package rtpbridge

import (
	"fmt"

	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/bluenviron/gortsplib/v5/pkg/format/rtpac3"
	"github.com/bluenviron/gortsplib/v5/pkg/format/rtpav1"
	"github.com/bluenviron/gortsplib/v5/pkg/format/rtpfragmented"
	"github.com/bluenviron/gortsplib/v5/pkg/format/rtph264"
	"github.com/bluenviron/gortsplib/v5/pkg/format/rtph265"
	"github.com/bluenviron/gortsplib/v5/pkg/format/rtpklv"
	"github.com/bluenviron/gortsplib/v5/pkg/format/rtpmjpeg"
	"github.com/bluenviron/gortsplib/v5/pkg/format/rtpmpeg1audio"
	"github.com/bluenviron/gortsplib/v5/pkg/format/rtpmpeg1video"
	"github.com/bluenviron/gortsplib/v5/pkg/format/rtpmpeg4audio"
	"github.com/bluenviron/gortsplib/v5/pkg/format/rtpmpegts"
	"github.com/bluenviron/gortsplib/v5/pkg/format/rtpvp8"
	"github.com/bluenviron/gortsplib/v5/pkg/format/rtpvp9"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/opus"
	"github.com/pion/rtp"

	"github.com/org/mtx/protocol/bridge/internal/mpegaudio"
	"github.com/org/mtx/router/media"
)

// encodeFunc packs a payload, which has no empty elements. Time stamps of the
// packets are relative to the unit, in ticks of the format; of the rest of the
// headers only the marker counts.
type encodeFunc func(payload [][]byte) ([]*rtp.Packet, error)

// encoderOf returns the encoder of a format. maxSize is the greatest size of RTP
// payloads, codecRate the clock rate of the codec.
func encoderOf(f format.Format, maxSize int, codecRate int64) (encodeFunc, error) {
	switch f := f.(type) {
	case *format.AV1:
		enc := &rtpav1.Encoder{PayloadMaxSize: maxSize}
		return enc.Encode, enc.Init()
	case *format.VP9:
		enc := &rtpvp9.Encoder{PayloadMaxSize: maxSize}
		return each(enc.Encode, noDuration), enc.Init()
	case *format.VP8:
		enc := &rtpvp8.Encoder{PayloadMaxSize: maxSize}
		return each(enc.Encode, noDuration), enc.Init()
	case *format.H265:
		enc := &rtph265.Encoder{PayloadMaxSize: maxSize, MaxDONDiff: f.MaxDONDiff}
		return enc.Encode, enc.Init()
	case *format.H264:
		enc := &rtph264.Encoder{PayloadMaxSize: maxSize, PacketizationMode: f.PacketizationMode}
		return enc.Encode, enc.Init()
	case *format.MPEG4Video:
		enc := &rtpfragmented.Encoder{PayloadMaxSize: maxSize}
		return each(enc.Encode, noDuration), enc.Init()
	case *format.MPEG1Video:
		enc := &rtpmpeg1video.Encoder{PayloadMaxSize: maxSize}
		return each(enc.Encode, noDuration), enc.Init()
	case *format.MJPEG:
		enc := &rtpmjpeg.Encoder{PayloadMaxSize: maxSize}
		return each(enc.Encode, noDuration), enc.Init()
	case *format.KLV:
		enc := &rtpklv.Encoder{PayloadMaxSize: maxSize}
		return each(enc.Encode, noDuration), enc.Init()
	case *format.MPEGTS:
		enc := &rtpmpegts.Encoder{PayloadMaxSize: maxSize}
		return tsEncoder(enc), enc.Init()
	}
	return audioEncoderOf(f, maxSize, codecRate)
}

func audioEncoderOf(f format.Format, maxSize int, codecRate int64) (encodeFunc, error) {
	switch f := f.(type) {
	case *format.Opus:
		return each(whole, opus.PacketDuration2), nil
	case *format.Vorbis:
		ident := vorbisIdent(f.Configuration)
		return func(payload [][]byte) ([]*rtp.Packet, error) {
			return encodeVorbis(ident, maxSize, payload), nil
		}, nil
	case *format.Speex:
		// frames of 20 ms in all modes, RFC 5574 section 2
		return each(whole, func([]byte) int64 { return int64(f.SampleRate) / 50 }), nil
	case *format.MPEG4Audio:
		return aacEncoder(f, maxSize, codecRate)
	case *format.MPEG4AudioLATM:
		return latmEncoder(f, maxSize)
	case *format.MPEG1Audio:
		return mpeg1AudioEncoder(f, maxSize)
	case *format.AC3:
		enc := &rtpac3.Encoder{PayloadMaxSize: maxSize}
		return enc.Encode, enc.Init()
	case *format.G726:
		// BitRate/8 bits a sample: as many bytes hold 8 samples
		return samples(maxSize, f.BitRate/8, 8)
	case *format.G722:
		return samples(maxSize, 1, 1)
	case *format.G711:
		return samples(maxSize, f.ChannelCount, 1)
	case *format.LPCM:
		return samples(maxSize, f.BitDepth/8*f.ChannelCount, 1)
	}
	return nil, fmt.Errorf("%s has no payload that could be sent", CodecOf(f).Name())
}

// whole puts an element into one packet.
func whole(element []byte) ([]*rtp.Packet, error) {
	return []*rtp.Packet{{Payload: element}}, nil
}

func noDuration([]byte) int64 { return 0 }

// each packs elements one by one. duration returns the ticks between an element
// and the next.
func each(
	encode func([]byte) ([]*rtp.Packet, error), duration func([]byte) int64,
) encodeFunc {
	return func(payload [][]byte) ([]*rtp.Packet, error) {
		var out []*rtp.Packet
		at := uint32(0)
		for _, element := range payload {
			pkts, err := encode(element)
			if err != nil {
				return nil, err
			}
			for _, pkt := range pkts {
				pkt.Timestamp += at
			}
			out = append(out, pkts...)
			at += uint32(duration(element))
		}
		return out, nil
	}
}

// samples packs raw audio, of which block bytes last ticks ticks.
func samples(maxSize, block, ticks int) (encodeFunc, error) {
	if block <= 0 || block > maxSize {
		return nil, fmt.Errorf("audio with %d bytes a sample does not fit into packets of %d bytes", block, maxSize)
	}
	room := maxSize / block * block

	return func(payload [][]byte) ([]*rtp.Packet, error) {
		var out []*rtp.Packet
		at := uint32(0)
		for _, element := range payload {
			for len(element) > 0 {
				n := min(room, len(element))
				pkt := &rtp.Packet{Payload: element[:n]}
				pkt.Timestamp = at
				out = append(out, pkt)
				element = element[n:]
				at += uint32(n / block * ticks)
			}
		}
		return out, nil
	}, nil
}

func aacEncoder(f *format.MPEG4Audio, maxSize int, codecRate int64) (encodeFunc, error) {
	enc := &rtpmpeg4audio.Encoder{
		PayloadMaxSize: maxSize, SizeLength: f.SizeLength,
		IndexLength: f.IndexLength, IndexDeltaLength: f.IndexDeltaLength,
	}
	rate := int64(ClockRate(f))

	return func(payload [][]byte) ([]*rtp.Packet, error) {
		for _, au := range payload {
			if uint64(len(au)) >= 1<<f.SizeLength {
				return nil, fmt.Errorf("MPEG-4 audio access unit of %d bytes is too big", len(au))
			}
		}
		pkts, err := enc.Encode(payload)
		for _, pkt := range pkts {
			// the library counts in samples of the core, see ClockRate
			pkt.Timestamp = uint32(mulDiv(int64(pkt.Timestamp), rate, codecRate))
		}
		return pkts, err
	}, enc.Init()
}

func latmEncoder(f *format.MPEG4AudioLATM, maxSize int) (encodeFunc, error) {
	enc := &rtpfragmented.Encoder{PayloadMaxSize: maxSize}
	// without a configuration out-of-band the sample rate is unknown
	ticks := int64(0)
	if !f.CPresent {
		ticks = mulDiv(mpeg4audio.SamplesPerAccessUnit, int64(ClockRate(f)), int64(f.ClockRate()))
	}
	return each(enc.Encode, func([]byte) int64 { return ticks }), enc.Init()
}

// mpeg1AudioEncoder packs frame by frame: joining frames, the library would count
// samples, but the clock rate is 90000 whatever the sample rate.
func mpeg1AudioEncoder(f *format.MPEG1Audio, maxSize int) (encodeFunc, error) {
	enc := &rtpmpeg1audio.Encoder{PayloadMaxSize: maxSize}
	return each(
		func(frame []byte) ([]*rtp.Packet, error) { return enc.Encode([][]byte{frame}) },
		func(frame []byte) int64 {
			h, err := mpegaudio.Parse(frame)
			if err != nil {
				return 0
			}
			return mulDiv(int64(h.SampleCount), int64(f.ClockRate()), int64(h.SampleRate))
		}), enc.Init()
}

const tsPacketSize = 188

func tsEncoder(enc *rtpmpegts.Encoder) encodeFunc {
	return func(payload [][]byte) ([]*rtp.Packet, error) {
		packets, err := splitTS(payload)
		if err != nil {
			return nil, err
		}
		return enc.Encode(packets)
	}
}

func splitTS(payload [][]byte) ([][]byte, error) {
	var out [][]byte
	for _, element := range payload {
		if len(element)%tsPacketSize != 0 {
			return nil, fmt.Errorf("MPEG-TS data of %d bytes is not a multiple of %d", len(element), tsPacketSize)
		}
		for ; len(element) > 0; element = element[tsPacketSize:] {
			out = append(out, element[:tsPacketSize])
		}
	}
	return out, nil
}

// withoutEmpty returns the elements of a payload that are not empty.
func withoutEmpty(payload [][]byte) [][]byte {
	for i, element := range payload {
		if len(element) > 0 {
			continue
		}
		out := append([][]byte(nil), payload[:i]...)
		for _, element := range payload[i:] {
			if len(element) > 0 {
				out = append(out, element)
			}
		}
		return out
	}
	return payload
}

// withParameterSets puts the parameter sets of the codec in front of a key frame
// of H264 or H265 that has none.
func withParameterSets(c media.Codec, payload [][]byte) [][]byte {
	var sets [][]byte
	key := false

	switch c := c.(type) {
	case *media.H264:
		for _, nalu := range payload {
			switch h264.NALUType(nalu[0] & 0x1F) {
			case h264.NALUTypeSPS:
				return payload
			case h264.NALUTypeIDR:
				key = true
			}
		}
		sets = [][]byte{c.SPS, c.PPS}
	case *media.H265:
		for _, nalu := range payload {
			typ := h265.NALUType(nalu[0] >> 1 & 0x3F)
			if typ == h265.NALUType_SPS_NUT {
				return payload
			}
			key = key || h265Key(typ)
		}
		sets = [][]byte{c.VPS, c.SPS, c.PPS}
	}
	if !key {
		return payload
	}
	return append(withoutEmpty(sets), payload...)
}
