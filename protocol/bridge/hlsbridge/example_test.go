package hlsbridge_test

import (
	"fmt"

	"github.com/org/mtx/protocol/bridge/hlsbridge"
	"github.com/org/mtx/router/media"
)

// Which tracks of a stream can be seen with HLS?
func ExampleNewLayout() {
	tracks := []media.Track{{Codec: &media.H265{}}, {Codec: &media.Opus{ChannelCount: 2}}, {Codec: &media.H264{}}}
	for _, v := range []hlsbridge.Variant{hlsbridge.FMP4, hlsbridge.MPEGTS} {
		l := hlsbridge.NewLayout(tracks, v)
		fmt.Println(v, "muxers:", len(l.Muxers), "skipped:", l.Skipped)
	}
	// Output:
	// fmp4 muxers: 2 skipped: []
	// mpegts muxers: 1 skipped: [0 1]
}
