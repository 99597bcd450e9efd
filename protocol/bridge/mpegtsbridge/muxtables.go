package mpegtsbridge

import (
	"encoding/binary"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts/substructs"

	"github.com/org/mtx/router/media"
)

// Numbers that the muxer gives.
const (
	programNumber = 1
	pmtPID        = 0x1000
	firstPID      = 0x100
)

// table is a section that is sent again and again.
type table struct {
	out     outStream
	section []byte // with the pointer field in front
}

func newTable(pid uint16, section []byte) table {
	binary.BigEndian.PutUint16(section[1:], 0xb000|uint16(len(section)-3+4))
	section = binary.BigEndian.AppendUint32(section, crc32(section))
	return table{outStream{pid: pid}, append([]byte{0}, section...)}
}

// append adds the packets of the table. Sections are filled up with 0xff rather
// than by an adaptation field.
func (t *table) append(dst []byte) []byte {
	rest := t.section
	for first := true; len(rest) > 0; first = false {
		dst = t.out.appendHeader(dst, first, -1, true)
		n := min(packetSize-4, len(rest))
		dst = append(dst, rest[:n]...)
		rest = rest[n:]
		for range packetSize - 4 - n {
			dst = append(dst, 0xff)
		}
	}
	return dst
}

// newPAT makes the table of programs, ISO 13818-1 section 2.4.4.3.
func newPAT() table {
	return newTable(0, []byte{
		tablePAT, 0, 0, // length
		0, 1, // transport stream id
		0xc1, 0, 0, // version 0, current, the only section
		0, programNumber, 0xe0 | pmtPID>>8, pmtPID & 0xff,
	})
}

// newPMT makes the table of elementary streams, section 2.4.4.8.
func newPMT(streams []*outStream, clockPID uint16) table {
	b := []byte{
		tablePMT, 0, 0, // length
		0, programNumber,
		0xc1, 0, 0, // version 0, current, the only section
		0xe0 | byte(clockPID>>8), byte(clockPID),
		0xf0, 0, // no descriptors of the program
	}
	for _, s := range streams {
		b = append(b, s.streamType, 0xe0|byte(s.pid>>8), byte(s.pid),
			0xf0|byte(len(s.descriptors)>>8), byte(len(s.descriptors)))
		b = append(b, s.descriptors...)
	}
	return newTable(pmtPID, b)
}

func descriptor(tag byte, content ...byte) []byte {
	return append([]byte{tag, byte(len(content))}, content...)
}

func registration(id string) []byte { return descriptor(tagRegistration, []byte(id)...) }

// languageDescriptor is that of section 2.6.18. It has room for codes of three
// letters only (ISO 639-2).
func languageDescriptor(language string) []byte {
	if len(language) != 3 {
		return nil
	}
	return descriptor(tagLanguage, language[0], language[1], language[2], 0)
}

// opusDescriptors are those of ETSI TS Opus 0.1.3, section 4.
func opusDescriptors(c *media.Opus) []byte {
	return append(registration("Opus"), descriptor(tagExtension, 0x80, byte(c.ChannelCount))...)
}

// tagMetadataSTD is the tag of the descriptor of section 2.6.62.
const tagMetadataSTD = 0x27

// klvDescriptors are those of MISB ST 1402, section 9.4.2.
func klvDescriptors() []byte {
	meta, err := substructs.MetadataDescriptor{
		MetadataApplicationFormat: 0x0100, // general
		MetadataFormat:            0xff,   // the identifier tells
		MetadataFormatIdentifier:  'K'<<24 | 'L'<<16 | 'V'<<8 | 'A',
	}.Marshal()
	if err != nil {
		return nil
	}
	out := descriptor(tagMetadata, meta...)
	return append(out, descriptor(tagMetadataSTD, 0xc0, 0, 0, 0xc0, 0, 0, 0xc0, 0, 0)...)
}
