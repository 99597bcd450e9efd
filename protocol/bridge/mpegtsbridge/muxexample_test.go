package mpegtsbridge_test

import (
	"fmt"

	"github.com/org/mtx/protocol/bridge/mpegtsbridge"
	"github.com/org/mtx/router/media"
)

func ExampleMuxer() {
	m, err := mpegtsbridge.NewMuxer(mpegtsbridge.MuxerOptions{
		Tracks:  []media.Track{{Codec: &media.VP8{}}, {Codec: &media.Opus{ChannelCount: 2}}},
		Skipped: func(e *mpegtsbridge.TrackError) { fmt.Println("left out:", e) },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	var packets []byte
	for i := range int64(3) {
		var start bool
		packets, start, err = m.Append(packets, 1, &media.Unit{PTS: i * 960, Payload: [][]byte{{0xf8, 0xff, 0xfe}}})
		fmt.Println(len(packets)/188, start, err)
	}
	// Output:
	// left out: track 1 (VP8): MPEG-TS cannot carry this codec
	// 3 true <nil>
	// 4 false <nil>
	// 5 false <nil>
}
