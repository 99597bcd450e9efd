package rtpbridge

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/format"

	"github.com/org/mtx/router/media"
)

// received is what a receiver and depacketizers make of packets.
type received struct {
	units    []*media.Unit
	payloads [][][]byte
	codecs   []media.Codec
	times    []uint32
}

// receive sends packets of one track through a receiver and a depacketizer.
func receive(t testing.TB, f format.Format, p *Packets) received {
	t.Helper()
	var got received
	d := must[*Depacketizer](t)(NewDepacketizer(f))
	r := NewReceiver(ReceiverOptions{
		Formats: []format.Format{f},
		MaxWait: time.Hour,
		Update:  func(_ int, c media.Codec) { got.codecs = append(got.codecs, c) },
		Write: func(_ int, u *media.Unit) {
			got.units = append(got.units, u)
			for _, pkt := range u.RTP {
				payload, err := d.Depacketize(pkt)
				if err != nil {
					t.Errorf("depacketize: %v", err)
				}
				if payload != nil {
					got.payloads = append(got.payloads, payload)
					got.times = append(got.times, d.time)
				}
			}
		},
	})
	now := time.Now()
	for _, pkt := range unmarshal(t, p) {
		r.Packet(0, pkt, now)
	}
	r.Close()
	return got
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for _, c := range codecCases() {
		for size, payload := range map[string][][]byte{"small": c.small, "big": c.big} {
			if payload == nil {
				continue
			}
			t.Run(c.name+" "+size, func(t *testing.T) {
				t.Parallel()
				f := must[format.Format](t)(FormatOf(c.codec, 96))
				if got := CodecOf(f); got.Name() != c.codec.Name() || got.ClockRate() != c.codec.ClockRate() {
					t.Fatalf("codec %v became %v", c.codec, got)
				}
				p := must[*Packetizer](t)(NewPacketizer(PacketizerOptions{
					Track: media.Track{Codec: c.codec}, Format: f, SSRC: 0x1234, MaxSize: 600,
				}))

				var out Packets
				second := int64(c.codec.ClockRate())
				for i := range int64(2) {
					if err := p.Append(&out, &media.Unit{PTS: i * second, Payload: payload}); err != nil {
						t.Fatal(err)
					}
				}
				checkPackets(t, &out, f, size == "big")

				got := receive(t, f, &out)
				checkPayloads(t, got.payloads, payload, c.raw)
				if !slices.ContainsFunc(got.units, func(u *media.Unit) bool { return u.PTS == second }) {
					t.Errorf("no unit has PTS %d", second)
				}
				if !got.units[0].RandomAccess {
					t.Error("not seen as a random access point")
				}
			})
		}
	}
}

func checkPackets(t *testing.T, p *Packets, f format.Format, big bool) {
	t.Helper()
	pkts := unmarshal(t, p)
	if big && len(pkts) < 4 {
		t.Errorf("%d packets for two big units", len(pkts))
	}
	for i, pkt := range pkts {
		if pkt.SSRC != 0x1234 || pkt.PayloadType != f.PayloadType() || pkt.Version != 2 {
			t.Errorf("wrong header: %v", pkt)
		}
		if p.Sizes[i] > 600 {
			t.Errorf("packet %d has %d bytes", i, p.Sizes[i])
		}
		if i > 0 && pkt.SequenceNumber != pkts[i-1].SequenceNumber+1 {
			t.Errorf("sequence number %d follows %d", pkt.SequenceNumber, pkts[i-1].SequenceNumber)
		}
	}
}

func checkPayloads(t *testing.T, got [][][]byte, want [][]byte, raw bool) {
	t.Helper()
	elements := slices.Concat(got...)
	twice := slices.Concat(want, want)
	if raw {
		if !bytes.Equal(bytes.Join(elements, nil), bytes.Join(twice, nil)) {
			t.Error("bytes differ")
		}
		return
	}
	if !equalPayload(elements, twice) {
		t.Errorf("got %d elements, want %d, or they differ", len(elements), len(twice))
	}
}

// Time stamps inside of units with several packets have to follow the duration
// of the media.
func TestTimesInsideUnits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		payload [][]byte
		step    uint32
	}{
		{"opus", [][]byte{data([]byte{0xfc}, 100), data([]byte{0xfc}, 100)}, 960},
		{"mpeg4audio", [][]byte{data(nil, 1000), data(nil, 1000)}, 1024},
		{"mpeg1audio", [][]byte{mp3Frame(0x10), mp3Frame(0x10)}, 1152 * 90000 / 48000},
		{"ac3", [][]byte{ac3Frame(0x14), ac3Frame(0x14)}, 1536},
		{"speex", [][]byte{data(nil, 100), data(nil, 100)}, 320},
		{"g722", [][]byte{data(nil, 100), data(nil, 100)}, 100},
		{"g726", [][]byte{data(nil, 30), data(nil, 30)}, 80},
		{"l24", [][]byte{data(nil, 600), data(nil, 600)}, 100},
		{"pcma 16k stereo", [][]byte{data(nil, 600), data(nil, 600)}, 300},
		{"latm", [][]byte{data(nil, 600), data(nil, 600)}, 1024},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cases := codecCases()
			i := slices.IndexFunc(cases, func(cc codecCase) bool { return cc.name == c.name })
			f := must[format.Format](t)(FormatOf(cases[i].codec, 96))
			p := must[*Packetizer](t)(NewPacketizer(PacketizerOptions{
				Track: media.Track{Codec: cases[i].codec}, Format: f, MaxSize: 1200,
			}))
			var out Packets
			if err := p.Append(&out, &media.Unit{Payload: c.payload}); err != nil {
				t.Fatal(err)
			}
			pkts := unmarshal(t, &out)
			if len(pkts) != 2 || pkts[1].Timestamp-pkts[0].Timestamp != c.step {
				t.Fatalf("%d packets, step %d, want 2, %d",
					len(pkts), pkts[len(pkts)-1].Timestamp-pkts[0].Timestamp, c.step)
			}
		})
	}
}
