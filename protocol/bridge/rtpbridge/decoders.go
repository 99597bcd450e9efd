package rtpbridge

import (
	"bytes"

	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/bluenviron/gortsplib/v5/pkg/format/rtpac3"
	"github.com/bluenviron/gortsplib/v5/pkg/format/rtpav1"
	"github.com/bluenviron/gortsplib/v5/pkg/format/rtpfragmented"
	"github.com/bluenviron/gortsplib/v5/pkg/format/rtph264"
	"github.com/bluenviron/gortsplib/v5/pkg/format/rtph265"
	"github.com/bluenviron/gortsplib/v5/pkg/format/rtpklv"
	"github.com/bluenviron/gortsplib/v5/pkg/format/rtpmjpeg"
	"github.com/bluenviron/gortsplib/v5/pkg/format/rtpmpeg1video"
	"github.com/bluenviron/gortsplib/v5/pkg/format/rtpmpeg4audio"
	"github.com/bluenviron/gortsplib/v5/pkg/format/rtpvp8"
	"github.com/bluenviron/gortsplib/v5/pkg/format/rtpvp9"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/av1"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"
	"github.com/pion/rtp"
)

// elements is a decoder of the library that returns a list of elements, single
// one that returns a single element.
type (
	elements interface {
		Decode(pkt *rtp.Packet) ([][]byte, error)
	}
	single interface {
		Decode(pkt *rtp.Packet) ([]byte, error)
	}
)

// decoderOf returns what makes decoders of a format, nil if there is none.
func decoderOf(f format.Format) func() (decodeFunc, error) {
	if !unpackable(f) {
		return nil
	}
	switch f := f.(type) {
	case *format.AV1:
		return many(f.CreateDecoder, cleanTemporalUnit)
	case *format.VP9:
		return one(f.CreateDecoder)
	case *format.VP8:
		return one(f.CreateDecoder)
	case *format.H265:
		return many(f.CreateDecoder, dropH265Delimiters)
	case *format.H264:
		return many(f.CreateDecoder, dropH264Delimiters)
	case *format.MPEG4Video:
		return one(f.CreateDecoder)
	case *format.MPEG1Video:
		return one(f.CreateDecoder)
	case *format.MJPEG:
		return one(f.CreateDecoder)
	case *format.MPEG4Audio:
		return many(f.CreateDecoder, nil)
	case *format.MPEG4AudioLATM:
		return one(f.CreateDecoder)
	case *format.MPEG1Audio:
		return func() (decodeFunc, error) { return (&mpegAudioDecoder{}).decode, nil }
	case *format.AC3:
		return many(f.CreateDecoder, nil)
	case *format.KLV:
		return one(f.CreateDecoder)
	case *format.MPEGTS:
		return func() (decodeFunc, error) {
			dec, err := f.CreateDecoder()
			return func(pkt *rtp.Packet) ([][]byte, error) {
				// only checked: one element may hold many TS packets
				if _, err := dec.Decode(pkt); err != nil {
					return nil, err
				}
				return [][]byte{pkt.Payload}, nil
			}, err
		}
	case *format.Vorbis:
		return func() (decodeFunc, error) { return (&vorbisDecoder{}).decode, nil }
	case *format.Opus, *format.G722, *format.G711, *format.LPCM, *format.G726, *format.Speex:
		return func() (decodeFunc, error) { return wholePayload, nil }
	}
	return nil
}

// wholePayload is for codecs whose packets hold nothing but media.
func wholePayload(pkt *rtp.Packet) ([][]byte, error) {
	return [][]byte{pkt.Payload}, nil
}

func many[D elements](create func() (D, error), clean func([][]byte) [][]byte) func() (decodeFunc, error) {
	return func() (decodeFunc, error) {
		dec, err := create()
		return func(pkt *rtp.Packet) ([][]byte, error) {
			payload, err := dec.Decode(pkt)
			if err != nil {
				return nil, ignoreMore(err)
			}
			if clean != nil {
				payload = clean(payload)
			}
			if len(payload) == 0 {
				return nil, nil
			}
			return payload, nil
		}, err
	}
}

func one[D single](create func() (D, error)) func() (decodeFunc, error) {
	return func() (decodeFunc, error) {
		dec, err := create()
		_, reuses := any(dec).(*rtpklv.Decoder)
		return func(pkt *rtp.Packet) ([][]byte, error) {
			payload, err := dec.Decode(pkt)
			if err != nil {
				return nil, ignoreMore(err)
			}
			if reuses {
				// this decoder returns its own buffer, and writes to it again
				payload = bytes.Clone(payload)
			}
			return [][]byte{payload}, nil
		}, err
	}
}

// ignoreMore returns nil for the errors by which decoders ask for more packets,
// which they return as they are.
func ignoreMore(err error) error {
	switch err { //nolint:errorlint // on the path of every packet
	case rtph264.ErrMorePacketsNeeded, rtph265.ErrMorePacketsNeeded, rtpav1.ErrMorePacketsNeeded,
		rtpvp8.ErrMorePacketsNeeded, rtpvp9.ErrMorePacketsNeeded, rtpmpeg4audio.ErrMorePacketsNeeded,
		rtpfragmented.ErrMorePacketsNeeded, rtpmpeg1video.ErrMorePacketsNeeded,
		rtpmjpeg.ErrMorePacketsNeeded,
		rtpac3.ErrMorePacketsNeeded, rtpklv.ErrMorePacketsNeeded:
		return nil
	}
	return err
}

func dropH264Delimiters(au [][]byte) [][]byte {
	out := au[:0]
	for _, nalu := range au {
		if len(nalu) > 0 && h264.NALUType(nalu[0]&0x1F) != h264.NALUTypeAccessUnitDelimiter {
			out = append(out, nalu)
		}
	}
	return out
}

func dropH265Delimiters(au [][]byte) [][]byte {
	out := au[:0]
	for _, nalu := range au {
		if len(nalu) > 1 && h265.NALUType(nalu[0]>>1&0x3F) != h265.NALUType_AUD_NUT {
			out = append(out, nalu)
		}
	}
	return out
}

// cleanTemporalUnit drops temporal delimiters, which the RTP format of AV1 says
// should not be there, and removes size fields, which should not be there either.
func cleanTemporalUnit(tu [][]byte) [][]byte {
	out := tu[:0]
	for _, obu := range tu {
		if len(obu) == 0 || av1.OBUType(obu[0]>>3&0x0F) == av1.OBUTypeTemporalDelimiter {
			continue
		}
		if obu[0]&obuHasSize != 0 {
			if obu = withoutSize(obu); obu == nil {
				continue
			}
		}
		out = append(out, obu)
	}
	return out
}

// Bits of the OBU header, AV1 specification section 5.3.2.
const (
	obuHasExtension = 1 << 2
	obuHasSize      = 1 << 1
)

// withoutSize returns a copy of an OBU without its size field, nil if it is
// invalid.
func withoutSize(obu []byte) []byte {
	head := 1
	if obu[0]&obuHasExtension != 0 {
		head = 2
	}
	if len(obu) < head {
		return nil
	}
	var size av1.LEB128
	n, err := size.Unmarshal(obu[head:])
	if err != nil || uint64(size) > uint64(len(obu)-head-n) {
		return nil
	}
	out := make([]byte, 0, head+int(size))
	out = append(out, obu[:head]...)
	out[0] &^= obuHasSize
	return append(out, obu[head+n:head+n+int(size)]...)
}
