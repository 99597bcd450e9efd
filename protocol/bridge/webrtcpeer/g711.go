package webrtcpeer

import (
	"encoding/binary"
	"math"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/g711"

	"github.com/org/mtx/router/media"
)

const (
	g711Rate = 8000 // Hz

	// The filter: its length in zero crossings on each side, and the positions
	// between two samples for which it is computed.
	filterCrossings = 16
	filterPhases    = 512

	// passBand is the part of the band that is kept; the rest is for the slope.
	passBand = 0.9

	// maxDrift is how far the time of units may be from the number of samples before
	// the converter begins anew, in ticks of 8 kHz.
	maxDrift = g711Rate / 20
)

// NewG711Converter returns a function that turns units of LPCM into units of
// G.711 with 8 kHz and one channel: channels are mixed, what is above 3.6 kHz is
// filtered out. It has state and is for one goroutine. Units without samples, or
// too short to give any, become nil.
func NewG711Converter(from *media.LPCM, to *media.G711) func(*media.Unit) *media.Unit {
	c := &g711Converter{from: *from, muLaw: to.MULaw}
	if c.from.SampleRate <= 0 || c.from.ChannelCount <= 0 {
		return func(*media.Unit) *media.Unit { return nil }
	}
	c.step = float64(c.from.SampleRate) / g711Rate
	c.makeFilter()
	return c.convert
}

// g711Converter is a resampler: a windowed sinc, evaluated at the times of the
// output samples.
type g711Converter struct {
	from   media.LPCM
	muLaw  bool
	step   float64     // input samples per output sample
	half   int         // input samples on each side of the filter
	filter [][]float32 // by phase

	begun   bool
	samples []float32 // input that is still needed
	at      float64   // where the next output sample is in samples
	pts     int64     // of the next output sample
}

func (c *g711Converter) makeFilter() {
	cutoff := passBand * min(1, 1/c.step) // of half the input rate
	c.half = int(math.Ceil(filterCrossings / cutoff))
	c.filter = make([][]float32, filterPhases)
	for p := range c.filter {
		taps := make([]float32, 2*c.half)
		sum := 0.0
		for i := range taps {
			x := float64(i-c.half+1) - float64(p)/filterPhases
			w := 0.5 + 0.5*math.Cos(math.Pi*x/float64(c.half+1)) // Hann
			v := cutoff * sinc(cutoff*x) * w
			taps[i] = float32(v)
			sum += v
		}
		for i := range taps {
			taps[i] /= float32(sum)
		}
		c.filter[p] = taps
	}
}

func sinc(x float64) float64 {
	if x == 0 {
		return 1
	}
	return math.Sin(math.Pi*x) / (math.Pi * x)
}

func (c *g711Converter) convert(u *media.Unit) *media.Unit {
	pts := int64(math.Round(float64(u.PTS) / c.step))
	// the time of the first new sample, as the number of samples has it
	have := c.pts + int64((float64(len(c.samples))-c.at)/c.step)
	if d := pts - have; !c.begun || d > maxDrift || d < -maxDrift {
		c.begun = true
		c.samples = append(c.samples[:0], make([]float32, c.half)...) // silence in front
		c.at, c.pts = float64(c.half), pts
	}
	for _, b := range u.Payload {
		c.mix(b)
	}
	var out []byte
	for int(c.at)+c.half < len(c.samples) {
		v := uint16(c.sample())
		out = append(out, byte(v>>8), byte(v))
		c.at += c.step
	}
	if done := int(c.at) - c.half; done > 0 {
		c.samples = append(c.samples[:0], c.samples[done:]...)
		c.at -= float64(done)
	}
	if len(out) == 0 {
		return nil
	}
	res := &media.Unit{PTS: c.pts, NTP: u.NTP, RandomAccess: true, Payload: [][]byte{c.encode(out)}}
	c.pts += int64(len(out) / 2)
	return res
}

// mix appends interleaved big-endian samples as one channel, from -1 to 1.
func (c *g711Converter) mix(b []byte) {
	width := c.from.BitDepth / 8
	frame := width * c.from.ChannelCount
	if width < 1 || width > 3 {
		return
	}
	for ; len(b) >= frame; b = b[frame:] {
		sum := float32(0)
		for ch := range c.from.ChannelCount {
			s := b[ch*width:]
			switch width {
			case 1:
				sum += float32(int8(s[0])) / (1 << 7)
			case 2:
				sum += float32(int16(binary.BigEndian.Uint16(s))) / (1 << 15)
			default:
				sum += float32(int32(uint32(s[0])<<24|uint32(s[1])<<16|uint32(s[2])<<8)) / (1 << 31)
			}
		}
		c.samples = append(c.samples, sum/float32(c.from.ChannelCount))
	}
}

// sample computes the output at c.at.
func (c *g711Converter) sample() int16 {
	at := int(c.at)
	taps := c.filter[int((c.at-float64(at))*filterPhases)]
	sum := float32(0)
	for i, s := range c.samples[at-c.half+1 : at+c.half+1] {
		sum += s * taps[i]
	}
	return int16(max(-1, min(1, sum)) * math.MaxInt16)
}

func (c *g711Converter) encode(lpcm []byte) []byte {
	var enc []byte
	if c.muLaw {
		enc, _ = g711.Mulaw(lpcm).Marshal() // fails for odd sizes only
	} else {
		enc, _ = g711.Alaw(lpcm).Marshal()
	}
	return enc
}
