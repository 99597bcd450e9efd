package rtpbridge_test

import (
	"fmt"
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/description"
	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/pion/rtp"

	"github.com/org/mtx/protocol/bridge/rtpbridge"
	"github.com/org/mtx/router/media"
)

// Example passes the packets of a publisher on to readers.
func Example() {
	desc := &description.Session{Medias: []*description.Media{{
		Type:    description.MediaTypeVideo,
		Formats: []format.Format{&format.H264{PayloadTyp: 105, PacketizationMode: 1}},
	}}}
	tracks, refs, err := rtpbridge.Tracks(desc)
	if err != nil {
		fmt.Println(err)
		return
	}
	origin, err := rtpbridge.NewDepacketizer(refs[0].Format)
	if err != nil {
		fmt.Println(err)
		return
	}

	_, readerRefs, err := rtpbridge.Description(tracks, []media.Depacketizer{origin})
	if err != nil {
		fmt.Println(err)
		return
	}
	packetizer, err := rtpbridge.NewPacketizer(rtpbridge.PacketizerOptions{
		Track: tracks[0], Format: readerRefs[0].Format, Origin: origin, SSRC: 1,
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	var out rtpbridge.Packets
	receiver := rtpbridge.NewReceiver(rtpbridge.ReceiverOptions{
		Formats: []format.Format{refs[0].Format},
		Write: func(_ int, u *media.Unit) {
			fmt.Println("access unit of", len(u.RTP), "packets, random access:", u.RandomAccess)
			if err := packetizer.Append(&out, u); err != nil {
				fmt.Println(err)
			}
		},
	})
	defer receiver.Close()

	receiver.Packet(0, &rtp.Packet{
		Header:  rtp.Header{Version: 2, PayloadType: 105, SequenceNumber: 7, Marker: true},
		Payload: []byte{0x65, 1, 2, 3},
	}, time.Now())
	fmt.Println("packets for readers have", out.Sizes, "bytes and payload type", out.Data[1]&0x7F)
	// Output:
	// access unit of 1 packets, random access: true
	// packets for readers have [16] bytes and payload type 96
}

// ExamplePacketizer packs the payload of a publisher that does not send RTP.
func ExamplePacketizer() {
	codec := &media.Opus{ChannelCount: 2}
	f, err := rtpbridge.FormatOf(codec, 96)
	if err != nil {
		fmt.Println(err)
		return
	}
	p, err := rtpbridge.NewPacketizer(rtpbridge.PacketizerOptions{
		Track: media.Track{Codec: codec}, Format: f, SSRC: 1,
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	var out rtpbridge.Packets
	frame := []byte{0xfc, 1, 2, 3}
	if err := p.Append(&out, &media.Unit{PTS: 0, Payload: [][]byte{frame, frame}}); err != nil {
		fmt.Println(err)
	}
	fmt.Println(len(out.Sizes), "packets,", p.Stats().Octets, "bytes of payload")
	// Output: 2 packets, 8 bytes of payload
}
