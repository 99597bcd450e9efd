package rtmpbridge

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/bluenviron/gortmplib/pkg/bytecounter"
	"github.com/bluenviron/gortmplib/pkg/rawmessage"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"

	"github.com/org/mtx/router/media"
)

var (
	sps264 = []byte{ // 1920x1080, baseline
		0x67, 0x42, 0xc0, 0x28, 0xd9, 0x00, 0x78, 0x02, 0x27, 0xe5, 0x84, 0x00, 0x00, 0x03, 0x00, 0x04,
		0x00, 0x00, 0x03, 0x00, 0xf0, 0x3c, 0x60, 0xc9, 0x20,
	}
	otherSPS264 = []byte{ // 64x48
		0x67, 0x42, 0xc0, 0x0a, 0xd9, 0x04, 0x7b, 0x01, 0x10, 0x00, 0x00, 0x03,
		0x00, 0x10, 0x00, 0x00, 0x03, 0x00, 0xa0, 0xf1, 0x22, 0x64, 0x80,
	}
	pps264 = []byte{0x68, 0x08}

	vps265 = []byte{
		0x40, 0x01, 0x0c, 0x01, 0xff, 0xff, 0x02, 0x20, 0x00, 0x00, 0x03, 0x00, 0xb0, 0x00, 0x00, 0x03,
		0x00, 0x00, 0x03, 0x00, 0x7b, 0x18, 0xb0, 0x24,
	}
	sps265 = []byte{
		0x42, 0x01, 0x01, 0x02, 0x20, 0x00, 0x00, 0x03, 0x00, 0xb0, 0x00, 0x00, 0x03, 0x00, 0x00, 0x03,
		0x00, 0x7b, 0xa0, 0x07, 0x82, 0x00, 0x88, 0x7d, 0xb6, 0x71, 0x8b, 0x92, 0x44, 0x80, 0x53, 0x88,
		0x88, 0x92, 0xcf, 0x24, 0xa6, 0x92, 0x72, 0xc9, 0x12, 0x49, 0x22, 0xdc, 0x91, 0xaa, 0x48, 0xfc,
		0xa2, 0x23, 0xff, 0x00, 0x01, 0x00, 0x01, 0x6a, 0x02, 0x02, 0x02, 0x01,
	}
	pps265 = []byte{0x44, 0x01, 0xc0, 0x25, 0x2f, 0x05, 0x32, 0x40}

	seqAV1 = []byte{0x08, 0x00, 0x00, 0x00, 0x42, 0xab, 0xbf, 0xc3, 0x70, 0x0b, 0xe0, 0x01}

	flacInfo = []byte{
		0x10, 0x00, 0x10, 0x00, 0, 0, 0, 0, 0, 0, 0x0b, 0xb8, 0x02, 0xf0, 0, 0, 0, 0,
		1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
	}
	mp3Frame = append([]byte{0xff, 0xfb, 0x94, 0x64}, bytes.Repeat([]byte{7}, 380)...) // 48 kHz, layer 3
	ac3Frame = []byte{
		0x0b, 0x77, 0x47, 0x11, 0x0c, 0x40, 0x2f, 0x84, 0x2b, 0xc1, 0x07, 0x7a, 0xb0, 0xfa, 0xbb, 0xea,
	}
)

func aac(rate int, channels uint8) *media.MPEG4Audio {
	return &media.MPEG4Audio{Config: &mpeg4audio.AudioSpecificConfig{
		Type: mpeg4audio.ObjectTypeAACLC, SampleRate: rate, ChannelConfig: channels,
	}}
}

// message is what crosses the wire.
type message struct {
	typ  uint8
	ts   uint32
	body []byte
}

// unchunk reads messages with gortmplib.
func unchunk(t testing.TB, b []byte) []message {
	t.Helper()
	in := bytecounter.NewReader(bytes.NewReader(b))
	r := rawmessage.NewReader(in, in, func(uint32) error { return nil })
	if err := r.SetChunkSize(ChunkSize); err != nil {
		t.Fatal(err)
	}
	var out []message
	for {
		m, err := r.Read()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		if m.MessageStreamID != streamID<<24 {
			t.Errorf("message stream %x", m.MessageStreamID)
		}
		out = append(out, message{m.Type, uint32(m.Timestamp / time.Millisecond), m.Body})
	}
}

// received is what a decoder delivers.
type received struct {
	tracks []media.Track
	units  [][]*media.Unit // by track
	damage []error
}

func newReceived() (*received, *Decoder) {
	r := &received{}
	return r, NewDecoder(DecoderOptions{
		Tracks: func(tracks []media.Track) (func(int, *media.Unit), error) {
			r.tracks = tracks
			r.units = make([][]*media.Unit, len(tracks))
			return func(i int, u *media.Unit) { r.units[i] = append(r.units[i], u) }, nil
		},
		Damage: func(err error) { r.damage = append(r.damage, err) },
	})
}

// pass sends units through an encoder and a decoder.
func pass(t testing.TB, tracks []media.Track, units ...sent) *received {
	t.Helper()
	e, err := NewEncoder(tracks)
	if err != nil {
		t.Fatal(err)
	}
	b := e.AppendHead(nil, Head{})
	current := make([]media.Codec, len(tracks))
	for i := range tracks {
		current[i] = tracks[i].Codec
	}
	for _, s := range units {
		u := *s.u
		current[s.track], u.RandomAccess = media.Scan(current[s.track], u.Payload)
		b = e.AppendConfig(b, s.track, current[s.track])
		if b, _, err = e.Append(b, s.track, &u); err != nil {
			t.Fatal(err)
		}
	}
	r, d := newReceived()
	for _, m := range unchunk(t, b) {
		if err := d.Write(m.typ, m.ts, m.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Begin(); err != nil {
		t.Fatal(err)
	}
	return r
}

type sent struct {
	track int
	u     *media.Unit
}
