package media

import "testing"

func TestScanVP9(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name   string
		frame  []byte
		want   VP9
		random bool
	}{
		{"profile 0", []byte{0x82, 0x49, 0x83, 0x42, 0x00, 0x77, 0xF0, 0x32, 0x34}, VP9{1920, 804, 0}, true},
		{"profile 0, bt709", []byte{0x82, 0x49, 0x83, 0x42, 0x40, 0xEF, 0xF0, 0x86, 0xF4}, VP9{3840, 2160, 0}, true},
		{"cut off", []byte{0x82, 0x49, 0x83, 0x42, 0x00, 0x77, 0xF0, 0x32}, VP9{}, false},
		{"wrong sync code", []byte{0x82, 0x49, 0x83, 0x43, 0x00, 0x77, 0xF0, 0x32, 0x34}, VP9{}, false},
		{"inter frame", []byte{0x86, 0x49, 0x83, 0x42, 0x00, 0x77, 0xF0, 0x32, 0x34}, VP9{}, false},
		{"existing frame", []byte{0x8A}, VP9{}, false},
		{"no marker", []byte{0x42, 0x49, 0x83, 0x42, 0x00, 0x77, 0xF0, 0x32, 0x34}, VP9{}, false},
		// Written bit by bit: marker 10, profile bits, reserved, shown key
		// frame 0010, sync code, color configuration, 64x48.
		{"profile 1, 4:4:4", vp9Header("10" + "10" + "0010" + vp9Sync + "010" + "0" + "000"), VP9{64, 48, 1}, true},
		{"profile 1, RGB", vp9Header("10" + "10" + "0010" + vp9Sync + "111" + "0"), VP9{64, 48, 1}, true},
		{"profile 2, 10 bit", vp9Header("10" + "01" + "0010" + vp9Sync + "0" + "010" + "0"), VP9{64, 48, 2}, true},
		{"profile 3, 12 bit", vp9Header("10" + "11" + "0" + "0010" + vp9Sync + "1" + "010" + "0" + "000"), VP9{64, 48, 3}, true},
		{"profile 4", vp9Header("10" + "11" + "1" + "0010" + vp9Sync + "1" + "010" + "0" + "000"), VP9{}, false},
	}
	for _, ca := range cases {
		got, random := Scan(&VP9{}, [][]byte{nil, ca.frame})
		if random != ca.random || *got.(*VP9) != ca.want {
			t.Errorf("%s: Scan = %+v, %v, want %+v, %v", ca.name, got, random, ca.want, ca.random)
		}
	}
}

// vp9Header returns the bits followed by the size 64x48.
func vp9Header(bits string) []byte {
	bits += "0000000000111111" + "0000000000101111"
	out := make([]byte, (len(bits)+7)/8)
	for i, b := range bits {
		if b == '1' {
			out[i/8] |= 0x80 >> (i % 8)
		}
	}
	return out
}
