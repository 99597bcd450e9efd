package mp4bridge_test

import (
	"fmt"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"

	"github.com/org/mtx/protocol/bridge/mp4bridge"
	"github.com/org/mtx/router/media"
)

// G711 becomes samples that players of MP4 know.
func Example() {
	codec := &media.G711{MULaw: true, SampleRate: 8000, ChannelCount: 1}
	k, err := mp4bridge.New(codec)
	if err != nil {
		fmt.Println(err)
		return
	}
	unit := &media.Unit{PTS: 1600, Payload: [][]byte{make([]byte, 160)}}
	for _, s := range k.Convert(nil, unit, codec) {
		fmt.Println("at", s.DTS, "for", s.Duration, "ticks:", len(k.Append(nil, s.Data)), "bytes")
	}
	header, err := mp4bridge.MarshalInit([]*fmp4.InitTrack{{ID: 1, TimeScale: 8000, Codec: k.Params()}})
	fmt.Println(string(header[4:8]), err)
	// Output:
	// at 1600 for 160 ticks: 320 bytes
	// ftyp <nil>
}
