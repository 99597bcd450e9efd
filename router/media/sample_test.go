package media

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/av1"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
)

// sample is a bitstream of testdata, all of which have five frames.
type sample struct {
	file  string
	codec Codec // without parameters
	split func(tb testing.TB, buf []byte) [][][]byte
}

func samples() []sample {
	return []sample{
		{"h264_idr.h264", &H264{}, splitAnnexB([]byte{9})},
		{"h264_open.h264", &H264{}, splitAnnexB([]byte{9})},
		{"h265.h265", &H265{}, splitAnnexB([]byte{35 << 1})},
		{"av1.ivf", &AV1{}, splitIVF(splitTemporalUnit)},
		{"vp9.ivf", &VP9{}, splitIVF(oneElement)},
		{"vp8.ivf", &VP8{}, splitIVF(oneElement)},
		{"mpeg4.m4v", &MPEG4Video{}, splitFrames(0xB6, 0xB0, 0xB3)},
		{"mpeg2.m2v", &MPEG1Video{}, splitFrames(0x00, 0xB3, 0xB8)},
	}
}

// units returns the payloads of the sample.
func (s sample) units(tb testing.TB) [][][]byte {
	tb.Helper()
	buf, err := os.ReadFile(filepath.Join("testdata", s.file))
	if err != nil {
		tb.Fatal(err)
	}
	units := s.split(tb, buf)
	if len(units) != 5 {
		tb.Fatalf("%s has %d units, want 5", s.file, len(units))
	}
	return units
}

func sampleByName(tb testing.TB, file string) sample {
	tb.Helper()
	for _, s := range samples() {
		if s.file == file {
			return s
		}
	}
	tb.Fatalf("no sample %s", file)
	return sample{}
}

// splitAnnexB splits at access unit delimiters: NALUs whose first byte, without
// nal_ref_idc, is one of those given.
func splitAnnexB(aud []byte) func(testing.TB, []byte) [][][]byte {
	return func(tb testing.TB, buf []byte) [][][]byte {
		tb.Helper()
		var nalus h264.AnnexB
		if err := nalus.Unmarshal(buf); err != nil {
			tb.Fatal(err)
		}
		var units [][][]byte
		for _, nalu := range nalus {
			if len(units) == 0 || bytes.IndexByte(aud, nalu[0]) >= 0 {
				units = append(units, nil)
			}
			units[len(units)-1] = append(units[len(units)-1], nalu)
		}
		return units
	}
}

// splitIVF splits an IVF file: a header of 32 bytes, then frames behind 12
// bytes each that begin with their size.
func splitIVF(payload func(testing.TB, []byte) [][]byte) func(testing.TB, []byte) [][][]byte {
	return func(tb testing.TB, buf []byte) [][][]byte {
		tb.Helper()
		var units [][][]byte
		for buf = buf[32:]; len(buf) > 12; {
			size := binary.LittleEndian.Uint32(buf)
			units = append(units, payload(tb, buf[12:12+size]))
			buf = buf[12+size:]
		}
		return units
	}
}

func oneElement(_ testing.TB, frame []byte) [][]byte {
	return [][]byte{frame}
}

func splitTemporalUnit(tb testing.TB, frame []byte) [][]byte {
	tb.Helper()
	var bs av1.Bitstream
	if err := bs.Unmarshal(frame); err != nil {
		tb.Fatal(err)
	}
	return bs
}

// splitFrames splits an MPEG video stream in front of the headers of each
// picture.
func splitFrames(picture byte, headers ...byte) func(testing.TB, []byte) [][][]byte {
	return func(_ testing.TB, buf []byte) [][][]byte {
		var units [][][]byte
		begin, seenPicture := 0, false
		for pos := nextStartCode(buf, 0); pos >= 0; pos = nextStartCode(buf, pos+4) {
			code := buf[pos+3]
			if seenPicture && (code == picture || bytes.IndexByte(headers, code) >= 0) {
				units = append(units, [][]byte{buf[begin:pos]})
				begin, seenPicture = pos, false
			}
			seenPicture = seenPicture || code == picture
		}
		return append(units, [][]byte{buf[begin:]})
	}
}
