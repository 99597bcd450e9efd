package srtclient_test

import (
	"fmt"

	"github.com/org/mtx/protocol/bridge/srtclient"
)

// A URL that makes no sense is told before anything is dialled.
func Example() {
	_, err := srtclient.New(srtclient.Options{URL: "srt://192.0.2.7:8890?streamid=read:cam&passphrase=short"})
	fmt.Println(err)
	// Output: SRT parameter passphrase: it must be of 10 to 80 characters
}
