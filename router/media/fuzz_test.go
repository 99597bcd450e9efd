package media

import (
	"bytes"
	"testing"
)

// fuzzCodecs returns what FuzzScan chooses from.
func fuzzCodecs() []Codec {
	return []Codec{
		&H264{}, &H265{}, &AV1{}, &VP9{}, &VP8{}, &MPEG4Video{}, &MPEG1Video{}, &MJPEG{}, &Opus{ChannelCount: 2},
	}
}

// splitElements makes elements from fuzzed bytes: each is preceded by two bytes
// of length, the last one may be shorter.
func splitElements(data []byte) [][]byte {
	var out [][]byte
	for len(data) >= 2 {
		n := min(int(data[0])<<8|int(data[1]), len(data)-2)
		out = append(out, data[2:2+n])
		data = data[2+n:]
	}
	return out
}

func joinElements(payload [][]byte) []byte {
	var out []byte
	for _, e := range payload {
		out = append(out, byte(len(e)>>8), byte(len(e)))
		out = append(out, e...)
	}
	return out
}

func FuzzScan(f *testing.F) {
	for _, s := range samples() {
		for i, c := range fuzzCodecs() {
			if c.Name() == s.codec.Name() {
				for _, u := range s.units(f) {
					f.Add(uint8(i), joinElements(u))
				}
			}
		}
	}

	f.Fuzz(func(t *testing.T, index uint8, data []byte) {
		codecs := fuzzCodecs()
		c := codecs[int(index)%len(codecs)]
		payload := splitElements(data)
		before := bytes.Clone(data)

		first, random := Scan(c, payload)
		second, again := Scan(first, payload)
		if first != second || random != again {
			t.Errorf("%s: the same unit changed the codec twice", c.Name())
		}
		if !bytes.Equal(before, data) {
			t.Errorf("%s: the unit was modified", c.Name())
		}
		if !Compatible([]Track{{Codec: c}}, []Track{{Codec: first}}) {
			t.Errorf("%s: became another codec", c.Name())
		}
		if first != c && Props(first) == nil && hasProps(first) {
			t.Errorf("%s: parameters were stored that have no properties", c.Name())
		}
	})
}

// hasProps tells whether properties follow from the parameters of the codec.
func hasProps(c Codec) bool {
	switch c := c.(type) {
	case *H264:
		return c.SPS != nil
	case *H265:
		return c.SPS != nil
	case *MPEG4Video:
		return false
	}
	return true
}
