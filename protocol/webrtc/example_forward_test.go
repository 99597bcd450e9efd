package webrtc_test

import (
	"fmt"

	"github.com/org/mtx/protocol/webrtc"
	"github.com/org/mtx/router"
)

// A path that is published on another server too, by WHIP.
func ExampleForward() {
	sink := webrtc.Forward{URL: "whips://media.example/$MTX_PATH/whip", BearerToken: "secret"}
	if err := sink.Validate(); err != nil {
		fmt.Println(err)
		return
	}
	path := router.PathConfig{Name: "cam", Sinks: []router.Sink{sink}}
	fmt.Println(path.Sinks[0].Type())
	// Output: webrtc
}
