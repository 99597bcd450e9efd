package playback

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/ac3"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg1audio"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/opus"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4/seekablebuffer"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mp4/codecs"

	"github.com/org/mtx/router/media"
)

// describe returns the codec of a track of a transport stream as MP4 knows it,
// from a unit that can be decoded by itself. It is nil if that is not known yet,
// or if MP4 cannot carry it.
func describe(c media.Codec, payload [][]byte) codecs.Codec {
	c, key := media.Scan(c, payload)
	if !key || len(payload) == 0 {
		return nil
	}
	switch c := c.(type) {
	case *media.H264:
		if len(c.SPS) > 0 && len(c.PPS) > 0 {
			return &codecs.H264{SPS: c.SPS, PPS: c.PPS}
		}
	case *media.H265:
		if len(c.VPS) > 0 && len(c.SPS) > 0 && len(c.PPS) > 0 {
			return &codecs.H265{VPS: c.VPS, SPS: c.SPS, PPS: c.PPS}
		}
	case *media.MPEG4Video:
		if len(c.Config) > 0 {
			return &codecs.MPEG4Video{Config: c.Config}
		}
	case *media.MPEG1Video:
		if config := sequenceHeader(payload[0]); config != nil {
			return &codecs.MPEG1Video{Config: config}
		}
	case *media.Opus:
		if c.ChannelCount == 1 || c.ChannelCount == 2 {
			return &codecs.Opus{ChannelCount: c.ChannelCount}
		}
	case *media.MPEG4Audio:
		return &codecs.MPEG4Audio{Config: *c.Config}
	case *media.MPEG1Audio:
		var h mpeg1audio.FrameHeader
		if h.Unmarshal(payload[0]) == nil {
			n := 2
			if h.ChannelMode == mpeg1audio.ChannelModeMono {
				n = 1
			}
			return &codecs.MPEG1Audio{SampleRate: h.SampleRate, ChannelCount: n}
		}
	case *media.AC3:
		return describeAC3(payload[0])
	}
	return nil
}

func describeAC3(frame []byte) codecs.Codec {
	var s ac3.SyncInfo
	var b ac3.BSI
	if s.Unmarshal(frame) != nil || len(frame) < 6 || b.Unmarshal(frame[5:]) != nil {
		return nil
	}
	return &codecs.AC3{
		SampleRate: s.SampleRate(), ChannelCount: b.ChannelCount(), Bsid: b.Bsid, Bsmod: b.Bsmod,
		Acmod: b.Acmod, LfeOn: b.LfeOn, BitRateCode: s.Frmsizecod >> 1,
	}
}

// sequenceHeader returns what is in front of the first group or picture of MPEG-1
// or MPEG-2 video.
func sequenceHeader(frame []byte) []byte {
	begin := bytes.Index(frame, []byte{0, 0, 1, 0xb3})
	if begin < 0 {
		return nil
	}
	for i := begin + 4; i+3 < len(frame); i++ {
		if frame[i] == 0 && frame[i+1] == 0 && frame[i+2] == 1 && (frame[i+3] == 0xb8 || frame[i+3] == 0) {
			return frame[begin:i]
		}
	}
	return nil
}

// makeTracks makes tracks of codecs, by way of the header of a file.
func makeTracks(list []codecs.Codec, rates []int) (out []track, err error) {
	defer func() {
		if v := recover(); v != nil { // parameter sets come from a file that may be damaged
			err = fmt.Errorf("the parameters of a codec are not valid: %v", v)
		}
	}()
	in := fmp4.Init{}
	for i, c := range list {
		in.Tracks = append(in.Tracks, &fmp4.InitTrack{ID: i + 1, TimeScale: uint32(rates[i]), Codec: c}) // checked by the caller
	}
	var buf seekablebuffer.Buffer
	if err := in.Marshal(&buf); err != nil {
		return nil, err
	}
	err = eachBox(buf.Bytes(), func(kind string, body, _ []byte) error {
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

// converter turns the units of a track into samples.
type converter struct {
	codec media.Codec
	order interface {
		Extract(au [][]byte, pts int64) (int64, error)
	}
	last  int64 // decoding time
	begun bool
}

func newConverter(c media.Codec) *converter {
	k := &converter{codec: c}
	switch c.(type) {
	case *media.H264:
		e := &h264.DTSExtractor{}
		e.Initialize()
		k.order = e
	case *media.H265:
		e := &h265.DTSExtractor{}
		e.Initialize()
		k.order = e
	}
	return k
}

var errOrder = errors.New("decoding times go backwards")

// convert calls add for the samples of a unit, with their times in ticks of the
// clock rate. The duration is zero if only the next sample tells it.
func (k *converter) convert(u *media.Unit, add func(data []byte, pts, dts int64, duration uint32, sync bool)) error {
	if len(u.Payload) == 0 {
		return nil
	}
	if k.codec.Kind() != media.Video {
		pts := u.PTS
		for _, p := range u.Payload {
			d := audioDuration(k.codec, p)
			add(p, pts, pts, uint32(d), true) // seconds at most
			pts += d
		}
		return nil
	}
	data, dts := u.Payload[0], u.PTS
	if k.order != nil {
		var err error
		if dts, err = k.order.Extract(u.Payload, u.PTS); err != nil {
			return err
		}
		if data, err = h264.AVCC(u.Payload).Marshal(); err != nil {
			return err
		}
	} else if k.begun && dts <= k.last {
		dts = k.last + 1 // it is shown before what was decoded before it
	}
	if k.begun && dts <= k.last {
		return errOrder
	}
	k.begun, k.last = true, dts
	_, key := media.Scan(k.codec, u.Payload)
	add(data, u.PTS, dts, 0, key)
	return nil
}

// audioDuration returns the duration of a packet, in ticks of the clock rate.
func audioDuration(c media.Codec, p []byte) int64 {
	switch c.(type) {
	case *media.Opus:
		return opus.PacketDuration2(p)
	case *media.MPEG4Audio:
		return mpeg4audio.SamplesPerAccessUnit
	case *media.AC3:
		return ac3.SamplesPerFrame
	case *media.MPEG1Audio:
		var h mpeg1audio.FrameHeader
		if h.Unmarshal(p) == nil && h.SampleRate > 0 {
			return int64(h.SampleCount()) * int64(c.ClockRate()) / int64(h.SampleRate)
		}
	}
	return 0
}
