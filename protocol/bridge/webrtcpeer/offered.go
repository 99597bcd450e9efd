package webrtcpeer

import (
	"slices"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
)

// offered is a codec of a media section.
type offered struct {
	kind     webrtc.RTPCodecType
	pt       uint8
	name     string // as in the rtpmap
	clock    int    // Hz
	channels int
	fmtp     string
	feedback []string // e.g. "nack pli"
}

// staticCodecs are payload types that need no rtpmap, RFC 3551 section 6.
var staticCodecs = map[uint8]offered{
	0:  {name: "PCMU", clock: 8000, channels: 1},
	8:  {name: "PCMA", clock: 8000, channels: 1},
	9:  {name: "G722", clock: 8000, channels: 1},
	10: {name: "L16", clock: 44100, channels: 2},
	11: {name: "L16", clock: 44100, channels: 1},
}

// offeredCodecs returns the codecs of a section, in its order of preference.
func offeredCodecs(m *sdp.MediaDescription) []offered {
	kind := webrtc.NewRTPCodecType(m.MediaName.Media)
	if kind == 0 {
		return nil
	}
	byType := map[uint8]*offered{}
	for _, f := range m.MediaName.Formats {
		if pt, err := strconv.ParseUint(f, 10, 7); err == nil {
			o := staticCodecs[uint8(pt)]
			o.kind, o.pt = kind, uint8(pt)
			byType[o.pt] = &o
		}
	}
	for _, a := range m.Attributes {
		number, value, _ := strings.Cut(a.Value, " ")
		if a.Key == "rtcp-fb" && number == "*" {
			for _, o := range byType {
				o.feedback = append(o.feedback, value)
			}
			continue
		}
		pt, err := strconv.ParseUint(number, 10, 7)
		if err != nil {
			continue
		}
		o := byType[uint8(pt)]
		if o == nil {
			continue
		}
		switch a.Key {
		case "rtpmap":
			o.name, o.clock, o.channels = parseRTPMap(value, kind)
		case "fmtp":
			o.fmtp = value
		case "rtcp-fb":
			o.feedback = append(o.feedback, value)
		}
	}
	list := make([]offered, 0, len(byType))
	for _, f := range m.MediaName.Formats {
		pt, err := strconv.ParseUint(f, 10, 7)
		if err != nil {
			continue
		}
		if o := byType[uint8(pt)]; o != nil && o.name != "" && o.clock > 0 {
			list = append(list, *o)
			delete(byType, o.pt)
		}
	}
	return list
}

func parseRTPMap(v string, kind webrtc.RTPCodecType) (name string, clock, channels int) {
	f := strings.Split(strings.TrimSpace(v), "/")
	if len(f) < 2 {
		return "", 0, 0
	}
	clock, err := strconv.Atoi(f[1])
	if err != nil || clock <= 0 || clock > 1_000_000 {
		return "", 0, 0
	}
	if kind == webrtc.RTPCodecTypeAudio {
		channels = 1
	}
	if len(f) > 2 {
		if channels, err = strconv.Atoi(f[2]); err != nil || channels < 1 || channels > 255 {
			return "", 0, 0
		}
	}
	return f[0], clock, channels
}

// param returns a format parameter.
func (o *offered) param(key string) (string, bool) {
	for kv := range strings.SplitSeq(o.fmtp, ";") {
		k, v, _ := strings.Cut(strings.TrimSpace(kv), "=")
		if strings.EqualFold(k, key) {
			return strings.TrimSpace(v), true
		}
	}
	return "", false
}

// paramInt returns a format parameter, or def if it is missing or no number.
func (o *offered) paramInt(key string, def int) int {
	if v, ok := o.param(key); ok {
		if n, err := strconv.Atoi(v); err == nil {
			return n
		}
	}
	return def
}

func (o *offered) is(name string) bool { return strings.EqualFold(o.name, name) }

// mime returns the name of the codec with its kind.
func (o *offered) mime() string { return o.kind.String() + "/" + o.name }

// register returns the codec as the library takes it, with the feedback of
// wanted that is offered.
func (o *offered) register(wanted ...string) registeredCodec {
	c := registeredCodec{kind: o.kind}
	c.MimeType, c.ClockRate, c.SDPFmtpLine = o.mime(), uint32(o.clock), o.fmtp
	c.PayloadType = webrtc.PayloadType(o.pt)
	if o.kind == webrtc.RTPCodecTypeAudio && o.channels > 1 {
		c.Channels = uint16(o.channels)
	}
	for _, fb := range wanted {
		if slices.Contains(o.feedback, fb) {
			typ, parameter, _ := strings.Cut(fb, " ")
			c.RTCPFeedback = append(c.RTCPFeedback, webrtc.RTCPFeedback{Type: typ, Parameter: parameter})
		}
	}
	return c
}

// label names the codec in errors.
func (o *offered) label() string {
	s := o.name
	for _, key := range []string{"profile-level-id", "packetization-mode", "profile-id", "profile"} {
		if v, ok := o.param(key); ok {
			s += " " + key + "=" + v
		}
	}
	if o.channels > 2 {
		s += " with " + strconv.Itoa(o.channels) + " channels"
	}
	return s
}

// labels names codecs in errors, without duplicates and helpers like rtx.
func labels(codecs []offered) string {
	var list []string
	for _, o := range codecs {
		if isHelper(&o) || slices.Contains(list, o.label()) {
			continue
		}
		list = append(list, o.label())
	}
	if len(list) == 0 {
		return "nothing"
	}
	return strings.Join(list[:min(len(list), 20)], ", ")
}

// isHelper tells codecs that carry no media of their own.
func isHelper(o *offered) bool {
	switch strings.ToLower(o.name) {
	case "rtx", "red", "ulpfec", "flexfec-03", "cn", "telephone-event":
		return true
	}
	return false
}
