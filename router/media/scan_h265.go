package media

import (
	"bytes"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"
)

// h265PPSIDOffset is where the identifier of a PPS begins, in bytes: behind the
// NALU header.
const h265PPSIDOffset = 2

func scanH265(c *H265, au [][]byte) (*H265, bool) {
	var vps, sps, pps []byte
	random := false

	for _, nalu := range au {
		if len(nalu) <= 2 || nalu[0]&0x80 != 0 { // forbidden_zero_bit
			continue
		}
		// nuh_layer_id, six bits across both bytes of the header. Layers above
		// the base (multiview, scalable) have parameter sets of their own.
		if nalu[0]&0x01 != 0 || nalu[1]&0xF8 != 0 {
			continue
		}
		typ := h265.NALUType(nalu[0] >> 1 & 0x3F)
		switch {
		case typ >= h265.NALUType_BLA_W_LP && typ <= h265.NALUType_RSV_IRAP_VCL23:
			random = true
		case len(nalu) > maxParameterSet:
		case typ == h265.NALUType_VPS_NUT:
			vps = nalu
		case typ == h265.NALUType_SPS_NUT:
			sps = nalu
		case typ == h265.NALUType_PPS_NUT:
			pps = pickSet(pps, nalu, h265PPSIDOffset)
		}
	}

	if vps == nil && sps == nil && pps == nil {
		return c, random
	}
	return updateH265(c, vps, sps, pps), random
}

// updateH265 returns c with the parameter sets of a unit, any may be nil.
func updateH265(c *H265, vps, sps, pps []byte) *H265 {
	// See updateH264: an additional PPS must not replace the first one.
	if sps == nil && pps != nil && len(c.PPS) != 0 && !sameSetID(c.PPS, pps, h265PPSIDOffset) {
		pps = nil
	}
	newVPS := vps != nil && !bytes.Equal(vps, c.VPS)
	newSPS := sps != nil && !bytes.Equal(sps, c.SPS)
	newPPS := pps != nil && !bytes.Equal(pps, c.PPS)
	if !newVPS && !newSPS && !newPPS {
		return c
	}
	if newSPS && parseH265SPS(sps) == nil {
		return c
	}
	if newPPS {
		var parsed h265.PPS
		if parsed.Unmarshal(pps) != nil {
			return c
		}
	}

	n := &H265{VPS: c.VPS, SPS: c.SPS, PPS: c.PPS}
	if newVPS {
		n.VPS = bytes.Clone(vps)
	}
	if newSPS {
		n.SPS = bytes.Clone(sps)
	}
	if newPPS {
		n.PPS = bytes.Clone(pps)
	}
	return n
}

// parseH265SPS returns the parsed SPS, or nil if it is not usable.
func parseH265SPS(buf []byte) *h265.SPS {
	var sps h265.SPS
	if len(buf) > maxParameterSet || sps.Unmarshal(buf) != nil || !plausible(sps.Width(), sps.Height()) {
		return nil
	}
	return &sps
}
