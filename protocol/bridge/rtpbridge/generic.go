package rtpbridge

import (
	"fmt"
	"strings"

	"github.com/bluenviron/gortsplib/v5/pkg/format"

	"github.com/org/mtx/router/media"
)

// staticType is a static payload type of RFC 3551 section 6.
type staticType struct {
	payloadType uint8
	rtpMap      string
	kind        media.Kind
}

// staticTypes returns the static payload types that have no codec of their own.
// A session description may leave their rtpmap out.
func staticTypes() [15]staticType {
	return [...]staticType{
		{3, "GSM/8000", media.Audio},
		{4, "G723/8000", media.Audio},
		{5, "DVI4/8000", media.Audio},
		{6, "DVI4/16000", media.Audio},
		{7, "LPC/8000", media.Audio},
		{12, "QCELP/8000", media.Audio},
		{13, "CN/8000", media.Audio},
		{15, "G728/8000", media.Audio},
		{16, "DVI4/11025", media.Audio},
		{17, "DVI4/22050", media.Audio},
		{18, "G729/8000", media.Audio},
		{25, "CelB/90000", media.Video},
		{28, "nv/90000", media.Video},
		{31, "H261/90000", media.Video},
		{34, "H263/90000", media.Video},
	}
}

// genericOf describes a format by its session description only. Whether it is
// video, audio or data is known for static payload types and for the formats of
// this package; otherwise data is assumed, and [Tracks] knows better.
func genericOf(f format.Format) *media.Generic {
	g := &media.Generic{Media: media.Data}
	if f == nil {
		return g
	}
	g.RTPMap, g.FMTP, g.Rate = f.RTPMap(), f.FMTP(), f.ClockRate()

	switch f.(type) {
	case *format.H264, *format.H265:
		g.Media = media.Video
	case *format.MPEG4Audio:
		g.Media = media.Audio
	}
	for _, st := range staticTypes() {
		if st.payloadType != f.PayloadType() {
			continue
		}
		g.Media = st.kind
		if g.RTPMap == "" {
			g.RTPMap = st.rtpMap
		}
	}
	return g
}

func genericFormat(c *media.Generic, payloadType uint8) (format.Format, error) {
	if c.RTPMap == "" {
		return nil, fmt.Errorf("a generic codec without rtpmap cannot be described")
	}
	for _, st := range staticTypes() {
		if strings.EqualFold(st.rtpMap, c.RTPMap) && len(c.FMTP) == 0 {
			payloadType = st.payloadType
		}
	}
	f := &format.Generic{PayloadTyp: payloadType, RTPMa: c.RTPMap, FMT: c.FMTP}
	if err := f.Init(); err != nil {
		return nil, fmt.Errorf("rtpmap %q is invalid: %w", c.RTPMap, err)
	}
	if f.ClockRat <= 0 {
		return nil, fmt.Errorf("rtpmap %q has no clock rate", c.RTPMap)
	}
	return f, nil
}
