package rtpbridge

import (
	"bytes"
	"slices"
	"testing"

	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/pion/rtp"

	"github.com/org/mtx/router/media"
)

func TestFramedCodecsSurviveLoss(t *testing.T) {
	t.Parallel()
	for _, c := range codecCases() {
		// MPEG-1 audio, AC-3 and Vorbis are checked too: their decoders see to it
		if c.big == nil || c.raw {
			continue
		}
		f := must[format.Format](t)(FormatOf(c.codec, 96))
		enc := must[encodeFunc](t)(encoderOf(f, 400, int64(c.codec.ClockRate())))
		var pkts []*rtp.Packet
		var bounds []int
		for i := range 3 {
			unit := must[[]*rtp.Packet](t)(enc(c.big))
			for _, pkt := range unit {
				pkt.SequenceNumber = uint16(len(pkts))
				pkt.Timestamp += uint32(i) * 90000
				pkts = append(pkts, pkt)
			}
			bounds = append(bounds, len(pkts))
		}

		// a packet of the first unit is lost: the second and the third are whole
		for lost := range bounds[0] {
			d := must[*Depacketizer](t)(NewDepacketizer(f))
			var after [][]byte
			for i, pkt := range pkts {
				if i == lost {
					continue
				}
				payload, _ := d.Depacketize(pkt)
				if i >= bounds[0] {
					after = append(after, payload...)
				} else if c.codec.Kind() == media.Video && len(payload) != 0 && !startIsLost(c.name, lost) {
					t.Errorf("%s: damaged unit is returned without packet %d", c.name, lost)
				}
			}
			if !equalPayload(after, slices.Concat(c.big, c.big)) {
				t.Errorf("%s: units after a loss of packet %d are not whole", c.name, lost)
			}
		}
	}
}

// startIsLost tells for which codecs nobody can see that the first packet of a
// unit is missing, if that packet held whole elements.
func startIsLost(name string, lost int) bool {
	return lost == 0 && slices.Contains([]string{"av1", "h264", "h265", "mpeg4video", "mpeg1video"}, name)
}

func TestDelimitersAreDropped(t *testing.T) {
	t.Parallel()
	frame, frame265 := data([]byte{0x41}, 20), data([]byte{0x02, 0x01}, 20)
	obu := data([]byte{0x30}, 20)
	for _, c := range []struct {
		format   format.Format
		payloads [][]byte
		want     [][]byte
	}{
		{videoFormat, [][]byte{{0x09, 0xf0}, frame}, [][]byte{frame}},
		{videoFormat, [][]byte{aggregate([]byte{24}, []byte{0x09, 0xf0}, frame)}, [][]byte{frame}},
		{videoFormat, [][]byte{{0x09, 0xf0}}, nil},
		{&format.H265{}, [][]byte{{0x46, 0x01, 0x50}, frame265}, [][]byte{frame265}},
		{&format.AV1{}, [][]byte{append([]byte{0x20, 2, 0x12, 0}, obu...)}, [][]byte{obu}},
		{&format.AV1{}, [][]byte{append([]byte{0x10, 0x32, 19}, obu[1:]...)}, [][]byte{obu}},
		{&format.AV1{}, [][]byte{{0x10, 0x32, 19, 1}}, nil},
	} {
		d := must[*Depacketizer](t)(NewDepacketizer(c.format))
		var got [][]byte
		for i, payload := range c.payloads {
			got = must[[][]byte](t)(d.Depacketize(packet(uint16(i), 0, i == len(c.payloads)-1, payload...)))
		}
		if !equalPayload(got, c.want) {
			t.Errorf("%x became %x, want %x", c.payloads, got, c.want)
		}
	}
}

// Payloads of KLV must not share the buffer of the library's decoder.
func TestPayloadsAreNotOverwritten(t *testing.T) {
	t.Parallel()
	d := must[*Depacketizer](t)(NewDepacketizer(&format.KLV{PayloadTyp: 96}))
	unit := klv(20)
	first := must[[][]byte](t)(d.Depacketize(packet(0, 0, true, unit...)))
	other := klv(20)
	other[len(other)-1] ^= 0xff
	must[[][]byte](t)(d.Depacketize(packet(1, 1, true, other...)))
	if !bytes.Equal(first[0], unit) {
		t.Error("a payload was overwritten by the next one")
	}
}

func TestHeldPacketsAreBounded(t *testing.T) {
	t.Parallel()
	d := must[*Depacketizer](t)(NewDepacketizer(videoFormat))
	var err error
	n := 0
	for ; err == nil && n < 2*maxHeldPackets; n++ {
		// fragments without content that never end
		_, err = d.Depacketize(packet(uint16(n), 0, false, 0x7c, 0x80*boolByte(n == 0)|5))
	}
	if err == nil || n > maxHeldPackets+2 {
		t.Errorf("%d packets are held, error %v", n, err)
	}

	d = must[*Depacketizer](t)(NewDepacketizer(&format.MPEG1Video{}))
	size := 0
	for i, err := 0, error(nil); err == nil && size < 2*maxHeldBytes; i++ {
		head := byte(0x10) // begin of a slice
		if i > 0 {
			head = 0
		}
		_, err = d.Depacketize(packet(uint16(i), 0, false, data([]byte{0, 0, head, 0}, 60000)...))
		size += 60000
	}
	if size > maxHeldBytes+60000 {
		t.Errorf("%d bytes are held", size)
	}
}

func boolByte(b bool) byte {
	if b {
		return 1
	}
	return 0
}

func TestEmptyPayloads(t *testing.T) {
	t.Parallel()
	for _, c := range codecCases() {
		d := must[*Depacketizer](t)(NewDepacketizer(must[format.Format](t)(FormatOf(c.codec, 96))))
		for i := range 3 {
			if payload, err := d.Depacketize(packet(uint16(i), 0, i == 2)); payload != nil || err != nil {
				t.Errorf("%s: %x, %v", c.name, payload, err)
			}
		}
	}
}

func TestUnpackable(t *testing.T) {
	t.Parallel()
	for _, f := range []format.Format{
		&format.Generic{PayloadTyp: 96, RTPMa: "x/90000", ClockRat: 90000},
		&format.H264{PayloadTyp: 96, PacketizationMode: 2},
		&format.H265{PayloadTyp: 96, MaxDONDiff: 1},
	} {
		if g, ok := CodecOf(f).(*media.Generic); !ok || g.Rate != 90000 {
			t.Errorf("codec is %+v", CodecOf(f))
		}
		d := must[*Depacketizer](t)(NewDepacketizer(f))
		if d.Format() != f {
			t.Error("another format")
		}
		if payload, err := d.Depacketize(packet(0, 0, true, 1, 2, 3)); payload != nil || err != nil {
			t.Errorf("payload %x, error %v", payload, err)
		}
	}
	if _, err := NewDepacketizer(nil); err == nil {
		t.Error("no format is accepted")
	}
}

// The end of an access unit of H264 without marker is found by the time stamp.
func TestDepacketizeWithoutMarkers(t *testing.T) {
	t.Parallel()
	d := must[*Depacketizer](t)(NewDepacketizer(videoFormat))
	for i := range 4 {
		got := must[[][]byte](t)(d.Depacketize(packet(uint16(i), uint32(i)*3000, false, 0x41, byte(i))))
		if i == 0 {
			continue
		}
		if len(got) != 1 || got[0][1] != byte(i-1) || d.time != uint32(i-1)*3000 {
			t.Errorf("packet %d: payload %x with time stamp %d", i, got, d.time)
		}
	}
}
