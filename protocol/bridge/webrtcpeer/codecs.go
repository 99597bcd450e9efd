package webrtcpeer

import (
	"strings"

	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
)

// receivable names what can be received, for errors.
const receivable = "AV1, VP9, VP8, H265, H264, Opus, G722, PCMU, PCMA, L16"

// formatOf returns the format of a codec that can be received, or nil.
func formatOf(o *offered) format.Format {
	switch strings.ToLower(o.name) {
	case "av1":
		return &format.AV1{PayloadTyp: o.pt}
	case "vp9":
		return &format.VP9{PayloadTyp: o.pt}
	case "vp8":
		return &format.VP8{PayloadTyp: o.pt}
	case "h265":
		return &format.H265{PayloadTyp: o.pt}
	case "h264":
		if mode := o.paramInt("packetization-mode", 0); mode == 0 || mode == 1 {
			return &format.H264{PayloadTyp: o.pt, PacketizationMode: mode}
		}
	case "opus":
		if o.clock == 48000 {
			return &format.Opus{PayloadTyp: o.pt, ChannelCount: opusChannels(o)}
		}
	case "multiopus":
		if o.clock == 48000 && o.channels >= 1 && o.channels <= 8 {
			return &format.Opus{PayloadTyp: o.pt, ChannelCount: o.channels}
		}
	case "g722":
		return &format.G722{}
	case "pcmu", "pcma":
		return &format.G711{PayloadTyp: o.pt, MULaw: o.is("pcmu"), SampleRate: o.clock, ChannelCount: o.channels}
	case "l16":
		return &format.LPCM{PayloadTyp: o.pt, BitDepth: 16, SampleRate: o.clock, ChannelCount: o.channels}
	}
	return nil
}

// opusChannels returns what the sender announces, RFC 7587 section 6.1. Browsers
// announce nothing, see [stereo].
func opusChannels(o *offered) int {
	if o.paramInt("sprop-stereo", 0) == 1 || o.paramInt("stereo", 0) == 1 {
		return 2
	}
	return 1
}

// stereo tells whether a packet of Opus has two channels: the s bit of RFC 6716
// section 3.1.
func stereo(payload []byte) bool { return len(payload) > 0 && payload[0]&0x04 != 0 }

// Feedback that we make, as far as it is offered: RFC 4585, RFC 5104, and the
// draft of transport-wide congestion control.
var receiveFeedback = []string{"nack", "nack pli", "ccm fir", "transport-cc"}

// receiveExtensions are the RTP header extensions that are read.
var receiveExtensions = []string{
	sdp.SDESMidURI, sdp.SDESRTPStreamIDURI, sdp.SDESRepairRTPStreamIDURI,
	sdp.TransportCCURI, sdp.ABSSendTimeURI, absCaptureTimeURI,
}

const absCaptureTimeURI = "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time"

// receivableCodecs returns the codecs of a section that can be received, with the
// rtx formats that belong to them (RFC 4588).
func receivableCodecs(codecs []offered) []registeredCodec {
	var list []registeredCodec
	known := map[int]bool{}
	for i := range codecs {
		if formatOf(&codecs[i]) != nil {
			known[int(codecs[i].pt)] = true
			list = append(list, codecs[i].register(receiveFeedback...))
		}
	}
	for i := range codecs {
		if o := &codecs[i]; o.is("rtx") && known[o.paramInt("apt", -1)] {
			list = append(list, o.register())
		}
	}
	return list
}

// offeredOf returns a negotiated codec in the form of an offer.
func offeredOf(c webrtc.RTPCodecParameters) offered {
	media, name, _ := strings.Cut(c.MimeType, "/")
	o := offered{
		kind: webrtc.NewRTPCodecType(media), pt: uint8(c.PayloadType), name: name,
		clock: int(c.ClockRate), channels: int(c.Channels), fmtp: c.SDPFmtpLine,
	}
	if o.kind == webrtc.RTPCodecTypeAudio {
		o.channels = max(o.channels, 1)
	}
	return o
}
