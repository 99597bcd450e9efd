package playback

import (
	"fmt"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mp4/codecs"

	"github.com/org/mtx/protocol/bridge/mp4bridge"
	"github.com/org/mtx/router/media"
)

// probed is a track of a transport stream whose parameters are looked for.
type probed struct {
	conv  mp4bridge.Converter // nil if MP4 cannot carry the codec
	codec media.Codec         // with the parameters that were seen
	mp4   codecs.Codec        // nil while they are unknown
}

func newProbed(c media.Codec) probed {
	conv, err := mp4bridge.New(c)
	if err != nil {
		return probed{codec: c} // what can be played is
	}
	return probed{conv: conv, codec: c}
}

// look takes a unit. It is true once: when the parameters are known, in a unit that
// can be decoded by itself.
func (p *probed) look(u *media.Unit) bool {
	if p.conv == nil || p.mp4 != nil {
		return false
	}
	p.codec, u.RandomAccess = media.Scan(p.codec, u.Payload)
	p.conv.Convert(nil, u, p.codec)
	if u.RandomAccess {
		p.mp4 = p.conv.Params()
	}
	return p.mp4 != nil
}

// makeTracks makes tracks, by way of the header of a file.
func makeTracks(list []*fmp4.InitTrack) (out []track, err error) {
	b, err := mp4bridge.MarshalInit(list)
	if err != nil {
		return nil, fmt.Errorf("the parameters of a codec are not valid: %w", err)
	}
	err = eachBox(b, func(kind string, body, _ []byte) error {
		if kind == "moov" {
			out, err = parseInit(body)
			return err
		}
		return nil
	})
	if err == nil && out == nil {
		err = errNoTracks
	}
	return out, err
}

// convert returns the samples of a unit, with times in ticks of the clock rate. They
// are valid until the next call.
func (o *remuxed) convert(u *media.Unit) []mp4bridge.Sample {
	_, u.RandomAccess = media.Scan(o.codec, u.Payload)
	// The codec is the one of the demuxer, without parameter sets: those in the
	// stream stay there, since they may change.
	o.converted = o.conv.Convert(o.converted[:0], u, o.codec)
	if o.codec.Kind() != media.Video {
		return o.converted
	}
	kept := o.converted[:0]
	for _, s := range o.converted {
		if o.follows(&s) {
			kept = append(kept, s)
		}
	}
	return kept
}

// follows tells whether a picture can be decoded after the one before. It corrects
// times that were guessed, since a picture is damaged.
func (o *remuxed) follows(s *mp4bridge.Sample) bool {
	switch {
	case !o.begun && !s.Sync: // it needs pictures that are not there
		return false
	case o.begun && o.last-s.DTS > ticks(maxReordered, uint32(o.rate)): // positive
		return false // time has jumped back
	case o.begun:
		s.DTS = max(s.DTS, o.last+1)
	}
	o.begun, o.last = true, s.DTS
	return true
}
