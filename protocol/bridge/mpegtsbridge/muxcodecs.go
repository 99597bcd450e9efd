package mpegtsbridge

import (
	"bytes"
	"errors"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts/substructs"

	"github.com/org/mtx/router/media"
)

// outStream is an elementary stream that is sent.
type outStream struct {
	pid         uint16
	counter     uint8
	streamType  uint8
	id          byte // stream id
	descriptors []byte

	codec media.Codec
	kind  media.Kind
	time  *decodingTime // of video
	// add appends a payload in the form of the elementary stream.
	add func(dst []byte, u *media.Unit) ([]byte, error)
	au  [][]byte // scratch
	pes []byte   // the last packet
}

// newOutStream returns the n-th stream of a program.
func newOutStream(t media.Track, n int) (*outStream, error) {
	s := &outStream{pid: firstPID + uint16(n), codec: t.Codec, kind: t.Codec.Kind()}
	if err := s.setType(); err != nil {
		return nil, err
	}
	s.descriptors = append(s.descriptors, languageDescriptor(t.Language)...)
	if s.kind == media.Video {
		s.time = newDecodingTime(t.Codec)
	}
	return s, nil
}

func (s *outStream) setType() error {
	set := func(streamType uint8, id byte, add func([]byte, *media.Unit) ([]byte, error), descriptors ...byte) error {
		s.streamType, s.id, s.add, s.descriptors = streamType, id, add, descriptors
		return nil
	}
	switch c := s.codec.(type) {
	case *media.H264:
		return set(typeH264, idVideo, s.addAnnexB)
	case *media.H265:
		return set(typeH265, idVideo, s.addAnnexB, registration("HEVC")...)
	case *media.MPEG4Video:
		return set(typeMPEG4Video, idVideo, s.addMPEG4Video)
	case *media.MPEG1Video:
		return set(typeMPEG2Video, idVideo, addJoined) // which stands for MPEG-1 too
	case *media.MPEG1Audio:
		return set(typeMPEG1Audio, idAudio, addJoined)
	case *media.MPEG4Audio:
		if c.Config == nil || c.Config.SampleRate <= 0 {
			return errors.New("the configuration of the codec is not known")
		}
		return set(typeADTS, idAudio, s.addADTS)
	case *media.MPEG4AudioLATM:
		return set(typeLATM, idAudio, s.addLATM)
	case *media.AC3:
		return set(typeAC3, idPrivate, addJoined, registration("AC-3")...)
	case *media.Opus:
		if c.ChannelCount < 1 || c.ChannelCount > 8 {
			return errors.New("the number of channels must be between 1 and 8")
		}
		return set(typePrivate, idPrivate, addOpus, opusDescriptors(c)...)
	case *media.KLV:
		return set(typeMetadata, idMetadata, addKLV, klvDescriptors()...)
	}
	return errNotCarried
}

func (s *outStream) setCodec(c media.Codec) {
	if c.Name() == s.codec.Name() && c.ClockRate() == s.codec.ClockRate() {
		s.codec = c
	}
}

// encode makes the packet of a unit, in pes. It is not ok if the unit is to be
// passed over.
func (s *outStream) encode(buf []byte, u *media.Unit, pts int64) (dts int64, ok bool, err error) {
	dts = pts
	if s.kind == media.Video {
		au := s.accessUnit(u)
		if len(au) == 0 {
			return 0, false, errEmptyUnit
		}
		if dts, ok, err = s.time.next(au, pts, u.RandomAccess); !ok {
			return 0, false, err
		}
	}
	s.pes = appendPESHeader(buf, s.id, pts, dts)
	head := len(s.pes)
	if s.pes, err = s.add(s.pes, u); err != nil {
		return 0, false, err
	}
	if len(s.pes) == head {
		return 0, false, errEmptyUnit
	}
	return dts, true, setPESLength(s.pes, s.kind == media.Video)
}

// accessUnit prepares a picture: without delimiters, with parameter sets in
// front of key frames. What it returns is valid until the next call.
func (s *outStream) accessUnit(u *media.Unit) [][]byte {
	au := s.au[:0]
	switch c := s.codec.(type) {
	case *media.H264:
		if u.RandomAccess && !hasType(u.Payload, type264, byte(h264.NALUTypeSPS), byte(h264.NALUTypePPS)) {
			au = appendSets(au, c.SPS, c.PPS)
		}
		au = appendNALUs(au, u.Payload, 1, isAUD264)
	case *media.H265:
		if u.RandomAccess && !hasType(u.Payload, type265, byte(h265.NALUType_VPS_NUT), byte(h265.NALUType_SPS_NUT), byte(h265.NALUType_PPS_NUT)) {
			au = appendSets(au, c.VPS, c.SPS, c.PPS)
		}
		au = appendNALUs(au, u.Payload, 2, isAUD265)
	default:
		au = appendNALUs(au, u.Payload, 1, func([]byte) bool { return false })
	}
	s.au = au
	return au
}

func type264(b []byte) byte { return b[0] & 0x1f }
func type265(b []byte) byte { return b[0] >> 1 & 0x3f }

// hasType tells whether NALUs of all types are there.
func hasType(au [][]byte, typeOf func([]byte) byte, types ...byte) bool {
	for _, t := range types {
		found := false
		for _, n := range au {
			found = found || len(n) > 0 && typeOf(n) == t
		}
		if !found {
			return false
		}
	}
	return true
}

// appendSets adds parameter sets, if all are known.
func appendSets(au [][]byte, sets ...[]byte) [][]byte {
	for _, s := range sets {
		if len(s) == 0 {
			return au
		}
	}
	return append(au, sets...)
}

func appendNALUs(au, payload [][]byte, least int, isAUD func([]byte) bool) [][]byte {
	for _, n := range payload {
		if len(n) >= least && !isAUD(n) {
			au = append(au, n)
		}
	}
	return au
}

// addAnnexB writes the access unit that was prepared, behind a delimiter: the
// specifications demand one (section 2.14.1, 2.17.1).
func (s *outStream) addAnnexB(dst []byte, _ *media.Unit) ([]byte, error) {
	if s.streamType == typeH264 {
		dst = append(dst, 0, 0, 0, 1, byte(h264.NALUTypeAccessUnitDelimiter), 0xf0)
	} else {
		dst = append(dst, 0, 0, 0, 1, byte(h265.NALUType_AUD_NUT)<<1, 1, 0x50)
	}
	for _, n := range s.au {
		dst = append(dst, 0, 0, 0, 1)
		dst = append(dst, n...)
	}
	return dst, nil
}

func addJoined(dst []byte, u *media.Unit) ([]byte, error) {
	for _, p := range u.Payload {
		dst = append(dst, p...)
	}
	return dst, nil
}

// addMPEG4Video writes the configuration in front of key frames without one.
func (s *outStream) addMPEG4Video(dst []byte, u *media.Unit) ([]byte, error) {
	c, _ := s.codec.(*media.MPEG4Video)
	if u.RandomAccess && c != nil && len(c.Config) >= 4 && !bytes.Contains(bytes.Join(u.Payload, nil), c.Config[:4]) {
		dst = append(dst, c.Config...)
	}
	return addJoined(dst, u)
}

func (s *outStream) addADTS(dst []byte, u *media.Unit) ([]byte, error) {
	c, _ := s.codec.(*media.MPEG4Audio)
	if c == nil || c.Config == nil {
		return nil, errNotCarried
	}
	pkts := make(mpeg4audio.ADTSPackets, 0, len(u.Payload))
	for _, au := range u.Payload {
		if len(au) > 0 {
			pkts = append(pkts, &mpeg4audio.ADTSPacket{
				Type: c.Config.Type, SampleRate: c.Config.SampleRate,
				ChannelConfig: c.Config.ChannelConfig,
				ChannelCount:  c.Config.ChannelCount, //nolint:staticcheck // older configurations have only this
				AU:            au,
			})
		}
	}
	b, err := pkts.Marshal()
	if err != nil {
		return nil, err
	}
	return append(dst, b...), nil
}

// addLATM writes elements with sync words, ISO 14496-3 table 1.36. A receiver
// learns the configuration from the elements, so it is put into them if it came
// another way.
func (s *outStream) addLATM(dst []byte, u *media.Unit) ([]byte, error) {
	c, _ := s.codec.(*media.MPEG4AudioLATM)
	for _, e := range u.Payload {
		if c != nil && c.Config != nil {
			el := mpeg4audio.AudioMuxElement{StreamMuxConfig: c.Config}
			if err := el.Unmarshal(e); err != nil {
				return nil, err
			}
			el.MuxConfigPresent = true
			var err error
			if e, err = el.Marshal(); err != nil {
				return nil, err
			}
		}
		if len(e) == 0 || len(e) > 0x1fff {
			return nil, errUnitSize
		}
		dst = append(dst, 0x56, 0xe0|byte(len(e)>>8), byte(len(e)))
		dst = append(dst, e...)
	}
	return dst, nil
}

func addOpus(dst []byte, u *media.Unit) ([]byte, error) {
	for _, p := range u.Payload {
		if len(p) == 0 {
			continue
		}
		dst = append(dst, 0x7f, 0xe0) // opus_control_header without trims
		n := len(p)
		for ; n >= 0xff; n -= 0xff {
			dst = append(dst, 0xff)
		}
		dst = append(dst, byte(n))
		dst = append(dst, p...)
	}
	return dst, nil
}

// addKLV writes units in cells, ISO 13818-1 section 2.12.4. A packet holds all
// cells of a unit.
func addKLV(dst []byte, u *media.Unit) ([]byte, error) {
	unit := bytes.Join(u.Payload, nil)
	if len(unit) > 0xffff-pesHeader-5 {
		return nil, errUnitSize
	}
	if len(unit) == 0 {
		return dst, nil
	}
	cell := substructs.MetadataAUCell{CellFragmentIndication: 3, RandomAccessIndicator: true, AUCellData: unit}
	at := len(dst)
	dst = append(dst, make([]byte, 5+len(unit))...)
	_, err := cell.MarshalTo(dst[at:])
	return dst, err
}
