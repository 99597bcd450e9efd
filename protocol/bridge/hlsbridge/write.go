package hlsbridge

import (
	"time"

	"github.com/bluenviron/gohlslib/v2"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/av1"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/vp9"

	"github.com/org/mtx/protocol/bridge/internal/latm"
	"github.com/org/mtx/router/media"
)

// Write hands a unit to the muxer of the track. codec is the current codec of the
// track in the stream. origin is the time of the stream that the muxer counts
// from: that of its first unit, or a little earlier.
//
// An error concerns this unit, but gohlslib does not recover from all of them:
// if they go on, the muxer must be replaced.
func (t *Track) Write(m *gohlslib.Muxer, codec media.Codec, u *media.Unit, origin time.Duration) error {
	pts := u.PTS - media.Ticks(origin, codec.ClockRate())
	switch c := codec.(type) {
	case *media.H264:
		if au := accessUnitH264(c, u); len(au) > 0 {
			return m.WriteH264(t.HLS, u.NTP, pts, au)
		}
	case *media.H265:
		if au := accessUnitH265(c, u); len(au) > 0 {
			return m.WriteH265(t.HLS, u.NTP, pts, au)
		}
	case *media.AV1:
		if tu := temporalUnit(c, u); len(tu) > 0 {
			return m.WriteAV1(t.HLS, u.NTP, pts, tu)
		}
	case *media.VP9:
		if f := elements(u.Payload, 1); len(f) == 1 {
			return t.writeVP9(m, f[0], u.NTP, pts)
		}
	case *media.Opus:
		if p := elements(u.Payload, 1); len(p) > 0 {
			return m.WriteOpus(t.HLS, u.NTP, pts, p)
		}
	case *media.MPEG4Audio:
		if p := elements(u.Payload, 1); len(p) > 0 {
			return m.WriteMPEG4Audio(t.HLS, u.NTP, pts, p)
		}
	case *media.MPEG4AudioLATM:
		p, err := latm.Payload(c.Config, u.Payload)
		if len(p) > 0 {
			return m.WriteMPEG4Audio(t.HLS, u.NTP, pts, p)
		}
		return err
	case *media.FLAC:
		return t.writeFLAC(m, c, u, pts)
	case *media.KLV:
		for _, p := range elements(u.Payload, 1) {
			if err := m.WriteKLV(t.HLS, u.NTP, pts, p); err != nil {
				return err
			}
		}
	}
	return nil
}

// elements leaves out those that are too short to have a header, which gohlslib
// does not expect.
func elements(payload [][]byte, minSize int) [][]byte {
	for i, p := range payload {
		if len(p) < minSize {
			out := append([][]byte(nil), payload[:i]...)
			for _, p := range payload[i+1:] {
				if len(p) >= minSize {
					out = append(out, p)
				}
			}
			return out
		}
	}
	return payload
}

// accessUnitH264 puts the parameter sets in front of key frames that lack them:
// gohlslib takes times from the SPS, and in MPEG-TS nothing else has it.
func accessUnitH264(c *media.H264, u *media.Unit) [][]byte {
	au := elements(u.Payload, 1)
	if !u.RandomAccess || c.SPS == nil || c.PPS == nil {
		return au
	}
	for _, n := range au {
		if h264.NALUType(n[0]&0x1f) == h264.NALUTypeSPS {
			return au
		}
	}
	return append([][]byte{c.SPS, c.PPS}, au...)
}

func accessUnitH265(c *media.H265, u *media.Unit) [][]byte {
	au := elements(u.Payload, 2)
	if !u.RandomAccess || c.VPS == nil || c.SPS == nil || c.PPS == nil {
		return au
	}
	for _, n := range au {
		if h265.NALUType(n[0]>>1&0x3f) == h265.NALUType_SPS_NUT {
			return au
		}
	}
	return append([][]byte{c.VPS, c.SPS, c.PPS}, au...)
}

// temporalUnit makes a sequence header mark key frames and nothing else, because
// that is how gohlslib recognizes them.
func temporalUnit(c *media.AV1, u *media.Unit) [][]byte {
	tu := elements(u.Payload, 1)
	header := -1
	for i, obu := range tu {
		if av1.OBUType(obu[0]>>3&0xf) == av1.OBUTypeSequenceHeader {
			header = i
		}
	}
	switch {
	case u.RandomAccess && header < 0 && c.SequenceHeader != nil:
		return append([][]byte{c.SequenceHeader}, tu...)
	case !u.RandomAccess && header >= 0:
		return append(append([][]byte(nil), tu[:header]...), tu[header+1:]...)
	}
	return tu
}

// writeVP9 leaves out frames that only show an earlier one again: gohlslib takes
// them for key frames, and panics.
func (t *Track) writeVP9(m *gohlslib.Muxer, frame []byte, ntp time.Time, pts int64) error {
	var h vp9.Header
	if err := h.Unmarshal(frame); err != nil {
		return err
	}
	if h.ShowExistingFrame {
		return nil
	}
	return m.WriteVP9(t.HLS, ntp, pts, frame)
}

// writeFLAC spreads the frames of a unit over time.
func (t *Track) writeFLAC(m *gohlslib.Muxer, c *media.FLAC, u *media.Unit, pts int64) error {
	ntp := u.NTP
	for _, f := range elements(u.Payload, 5) {
		if err := m.WriteFLAC(t.HLS, ntp, pts, f); err != nil {
			return err
		}
		n := int64(flacBlockSize(f))
		pts += n
		ntp = ntp.Add(media.Duration(n, c.SampleRate))
	}
	return nil
}

// flacBlockSize returns the number of samples of a frame (RFC 9639 section
// 9.1.1); zero if the header is damaged.
func flacBlockSize(f []byte) int {
	switch code := f[2] >> 4; {
	case code == 0:
		return 0
	case code == 1:
		return 192
	case code <= 5:
		return 144 << code
	case code <= 7:
		return flacUncommonBlockSize(f, code == 7)
	default:
		return 1 << code
	}
}

// flacUncommonBlockSize reads the size behind the coded number.
func flacUncommonBlockSize(f []byte, wide bool) int {
	at := 4
	for lead := f[at]; lead&0x80 != 0; lead <<= 1 { // as in UTF-8: leading ones count bytes
		at++
	}
	at = max(at, 5)
	switch {
	case wide && at+1 < len(f):
		return int(f[at])<<8 + int(f[at+1]) + 1
	case !wide && at < len(f):
		return int(f[at]) + 1
	}
	return 0
}
