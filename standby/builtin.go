package standby

import (
	"embed"
	"fmt"
	"strings"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"

	"github.com/org/mtx/router/media"
)

//go:embed segments
var segments embed.FS

// New returns a built-in segment with these tracks. Codecs are AV1, VP9, H265,
// H264, Opus (one or two channels), MPEG4Audio (AAC-LC), G711 and LPCM (16 bits).
func New(codecs ...media.Codec) (*Segment, error) {
	if len(codecs) == 0 {
		return nil, fmt.Errorf("there are no tracks")
	}
	s := &Segment{}
	var key strings.Builder
	for i, c := range codecs {
		if c == nil {
			return nil, fmt.Errorf("track %d has no codec", i+1)
		}
		t, err := builtin(s, c)
		if err != nil {
			return nil, fmt.Errorf("track %d (%s): %w", i+1, c.Name(), err)
		}
		s.tracks = append(s.tracks, t)
		fmt.Fprintf(&key, "%s %+v;", c.Name(), describe(c))
	}
	s.key = key.String()
	return s, nil
}

// describe returns what tells built-in tracks of one codec apart.
func describe(c media.Codec) any {
	switch c := c.(type) {
	case *media.MPEG4Audio:
		return *c.Config
	case *media.Opus:
		return *c
	case *media.G711:
		return *c
	case *media.LPCM:
		return *c
	}
	return nil
}

func builtin(s *Segment, c media.Codec) (*track, error) {
	switch c := c.(type) {
	case *media.AV1, *media.VP9, *media.H265, *media.H264:
		return builtinVideo(s, c)
	case *media.Opus:
		return silentOpus(c)
	case *media.MPEG4Audio:
		return silentAAC(c)
	case *media.G711:
		if err := checkAudio(c.SampleRate, c.ChannelCount); err != nil {
			return nil, err
		}
		zero := byte(0xd5) // A-law
		if c.MULaw {
			zero = 0xff
		}
		return silentSamples(c, 1, c.ChannelCount, zero), nil
	case *media.LPCM:
		if err := checkAudio(c.SampleRate, c.ChannelCount); err != nil {
			return nil, err
		}
		if c.BitDepth != 8 && c.BitDepth != 16 && c.BitDepth != 24 {
			return nil, fmt.Errorf("bit depth %d: must be 8, 16 or 24", c.BitDepth)
		}
		return silentSamples(c, c.BitDepth/8, c.ChannelCount, 0), nil
	}
	return nil, fmt.Errorf("there is no built-in segment for this codec; a file is needed")
}

func builtinVideo(s *Segment, c media.Codec) (*track, error) {
	name := "segments/" + strings.ToLower(c.Name()) + ".mp4"
	data, err := segments.ReadFile(name)
	if err != nil {
		return nil, err
	}
	v, err := parse(data)
	if err != nil {
		return nil, err
	}
	s.period = v.period // all of them are equally long
	return v.tracks[0], nil
}

func checkAudio(rate, channels int) error {
	if rate < 1000 || rate > 384000 {
		return fmt.Errorf("sample rate %d: must be between 1000 and 384000", rate)
	}
	if channels < 1 || channels > 8 {
		return fmt.Errorf("channel count %d: must be between 1 and 8", channels)
	}
	return nil
}

// silent returns a track of one unit that is repeated.
func silent(c media.Codec, ticks int, payload []byte) *track {
	return &track{codec: c, silence: int64(ticks), samples: []sample{{payload: [][]byte{payload}}}}
}

// silentSamples is 20 ms of silence in uncompressed form.
func silentSamples(c media.Codec, size, channels int, zero byte) *track {
	n := c.ClockRate() / 50
	b := make([]byte, n*size*channels)
	for i := range b {
		b[i] = zero
	}
	return silent(c, n, b)
}

// silentOpus is a CELT frame of 20 ms, full band, whose first symbol says that it
// is silent (RFC 6716 section 4.3).
func silentOpus(c *media.Opus) (*track, error) {
	switch c.ChannelCount {
	case 1:
		return silent(c, 960, []byte{0xf8, 0xff, 0xfe}), nil
	case 2:
		return silent(c, 960, []byte{0xfc, 0xff, 0xfe}), nil
	}
	return nil, fmt.Errorf("channel count %d: must be 1 or 2", c.ChannelCount)
}

// Syntactic elements of AAC (ISO 14496-3 table 4.85).
const (
	aacSCE = 0
	aacCPE = 1
	aacLFE = 3
	aacEND = 7
)

// aacLayouts are the elements of each channel configuration (ISO 14496-3 table
// 1.19).
var aacLayouts = map[uint8][]uint64{
	1: {aacSCE}, 2: {aacCPE}, 3: {aacSCE, aacCPE}, 4: {aacSCE, aacCPE, aacSCE}, 5: {aacSCE, aacCPE, aacCPE},
	6: {aacSCE, aacCPE, aacCPE, aacLFE}, 7: {aacSCE, aacCPE, aacCPE, aacCPE, aacLFE},
}

// silentAAC is an access unit without spectral data.
func silentAAC(c *media.MPEG4Audio) (*track, error) {
	switch {
	case c.Config == nil:
		return nil, fmt.Errorf("the configuration is missing")
	case c.Config.Type != mpeg4audio.ObjectTypeAACLC:
		return nil, fmt.Errorf("object type %d: must be AAC-LC", c.Config.Type)
	case aacLayouts[c.Config.ChannelConfig] == nil:
		return nil, fmt.Errorf("channel configuration %d: must be between 1 and 7", c.Config.ChannelConfig)
	}
	if err := checkAudio(c.Config.SampleRate, 1); err != nil {
		return nil, err
	}
	var w bits
	tags := map[uint64]uint64{}
	for _, e := range aacLayouts[c.Config.ChannelConfig] {
		w.put(e, 3)
		w.put(tags[e], 4)
		tags[e]++
		n := 1
		if e == aacCPE {
			w.put(0, 1) // no common window
			n = 2
		}
		for range n {
			// global gain; one long window without bands, no pulses, no TNS, no
			// gain control
			w.put(0, 8+11+3)
		}
	}
	w.put(aacEND, 3)
	return silent(c, 1024, w.bytes), nil
}

// bits writes numbers, most significant bit first.
type bits struct {
	bytes []byte
	n     int
}

func (b *bits) put(v uint64, n int) {
	for i := n - 1; i >= 0; i-- {
		if b.n%8 == 0 {
			b.bytes = append(b.bytes, 0)
		}
		b.bytes[len(b.bytes)-1] |= byte(v>>i&1) << (7 - b.n%8)
		b.n++
	}
}
