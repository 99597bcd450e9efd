package media

import (
	"bytes"
	"testing"
)

func TestScanMPEG4Video(t *testing.T) {
	t.Parallel()
	c, first := withParameters(t, "mpeg4.m4v")
	base := c.(*MPEG4Video)
	with := func(parts ...[]byte) [][]byte { return [][]byte{bytes.Join(parts, nil)} }
	var (
		gov    = []byte{0, 0, 1, 0xB3, 0x00, 0x10, 0x07}
		iVOP   = []byte{0, 0, 1, 0xB6, 0x11}
		pVOP   = []byte{0, 0, 1, 0xB6, 0x51}
		config = append(bytes.Clone(base.Config), 0, 0, 1, 0xB2, 'x')
		huge   = append(bytes.Clone(config), bytes.Repeat([]byte{'x'}, maxParameterSet)...)
		noVOL  = []byte{0, 0, 1, 0xB0, 0x01, 0, 0, 1, 0xB5, 0x89}
	)
	cases := []struct {
		name   string
		unit   [][]byte
		config []byte // nil: the codec stays
		random bool
	}{
		{"first of the sample", first, nil, true},
		{"group", with(gov, iVOP), nil, true},
		{"intra", with(iVOP), nil, true},
		{"inter", with(pVOP), nil, false},
		{"config, inter", with(config, pVOP), config, false},
		{"config, group", with(config, gov, iVOP), config, true},
		{"config, intra", with(config, iVOP), config, true},
		{"config alone", with(config), config, false},
		{"config in an element of its own", [][]byte{config, iVOP}, config, true},
		{"huge config", with(huge, iVOP), nil, false},
		{"config without layer", with(noVOL, iVOP), nil, true},
		{"config ends with half a start code", with(config, []byte{0, 0, 1}), nil, false},
		{"start code cut off", with([]byte{0, 0, 1}), nil, false},
		{"VOP cut off", with([]byte{0, 0, 1, 0xB6}), nil, false},
		{"no start code", with([]byte{1, 2, 3}, iVOP), nil, false},
	}
	for _, ca := range cases {
		got, random := Scan(base, ca.unit)
		if random != ca.random {
			t.Errorf("%s: random access %v, want %v", ca.name, random, ca.random)
		}
		if ca.config == nil && got != Codec(base) {
			t.Errorf("%s: codec changed", ca.name)
		}
		if ca.config != nil && !Equal(got, &MPEG4Video{Config: ca.config}) {
			t.Errorf("%s: config = %x, want %x", ca.name, got, ca.config)
		}
	}
}

func TestScanMPEG1Video(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name  string
		frame []byte
		want  bool
	}{
		{"sequence header", []byte{0, 0, 1, 0xB3, 0x04}, true},
		{"group", []byte{0, 0, 1, 0xB8, 0x00}, true},
		{"zero bytes in front", []byte{0, 0, 0, 0, 1, 0xB3}, true},
		{"group behind user data", []byte{0, 0, 1, 0xB2, 'x', 0, 0, 1, 0xB8}, true},
		{"picture", []byte{0, 0, 1, 0x00, 0x00}, false},
		{"next group behind the picture", []byte{0, 0, 1, 0x00, 0x00, 0, 0, 1, 0xB8, 0x00}, false},
		{"cut off", []byte{0, 0, 1}, false},
	}
	for _, ca := range cases {
		if _, got := Scan(&MPEG1Video{}, [][]byte{ca.frame}); got != ca.want {
			t.Errorf("%s: random access %v, want %v", ca.name, got, ca.want)
		}
	}
}
