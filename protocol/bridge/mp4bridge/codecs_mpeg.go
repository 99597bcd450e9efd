package mp4bridge

import (
	"bytes"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/mp4/codecs"

	"github.com/org/mtx/router/media"
)

// anchorOrder makes decoding times for MPEG video, where a picture that others
// refer to is decoded when the one before it is shown, and B-pictures are shown
// as soon as they are decoded. Nobody knows whether there will be B-pictures: it is
// as if there were, since some players move all pictures if one is shown before it
// is decoded.
type anchorOrder struct {
	anchor  int64 // when the last picture is shown that others refer to
	last    int64
	started bool
}

func (o *anchorOrder) decodedAt(pts int64, isB bool) int64 {
	jump := o.started && (pts-o.last > 90000*10 || o.last-pts > 90000)
	if !o.started || jump {
		*o = anchorOrder{anchor: pts, last: pts, started: true}
		return pts
	}
	dts := pts
	if !isB {
		dts, o.anchor = o.anchor, pts
	}
	dts = max(dts, o.last+1)
	o.last = dts
	return dts
}

// mpeg4VideoConverter stores frames as they are.
type mpeg4VideoConverter struct {
	join

	codec media.Codec
	out   codecs.Codec
	order anchorOrder
}

func (k *mpeg4VideoConverter) Params() codecs.Codec { return k.out }

func (k *mpeg4VideoConverter) Convert(dst []Sample, u *media.Unit, c media.Codec) []Sample {
	if c != k.codec {
		k.codec, k.out = c, nil
		if m, ok := c.(*media.MPEG4Video); ok && len(m.Config) > 0 {
			k.out = &codecs.MPEG4Video{Config: m.Config}
		}
	}
	if len(u.Payload) != 1 || len(u.Payload[0]) == 0 {
		return dst
	}
	dts := k.order.decodedAt(u.PTS, pictureType(u.Payload[0], mpeg4VOP)>>6 == 2)
	return append(dst, Sample{DTS: dts, PTS: u.PTS, Sync: u.RandomAccess, Data: u.Payload})
}

// mpeg4VOP is the start code of a video object plane (ISO 14496-2 table 6-3). Its
// first two bits are the type.
const mpeg4VOP = 0xb6

// pictureType returns the byte behind a start code where the type of a picture
// begins, or zero.
func pictureType(frame []byte, code byte) byte {
	skip := 4
	if code == mpeg1Picture {
		skip = 5 // behind it: the last two bits of the temporal reference, then the type
	}
	i := bytes.Index(frame, []byte{0, 0, 1, code})
	if i < 0 || i+skip >= len(frame) {
		return 0
	}
	return frame[i+skip]
}

// mpeg1VideoConverter stores frames as they are.
type mpeg1VideoConverter struct {
	join

	out   *codecs.MPEG1Video
	order anchorOrder
}

func (k *mpeg1VideoConverter) Params() codecs.Codec {
	if k.out == nil {
		return nil
	}
	return k.out
}

func (k *mpeg1VideoConverter) Convert(dst []Sample, u *media.Unit, _ media.Codec) []Sample {
	if len(u.Payload) != 1 || len(u.Payload[0]) == 0 {
		return dst
	}
	if u.RandomAccess {
		if c := mpeg1Config(u.Payload[0]); c != nil && (k.out == nil || !bytes.Equal(k.out.Config, c)) {
			k.out = &codecs.MPEG1Video{Config: bytes.Clone(c)}
		}
	}
	dts := k.order.decodedAt(u.PTS, pictureType(u.Payload[0], mpeg1Picture)>>3&7 == 3)
	return append(dst, Sample{DTS: dts, PTS: u.PTS, Sync: u.RandomAccess, Data: u.Payload})
}

// Start codes of MPEG-1/2 video (ISO 13818-2 table 6-1).
const (
	mpeg1Picture  = 0x00
	mpeg1Sequence = 0xb3
	mpeg1Group    = 0xb8
)

// mpeg1Config returns the sequence header and what follows it up to the first
// group or picture; nil if there is none.
func mpeg1Config(frame []byte) []byte {
	begin := -1
	for at := 0; ; {
		i := bytes.Index(frame[at:], []byte{0, 0, 1})
		if i < 0 || at+i+3 >= len(frame) {
			return nil
		}
		at += i
		switch code := frame[at+3]; {
		case code == mpeg1Sequence:
			begin = at
		case (code == mpeg1Group || code == mpeg1Picture) && begin >= 0:
			return frame[begin:at]
		case code == mpeg1Picture:
			return nil
		}
		at += 3
	}
}
