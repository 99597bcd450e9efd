package mpegtsbridge

import (
	"fmt"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/ac3"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts/codecs"

	"github.com/org/mtx/router/media"
)

// add takes an elementary stream, if its codec is known.
func (s *session) add(r *mpegts.Reader, t *mpegts.Track) {
	i := len(s.tracks)
	// Payloads of one element are the common case.
	one := func(pts int64, data []byte) error {
		s.emit(i, pts, [][]byte{data})
		return nil
	}
	many := func(pts int64, data [][]byte) error {
		s.emit(i, pts, data)
		return nil
	}
	video := func(pts, _ int64, au [][]byte) error { return many(pts, au) }

	var codec media.Codec
	switch c := t.Codec.(type) {
	case *codecs.H264:
		codec = &media.H264{}
		r.OnDataH264(t, video)
	case *codecs.H265:
		codec = &media.H265{}
		r.OnDataH265(t, video)
	case *codecs.MPEG4Video:
		codec = &media.MPEG4Video{}
		r.OnDataMPEG4Video(t, one)
	case *codecs.MPEG1Video:
		codec = &media.MPEG1Video{}
		r.OnDataMPEG1Video(t, one)
	case *codecs.Opus:
		codec = &media.Opus{ChannelCount: c.Desc.ChannelCount()}
		r.OnDataOpus(t, many)
	case *codecs.MPEG4Audio:
		config := mpeg4audio.AudioSpecificConfig(c.Config)
		codec = &media.MPEG4Audio{Config: &config}
		r.OnDataMPEG4Audio(t, many)
	case *codecs.MPEG4AudioLATM:
		r.OnDataMPEG4AudioLATM(t, s.latm(i)) // codec stays nil until it is found
	case *codecs.MPEG1Audio:
		codec = &media.MPEG1Audio{}
		r.OnDataMPEG1Audio(t, many)
	case *codecs.AC3:
		codec = &media.AC3{SampleRate: c.SampleRate, ChannelCount: c.ChannelCount}
		// that of AC-3 refuses packets with several frames; this one takes
		// anything
		r.OnDataMPEG4Video(t, s.ac3(i))
	case *codecs.KLV:
		codec = &media.KLV{}
		r.OnDataKLV(t, one)
	default:
		s.d.o.Damaged(fmt.Errorf("the codec of PID %d is not known, the track is left out", t.PID))
		return
	}
	language := t.Language
	if language == "und" {
		language = ""
	}
	s.d.guard.streams[t.PID] = true
	s.tracks = append(s.tracks, streamTrack{codec: codec, language: language})
}

// latm learns the sample rate from the first configuration in the bitstream, then
// delivers.
func (s *session) latm(track int) func(pts int64, elements [][]byte) error {
	return func(pts int64, elements [][]byte) error {
		for _, e := range elements {
			if s.tracks[track].codec != nil {
				break
			}
			if rate := latmRate(e); rate > 0 {
				s.tracks[track].codec = &media.MPEG4AudioLATM{Rate: rate}
			}
		}
		if s.tracks[track].codec == nil {
			s.start(false)
			return nil // cannot be decoded yet
		}
		s.emit(track, pts, elements)
		return nil
	}
}

// latmRate returns the sample rate of an AudioMuxElement with a configuration
// (ISO 14496-3, table 1.41), in Hz, or zero.
func latmRate(element []byte) int {
	e := mpeg4audio.AudioMuxElement{MuxConfigPresent: true}
	if err := e.Unmarshal(element); err != nil && e.StreamMuxConfig == nil {
		return 0
	}
	c := e.StreamMuxConfig
	if c == nil || len(c.Programs) == 0 || c.Programs[0] == nil || len(c.Programs[0].Layers) == 0 ||
		c.Programs[0].Layers[0] == nil || c.Programs[0].Layers[0].AudioSpecificConfig == nil {
		return 0
	}
	return c.Programs[0].Layers[0].AudioSpecificConfig.SampleRate
}

// ac3 splits a packet into frames.
func (s *session) ac3(track int) func(pts int64, data []byte) error {
	return func(pts int64, data []byte) error {
		var frames [][]byte
		for len(data) > 0 {
			var info ac3.SyncInfo
			if err := info.Unmarshal(data); err != nil {
				s.d.o.Damaged(fmt.Errorf("invalid AC-3: %w", err))
				break
			}
			n := info.FrameSize()
			if n <= 0 || n > len(data) {
				s.d.o.Damaged(fmt.Errorf("invalid AC-3: a frame of %d bytes, %d are left", n, len(data)))
				break
			}
			frames = append(frames, data[:n])
			data = data[n:]
		}
		if frames != nil {
			s.emit(track, pts, frames)
		}
		return nil
	}
}
