package rtpbridge

import (
	"bytes"

	"github.com/bluenviron/gortsplib/v5/pkg/format"
)

// ClockRate returns the number of ticks per second of the time stamps of RTP
// packets. It is what the session description says (RFC 3640 section 4.1), which
// for HE-AAC with explicit SBR is the rate after SBR, twice the clock rate of
// the codec.
func ClockRate(f format.Format) int {
	switch f := f.(type) {
	case nil:
		return 0
	case *format.MPEG4Audio:
		if f.Config.ExtensionSampleRate != 0 {
			return f.Config.ExtensionSampleRate
		}
	case *format.MPEG4AudioLATM:
		if !f.CPresent {
			asc := f.StreamMuxConfig.Programs[0].Layers[0].AudioSpecificConfig
			if asc.ExtensionSampleRate != 0 {
				return asc.ExtensionSampleRate
			}
		}
	}
	return f.ClockRate()
}

// sameWire tells whether packets of one format are valid packets of the other,
// apart from the payload type. Packets of H264 packetization-mode 0 are valid in
// mode 1 (RFC 6184 section 5.4).
func sameWire(a, b format.Format) bool {
	if g, ok := b.(*format.Generic); ok {
		return a != nil && genericOf(a).RTPMap == genericOf(g).RTPMap
	}
	switch a := a.(type) {
	case *format.H264:
		b, ok := b.(*format.H264)
		return ok && a.PacketizationMode <= 1 && b.PacketizationMode == 1
	case *format.H265:
		b, ok := b.(*format.H265)
		return ok && a.MaxDONDiff == b.MaxDONDiff
	case *format.MPEG4Audio:
		b, ok := b.(*format.MPEG4Audio)
		return ok && a.SizeLength == b.SizeLength && a.IndexLength == b.IndexLength &&
			a.IndexDeltaLength == b.IndexDeltaLength && ClockRate(a) == ClockRate(b)
	case *format.MPEG4AudioLATM:
		b, ok := b.(*format.MPEG4AudioLATM)
		return ok && a.CPresent == b.CPresent && ClockRate(a) == ClockRate(b)
	case *format.Vorbis:
		b, ok := b.(*format.Vorbis)
		return ok && bytes.Equal(a.Configuration, b.Configuration)
	case nil:
		return false
	}
	return b != nil && a.RTPMap() == b.RTPMap()
}

// adoptWire copies the parameters of the format of a publisher that a codec does
// not know into the format for readers, so that packets may pass through.
func adoptWire(dst, origin format.Format) {
	switch dst := dst.(type) {
	case *format.AV1:
		if o, ok := origin.(*format.AV1); ok {
			dst.LevelIdx, dst.Profile, dst.Tier = o.LevelIdx, o.Profile, o.Tier
		}
	case *format.VP9:
		if o, ok := origin.(*format.VP9); ok {
			dst.MaxFR, dst.MaxFS, dst.ProfileID = o.MaxFR, o.MaxFS, o.ProfileID
		}
	case *format.VP8:
		if o, ok := origin.(*format.VP8); ok {
			dst.MaxFR, dst.MaxFS = o.MaxFR, o.MaxFS
		}
	case *format.MPEG4Video:
		if o, ok := origin.(*format.MPEG4Video); ok {
			dst.ProfileLevelID = o.ProfileLevelID
		}
	case *format.MPEG4Audio:
		if o, ok := origin.(*format.MPEG4Audio); ok {
			dst.ProfileLevelID, dst.SizeLength = o.ProfileLevelID, o.SizeLength
			dst.IndexLength, dst.IndexDeltaLength = o.IndexLength, o.IndexDeltaLength
		}
	case *format.MPEG4AudioLATM:
		if o, ok := origin.(*format.MPEG4AudioLATM); ok {
			dst.ProfileLevelID, dst.Bitrate, dst.SBREnabled = o.ProfileLevelID, o.Bitrate, o.SBREnabled
		}
	}
}
