package rtpbridge

import (
	"bytes"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/pion/rtp"

	"github.com/org/mtx/router/media"
)

// h264Packets returns the packets of an access unit of a publisher.
func h264Packets(t testing.TB, seq uint16, ts uint32, maxSize int, nalus ...[]byte) []*rtp.Packet {
	t.Helper()
	enc := must[encodeFunc](t)(encoderOf(&format.H264{PacketizationMode: 1}, maxSize, 90000))
	pkts := must[[]*rtp.Packet](t)(enc(nalus))
	for i, pkt := range pkts {
		pkt.Version, pkt.PayloadType, pkt.SSRC = 2, 105, 0xCAFE
		pkt.SequenceNumber, pkt.Timestamp = seq+uint16(i), ts
	}
	return pkts
}

func h264Packetizer(t testing.TB, maxSize int) *Packetizer {
	t.Helper()
	origin := must[*Depacketizer](t)(NewDepacketizer(&format.H264{PayloadTyp: 105, PacketizationMode: 1}))
	return must[*Packetizer](t)(NewPacketizer(PacketizerOptions{
		Track:  media.Track{Codec: &media.H264{SPS: h264SPS, PPS: h264PPS}},
		Format: &format.H264{PayloadTyp: 96, PacketizationMode: 1},
		Origin: origin, SSRC: 0x01020304, MaxSize: maxSize,
	}))
}

func TestPassThrough(t *testing.T) {
	t.Parallel()
	pkts := h264Packets(t, 65534, 0xFFFFFF00, 1000, h264SPS, h264PPS, data([]byte{0x65}, 3000))
	pkts[1].CSRC = []uint32{7, 8}
	pkts[2].Padding, pkts[2].Header.PaddingSize = true, 9
	if err := pkts[0].SetExtension(1, []byte{1, 2, 3}); err != nil {
		t.Fatal(err)
	}

	p := h264Packetizer(t, 1200)
	if _, _, _, ok := p.Position(); ok {
		t.Error("there is a position before the first unit")
	}
	ntp := time.Unix(1700000000, 0)
	var out Packets
	if err := p.Append(&out, &media.Unit{RTP: pkts, NTP: ntp}); err != nil {
		t.Fatal(err)
	}

	var want, octets = []byte(nil), uint64(0)
	for _, pkt := range pkts {
		c := pkt.Clone()
		c.Extension, c.Extensions, c.ExtensionProfile = false, nil, 0
		c.PayloadType, c.SSRC = 96, 0x01020304
		want = append(want, must[[]byte](t)(c.Marshal())...)
		octets += uint64(len(c.Payload))
	}
	if !bytes.Equal(out.Data, want) {
		t.Error("packets are not those of the publisher")
	}
	if len(out.Sizes) != len(pkts) {
		t.Errorf("%d sizes for %d packets", len(out.Sizes), len(pkts))
	}
	if s := p.Stats(); s.Packets != uint64(len(pkts)) || s.Octets != octets {
		t.Errorf("wrong statistics: %+v", s)
	}
	seq, ts, at, ok := p.Position()
	if !ok || seq != 65534+uint16(len(pkts)) || ts != 0xFFFFFF00 || !at.Equal(ntp) {
		t.Errorf("wrong position: %d %x %v %v", seq, ts, at, ok)
	}
	if !pkts[0].Extension || pkts[0].SSRC != 0xCAFE {
		t.Error("the packet of the publisher was changed")
	}
}

// A packet that is too large turns repacking on for good, with sequence numbers
// that go on and the time stamps of the publisher.
func TestRepackOversize(t *testing.T) {
	t.Parallel()
	p := h264Packetizer(t, 600)
	var out Packets
	idr := data([]byte{0x65}, 3000)
	for i, pkts := range [][]*rtp.Packet{
		h264Packets(t, 100, 1000, 500, h264SPS, h264PPS, idr),
		h264Packets(t, 200, 4000, 1400, h264SPS, h264PPS, idr), // other sequence numbers
		h264Packets(t, 900, 7000, 500, data([]byte{0x41}, 50)),
	} {
		if err := p.Append(&out, &media.Unit{PTS: int64(i) * 3000, RTP: pkts}); err != nil {
			t.Fatal(err)
		}
	}

	pkts := unmarshal(t, &out)
	for i, pkt := range pkts {
		if out.Sizes[i] > 600 {
			t.Errorf("packet %d has %d bytes", i, out.Sizes[i])
		}
		if pkt.SequenceNumber != 100+uint16(i) {
			t.Errorf("packet %d has sequence number %d", i, pkt.SequenceNumber)
		}
	}
	got := receive(t, &format.H264{PayloadTyp: 96, PacketizationMode: 1}, &out)
	au := [][]byte{h264SPS, h264PPS, idr}
	if len(got.payloads) != 3 || !equalPayload(got.payloads[0], au) || !equalPayload(got.payloads[1], au) {
		t.Fatalf("got %d access units, or they differ", len(got.payloads))
	}
	for i, want := range []uint32{1000, 4000, 7000} {
		if got.times[i] != want {
			t.Errorf("access unit %d has time stamp %d, want %d", i, got.times[i], want)
		}
	}
}

// The same for a codec of video and one of audio whose packets are packed by
// another encoder.
func TestRepackOtherCodecs(t *testing.T) {
	t.Parallel()
	for _, c := range codecCases() {
		if c.big == nil {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := must[format.Format](t)(FormatOf(c.codec, 96))
			var sent Packets
			first := must[*Packetizer](t)(NewPacketizer(PacketizerOptions{
				Track: media.Track{Codec: c.codec}, Format: f, MaxSize: 1400,
			}))
			for i := range int64(2) {
				if err := first.Append(&sent, &media.Unit{PTS: i * 48000, Payload: c.big}); err != nil {
					t.Fatal(err)
				}
			}

			second := must[*Packetizer](t)(NewPacketizer(PacketizerOptions{
				Track: media.Track{Codec: c.codec}, Format: f, MaxSize: 500,
				Origin: must[*Depacketizer](t)(NewDepacketizer(f)),
			}))
			var out Packets
			for _, u := range receive(t, f, &sent).units {
				if err := second.Append(&out, u); err != nil {
					t.Fatal(err)
				}
			}
			for i, size := range out.Sizes {
				if size > 500 {
					t.Errorf("packet %d has %d bytes", i, size)
				}
			}
			checkPayloads(t, receive(t, f, &out).payloads, c.big, c.raw)
		})
	}
}

func TestGenericPassesThrough(t *testing.T) {
	t.Parallel()
	f := must[format.Format](t)(FormatOf(&media.Generic{Media: media.Data, RTPMap: "x/90000", Rate: 90000}, 98))
	p := must[*Packetizer](t)(NewPacketizer(PacketizerOptions{
		Track: media.Track{Codec: CodecOf(f)}, Format: f, MaxSize: 300,
		Origin: must[*Depacketizer](t)(NewDepacketizer(f)),
	}))
	var out Packets
	err := p.Append(&out, &media.Unit{RTP: []*rtp.Packet{
		{Header: rtp.Header{Version: 2, SequenceNumber: 1}, Payload: data(nil, 1000)},
		{Header: rtp.Header{Version: 2, SequenceNumber: 2}, Payload: data(nil, 100)},
	}})
	if err == nil {
		t.Error("a packet that cannot be split is no error")
	}
	if pkts := unmarshal(t, &out); len(pkts) != 1 || pkts[0].SequenceNumber != 2 {
		t.Errorf("wrong packets: %v", pkts)
	}
}

// A publisher by RTP may follow one by another protocol, and the reverse.
func TestSwitchBetweenPacketsAndPayload(t *testing.T) {
	t.Parallel()
	p := h264Packetizer(t, 1200)
	var out Packets
	frame := data([]byte{0x41}, 50)
	for i, u := range []*media.Unit{
		{Payload: [][]byte{frame}},
		{RTP: h264Packets(t, 500, 77, 1000, frame)},
		{RTP: h264Packets(t, 501, 77+3000, 1000, frame)},
		{Payload: [][]byte{frame}},
	} {
		u.PTS = int64(i) * 3000
		if err := p.Append(&out, u); err != nil {
			t.Fatal(err)
		}
	}
	pkts := unmarshal(t, &out)
	for i, pkt := range pkts {
		if pkt.SequenceNumber != pkts[0].SequenceNumber+uint16(i) || pkt.Timestamp != pkts[0].Timestamp+uint32(i)*3000 {
			t.Errorf("packet %d: sequence number %d, time stamp %d do not follow %d, %d", i,
				pkt.SequenceNumber, pkt.Timestamp, pkts[0].SequenceNumber, pkts[0].Timestamp)
		}
	}
}

func TestParameterSetsInFrontOfKeyFrames(t *testing.T) {
	t.Parallel()
	p := h264Packetizer(t, 1200)
	p.SetCodec(&media.H264{SPS: h264SPS2, PPS: h264PPS})
	idr, frame := data([]byte{0x65}, 50), data([]byte{0x41}, 50)
	var out Packets
	for _, payload := range [][][]byte{{idr}, {frame}, {h264SPS, h264PPS, idr}} {
		if err := p.Append(&out, &media.Unit{Payload: payload}); err != nil {
			t.Fatal(err)
		}
	}
	got := receive(t, &format.H264{PacketizationMode: 1}, &out).payloads
	want := [][][]byte{{h264SPS2, h264PPS, idr}, {frame}, {h264SPS, h264PPS, idr}}
	for i := range want {
		if i >= len(got) || !equalPayload(got[i], want[i]) {
			t.Fatalf("access unit %d is wrong", i)
		}
	}
}

// RTP of HE-AAC runs on the output rate, the codec on the rate of the core.
func TestExplicitSBR(t *testing.T) {
	t.Parallel()
	sbr := codecCases()[0]
	for _, c := range codecCases() {
		if c.name == "mpeg4audio" {
			sbr = c
		}
	}
	config := *sbr.codec.(*media.MPEG4Audio).Config
	config.SampleRate, config.ExtensionType, config.ExtensionSampleRate = 24000, 5, 48000
	codec := &media.MPEG4Audio{Config: &config}

	f := must[format.Format](t)(FormatOf(codec, 96))
	if codec.ClockRate() != 24000 || ClockRate(f) != 48000 {
		t.Fatalf("clock rates %d, %d", codec.ClockRate(), ClockRate(f))
	}
	p := must[*Packetizer](t)(NewPacketizer(PacketizerOptions{Track: media.Track{Codec: codec}, Format: f}))
	var out Packets
	for i := range int64(3) {
		if err := p.Append(&out, &media.Unit{PTS: i * 1024, Payload: sbr.small[:1]}); err != nil {
			t.Fatal(err)
		}
	}
	pkts := unmarshal(t, &out)
	if step := pkts[1].Timestamp - pkts[0].Timestamp; step != 2048 {
		t.Errorf("RTP advances by %d, want 2048", step)
	}
	got := receive(t, f, &out)
	if got.units[2].PTS != 2048 {
		t.Errorf("PTS is %d, want 2048", got.units[2].PTS)
	}
}

func TestInvalidPayloads(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		codec   media.Codec
		payload []byte
	}{
		{&media.MJPEG{}, []byte{0xff}},
		{&media.MJPEG{}, []byte{0xff, 0xd8, 0xff, 0xda}},
		{&media.MPEG1Video{}, []byte{0}},
		{&media.MPEGTS{}, data(nil, 100)},
		{&media.Opus{ChannelCount: 2}, data(nil, 5000)},
		{codecCases()[11].codec, data(nil, 9000)},
	} {
		f := must[format.Format](t)(FormatOf(c.codec, 96))
		p := must[*Packetizer](t)(NewPacketizer(PacketizerOptions{Track: media.Track{Codec: c.codec}, Format: f}))
		var out Packets
		if err := p.Append(&out, &media.Unit{Payload: [][]byte{c.payload}}); err == nil {
			t.Errorf("%s: no error", c.codec.Name())
		}
		if len(out.Data) != 0 || len(out.Sizes) != 0 {
			t.Errorf("%s: something was sent", c.codec.Name())
		}
	}
}

func TestPacketizerOptions(t *testing.T) {
	t.Parallel()
	track, f := media.Track{Codec: &media.H264{}}, &format.H264{PacketizationMode: 1}
	for _, o := range []PacketizerOptions{
		{},
		{Track: track},
		{Format: f},
		{Track: track, Format: f, MaxSize: 100},
		{Track: track, Format: f, MaxSize: 70000},
		{Track: track, Format: f, MaxSize: -1},
	} {
		if _, err := NewPacketizer(o); err == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
}

func BenchmarkPassthrough(b *testing.B) {
	p := h264Packetizer(b, 1472)
	u := &media.Unit{RTP: h264Packets(b, 0, 0, 1400, data([]byte{0x65}, 16000))}
	var out Packets
	if err := p.Append(&out, u); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(out.Data)))
	b.ReportAllocs()
	for b.Loop() {
		out.Reset()
		if err := p.Append(&out, u); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(u.RTP)), "ns/packet")
}
