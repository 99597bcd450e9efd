package mp4bridge

import (
	"errors"
	"math"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/ac3"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/flac"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/g711"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg1audio"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/opus"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mp4/codecs"

	"github.com/org/mtx/router/media"
)

// Converter turns the units of a track into samples. It is used by one goroutine.
type Converter interface {
	// Convert appends the samples of a unit, whose codec has the parameters that
	// belong to it. There are none if it cannot be stored. They share memory with
	// the unit, and with the converter until the next call.
	Convert(dst []Sample, u *media.Unit, c media.Codec) []Sample

	// Params describe the last unit; nil while they are unknown. The value is the
	// same as long as nothing changes.
	Params() codecs.Codec

	// Append writes the data of a sample, in the framing of MP4.
	Append(dst []byte, data [][]byte) []byte
}

// Sample is a sample of a track. Times are ticks of the clock rate of the codec.
type Sample struct {
	DTS, PTS int64
	Duration int64    // zero if only the next sample tells it
	Sync     bool     // can be decoded by itself
	Data     [][]byte // to be written with Append
}

var errNotCarried = errors.New("fragmented MP4 cannot carry this codec")

// New returns a converter, or an error that tells why MP4 cannot carry the codec.
func New(c media.Codec) (Converter, error) {
	switch c := c.(type) {
	case *media.H264, *media.H265:
		return newH26x(c), nil
	case *media.AV1:
		return &av1Converter{}, nil
	case *media.VP9:
		return &vp9Converter{}, nil
	case *media.MPEG4Video:
		return &mpeg4VideoConverter{}, nil
	case *media.MPEG1Video:
		return &mpeg1VideoConverter{}, nil
	case *media.MJPEG:
		return &mjpegConverter{}, nil
	case *media.MPEG4AudioLATM:
		return &latmConverter{}, nil
	case *media.Opus:
		if c.ChannelCount != 1 && c.ChannelCount != 2 {
			return nil, errors.New("Opus with more than two channels cannot be stored in fragmented MP4")
		}
		return &packetConverter{duration: opus.PacketDuration2, describe: opusParams, fixed: true}, nil
	case *media.MPEG4Audio:
		if c.Config == nil || c.Config.SampleRate <= 0 {
			return nil, errors.New("the configuration of the codec is not known")
		}
		return &packetConverter{duration: aacDuration, describe: aacParams, fixed: true}, nil
	case *media.MPEG1Audio:
		return &packetConverter{duration: mpeg1AudioDuration, describe: mpeg1AudioParams}, nil
	case *media.AC3:
		return &packetConverter{duration: ac3Duration, describe: ac3Params}, nil
	case *media.FLAC:
		var info flac.StreamInfo
		if err := info.Unmarshal(c.StreamInfo); err != nil {
			return nil, err
		}
		return &packetConverter{
			duration: func([]byte) int64 { return int64(info.MaxBlockSize) },
			describe: func(media.Codec, []byte) codecs.Codec { return &codecs.FLAC{StreamInfo: &info} },
			fixed:    true,
		}, nil
	case *media.G711:
		return newPCM(c.SampleRate, c.ChannelCount, 16)
	case *media.LPCM:
		return newPCM(c.SampleRate, c.ChannelCount, c.BitDepth)
	}
	return nil, errNotCarried
}

// join is the framing of codecs that have none.
type join struct{}

func (join) Append(dst []byte, data [][]byte) []byte {
	for _, d := range data {
		dst = append(dst, d...)
	}
	return dst
}

// packetConverter is for audio in packets: each is a sample.
type packetConverter struct {
	join

	duration func([]byte) int64                         // ticks
	describe func(c media.Codec, p []byte) codecs.Codec // nil: damaged
	fixed    bool                                       // describe does not look at packets
	codec    media.Codec
	out      codecs.Codec
}

func (k *packetConverter) Params() codecs.Codec { return k.out }

func (k *packetConverter) Convert(dst []Sample, u *media.Unit, c media.Codec) []Sample {
	if k.fixed {
		k.learn(c, nil)
	}
	at := u.PTS
	for i, p := range u.Payload {
		if len(p) == 0 {
			continue
		}
		if !k.fixed && !k.learn(c, p) {
			continue
		}
		n := k.duration(p)
		dst = append(dst, Sample{DTS: at, PTS: at, Duration: n, Sync: true, Data: u.Payload[i : i+1]})
		at += max(n, 1)
	}
	return dst
}

// learn returns false if the packet is damaged.
func (k *packetConverter) learn(c media.Codec, p []byte) bool {
	if k.fixed && c == k.codec {
		return true
	}
	d := k.describe(c, p)
	if d == nil {
		return false
	}
	if k.codec = c; k.out == nil || !Equal(k.out, d) {
		k.out = d
	}
	return true
}

func opusParams(c media.Codec, _ []byte) codecs.Codec {
	o, ok := c.(*media.Opus)
	if !ok {
		return nil
	}
	return &codecs.Opus{ChannelCount: o.ChannelCount}
}

func aacDuration([]byte) int64 { return mpeg4audio.SamplesPerAccessUnit }

func ac3Duration([]byte) int64 { return ac3.SamplesPerFrame }

func aacParams(c media.Codec, _ []byte) codecs.Codec {
	a, ok := c.(*media.MPEG4Audio)
	if !ok || a.Config == nil {
		return nil
	}
	return &codecs.MPEG4Audio{Config: *a.Config}
}

func mpeg1AudioDuration(p []byte) int64 {
	var h mpeg1audio.FrameHeader
	if h.Unmarshal(p) != nil || h.SampleRate == 0 {
		return 0
	}
	return int64(h.SampleCount()) * 90000 / int64(h.SampleRate)
}

func mpeg1AudioParams(_ media.Codec, p []byte) codecs.Codec {
	var h mpeg1audio.FrameHeader
	if h.Unmarshal(p) != nil || h.SampleRate == 0 {
		return nil
	}
	channels := 2
	if h.ChannelMode == mpeg1audio.ChannelModeMono {
		channels = 1
	}
	return &codecs.MPEG1Audio{SampleRate: h.SampleRate, ChannelCount: channels}
}

func ac3Params(_ media.Codec, p []byte) codecs.Codec {
	var sync ac3.SyncInfo
	var bsi ac3.BSI
	if sync.Unmarshal(p) != nil || len(p) < 6 || bsi.Unmarshal(p[5:]) != nil {
		return nil
	}
	return &codecs.AC3{
		SampleRate: sync.SampleRate(), ChannelCount: bsi.ChannelCount(),
		Bsid: bsi.Bsid, Bsmod: bsi.Bsmod, Acmod: bsi.Acmod, LfeOn: bsi.LfeOn,
		BitRateCode: sync.Frmsizecod >> 1, // two sizes for each bit rate (ETSI TS 102 366 table 4.13)
	}
}

// pcmConverter stores samples of audio as they are, and G711 as 16-bit samples:
// players of MP4 do not know it.
type pcmConverter struct {
	join

	frame int // bytes of one sample of all channels
	out   codecs.Codec
}

func newPCM(rate, channels, depth int) (*pcmConverter, error) {
	switch {
	case depth != 8 && depth != 16 && depth != 24:
		return nil, errors.New("the bit depth must be 8, 16 or 24")
	case channels < 1 || channels > 255:
		return nil, errors.New("the number of channels must be between 1 and 255")
	case rate < 1 || rate > math.MaxUint16:
		return nil, errors.New("the sample rate must be below 65536")
	}
	return &pcmConverter{
		frame: channels * depth / 8,
		out:   &codecs.LPCM{BitDepth: depth, SampleRate: rate, ChannelCount: channels},
	}, nil
}

func (k *pcmConverter) Params() codecs.Codec { return k.out }

func (k *pcmConverter) Convert(dst []Sample, u *media.Unit, c media.Codec) []Sample {
	at := u.PTS
	for _, p := range u.Payload {
		if g, ok := c.(*media.G711); ok {
			p = decodeG711(p, g.MULaw)
		}
		if p = p[:len(p)-len(p)%k.frame]; len(p) == 0 {
			continue
		}
		n := int64(len(p) / k.frame)
		dst = append(dst, Sample{DTS: at, PTS: at, Duration: n, Sync: true, Data: [][]byte{p}})
		at += n
	}
	return dst
}

func decodeG711(p []byte, mu bool) []byte {
	if mu {
		var out g711.Mulaw
		out.Unmarshal(p)
		return out
	}
	var out g711.Alaw
	out.Unmarshal(p)
	return out
}

// latmConverter takes MPEG-4 audio out of its transport.
type latmConverter struct {
	join

	in     *mpeg4audio.StreamMuxConfig // of the codec
	config *mpeg4audio.StreamMuxConfig
	out    codecs.Codec
}

func (k *latmConverter) Params() codecs.Codec { return k.out }

func (k *latmConverter) Convert(dst []Sample, u *media.Unit, c media.Codec) []Sample {
	l, ok := c.(*media.MPEG4AudioLATM)
	if !ok {
		return dst
	}
	if l.Config != nil && l.Config != k.in {
		k.in, k.config = l.Config, l.Config
	}
	at := u.PTS
	for _, p := range u.Payload {
		e := mpeg4audio.AudioMuxElement{MuxConfigPresent: l.Config == nil, StreamMuxConfig: k.config}
		if len(p) == 0 || e.Unmarshal(p) != nil {
			continue
		}
		k.config = e.StreamMuxConfig
		asc := firstLayer(k.config)
		if asc == nil || asc.SampleRate <= 0 {
			continue
		}
		if d := (&codecs.MPEG4Audio{Config: *asc}); k.out == nil || !Equal(k.out, d) {
			k.out = d
		}
		n := mpeg4audio.SamplesPerAccessUnit * int64(l.Rate) / int64(asc.SampleRate)
		for _, sub := range e.Payloads {
			if len(sub) == 0 || len(sub[0]) == 0 || len(sub[0][0]) == 0 {
				continue
			}
			dst = append(dst, Sample{DTS: at, PTS: at, Duration: n, Sync: true, Data: sub[0][:1]})
			at += max(n, 1)
		}
	}
	return dst
}

// firstLayer returns the configuration of the audio that is stored.
func firstLayer(c *mpeg4audio.StreamMuxConfig) *mpeg4audio.AudioSpecificConfig {
	if c == nil || len(c.Programs) == 0 || c.Programs[0] == nil || len(c.Programs[0].Layers) == 0 || c.Programs[0].Layers[0] == nil {
		return nil
	}
	return c.Programs[0].Layers[0].AudioSpecificConfig
}
