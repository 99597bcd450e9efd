package rtmpconn_test

import (
	"fmt"

	"github.com/org/mtx/protocol/bridge/rtmpconn"
)

// The last element of the path is the stream key, unless a fragment is.
func ExampleParseURL() {
	for _, s := range []string{"rtmp://host/live/main", "rtmps://user:pass@host/a/b?x=y#key"} {
		u, err := rtmpconn.ParseURL(s)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Printf("%s: application %q, key %q\n", u, u.App, u.Key)
	}
	// Output:
	// rtmp://host:1935/live/main: application "live", key "main"
	// rtmps://host:443/a/b: application "a/b?x=y", key "key"
}
