package standby

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mp4/codecs"

	"github.com/org/mtx/router/media"
)

// readHead reads what a track is.
func readHead(moov *box, trak box) (*loader, error) {
	tkhd, err := trak.child("tkhd")
	if err != nil {
		return nil, err
	}
	mdhd, err := trak.child("mdia", "mdhd")
	if err != nil {
		return nil, err
	}
	stsd, err := trak.child("mdia", "minf", "stbl", "stsd")
	if err != nil {
		return nil, err
	}
	l := &loader{unpack: unpackWhole}
	if l.id, err = trackID(tkhd); err != nil {
		return nil, err
	}
	if l.scale, err = timeScale(trak, "mdia", "mdhd"); err != nil {
		return nil, err
	}
	var little bool
	if l.codec, little, err = quickTimeAudio(stsd); err != nil {
		return nil, err
	}
	if l.codec == nil {
		if err := l.readCodec(moov, tkhd, mdhd, stsd); err != nil {
			return nil, err
		}
		return l, nil
	}
	l.setPCM(little)
	return l, nil
}

func (l *loader) setPCM(littleEndian bool) {
	if l.pcm = pcmOf(l.codec, littleEndian); l.pcm != nil {
		l.unpack = l.pcm.unpack
	}
}

func trackID(tkhd box) (int, error) {
	r := &reader{buf: tkhd.body}
	if r.version() == 1 {
		r.take(16)
	} else {
		r.take(8)
	}
	id := int(r.u32())
	if r.short {
		return 0, errTruncated
	}
	return id, nil
}

// readCodec reads the codec. The track is presented alone and without what is not
// needed, since files hold all kinds of boxes.
func (l *loader) readCodec(moov *box, tkhd, mdhd, stsd box) error {
	mvhd, err := moov.child("mvhd")
	if err != nil {
		return err
	}
	var b bytes.Buffer
	b.Write(wrap("ftyp", []byte("isom\x00\x00\x00\x01isom")))
	b.Write(wrap("moov", mvhd.raw, wrap("trak", tkhd.raw, wrap("mdia", mdhd.raw, wrap("minf", wrap("stbl", stsd.raw)))),
		wrap("free"))) // which tells that the codec is complete
	name := "unknown"
	if len(stsd.body) >= 16 {
		name = string(stsd.body[12:16])
	}
	var init fmp4.Init
	if err := init.Unmarshal(bytes.NewReader(b.Bytes())); err != nil {
		return fmt.Errorf("the codec %q cannot be read: %w", name, err)
	}
	if len(init.Tracks) != 1 || init.Tracks[0].Codec == nil {
		return fmt.Errorf("the codec %q is not known", name)
	}
	return l.convert(init.Tracks[0].Codec, name)
}

// wrap makes a box.
func wrap(typ string, parts ...[]byte) []byte {
	body := bytes.Join(parts, nil)
	n := len(body) + 8
	return append([]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n), typ[0], typ[1], typ[2], typ[3]}, body...)
}

// convert sets the codec, and what turns frames into payloads.
func (l *loader) convert(c codecs.Codec, name string) error {
	switch c := c.(type) {
	case *codecs.H264:
		l.codec, l.unpack = &media.H264{SPS: c.SPS, PPS: c.PPS}, unpackH264
	case *codecs.H265:
		l.codec, l.unpack = &media.H265{VPS: c.VPS, SPS: c.SPS, PPS: c.PPS}, unpackH264
	case *codecs.AV1:
		l.codec, l.unpack = &media.AV1{SequenceHeader: c.SequenceHeader}, unpackAV1
	case *codecs.VP9:
		l.codec = &media.VP9{}
	case *codecs.MPEG4Video:
		l.codec = &media.MPEG4Video{Config: c.Config}
	case *codecs.MPEG1Video:
		l.codec = &media.MPEG1Video{}
	case *codecs.MJPEG:
		l.codec = &media.MJPEG{}
	case *codecs.Opus:
		l.codec = &media.Opus{ChannelCount: c.ChannelCount}
	case *codecs.MPEG4Audio:
		conf := c.Config
		l.codec = &media.MPEG4Audio{Config: &conf}
	case *codecs.MPEG1Audio:
		l.codec = &media.MPEG1Audio{}
	case *codecs.AC3:
		l.codec = &media.AC3{SampleRate: c.SampleRate, ChannelCount: c.ChannelCount}
	case *codecs.FLAC:
		return l.convertFLAC(c)
	case *codecs.LPCM:
		if c.BitDepth != 16 && c.BitDepth != 24 {
			return fmt.Errorf("the codec LPCM with %d bits cannot be used; 16 and 24 are accepted", c.BitDepth)
		}
		if err := checkAudio(c.SampleRate, c.ChannelCount); err != nil {
			return err
		}
		l.codec = &media.LPCM{BitDepth: c.BitDepth, SampleRate: c.SampleRate, ChannelCount: c.ChannelCount}
		l.setPCM(c.LittleEndian)
	default:
		return fmt.Errorf("the codec %q cannot be used; accepted are AV1, VP9, H265, H264, MPEG-4 video, MPEG-1 video, "+
			"M-JPEG, Opus, FLAC, MPEG-4 audio, MPEG-1 audio, AC-3, LPCM and G711", name)
	}
	return nil
}

func (l *loader) convertFLAC(c *codecs.FLAC) error {
	if c.StreamInfo == nil {
		return errors.New("the codec FLAC has no description")
	}
	info, err := c.StreamInfo.Marshal()
	if err != nil {
		return fmt.Errorf("the codec FLAC cannot be read: %w", err)
	}
	rate, channels := int(c.StreamInfo.SampleRate), int(c.StreamInfo.ChannelCount)
	if err := checkAudio(rate, channels); err != nil {
		return err
	}
	l.codec = &media.FLAC{SampleRate: rate, ChannelCount: channels, StreamInfo: info}
	return nil
}
