package rtpbridge

import "testing"

func TestVorbisErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		packets [][]byte
	}{
		{"short", [][]byte{{1, 2, 3}}},
		{"length cut off", [][]byte{{0, 0, 0, 1, 5}}},
		{"packet cut off", [][]byte{{0, 0, 0, 1, 0, 5, 1}}},
		{"wrong number", [][]byte{{0, 0, 0, 2, 0, 1, 1}}},
		{"end without start", [][]byte{{0, 0, 0, 0xc0, 0, 1, 1}}},
		{"two packets in a fragment", [][]byte{{0, 0, 0, 0x40, 0, 1, 1, 0, 1, 1}}},
	} {
		var d vorbisDecoder
		var err error
		for i, payload := range c.packets {
			_, err = d.decode(packet(uint16(i), 0, false, payload...))
		}
		if err == nil {
			t.Errorf("%s: no error", c.name)
		}
	}

	// a fragment is lost
	var d vorbisDecoder
	if _, err := d.decode(packet(0, 0, false, 0, 0, 0, 0x40, 0, 1, 1)); err != nil {
		t.Fatal(err)
	}
	if _, err := d.decode(packet(2, 0, false, 0, 0, 0, 0xc0, 0, 1, 1)); err == nil {
		t.Error("halves of two packets were joined")
	}
	// configuration in-band
	if got, err := d.decode(packet(3, 0, false, 0, 0, 0, 0x11, 0, 1, 1)); got != nil || err != nil {
		t.Errorf("configuration became %x, %v", got, err)
	}
}
