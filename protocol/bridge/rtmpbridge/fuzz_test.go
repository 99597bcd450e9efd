package rtmpbridge

import (
	"encoding/binary"
	"testing"

	"github.com/org/mtx/router/media"
)

// FuzzDecoder feeds messages: each is a type, a time stamp of two bytes, a size
// of two bytes, and a body. What is decoded must survive being encoded.
func FuzzDecoder(f *testing.F) {
	add := func(list ...message) {
		var b []byte
		for _, m := range list {
			b = append(b, m.typ, byte(m.ts>>8), byte(m.ts), byte(len(m.body)>>8), byte(len(m.body)))
			b = append(b, m.body...)
		}
		f.Add(b)
	}
	add(message{9, 0, avcConfig}, message{8, 0, aacConfig}, message{9, 2100, avcKey}, message{8, 2200, aacFrame})
	hevc := append([]byte{0x90 | packetSequenceStart}, "hvc1"...)
	add(message{9, 0, appendHVCC(hevc, &media.H265{VPS: vps265, SPS: sps265, PPS: pps265})},
		message{9, 3000, append([]byte{0x90 | packetCodedFrames}, "hvc1\x00\x00\x10\x00\x00\x00\x04\x26\x01\xaf\x09"...)})
	add(message{9, 0, append([]byte{0x90 | packetCodedFramesX}, "av01\x0a\x0b\x00\x00\x00\x42\xab\xbf\xc3\x70\x0b\xe0\x01\x32\x02\x10\x00"...)}, message{9, 3000, avcKey})
	add(message{8, 0, append([]byte{soundEx << 4}, "Opus"...)}, message{8, 3000, append([]byte{soundEx<<4 | 1}, "Opus\xfc\x01"...)})
	add(message{18, 0, onMetaData(f, nil)}, message{22, 0, []byte{9, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 12}})
	f.Fuzz(func(t *testing.T, b []byte) {
		var e *Encoder
		var codecs []media.Codec
		d := NewDecoder(DecoderOptions{Tracks: func(tracks []media.Track) (func(int, *media.Unit), error) {
			e, _ = NewEncoder(tracks)
			for _, tr := range tracks {
				codecs = append(codecs, tr.Codec)
			}
			return func(i int, u *media.Unit) {
				if len(u.Payload) == 0 {
					t.Error("a unit without payload")
				}
				codecs[i], u.RandomAccess = media.Scan(codecs[i], u.Payload)
				if e != nil {
					_ = e.AppendConfig(nil, i, codecs[i])
					_, _, _ = e.Append(nil, i, u)
				}
			}, nil
		}})
		for len(b) >= 5 {
			n := min(int(binary.BigEndian.Uint16(b[3:])), len(b)-5)
			body := append([]byte(nil), b[5:5+n]...)
			if d.Write(b[0], uint32(binary.BigEndian.Uint16(b[1:])), body) != nil {
				return
			}
			b = b[5+n:]
		}
		_ = d.Begin()
		if e != nil {
			_ = e.AppendHead(nil, Head{Publish: true})
		}
	})
}
