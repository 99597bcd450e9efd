package latm

import (
	"reflect"
	"testing"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
)

func TestConfig(t *testing.T) {
	t.Parallel()
	asc := &mpeg4audio.AudioSpecificConfig{Type: mpeg4audio.ObjectTypeAACLC, SampleRate: 48000, ChannelConfig: 2}
	layers := func(l ...*mpeg4audio.StreamMuxConfigLayer) *mpeg4audio.StreamMuxConfig {
		return &mpeg4audio.StreamMuxConfig{Programs: []*mpeg4audio.StreamMuxConfigProgram{{Layers: l}}}
	}
	for name, c := range map[string]*mpeg4audio.StreamMuxConfig{
		"none": nil, "no program": {}, "nil program": {Programs: []*mpeg4audio.StreamMuxConfigProgram{nil}}, "no layer": layers(),
		"nil layer": layers(nil), "no configuration": layers(&mpeg4audio.StreamMuxConfigLayer{}),
		"no sample rate": layers(&mpeg4audio.StreamMuxConfigLayer{AudioSpecificConfig: &mpeg4audio.AudioSpecificConfig{}}),
	} {
		if got := Config(c); got != nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if got := Config(layers(&mpeg4audio.StreamMuxConfigLayer{AudioSpecificConfig: asc}, nil)); got != asc {
		t.Errorf("%+v", got)
	}
}

func TestPayload(t *testing.T) {
	t.Parallel()
	c := &mpeg4audio.StreamMuxConfig{Programs: []*mpeg4audio.StreamMuxConfigProgram{{Layers: []*mpeg4audio.StreamMuxConfigLayer{{
		AudioSpecificConfig: &mpeg4audio.AudioSpecificConfig{Type: mpeg4audio.ObjectTypeAACLC, SampleRate: 48000, ChannelConfig: 2},
		LatmBufferFullness:  255,
	}}}}}
	good, err := mpeg4audio.AudioMuxElement{StreamMuxConfig: c, Payloads: [][][][]byte{{{{1, 2, 3}}}}}.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	got, err := Payload(c, [][]byte{good, {}, good})
	if err == nil || !reflect.DeepEqual(got, [][]byte{{1, 2, 3}, {1, 2, 3}}) {
		t.Errorf("%v, %v", got, err)
	}
}

func TestAccessUnits(t *testing.T) {
	t.Parallel()
	e := &mpeg4audio.AudioMuxElement{Payloads: [][][][]byte{{{{1}, {9}}, {{8}}}, {}, {{}}, {{{}}}, {{{2, 3}}}}}
	if got := AccessUnits(e); !reflect.DeepEqual(got, [][]byte{{1}, {2, 3}}) {
		t.Errorf("%v", got)
	}
}
