package mpegtsbridge

import (
	"errors"
	"fmt"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/ac3"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts/substructs"

	"github.com/org/mtx/protocol/bridge/internal/latm"
	"github.com/org/mtx/protocol/bridge/internal/mpegaudio"
	"github.com/org/mtx/router/media"
)

// Stream types, ISO 13818-1 table 2-34, and those of ATSC.
const (
	typeMPEG1Video = 0x01
	typeMPEG2Video = 0x02
	typeMPEG1Audio = 0x03
	typeMPEG2Audio = 0x04
	typePrivate    = 0x06
	typeADTS       = 0x0f
	typeMPEG4Video = 0x10
	typeLATM       = 0x11
	typeMetadata   = 0x15
	typeH264       = 0x1b
	typeH265       = 0x24
	typeAC3        = 0x81
)

// Tags of descriptors, table 2-45, and those of DVB (EN 300 468 table 12).
const (
	tagRegistration = 0x05
	tagLanguage     = 0x0a
	tagMetadata     = 0x26
	tagAC3          = 0x6a
	tagExtension    = 0x7f
)

// stream is an elementary stream that is received.
type stream struct {
	pid  uint16
	kind string // of codec, compared when the program changes
	pes  pes
	// take gets each packet. Packets without time stamp are given only if loose
	// is set, and if framed is after one that had it.
	take          func(pesPacket)
	loose, framed bool
	timed         bool // a packet with time stamp has come

	codec    media.Codec                 // nil until its parameters are found
	mux      *mpeg4audio.StreamMuxConfig // of LATM, the last one
	others   int                         // frames in a row with another configuration
	language string
	index    int // among the tracks that are written; -1 if left out
}

// newStream returns nil if the codec is not known.
func (d *Demuxer) newStream(e elementary) *stream {
	s := &stream{pid: e.pid, index: -1}
	plain := func(c media.Codec) {
		s.codec = c
		s.take = func(p pesPacket) { d.emit(s, p.pts, [][]byte{p.data}) }
	}
	switch e.streamType {
	case typeH264:
		s.codec, s.take = &media.H264{}, d.annexB(s, isAUD264)
	case typeH265:
		s.codec, s.take = &media.H265{}, d.annexB(s, isAUD265)
	case typeMPEG4Video:
		plain(&media.MPEG4Video{})
	case typeMPEG1Video, typeMPEG2Video:
		plain(&media.MPEG1Video{})
	case typeMPEG1Audio, typeMPEG2Audio:
		s.codec = &media.MPEG1Audio{}
		d.framed(s, mpegaudio.HeaderSize, mpeg1AudioInfo, func(pts int64, f [][]byte) { d.emit(s, pts, f) })
	case typeADTS:
		s.kind = (*media.MPEG4Audio)(nil).Name()
		d.framed(s, 7, adtsInfo, func(pts int64, f [][]byte) { d.adts(s, pts, f) })
	case typeLATM:
		s.kind = (*media.MPEG4Audio)(nil).Name()
		d.framed(s, latmHeader, s.latmInfo, func(pts int64, f [][]byte) { d.latm(s, pts, f) })
	case typeAC3:
		d.newAC3(s)
	case typeMetadata:
		if m, ok := e.descriptor(tagMetadata); !ok || !isKLV(m) {
			return nil
		}
		s.codec, s.take = &media.KLV{}, func(p pesPacket) { d.klv(s, p) }
	case typePrivate:
		if !d.newPrivate(s, e, plain) {
			return nil
		}
	default:
		return nil
	}
	if s.codec != nil {
		s.kind = s.codec.Name()
	}
	if l, ok := e.descriptor(tagLanguage); ok && len(l) >= 3 && string(l[:3]) != "und" {
		s.language = string(l[:3])
	}
	return s
}

// newPrivate handles streams that only descriptors tell.
func (d *Demuxer) newPrivate(s *stream, e elementary, plain func(media.Codec)) bool {
	if _, ok := e.descriptor(tagAC3); ok {
		d.newAC3(s)
		return true
	}
	switch id, _ := e.descriptor(tagRegistration); string(id) {
	case "Opus":
		ext, ok := e.descriptor(tagExtension)
		var desc substructs.OpusAudioDescriptor
		if !ok || len(ext) < 2 || ext[0] != 0x80 || desc.Unmarshal(ext[1:]) != nil || desc.ChannelCount() <= 0 {
			return false
		}
		s.codec = &media.Opus{ChannelCount: desc.ChannelCount()}
		s.take = func(p pesPacket) { d.opus(s, p) }
		return true
	case "KLVA":
		// Asynchronous: there are no time stamps, MISB ST 1402 section 9.4.1.
		s.loose = true
		plain(&media.KLV{})
		return true
	}
	return false
}

// framed receives an audio codec whose frames are cut by length.
func (d *Demuxer) framed(s *stream, header int, parse func([]byte) (frameInfo, error), emit func(int64, [][]byte)) {
	f := &frames{header: header, parse: parse, damage: d.o.Damaged, emit: emit}
	s.take, s.framed = f.push, true
}

func isAUD264(nalu []byte) bool {
	return h264.NALUType(nalu[0]&0x1f) == h264.NALUTypeAccessUnitDelimiter
}
func isAUD265(nalu []byte) bool { return h265.NALUType(nalu[0]>>1&0x3f) == h265.NALUType_AUD_NUT }

// annexB receives H264 and H265. Delimiters are left out: they belong to the
// byte stream.
func (d *Demuxer) annexB(s *stream, isAUD func([]byte) bool) func(pesPacket) {
	return func(p pesPacket) {
		var au h264.AnnexB
		if err := au.Unmarshal(p.data); err != nil {
			d.o.Damaged(err)
			return
		}
		if isAUD(au[0]) {
			au = au[1:]
		}
		if len(au) > 0 {
			d.emit(s, p.pts, au)
		}
	}
}

func (d *Demuxer) newAC3(s *stream) {
	s.kind = (*media.AC3)(nil).Name()
	d.framed(s, 7, ac3Info, func(pts int64, f [][]byte) {
		if s.codec == nil {
			var info ac3.SyncInfo
			var bsi ac3.BSI
			if err := errors.Join(info.Unmarshal(f[0]), bsi.Unmarshal(f[0][5:])); err != nil {
				d.o.Damaged(err)
				return
			}
			s.codec = &media.AC3{SampleRate: info.SampleRate(), ChannelCount: bsi.ChannelCount()}
		}
		d.emit(s, pts, f)
	})
}

// adts receives MPEG-4 audio; its configuration is in every frame.
func (d *Demuxer) adts(s *stream, pts int64, frames [][]byte) {
	aus := make([][]byte, 0, len(frames))
	for _, f := range frames {
		au, config, err := adtsPayload(f)
		if err != nil {
			d.o.Damaged(fmt.Errorf("invalid ADTS: %w", err))
			continue
		}
		if d.configured(s, config) {
			aus = append(aus, au)
		}
	}
	if len(aus) > 0 {
		d.emit(s, pts, aus)
	}
}

// maxOtherConfigs is after how many frames in a row with another configuration they are
// believed: a single one is damaged.
const maxOtherConfigs = 16

var errOtherConfig = errors.New("the sample rate or the channels of MPEG-4 audio are others")

// configured takes the configuration of a frame of MPEG-4 audio, and tells whether the
// frame is one of the track.
func (d *Demuxer) configured(s *stream, config *mpeg4audio.AudioSpecificConfig) bool {
	if s.codec == nil {
		s.codec = &media.MPEG4Audio{Config: config}
	}
	track, _ := s.codec.(*media.MPEG4Audio)
	if track == nil || track.Config.SampleRate == config.SampleRate && track.Config.ChannelConfig == config.ChannelConfig {
		s.others = 0
		return true
	}
	d.o.Damaged(errOtherConfig)
	if s.others++; s.others >= maxOtherConfigs && d.err == nil {
		d.err = ErrProgramChanged
	}
	return false
}

// latm receives MPEG-4 audio whose configuration is in some of the elements. It is taken out
// of its transport, which few readers understand in the form of transport streams.
func (d *Demuxer) latm(s *stream, pts int64, frames [][]byte) {
	aus := make([][]byte, 0, len(frames))
	for _, f := range frames {
		e := mpeg4audio.AudioMuxElement{MuxConfigPresent: true, StreamMuxConfig: s.mux}
		if err := e.Unmarshal(f[latmHeader:]); err != nil {
			if s.mux != nil || !e.UseSameStreamMux {
				d.o.Damaged(fmt.Errorf("invalid LATM: %w", err))
			}
			continue // without the configuration nobody could decode it
		}
		config := latm.Config(e.StreamMuxConfig)
		if config == nil {
			d.o.Damaged(latm.ErrNoAudio)
			continue
		}
		s.mux = e.StreamMuxConfig
		if d.configured(s, config) {
			aus = append(aus, latm.AccessUnits(&e)...)
		}
	}
	if len(aus) > 0 {
		d.emit(s, pts, aus)
	}
}

// opus receives Opus packets behind control headers (ETSI TS Opus 0.1.3).
func (d *Demuxer) opus(s *stream, p pesPacket) {
	var packets [][]byte
	for data := p.data; len(data) > 0; {
		var au substructs.OpusAccessUnit
		n, err := au.Unmarshal(data)
		if err != nil || n <= 0 {
			d.o.Damaged(fmt.Errorf("invalid Opus: %w", errors.Join(err, errCut)))
			break
		}
		packets = append(packets, au.Packet)
		data = data[n:]
	}
	if packets != nil {
		d.emit(s, p.pts, packets)
	}
}

// isKLV reads a metadata descriptor, ISO 13818-1 section 2.6.60.
func isKLV(b []byte) bool {
	var m substructs.MetadataDescriptor
	return m.Unmarshal(b) == nil && m.MetadataFormatIdentifier == 'K'<<24|'L'<<16|'V'<<8|'A'
}

// klv receives synchronous metadata: a unit in one or several cells, section
// 2.12.4.
func (d *Demuxer) klv(s *stream, p pesPacket) {
	var unit []byte
	data := p.data
	for i := 0; ; i++ {
		var cell substructs.MetadataAUCell
		n, err := cell.Unmarshal(data)
		if err != nil || int(cell.SequenceNumber) != i&0xff && i > 0 {
			d.o.Damaged(fmt.Errorf("invalid KLV: %w", errors.Join(err, errCut)))
			return
		}
		data = data[n:]
		unit = append(unit, cell.AUCellData...)
		if cell.CellFragmentIndication&0x01 != 0 { // the last one
			break
		}
	}
	d.emit(s, p.pts, [][]byte{unit})
}
