package rtmpbridge

import (
	"strconv"

	"github.com/bluenviron/gortmplib/pkg/amf0"

	"github.com/org/mtx/router/media"
)

// metadata makes the fields of onMetaData. Players open their decoders by it, so
// it names the kinds of tracks that there are, and no others.
func metadata(tracks []*encTrack, firstOnly bool) []byte {
	var first [2]*encTrack
	var more [2]amf0.Object
	for _, t := range tracks {
		switch {
		case t == nil, firstOnly && t.id != 0:
		case first[index(t.video)] == nil:
			first[index(t.video)] = t
		default:
			more[index(t.video)] = append(more[index(t.video)],
				amf0.ObjectEntry{Key: strconv.Itoa(int(t.id)), Value: describe(t)})
		}
	}
	var o amf0.ECMAArray
	for _, i := range []int{1, 0} {
		if first[i] != nil {
			o = append(o, describe(first[i])...)
		}
		if len(more[i]) > 0 {
			o = append(o, amf0.ObjectEntry{Key: []string{"audioTrackIdInfoMap", "videoTrackIdInfoMap"}[i], Value: more[i]})
		}
	}
	b, err := amf0.Data{o}.Marshal()
	if err != nil {
		return nil // numbers and strings can always be encoded
	}
	return b
}

// describe tells what is known about a track.
func describe(t *encTrack) amf0.Object {
	number := func(key string, v int) amf0.ObjectEntry {
		return amf0.ObjectEntry{Key: key, Value: float64(v)}
	}
	o := amf0.Object{number([]string{"audiocodecid", "videocodecid"}[index(t.video)], t.codecID())}
	if w, h := size(t.codec); w > 0 {
		o = append(o, number("width", w), number("height", h))
	}
	switch c := t.codec.(type) {
	case *media.MPEG4Audio, *media.MPEG4AudioLATM, *media.Opus, *media.AC3, *media.FLAC, *media.G711, *media.LPCM:
		o = append(o, number("audiosamplerate", c.ClockRate()))
	}
	return o
}

// size returns the size of the picture, in pixels; zero if it is not known.
func size(c media.Codec) (width, height int) {
	switch p := media.Props(c).(type) {
	case *media.H264Props:
		return p.Width, p.Height
	case *media.H265Props:
		return p.Width, p.Height
	case *media.AV1Props:
		return p.Width, p.Height
	}
	if v, ok := c.(*media.VP9); ok {
		return v.Width, v.Height
	}
	return 0, 0
}

// codecID is what metadata calls a codec: an id of FLV, or a FourCC.
func (t *encTrack) codecID() int {
	switch t.fourCC {
	case codecAVC:
		if t.plain {
			return videoAVC
		}
	case codecAAC:
		if t.plain {
			return soundAAC
		}
	case codecMP3:
		if t.plain {
			return soundMP3
		}
	case codecPCMA:
		return soundPCMA
	case codecPCMU:
		return soundPCMU
	case codecLPCM:
		return soundLPCMLE
	}
	return int(t.fourCC)
}

func (e *Encoder) appendMetadata(dst []byte, h Head) []byte {
	// the time is zero, whenever it is sent: FFmpeg takes later metadata for a
	// track of subtitles, and begins its clock there
	m := chunked{stream: chunkAudio, typ: TypeDataAMF0}
	m.begin(dst)
	names := amf0.Data{"onMetaData"}
	if h.Publish {
		names = amf0.Data{"@setDataFrame", "onMetaData"}
	}
	b, err := names.Marshal()
	if err != nil {
		return dst // strings can always be encoded
	}
	m.write(b)
	m.write(metadata(e.tracks, h.FirstOnly))
	return m.end()
}
