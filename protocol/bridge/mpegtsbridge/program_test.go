package mpegtsbridge

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts/codecs"
)

// sender writes transport packets one by one.
type sender struct {
	buf      bytes.Buffer
	counters map[uint16]byte
	part     byte // section_number and last_section_number of tables
}

// packet writes a payload that fits into one packet.
func (s *sender) packet(pid uint16, start bool, payload []byte) {
	if s.counters == nil {
		s.counters = map[uint16]byte{}
	}
	b := []byte{syncByte, byte(pid >> 8), byte(pid), 0x10 | s.counters[pid]}
	s.counters[pid] = (s.counters[pid] + 1) & 0x0f
	if start {
		b[1] |= 0x40
	}
	if stuffing := packetSize - 4 - len(payload); stuffing > 0 {
		b[3] |= 0x20
		b = append(b, byte(stuffing-1))
		if stuffing > 1 {
			b = append(append(b, 0), bytes.Repeat([]byte{0xff}, stuffing-2)...)
		}
	}
	s.buf.Write(append(b, payload...))
}

// section writes a table. number tells the transport stream or the program.
func (s *sender) section(pid uint16, table byte, number uint16, current bool, content ...byte) {
	b := []byte{table, 0xb0, byte(9 + len(content)), byte(number >> 8), byte(number), 0xc0, s.part, s.part}
	if current {
		b[5] |= 1
	}
	b = append(b, content...)
	b = binary.BigEndian.AppendUint32(b, crc32(b))
	s.packet(pid, true, append([]byte{0}, b...))
}

// pes writes a packet of an elementary stream; without time stamp if it is negative.
func (s *sender) pes(pid uint16, pts int64, data []byte) {
	b := []byte{0, 0, 1, 0xc0, 0, 0, 0x80, 0, 0}
	if pts >= 0 {
		b[7], b[8] = 0x80, 5
		b = appendTime(b, 0x20, pts)
	}
	b = append(b, data...)
	binary.BigEndian.PutUint16(b[4:], uint16(len(b)-6))
	s.packet(pid, true, b)
}

// Contents of a PMT: an elementary stream each.
var (
	mp3On101  = []byte{0xe1, 0x01, 0xf0, 0, typeMPEG1Audio, 0xe1, 0x01, 0xf0, 0}
	h264On102 = []byte{0xe1, 0x02, 0xf0, 0, typeH264, 0xe1, 0x02, 0xf0, 0}
)

// A stream may announce other programs, and tables of the future, at any place:
// the program that was begun with is not disturbed.
func TestPrograms(t *testing.T) {
	t.Parallel()
	const pmt, other = 0x100, 0x200
	one := []byte{0, 1, 0xe0 | pmt>>8, pmt & 0xff}
	two := []byte{0, 2, 0xe0 | pmt>>8, pmt & 0xff}
	elsewhere := []byte{0, 2, 0xe0 | other>>8, other & 0xff}
	for _, ca := range []struct {
		name  string
		later func(s *sender)
		want  error
	}{
		{"two programs on one PID", func(s *sender) {
			s.section(pmt, tablePMT, 2, true, h264On102...)
		}, nil},
		{"a PAT in two sections", func(s *sender) {
			s.part = 1
			s.section(0, tablePAT, 7, true, elsewhere...)
			s.part = 0
			s.section(other, tablePMT, 2, true, h264On102...)
		}, nil},
		{"a program is added in front", func(s *sender) {
			s.section(0, tablePAT, 7, true, append(bytes.Clone(elsewhere), one...)...)
			s.section(other, tablePMT, 2, true, h264On102...)
		}, nil},
		{"a PAT that is not in force", func(s *sender) {
			s.section(0, tablePAT, 7, false, []byte{0, 1, 0xe0 | other>>8, other & 0xff}...)
			s.section(other, tablePMT, 1, true, h264On102...)
		}, nil},
		{"a PMT that is not in force", func(s *sender) {
			s.section(pmt, tablePMT, 1, false, h264On102...)
		}, nil},
		{"the PMT moves", func(s *sender) {
			s.section(0, tablePAT, 7, true, []byte{0, 1, 0xe0 | other>>8, other & 0xff}...)
			s.section(other, tablePMT, 1, true, mp3On101...)
		}, nil},
		{"the program changes", func(s *sender) {
			s.section(pmt, tablePMT, 1, true, h264On102...)
		}, ErrProgramChanged},
		{"the program is replaced", func(s *sender) {
			s.section(0, tablePAT, 7, true, elsewhere...)
			s.section(0, tablePAT, 7, true, elsewhere...)
			s.section(other, tablePMT, 2, true, h264On102...)
		}, ErrProgramChanged},
	} {
		t.Run(ca.name, func(t *testing.T) {
			t.Parallel()
			s := &sender{}
			s.section(0, tablePAT, 7, true, append(bytes.Clone(one), two...)...)
			s.section(pmt, tablePMT, 1, true, mp3On101...)
			ca.later(s)
			c := &capture{}
			d := NewDemuxer(c.options())
			defer d.Close()
			if _, err := d.Write(s.buf.Bytes()); !errors.Is(err, ca.want) {
				t.Errorf("error %v, want %v", err, ca.want)
			}
			if len(c.tracks) != 1 {
				t.Errorf("tracks %v, want that of the first program", c.tracks)
			}
		})
	}
}

// Only packets in which an audio frame begins have a time stamp, and encoders may
// leave it out of some of these too.
func TestFramesWithoutTime(t *testing.T) {
	t.Parallel()
	s := &sender{}
	s.section(0, tablePAT, 7, true, 0, 1, 0xe1, 0)
	s.section(0x100, tablePMT, 1, true, mp3On101...)
	stream := bytes.Repeat(mp3Frame, 4)
	s.pes(0x101, -1, stream[:100]) // before the first time stamp: nobody can tell what it is
	for i, pts := 0, int64(90000); i < len(stream); i += 139 {
		s.pes(0x101, pts, stream[i:i+139])
		if pts = -1; i == len(stream)/2-139 {
			pts = 90000 + 2*2351
		}
	}
	got := demux(t, s.buf.Bytes(), 1316)
	if len(got.damaged) > 0 || len(got.units) != 1 || len(got.units[0]) != 4 {
		t.Fatalf("units %v, damaged %v", got.units, got.damaged)
	}
	for i, u := range got.units[0] {
		if want := int64(i) * 2351; u.PTS != want || !bytes.Equal(u.Payload[0], mp3Frame) {
			t.Errorf("frame %d at %d, want %d", i, u.PTS, want)
		}
	}
}

// Encrypted payloads are not taken for media.
func TestScrambledPES(t *testing.T) {
	t.Parallel()
	s := &sender{}
	s.section(0, tablePAT, 7, true, 0, 1, 0xe1, 0)
	s.section(0x100, tablePMT, 1, true, mp3On101...)
	s.packet(0x101, true, append([]byte{0, 0, 1, 0xc0, 0, 12, 0xa0, 0x80, 5, 0x21, 0, 1, 0, 1}, 1, 2, 3, 4))
	if got := demux(t, s.buf.Bytes(), 1316); len(got.damaged) != 1 || !errors.Is(got.damaged[0], errPES) {
		t.Errorf("damaged: %v", got.damaged)
	}
}

// A track that is announced and never comes holds the others up for a few seconds
// only, however little they send.
func TestSilentTrack(t *testing.T) {
	t.Parallel()
	var buf bytes.Buffer
	video, audio := &mpegts.Track{Codec: &codecs.H264{}}, &mpegts.Track{Codec: &codecs.MPEG4Audio{Config: mpeg4audio.AudioSpecificConfig{
		Type: 2, SampleRate: 44100, ChannelConfig: 2,
	}}}
	w := &mpegts.Writer{W: &buf, Tracks: []*mpegts.Track{video, audio}}
	if err := w.Initialize(); err != nil {
		t.Fatal(err)
	}
	c := &capture{}
	d := NewDemuxer(c.options())
	defer d.Close()
	for i := range int64(200) {
		pts := i * 9000 // ten pictures a second
		if err := w.WriteH264(video, pts, pts, h264Inter); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Write(buf.Bytes()); err != nil {
			t.Fatal(err)
		}
		buf.Reset()
		if len(c.tracks) > 0 {
			if pts < maxHeldTime {
				t.Errorf("tracks are known after %d ticks", pts)
			}
			if n := len(c.units[0]); n != int(i) {
				t.Errorf("%d units, want %d", n, i)
			}
			return
		}
	}
	t.Error("no tracks after 20 seconds")
}
