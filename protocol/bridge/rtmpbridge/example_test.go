package rtmpbridge_test

import (
	"fmt"

	"github.com/org/mtx/protocol/bridge/rtmpbridge"
	"github.com/org/mtx/router/media"
)

// The bytes for all readers are made once.
func ExampleEncoder() {
	enc, err := rtmpbridge.NewEncoder([]media.Track{
		{Codec: &media.G711{MULaw: true, SampleRate: 8000, ChannelCount: 1}},
		{Codec: &media.KLV{}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, s := range enc.Skipped() {
		fmt.Printf("track %d: %s\n", s.Track+1, s.Reason)
	}
	unit := &media.Unit{PTS: 160, Payload: [][]byte{{0xff, 0xfe}}}
	b, messages, err := enc.Append(nil, 0, unit)
	fmt.Printf("%d message, error %v: % x\n", messages, err, b)
	// Output:
	// track 2: RTMP cannot carry KLV
	// 1 message, error <nil>: 04 00 00 00 00 00 03 08 01 00 00 00 82 ff fe
}

// A publisher sends AAC: its configuration, then frames.
func ExampleDecoder() {
	d := rtmpbridge.NewDecoder(rtmpbridge.DecoderOptions{
		Tracks: func(tracks []media.Track) (func(int, *media.Unit), error) {
			fmt.Println(tracks[0].Codec.Name(), tracks[0].Codec.ClockRate())
			return func(_ int, u *media.Unit) { fmt.Println(u.PTS, u.Payload) }, nil
		},
	})
	for i, body := range [][]byte{{0xaf, 0, 0x11, 0x90}, {0xaf, 1, 7}, {0xaf, 1, 8}} {
		if err := d.Write(rtmpbridge.TypeAudio, uint32(1000+21*max(0, i-1)), body); err != nil {
			fmt.Println(err)
		}
	}
	if err := d.Begin(); err != nil { // otherwise after two seconds
		fmt.Println(err)
	}
	// Output:
	// MPEG-4 Audio 48000
	// 0 [[7]]
	// 1024 [[8]]
}
