package media_test

import (
	"encoding/json"
	"fmt"

	"github.com/org/mtx/router/media"
)

// A publisher that does not know the parameter sets yet finds them in its first
// key frame.
func ExampleScan() {
	var codec media.Codec = &media.H264{}

	units := [][][]byte{
		{ // access unit delimiter, SPS, PPS, IDR slice
			{0x09, 0x10},
			{
				0x67, 0x42, 0xc0, 0x0a, 0xd9, 0x04, 0x7b, 0x01, 0x10, 0x00, 0x00, 0x03,
				0x00, 0x10, 0x00, 0x00, 0x03, 0x00, 0xa0, 0xf1, 0x22, 0x64, 0x80,
			},
			{0x68, 0xcb, 0x83, 0xcb, 0x20},
			{0x65, 0x88, 0x84, 0x0a},
		},
		{ // access unit delimiter, slice
			{0x09, 0x30},
			{0x41, 0x9a, 0x24, 0x6c},
		},
	}
	for _, payload := range units {
		next, randomAccess := media.Scan(codec, payload)
		fmt.Println("parameters changed:", next != codec, "random access:", randomAccess)
		codec = next
	}

	props, _ := json.Marshal(media.Props(codec))
	fmt.Println(codec.Name(), string(props))
	// Output:
	// parameters changed: true random access: true
	// parameters changed: false random access: false
	// H264 {"width":64,"height":48,"profile":"Baseline","level":"1"}
}

// A publisher that replaces another one may continue its stream if its tracks
// are compatible.
func ExampleCompatible() {
	before := []media.Track{{Codec: &media.H264{}}, {Codec: &media.Opus{ChannelCount: 2}}}
	after := []media.Track{{Codec: &media.H264{SPS: []byte{0x67}}}, {Codec: &media.Opus{ChannelCount: 2}}}
	fmt.Println(media.Compatible(before, after))
	fmt.Println(media.Compatible(before, after[:1]))
	// Output:
	// true
	// false
}
