package standby

import (
	"errors"
	"fmt"
	"time"

	"github.com/org/mtx/router/media"
)

// loader is a track that is being loaded.
type loader struct {
	id      int
	scale   int64 // units of time per second
	codec   media.Codec
	unpack  unpackFunc
	pcm     *pcmFormat // nil: its frames are what they are in the file
	samples []sample
}

// timed is an access unit in units of the track.
type timed struct {
	dts, pts, duration int64
	key                bool
	payload            [][]byte
}

func (l *loader) load(data []byte, top []box, moov *box, trak box) (span, error) {
	rate := l.codec.ClockRate()
	switch {
	case rate <= 0:
		return span{}, errors.New("the sample rate is missing")
	case l.pcm != nil && int64(rate) != l.scale:
		return span{}, errPCMScale
	}
	frames, err := plainFrames(trak, l.pcm != nil)
	if err == nil && len(frames) == 0 {
		frames, err = fragmentFrames(top, moov, l.id)
	}
	if err == nil && l.pcm != nil {
		frames, err = l.pcm.cut(frames, rate)
	}
	if err == nil {
		err = l.check(data, frames)
	}
	if err != nil {
		return span{}, err
	}
	list, err := l.read(data, frames)
	if err != nil {
		return span{}, err
	}
	e, err := readEdits(moov, trak, l.scale)
	if err != nil {
		return span{}, err
	}
	return l.place(list, e)
}

// check looks at times and sizes before anything is kept.
func (l *loader) check(data []byte, frames []frame) error {
	var dts int64
	var size uint64
	for i, f := range frames {
		dts += f.duration
		size += f.size
		switch {
		case dts > l.scale*maxDay:
			return errors.New("it is longer than a day")
		case size > uint64(len(data)):
			return errors.New("its frames are larger than the file")
		case f.size == 0 || f.pos > uint64(len(data)) || f.size > uint64(len(data))-f.pos:
			return fmt.Errorf("frame %d is outside of the file", i+1)
		}
	}
	switch {
	case len(frames) == 0:
		return errors.New("there are no frames")
	case dts <= 0:
		return errors.New("its duration is zero")
	}
	return nil
}

// read makes access units.
func (l *loader) read(data []byte, frames []frame) ([]timed, error) {
	list := make([]timed, 0, len(frames))
	var dts int64
	for i, f := range frames {
		payload, err := l.unpack(data[f.pos : f.pos+f.size])
		if err == nil && len(payload) == 0 {
			err = errors.New("it is empty")
		}
		if err != nil {
			return nil, fmt.Errorf("frame %d: %w", i+1, err)
		}
		codec, key := media.Scan(l.codec, payload)
		if i == 0 && !key {
			return nil, errors.New("the first picture is not a key frame")
		}
		l.codec = codec
		if key {
			payload = withParameterSets(codec, payload)
		}
		list = append(list, timed{dts, dts + f.shift, f.duration, key, payload})
		dts += f.duration
	}
	return list, nil
}

// place converts times to ticks of the codec, from the start of the segment on.
func (l *loader) place(list []timed, e *editList) (span, error) {
	rate := int64(l.codec.ClockRate())
	audio := l.codec.Kind() == media.Audio
	ticks := func(v int64) int64 { return v/l.scale*rate + v%l.scale*rate/l.scale }
	from, to := e.choose(list, audio)
	if from == to {
		return span{}, errors.New("its edit list leaves nothing of it")
	}
	origin := e.origin(list)
	list = list[from:to]
	begin := list[0].pts
	for _, s := range list {
		begin = min(begin, s.pts)
	}
	begin -= origin
	var length, last int64
	for _, s := range list {
		l.samples = append(l.samples, sample{ticks(begin + s.dts - list[0].dts), ticks(s.pts - origin), s.payload})
		length += s.duration
		last = max(last, s.pts+s.duration-origin)
	}
	end := begin + length
	// a file that was cut between pictures that are not in the order of decoding lacks some in
	// front of the last one
	if last > end && last-end <= length {
		end = last
	}
	if e != nil && audio {
		end = min(end, e.end-origin)
	}
	if end <= begin {
		return span{}, errors.New("its duration is zero")
	}
	at := func(v int64) time.Duration { return media.Duration(v, int(l.scale)) }
	return span{at(begin), at(end)}, nil
}
