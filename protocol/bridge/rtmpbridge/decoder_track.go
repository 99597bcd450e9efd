package rtmpbridge

import (
	"errors"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/ac3"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/av1"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"

	"github.com/org/mtx/router/media"
)

var (
	errNALUs  = errors.New("access unit is damaged")
	errConfig = errors.New("the configuration is not supported")
)

// maxNALUs bounds the NALUs of an access unit.
const maxNALUs = 512

// decTrack is a track of a publisher.
type decTrack struct {
	fourCC fourCC
	codec  media.Codec // nil: not known yet
	ready  bool        // it is part of the stream
	index  int         // in the stream
	clock  smoother

	sets       [][]byte // parameter sets of the last configuration
	lengthSize int      // of the lengths of NALUs, bytes
	stereo     bool     // Opus without configuration
	seen       bool
}

// learn looks for the codec in a tag that comes before the stream begins.
func (t *decTrack) learn(g *tag) {
	if t.codec != nil || g.codec != t.fourCC {
		return
	}
	if g.config {
		_ = t.configure(g.data) // reported when it is decoded
		return
	}
	switch g.codec {
	case codecMP3:
		t.codec = &media.MPEG1Audio{}
	case codecPCMA, codecPCMU:
		t.codec = &media.G711{MULaw: g.codec == codecPCMU, SampleRate: g.rate, ChannelCount: g.channels}
	case codecLPCM:
		t.codec = &media.LPCM{BitDepth: g.bits, SampleRate: g.rate, ChannelCount: g.channels}
	case codecAC3:
		var info ac3.SyncInfo
		var bsi ac3.BSI
		if len(g.data) > 5 && info.Unmarshal(g.data) == nil && bsi.Unmarshal(g.data[5:]) == nil {
			t.codec = &media.AC3{SampleRate: info.SampleRate(), ChannelCount: bsi.ChannelCount()}
		}
	case codecVP9:
		t.codec = &media.VP9{}
	case codecAV1:
		if c, _ := media.Scan(&media.AV1{}, splitOBUs(g.data)); len(c.(*media.AV1).SequenceHeader) > 0 { // Scan keeps the type
			t.codec = c
		}
	case codecOpus:
		if len(g.data) > 0 {
			t.seen, t.stereo = true, g.data[0]&0x04 != 0 // RFC 6716, section 3.1
		}
	}
}

// guess is the last resort at the end of the analysis.
func (t *decTrack) guess() {
	if t.codec == nil && t.fourCC == codecOpus && t.seen {
		t.codec = &media.Opus{ChannelCount: 1}
		if t.stereo {
			t.codec = &media.Opus{ChannelCount: 2}
		}
	}
}

// configure takes a configuration record. It sets the codec the first time.
func (t *decTrack) configure(b []byte) error {
	codec, err := t.parseConfig(b)
	if err != nil {
		return err
	}
	switch {
	case codec == nil:
	case t.codec == nil && !t.ready:
		t.codec = codec
	case !media.Compatible([]media.Track{{Codec: t.codec}}, []media.Track{{Codec: codec}}):
		return errConfig // sample rate or channels of audio
	}
	return nil
}

func (t *decTrack) parseConfig(b []byte) (media.Codec, error) {
	switch t.fourCC {
	case codecAVC:
		sets, n, err := parseAVCC(b)
		if err != nil {
			return nil, err
		}
		t.sets, t.lengthSize = sets, n
		codec, _ := media.Scan(&media.H264{}, sets)
		return codec, nil
	case codecHEVC:
		sets, n, err := parseHVCC(b)
		if err != nil {
			return nil, err
		}
		t.sets, t.lengthSize = sets, n
		codec, _ := media.Scan(&media.H265{}, sets)
		return codec, nil
	case codecAV1:
		return &media.AV1{SequenceHeader: parseAV1C(b)}, nil
	case codecVP9:
		return &media.VP9{}, nil
	case codecOpus:
		if n := parseOpusHead(b); n > 0 {
			return &media.Opus{ChannelCount: n}, nil
		}
		return nil, errRecord
	case codecFLAC:
		c, err := parseFLAC(b)
		if err != nil {
			return nil, err
		}
		return c, nil
	case codecAAC:
		return parseAAC(b)
	}
	return nil, nil // it has none, or it says nothing
}

func parseAAC(b []byte) (media.Codec, error) {
	if len(b) == 0 {
		return nil, nil
	}
	var c mpeg4audio.AudioSpecificConfig
	if err := c.Unmarshal(b); err != nil {
		return nil, err
	}
	m := &media.MPEG4Audio{Config: &c}
	if m.ClockRate() <= 0 {
		return nil, errConfig
	}
	return m, nil
}

// unit turns a tag into a unit; nil if it has none.
func (t *decTrack) unit(g *tag, ms int64) (*media.Unit, error) {
	if g.config {
		return nil, t.configure(g.data)
	}
	if len(g.data) == 0 {
		return nil, nil
	}
	payload, err := t.payload(g)
	if err != nil || len(payload) == 0 {
		return nil, err
	}
	u := &media.Unit{Payload: payload}
	if g.video {
		const rate = 90
		u.PTS = (ms + int64(g.delta)) * rate
	} else {
		u.PTS = t.clock.take(ms, duration(t.codec, payload[0]))
	}
	return u, nil
}

func (t *decTrack) payload(g *tag) ([][]byte, error) {
	switch c := t.codec.(type) {
	case *media.H264:
		au, err := t.nalus(g.data)
		return t.withSets(au, g.key, isIDR264, isSet264), err
	case *media.H265:
		au, err := t.nalus(g.data)
		return t.withSets(au, g.key, isIRAP265, isSet265), err
	case *media.AV1:
		var tu [][]byte
		for _, obu := range splitOBUs(g.data) {
			if av1.OBUType(obu[0]>>3&0x0f) != av1.OBUTypeTemporalDelimiter {
				tu = append(tu, obu)
			}
		}
		return tu, nil
	case *media.LPCM:
		if c.BitDepth == 16 {
			return [][]byte{swapBytes(make([]byte, 0, len(g.data)), g.data)}, nil
		}
		return [][]byte{flipSign(make([]byte, 0, len(g.data)), g.data)}, nil
	}
	return [][]byte{g.data}, nil
}

// nalus cuts an access unit by the lengths in it (ISO 14496-15, section 4.3.2).
// Empty ones are left out.
func (t *decTrack) nalus(b []byte) ([][]byte, error) {
	size := t.lengthSize
	if size == 0 {
		size = 4
	}
	var au [][]byte
	for len(b) > 0 {
		if len(b) < size {
			return nil, errNALUs
		}
		n := 0
		for _, v := range b[:size] {
			n = n<<8 | int(v)
		}
		b = b[size:]
		if n > len(b) || len(au) >= maxNALUs {
			return nil, errNALUs
		}
		if n > 0 {
			au = append(au, b[:n:n])
		}
		b = b[n:]
	}
	return au, nil
}

// withSets puts the parameter sets, which RTMP sends apart, in front of access
// units where decoding can start and that have none.
func (t *decTrack) withSets(au [][]byte, key bool, isKey, isSet func(nalu []byte) bool) [][]byte {
	if len(t.sets) == 0 || len(au) == 0 {
		return au
	}
	sets := false
	for _, n := range au {
		key = key || isKey(n)
		sets = sets || isSet(n)
	}
	if !key || sets {
		return au
	}
	return append(append(make([][]byte, 0, len(t.sets)+len(au)), t.sets...), au...)
}

func isIDR264(n []byte) bool { return h264.NALUType(n[0]&0x1f) == h264.NALUTypeIDR }

func isSet264(n []byte) bool { return h264.NALUType(n[0]&0x1f) == h264.NALUTypeSPS }

func isIRAP265(n []byte) bool {
	typ := h265.NALUType(n[0] >> 1 & 0x3f)
	return typ >= h265.NALUType_BLA_W_LP && typ <= h265.NALUType_RSV_IRAP_VCL23
}

func isSet265(n []byte) bool {
	return h265.NALUType(n[0]>>1&0x3f) == h265.NALUType_SPS_NUT
}
