// Package latm takes MPEG-4 audio out of its transport LATM (ISO 14496-3, section 1.7.3).
package latm

import (
	"errors"
	"fmt"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
)

// ErrNoAudio tells that a configuration holds nothing that can be decoded.
var ErrNoAudio = errors.New("invalid LATM: the configuration has no audio")

// Config returns the configuration of the audio: that of the first layer of the first
// program, as nobody uses others. It is nil if there is none.
func Config(c *mpeg4audio.StreamMuxConfig) *mpeg4audio.AudioSpecificConfig {
	if c == nil || len(c.Programs) == 0 || c.Programs[0] == nil || len(c.Programs[0].Layers) == 0 || c.Programs[0].Layers[0] == nil {
		return nil
	}
	if asc := c.Programs[0].Layers[0].AudioSpecificConfig; asc != nil && asc.SampleRate > 0 {
		return asc
	}
	return nil
}

// AccessUnits returns the access units of that audio in an element.
func AccessUnits(e *mpeg4audio.AudioMuxElement) [][]byte {
	var out [][]byte
	for _, programs := range e.Payloads {
		if len(programs) > 0 && len(programs[0]) > 0 && len(programs[0][0]) > 0 {
			out = append(out, programs[0][0])
		}
	}
	return out
}

// Payload returns the access units of elements without a configuration of their own.
// What is damaged is left out; the error tells of the last one.
func Payload(c *mpeg4audio.StreamMuxConfig, elements [][]byte) (out [][]byte, err error) {
	for _, b := range elements {
		e := mpeg4audio.AudioMuxElement{StreamMuxConfig: c}
		if damage := e.Unmarshal(b); damage != nil {
			err = fmt.Errorf("invalid LATM: %w", damage)
			continue
		}
		out = append(out, AccessUnits(&e)...)
	}
	return out, err
}
