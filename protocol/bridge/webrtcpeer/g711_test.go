package webrtcpeer

import (
	"encoding/binary"
	"math"
	"testing"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/g711"

	"github.com/org/mtx/router/media"
)

// tone returns units of 10 ms of a sine wave.
func tone(c *media.LPCM, freq float64, units int) []*media.Unit {
	var list []*media.Unit
	n := c.SampleRate / 100
	for i := range units {
		var b []byte
		for j := range n {
			v := 0.5 * math.Sin(2*math.Pi*freq*float64(i*n+j)/float64(c.SampleRate))
			for range c.ChannelCount {
				s := uint32(int32(v * (1 << 31)))
				b = append(b, binary.BigEndian.AppendUint32(nil, s)[:c.BitDepth/8]...)
			}
		}
		list = append(list, &media.Unit{PTS: int64(i * n), Payload: [][]byte{b}})
	}
	return list
}

// power returns the amplitude of a frequency and the rest of the signal.
func power(samples []float64, freq float64) (amplitude, rest float64) {
	var re, im float64
	for i, s := range samples {
		re += s * math.Cos(2*math.Pi*freq*float64(i)/g711Rate)
		im += s * math.Sin(2*math.Pi*freq*float64(i)/g711Rate)
	}
	n := float64(len(samples))
	amplitude = 2 * math.Hypot(re, im) / n
	total := 0.0
	for _, s := range samples {
		total += s * s / n
	}
	return amplitude, math.Sqrt(max(0, total-amplitude*amplitude/2))
}

func TestG711Converter(t *testing.T) {
	t.Parallel()
	for _, ca := range []struct {
		name  string
		codec media.LPCM
		muLaw bool
		freq  float64
		pass  bool
	}{
		{"48 kHz", media.LPCM{BitDepth: 16, SampleRate: 48000, ChannelCount: 2}, true, 1000, true},
		{"44.1 kHz", media.LPCM{BitDepth: 16, SampleRate: 44100, ChannelCount: 1}, true, 440, true},
		{"24 bits", media.LPCM{BitDepth: 24, SampleRate: 96000, ChannelCount: 6}, false, 1000, true},
		{"8 bits", media.LPCM{BitDepth: 8, SampleRate: 16000, ChannelCount: 1}, true, 1000, true},
		{"same rate", media.LPCM{BitDepth: 16, SampleRate: 8000, ChannelCount: 1}, true, 1000, true},
		{"alias", media.LPCM{BitDepth: 16, SampleRate: 48000, ChannelCount: 1}, true, 7000, false},
		{"alias near", media.LPCM{BitDepth: 16, SampleRate: 48000, ChannelCount: 1}, false, 5000, false},
	} {
		t.Run(ca.name, func(t *testing.T) {
			t.Parallel()
			convert := NewG711Converter(&ca.codec, &media.G711{MULaw: ca.muLaw, SampleRate: 8000, ChannelCount: 1})
			var samples []float64
			next := int64(-1)
			for _, u := range tone(&ca.codec, ca.freq, 100) {
				out := convert(u)
				if out == nil {
					continue
				}
				if next >= 0 && out.PTS != next {
					t.Fatalf("time stamp %d, want %d", out.PTS, next)
				}
				next = out.PTS + int64(len(out.Payload[0]))
				var lpcm []byte
				if ca.muLaw {
					var m g711.Mulaw
					m.Unmarshal(out.Payload[0])
					lpcm = m
				} else {
					var a g711.Alaw
					a.Unmarshal(out.Payload[0])
					lpcm = a
				}
				for i := 0; i < len(lpcm); i += 2 {
					samples = append(samples, float64(int16(binary.BigEndian.Uint16(lpcm[i:])))/(1<<15))
				}
			}
			if n := len(samples); n < 7900 || n > 8000 {
				t.Errorf("%d samples for a second", n)
			}
			samples = samples[800:] // after the silence in front
			amplitude, rest := power(samples[:len(samples)/80*80], ca.freq)
			if ca.pass && (amplitude < 0.45 || amplitude > 0.55 || rest > 0.02) {
				t.Errorf("amplitude %.3f, noise %.3f", amplitude, rest)
			}
			if !ca.pass && rest > 0.01 {
				t.Errorf("%.3f of the tone is left", rest)
			}
		})
	}
}

// TestG711ConverterGap begins anew after a gap, and takes damaged units.
func TestG711ConverterGap(t *testing.T) {
	t.Parallel()
	from := &media.LPCM{BitDepth: 16, SampleRate: 48000, ChannelCount: 2}
	convert := NewG711Converter(from, &media.G711{MULaw: true, SampleRate: 8000, ChannelCount: 1})
	units := tone(from, 1000, 2)
	convert(units[0])
	units[1].PTS += 48000
	out := convert(units[1])
	if out == nil || out.PTS < 8000 || out.PTS > 8200 {
		t.Fatalf("%+v", out)
	}
	for _, u := range []*media.Unit{{}, {Payload: [][]byte{nil}}, {Payload: [][]byte{{1, 2, 3}}}} {
		if out := convert(u); out != nil && len(out.Payload[0]) > 80 {
			t.Errorf("%+v", out)
		}
	}
	broken := NewG711Converter(&media.LPCM{}, &media.G711{})
	if broken(&media.Unit{Payload: [][]byte{{1, 2}}}) != nil {
		t.Error("samples out of nothing")
	}
}
