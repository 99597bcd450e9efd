package rtpbridge

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"sync"
	"testing"

	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/ac3"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg1audio"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
	"github.com/pion/rtp"
	"go.uber.org/goleak"

	"github.com/org/mtx/router/media"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

var (
	h264SPS = []byte{
		0x67, 0x64, 0x00, 0x0c, 0xac, 0x3b, 0x50, 0xb0, 0x4b, 0x42, 0x00, 0x00, 0x03, 0x00, 0x02, 0x00,
		0x00, 0x03, 0x00, 0x3d, 0x08,
	}
	h264SPS2 = []byte{
		0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0xbb, 0x01, 0x6c, 0x80, 0x00, 0x00, 0x03,
		0x00, 0x80, 0x00, 0x00, 0x1e, 0x07, 0x8c, 0x18, 0xcb,
	}
	h264PPS = []byte{0x68, 0xee, 0x3c, 0x80}
	h265VPS = []byte{
		0x40, 0x01, 0x0c, 0x01, 0xff, 0xff, 0x01, 0x60, 0x00, 0x00, 0x03, 0x00, 0x90, 0x00, 0x00, 0x03,
		0x00, 0x00, 0x03, 0x00, 0x78, 0x99, 0x98, 0x09,
	}
	h265SPS = []byte{
		0x42, 0x01, 0x01, 0x01, 0x60, 0x00, 0x00, 0x03, 0x00, 0x90, 0x00, 0x00, 0x03, 0x00, 0x00, 0x03,
		0x00, 0x78, 0xa0, 0x03, 0xc0, 0x80, 0x10, 0xe5, 0x96, 0x66, 0x69, 0x24, 0xca, 0xe0, 0x10, 0x00,
		0x00, 0x03, 0x00, 0x10, 0x00, 0x00, 0x03, 0x01, 0xe0, 0x80,
	}
	h265PPS     = []byte{0x44, 0x01, 0xc1, 0x72, 0xb4, 0x62, 0x40}
	av1Sequence = []byte{8, 0, 0, 0, 66, 167, 191, 228, 96, 13, 0, 64}
	vp9Key      = []byte{
		0x82, 0x49, 0x83, 0x42, 0x00, 0x77, 0xf0, 0x32, 0x34, 0x30, 0x38, 0x24, 0x1c, 0x19, 0x40, 0x18,
		0x03, 0x40, 0x5f, 0xb4,
	}
	mpeg4Config = []byte{
		0x00, 0x00, 0x01, 0xb0, 0x01, 0x00, 0x00, 0x01, 0xb5, 0x89, 0x13, 0x00, 0x00, 0x01, 0x00, 0x00,
		0x00, 0x01, 0x20, 0x00, 0xc4, 0x8d, 0x88, 0x00, 0xf5, 0x3c, 0x04, 0x87, 0x14, 0x43, 0x00, 0x00,
		0x01, 0xb2, 0x4c, 0x61, 0x76, 0x63, 0x36, 0x30, 0x2e, 0x32, 0x33, 0x2e, 0x31, 0x30, 0x30,
	}
	// a packed configuration: one, ident 0x123456
	vorbisConfig = []byte{0, 0, 0, 1, 0x12, 0x34, 0x56, 0, 3, 2, 1, 1, 'i', 'd', 's'}
	klvKey       = []byte{0x06, 0x0e, 0x2b, 0x34, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3}
)

// data returns bytes that hold no start code.
func data(head []byte, n int) []byte {
	b := bytes.Clone(head)
	for i := len(b); i < n; i++ {
		b = append(b, byte(i%250)+3)
	}
	return b
}

// codecCase is a codec with payloads: one that fits into a packet, and one that
// does not.
type codecCase struct {
	name  string
	codec media.Codec
	small [][]byte
	big   [][]byte
	raw   bool // borders between elements do not survive
}

var codecCases = sync.OnceValue(makeCodecCases)

func makeCodecCases() []codecCase {
	aac := &mpeg4audio.AudioSpecificConfig{Type: 2, SampleRate: 48000, ChannelConfig: 2}
	latm := &mpeg4audio.StreamMuxConfig{}
	if err := latm.Unmarshal([]byte{0x40, 0x00, 0x26, 0x20, 0x3f, 0xc0}); err != nil {
		panic(err)
	}
	on := true

	return []codecCase{
		{
			"av1", &media.AV1{},
			[][]byte{av1Sequence, data([]byte{0x30}, 100)},
			[][]byte{av1Sequence, data([]byte{0x30}, 5000), data([]byte{0x30}, 40)}, false,
		},
		{"vp9", &media.VP9{}, [][]byte{data(vp9Key, 100)}, [][]byte{data(vp9Key, 5000)}, false},
		{"vp8", &media.VP8{}, [][]byte{data([]byte{0x10}, 100)}, [][]byte{data([]byte{0x10}, 5000)}, false},
		{
			"h265", &media.H265{VPS: h265VPS, SPS: h265SPS, PPS: h265PPS},
			[][]byte{h265VPS, h265SPS, h265PPS, data([]byte{0x26, 0x01}, 100)},
			[][]byte{h265VPS, h265SPS, h265PPS, data([]byte{0x26, 0x01}, 5000)}, false,
		},
		{
			"h264", &media.H264{SPS: h264SPS, PPS: h264PPS},
			[][]byte{h264SPS, h264PPS, data([]byte{0x65}, 100)},
			[][]byte{h264SPS, h264PPS, data([]byte{0x65}, 5000), data([]byte{0x65}, 20)}, false,
		},
		{
			"mpeg4video", &media.MPEG4Video{Config: mpeg4Config},
			[][]byte{append(bytes.Clone(mpeg4Config), data([]byte{0, 0, 1, 0xb6, 0x10}, 100)...)},
			[][]byte{append(bytes.Clone(mpeg4Config), data([]byte{0, 0, 1, 0xb6, 0x10}, 5000)...)}, false,
		},
		{
			"mpeg1video", &media.MPEG1Video{}, [][]byte{mpeg1Frame(100)}, [][]byte{mpeg1Frame(5000)}, false,
		},
		{"mjpeg", &media.MJPEG{}, [][]byte{picture(16)}, [][]byte{picture(256)}, false},
		{
			"opus", &media.Opus{ChannelCount: 2},
			[][]byte{data([]byte{0xfc}, 100), data([]byte{0xfc}, 90)}, nil, false,
		},
		{"multiopus", &media.Opus{ChannelCount: 6}, [][]byte{data([]byte{0xfc}, 100)}, nil, false},
		{
			"vorbis", &media.Vorbis{SampleRate: 44100, ChannelCount: 2, Configuration: vorbisConfig},
			[][]byte{data(nil, 100), data(nil, 300)}, [][]byte{data(nil, 10), data(nil, 5000)}, false,
		},
		{
			"mpeg4audio", &media.MPEG4Audio{Config: aac},
			[][]byte{data(nil, 100), data(nil, 90)}, [][]byte{data(nil, 4000), data(nil, 1000)}, false,
		},
		{
			"latm", &media.MPEG4AudioLATM{Config: latm, Rate: 24000},
			[][]byte{data(nil, 100)}, [][]byte{data(nil, 5000)}, false,
		},
		{"latm in-band", &media.MPEG4AudioLATM{Rate: 90000}, [][]byte{data(nil, 100)}, nil, false},
		{
			"mpeg1audio", &media.MPEG1Audio{},
			[][]byte{mp3Frame(0x10), mp3Frame(0x10)}, [][]byte{mp3Frame(0xe0)}, false,
		},
		{
			"ac3", &media.AC3{SampleRate: 48000, ChannelCount: 1},
			[][]byte{ac3Frame(0x0c)}, [][]byte{ac3Frame(0x24)}, false,
		},
		{"speex", &media.Speex{SampleRate: 16000, VBR: &on}, [][]byte{data(nil, 60)}, nil, false},
		{"g726", &media.G726{BitRate: 24}, [][]byte{data(nil, 60)}, [][]byte{data(nil, 3000)}, true},
		{"g726 aal2", &media.G726{BitRate: 40, BigEndian: true}, [][]byte{data(nil, 100)}, nil, true},
		{"g722", &media.G722{}, [][]byte{data(nil, 160)}, [][]byte{data(nil, 3000)}, true},
		{
			"pcmu", &media.G711{MULaw: true, SampleRate: 8000, ChannelCount: 1},
			[][]byte{data(nil, 160)}, [][]byte{data(nil, 3000)}, true,
		},
		{
			"pcma", &media.G711{SampleRate: 8000, ChannelCount: 1},
			[][]byte{data(nil, 160)}, [][]byte{data(nil, 3000)}, true,
		},
		{
			"pcma 16k stereo", &media.G711{SampleRate: 16000, ChannelCount: 2},
			[][]byte{data(nil, 160)}, [][]byte{data(nil, 3000)}, true,
		},
		{
			"l16 44100", &media.LPCM{BitDepth: 16, SampleRate: 44100, ChannelCount: 2},
			[][]byte{data(nil, 400)}, [][]byte{data(nil, 4000)}, true,
		},
		{
			"l24", &media.LPCM{BitDepth: 24, SampleRate: 48000, ChannelCount: 2},
			[][]byte{data(nil, 600)}, [][]byte{data(nil, 6000)}, true,
		},
		{"klv", &media.KLV{}, [][]byte{klv(20)}, [][]byte{klv(5000)}, false},
		{"mpegts", &media.MPEGTS{}, [][]byte{ts(3)}, [][]byte{ts(20)}, true},
	}
}

func mpeg1Frame(n int) []byte {
	b := []byte{0, 0, 1, 0xb3, 0x16, 0x01, 0x20, 0x13, 0xff, 0xff, 0xe0, 0x18}
	b = append(b, 0, 0, 1, 0, 0x00, 0x0f, 0xff, 0xf8) // picture header, type I
	return append(b, data([]byte{0, 0, 1, 1}, n)...)
}

func mp3Frame(rate byte) []byte {
	b := []byte{0xff, 0xfb, rate | 0x04, 0x64, 0x00} // 48000 Hz
	var h mpeg1audio.FrameHeader
	if err := h.Unmarshal(b); err != nil {
		panic(err)
	}
	return data(b, h.FrameLen())
}

func ac3Frame(size byte) []byte {
	b := []byte{0x0b, 0x77, 0x47, 0x11, size, 0x40, 0x2f, 0x84}
	var s ac3.SyncInfo
	if err := s.Unmarshal(b); err != nil {
		panic(err)
	}
	return data(b, s.FrameSize())
}

func klv(n int) []byte {
	b := append(bytes.Clone(klvKey), 0x82, byte(n>>8), byte(n))
	return append(b, data(nil, n)...)
}

func ts(n int) []byte {
	var b []byte
	for range n {
		b = append(b, data([]byte{0x47}, tsPacketSize)...)
	}
	return b
}

// picture returns a JPEG in the form in which it comes out of RTP, which carries
// no Huffman tables.
func picture(size int) []byte {
	img := image.NewYCbCr(image.Rect(0, 0, size, size), image.YCbCrSubsampleRatio420)
	for y := range size {
		for x := range size {
			img.Y[img.YOffset(x, y)] = color.Gray{Y: byte(x*y ^ x)}.Y
		}
	}
	var buf bytes.Buffer
	if err := jpeg.Encode(&buf, img, &jpeg.Options{Quality: 90}); err != nil {
		panic(err)
	}
	enc, err := encoderOf(&format.MJPEG{}, 60000, 90000)
	if err != nil {
		panic(err)
	}
	pkts, err := enc([][]byte{buf.Bytes()})
	if err != nil {
		panic(err)
	}
	d, err := NewDepacketizer(&format.MJPEG{})
	if err != nil {
		panic(err)
	}
	var payload [][]byte
	for i, pkt := range pkts {
		pkt.SequenceNumber = uint16(i)
		if payload, err = d.Depacketize(pkt); err != nil {
			panic(err)
		}
	}
	return payload[0]
}

// unmarshal splits packets.
func unmarshal(t testing.TB, p *Packets) []*rtp.Packet {
	t.Helper()
	var out []*rtp.Packet
	b := bytes.Clone(p.Data)
	for _, size := range p.Sizes {
		pkt := &rtp.Packet{}
		if err := pkt.Unmarshal(b[:size]); err != nil {
			t.Fatalf("packet is invalid: %v", err)
		}
		out = append(out, pkt)
		b = b[size:]
	}
	if len(b) != 0 {
		t.Fatalf("%d bytes belong to no packet", len(b))
	}
	return out
}

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func equalPayload(a, b [][]byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !bytes.Equal(a[i], b[i]) {
			return false
		}
	}
	return true
}
