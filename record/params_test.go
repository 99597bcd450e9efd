package record

import (
	"bytes"
	"testing"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"

	"github.com/org/mtx/router/media"
)

// Parameters belong to the unit that brings them, even if the stream has newer
// ones already.
func TestParamsAt(t *testing.T) {
	t.Parallel()
	a, b := &media.H264{SPS: sps, PPS: pps}, &media.H264{SPS: otherSPS, PPS: pps}
	key := func(s ...[]byte) *media.Unit {
		return &media.Unit{RandomAccess: true, Payload: append(s, []byte{0x65, 0x88, 0x84, 0})}
	}
	aac44 := &media.MPEG4Audio{Config: &mpeg4audio.AudioSpecificConfig{Type: 2, SampleRate: 44100, ChannelConfig: 2}}
	for _, c := range []struct {
		name           string
		before, latest media.Codec
		unit           *media.Unit
		want           media.Codec
	}{
		{"nothing new", a, a, key(sps, pps), a},
		{"still the old ones", a, b, key(sps, pps), a},
		{"not at a key frame", a, b, &media.Unit{Payload: [][]byte{{0x41}}}, a},
		{"in-band", a, a, key(otherSPS, pps), b},
		{"from elsewhere", a, b, key(), b},
		{"same content", a, &media.H264{SPS: bytes.Clone(sps), PPS: pps}, key(), a},
		{"audio", avTracks()[1].Codec, aac44, &media.Unit{RandomAccess: true, Payload: [][]byte{{1}}}, aac44},
	} {
		got := paramsAt(c.before, c.latest, c.unit)
		if !media.Equal(got, c.want) {
			t.Errorf("%s: got %+v", c.name, got)
		}
		if c.want == c.before && got != c.before {
			t.Errorf("%s: another value with the same content", c.name)
		}
	}
}

func allCodecs() []media.Codec {
	return []media.Codec{
		&media.H264{}, &media.H264{SPS: sps, PPS: pps}, &media.H265{}, &media.AV1{}, &media.VP9{}, &media.MPEG4Video{}, &media.MPEG1Video{},
		&media.MJPEG{}, &media.Opus{ChannelCount: 2}, &media.MPEG4Audio{Config: aacConfig()}, &media.MPEG4AudioLATM{Rate: 48000},
		&media.MPEG1Audio{}, &media.AC3{SampleRate: 48000, ChannelCount: 2},
		&media.G711{SampleRate: 8000, ChannelCount: 1}, &media.G711{MULaw: true, SampleRate: 8000, ChannelCount: 2},
		&media.LPCM{BitDepth: 24, SampleRate: 48000, ChannelCount: 2},
	}
}

// FuzzUnits gives anything to the converters, as a stream would.
func FuzzUnits(f *testing.F) {
	f.Add(uint8(0), []byte("\x67\x42\xc0\x28\xfe\x65\x88"), true, int64(0))
	f.Add(uint8(7), []byte("\xff\xd8\xff\xc0\x00\x0b\x08\x00\xf0\x01\x40\x01"), true, int64(-1))
	f.Add(uint8(12), []byte("\x0b\x77\x00\x00\x00\x40\x00"), false, int64(1))
	f.Add(uint8(6), []byte("\x00\x00\x01\xb3\x01\x02\x00\x00\x01\x00\x01\x02"), true, int64(1))
	f.Fuzz(func(t *testing.T, which uint8, data []byte, key bool, pts int64) {
		all := allCodecs()
		c := all[int(which)%len(all)]
		w := &writer{sink: Sink{State: &State{}}}
		fr := newFragments([]media.Track{{Codec: c}}, w, (&logged{}).logger())
		for i := range 3 {
			u := &media.Unit{PTS: pts/2 + int64(i)*1000, RandomAccess: key, Payload: bytes.Split(data, []byte{0xfe})}
			codec, _ := media.Scan(c, u.Payload)
			at, ok := fr.prepare(0, u, codec)
			if !ok {
				continue
			}
			if i == 0 || !fr.hasInit {
				fr.begin(0, at)
			}
			fr.commit(0, u)
			chunks, _ := fr.part(epoch, i == 2)
			var b []byte
			for _, c := range chunks {
				b = append(b, c.bytes()...)
			}
			if _, whole := topLevel(b); !whole {
				t.Errorf("a part is damaged: %x", b)
			}
		}
	})
}
