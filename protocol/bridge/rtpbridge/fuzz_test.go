package rtpbridge

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/pion/rtp"

	"github.com/org/mtx/router/media"
)

// FuzzTracks reads session descriptions of publishers, and makes those for
// readers of them.
func FuzzTracks(f *testing.F) {
	files, err := filepath.Glob("testdata/*.sdp")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if CheckSDP(b) != nil {
			return
		}
		desc, err := parse(b)
		if err != nil {
			t.Fatalf("parsed once, but not twice: %v", err)
		}
		tracks, refs, err := Tracks(desc)
		if err != nil {
			return
		}
		origins := make([]media.Depacketizer, len(tracks))
		for i, ref := range refs {
			d, err := NewDepacketizer(ref.Format)
			if err != nil {
				t.Fatalf("format %+v was accepted, but: %v", ref.Format, err)
			}
			origins[i] = d
		}
		out, outRefs, err := Description(tracks, origins)
		if err != nil {
			return
		}
		if _, err = out.Marshal(); err != nil {
			t.Fatal(err)
		}
		for i, ref := range outRefs {
			if ref.Format == nil {
				continue
			}
			_, err := NewPacketizer(PacketizerOptions{Track: tracks[i], Format: ref.Format, Origin: origins[i]})
			if err != nil {
				t.Fatal(err)
			}
		}
	})
}

// fuzzFormats returns all formats, in an order that does not change.
func fuzzFormats(t testing.TB) []format.Format {
	var out []format.Format
	for _, c := range codecCases() {
		out = append(out, must[format.Format](t)(FormatOf(c.codec, 96)))
	}
	return append(out,
		&format.Generic{PayloadTyp: 96, RTPMa: "x/90000", ClockRat: 90000},
		&format.MPEG4Audio{
			PayloadTyp: 96, Config: codecCases()[11].codec.(*media.MPEG4Audio).Config,
			SizeLength: 32, IndexLength: 1, IndexDeltaLength: 31,
		})
}

// FuzzReceiver sends packets through everything: receiver, depacketizer, and a
// packetizer that has to pack again. The input is packets with 2 bytes of length
// in front.
func FuzzReceiver(f *testing.F) {
	formats := fuzzFormats(f)
	for i, c := range codecCases() {
		enc := must[encodeFunc](f)(encoderOf(formats[i], 300, int64(c.codec.ClockRate())))
		var b []byte
		for j, pkt := range must[[]*rtp.Packet](f)(enc(c.small)) {
			pkt.Version, pkt.SequenceNumber = 2, uint16(j)
			raw := must[[]byte](f)(pkt.Marshal())
			b = append(binary.BigEndian.AppendUint16(b, uint16(len(raw))), raw...)
		}
		f.Add(uint8(i), b)
	}
	f.Fuzz(func(t *testing.T, index uint8, b []byte) {
		fm := formats[int(index)%len(formats)]
		codec := CodecOf(fm)
		d := must[*Depacketizer](t)(NewDepacketizer(fm))
		p := must[*Packetizer](t)(NewPacketizer(PacketizerOptions{
			Track: media.Track{Codec: codec}, Format: must[format.Format](t)(readerFormat(codec, fm, 97)),
			Origin: d, MaxSize: minMaxSize,
		}))
		var out Packets
		r := NewReceiver(ReceiverOptions{
			Formats: []format.Format{fm},
			Update:  func(_ int, c media.Codec) { p.SetCodec(c) },
			Write: func(_ int, u *media.Unit) {
				for _, pkt := range u.RTP {
					_, err := d.Depacketize(pkt)
					if errors.Is(err, errDecoderPanic) {
						t.Fatal(err)
					}
				}
				out.Reset()
				_ = p.Append(&out, u) // garbage may fail
				unmarshal(t, &out)
			},
		})
		defer r.Close()

		now := time.Now()
		for len(b) >= 2 {
			n := int(binary.BigEndian.Uint16(b))
			b = b[2:]
			pkt := &rtp.Packet{}
			if n > len(b) || pkt.Unmarshal(b[:n]) != nil {
				return
			}
			b = b[n:]
			r.Packet(0, pkt, now)
		}
	})
}
