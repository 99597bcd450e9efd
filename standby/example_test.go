package standby_test

import (
	"fmt"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
	"github.com/org/mtx/standby"
)

// A path that is never without a stream.
func Example() {
	seg, err := standby.New(&media.H264{}, &media.G711{SampleRate: 8000, ChannelCount: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	r, err := router.New(router.Config{Paths: []router.PathConfig{{Name: "cam", Standby: seg}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = r.Close() }()
	for _, t := range seg.Tracks() {
		fmt.Println(t.Codec.Name())
	}
	// Output:
	// H264
	// G711
}
