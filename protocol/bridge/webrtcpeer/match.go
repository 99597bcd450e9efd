package webrtcpeer

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"

	"github.com/org/mtx/router/media"
)

// sent is a codec of the remote side together with what is sent in it.
type sent struct {
	offered
	codec   media.Codec // as it is sent
	convert bool        // from the codec of the track
}

// sendFeedback is the feedback that a viewer may give.
var sendFeedback = []string{"nack", "nack pli", "ccm fir"}

// matchCodec finds the codec of the remote side in which a track is sent best.
func matchCodec(c media.Codec, codecs []offered) (sent, bool) {
	var best sent
	bestScore := 0
	for i := range codecs {
		o := &codecs[i]
		out, score := scoreCodec(c, o)
		if score > bestScore {
			best, bestScore = sent{*o, out, out != c}, score
		}
	}
	return best, bestScore > 0
}

// Scores of codecs. The first one of the highest score wins: the order of an offer
// is one of preference.
const (
	unfit    = 0
	lossy    = 1 // after a conversion
	doubtful = 2 // parameters differ; decoders mostly take it
	fit      = 3
	exact    = 4
)

func scoreCodec(c media.Codec, o *offered) (media.Codec, int) {
	switch c := c.(type) {
	case *media.H264:
		return c, scoreH264(c, o)
	case *media.H265:
		return c, scoreH265(c, o)
	case *media.VP9:
		return c, scoreVP9(c, o)
	case *media.AV1:
		if o.is("av1") && o.paramInt("profile", 0) == av1Profile(c) {
			return c, exact
		}
	case *media.VP8:
		if o.is("vp8") {
			return c, exact
		}
	case *media.Opus:
		if c.ChannelCount <= 2 && o.is("opus") || c.ChannelCount > 2 && o.is("multiopus") && o.channels == c.ChannelCount {
			return c, exact
		}
	case *media.G722:
		if o.is("g722") {
			return c, exact
		}
	case *media.G711:
		if (c.MULaw && o.is("pcmu") || !c.MULaw && o.is("pcma")) && o.clock == c.SampleRate && o.channels == c.ChannelCount {
			return c, exact
		}
	case *media.LPCM:
		return scoreLPCM(c, o)
	}
	return c, unfit
}

// scoreH264 compares profiles, RFC 6184 section 8.1. A decoder of another profile
// is tried all the same: browsers decode more than they tell. Packets are those of
// packetization-mode 1.
func scoreH264(c *media.H264, o *offered) int {
	if !o.is("h264") {
		return unfit
	}
	mode1 := o.paramInt("packetization-mode", 0) == 1
	level, _ := o.param("profile-level-id")
	same := len(c.SPS) < 4 || len(level) == 6 && sameH264Profile(c.SPS, level)
	switch {
	case mode1 && same:
		return exact
	case mode1:
		return fit
	default:
		return doubtful
	}
}

func sameH264Profile(sps []byte, level string) bool {
	v, err := strconv.ParseUint(level, 16, 32)
	if err != nil {
		return false
	}
	idc, constraints := byte(v>>16), byte(v>>8)
	// constraint_set1 of baseline: constrained baseline
	return idc == sps[1] && (idc != 66 || constraints&0x40 == sps[2]&0x40)
}

// scoreH265 compares profile and level, RFC 7798 section 7.1.
func scoreH265(c *media.H265, o *offered) int {
	if !o.is("h265") {
		return unfit
	}
	var sps h265.SPS
	if len(c.SPS) == 0 || guard(ErrBadOffer, func() error { return sps.Unmarshal(c.SPS) }) != nil {
		return fit
	}
	ptl := sps.ProfileTierLevel
	switch {
	case o.paramInt("profile-id", 1) != int(ptl.GeneralProfileIdc):
		return unfit
	case o.paramInt("level-id", 93) < int(ptl.GeneralLevelIdc) || o.paramInt("tier-flag", 0) < int(ptl.GeneralTierFlag):
		return doubtful
	default:
		return exact
	}
}

// scoreVP9 compares profiles, draft-ietf-payload-vp9 section 6: without profile-id
// it is 0.
func scoreVP9(c *media.VP9, o *offered) int {
	if o.is("vp9") && o.paramInt("profile-id", 0) == c.Profile {
		return exact
	}
	return unfit
}

// av1Profile reads seq_profile, the first three bits of the sequence header. The
// first byte is the header of the OBU.
func av1Profile(c *media.AV1) int {
	if len(c.SequenceHeader) < 2 {
		return 0
	}
	return int(c.SequenceHeader[1] >> 5)
}

// scoreLPCM falls back to G.711, which every browser takes.
func scoreLPCM(c *media.LPCM, o *offered) (media.Codec, int) {
	switch {
	case o.is("l16") && c.BitDepth == 16 && o.clock == c.SampleRate && o.channels == c.ChannelCount:
		return c, exact
	case o.clock != 8000 || o.channels != 1:
	case o.is("pcmu"):
		return &media.G711{MULaw: true, SampleRate: 8000, ChannelCount: 1}, doubtful
	case o.is("pcma"):
		return &media.G711{SampleRate: 8000, ChannelCount: 1}, lossy
	}
	return c, unfit
}

// ownCodec returns the codec in which we offer to send a track.
func ownCodec(c media.Codec, pt uint8) (sent, error) {
	list := allVideo()
	if c.Kind() == media.Audio {
		list = allAudio()
	}
	s, ok := matchCodec(c, list)
	if !ok {
		return sent{}, fmt.Errorf("%s cannot be sent over WebRTC; %s can", c.Name(), sendable)
	}
	if h, ok := c.(*media.H264); ok && len(h.SPS) >= 4 {
		s.fmtp = fmt.Sprintf("level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=%02x%02x%02x", h.SPS[1], h.SPS[2], h.SPS[3])
	}
	if s.is("opus") {
		if o := c.(*media.Opus); o.ChannelCount == 2 {
			s.fmtp = "minptime=10;sprop-stereo=1;stereo=1;useinbandfec=1"
		} else {
			s.fmtp = "minptime=10;useinbandfec=1"
		}
	}
	if _, static := staticCodecs[s.pt]; !static {
		s.pt = pt
	}
	s.feedback = sendFeedback
	return s, nil
}

// sendable names what can be sent, for errors.
const sendable = "AV1, VP9, VP8, H265, H264, Opus, G722, G711, LPCM, KLV"

// codecNames names the codecs of tracks in errors.
func codecNames(tracks []media.Track) string {
	list := make([]string, len(tracks))
	for i, t := range tracks {
		list[i] = t.Codec.Name()
	}
	if len(list) == 0 {
		return "nothing"
	}
	return strings.Join(list, ", ")
}
