package mpegts_test

import (
	"fmt"

	"github.com/org/mtx/router"
	"github.com/org/mtx/source/mpegts"
)

func Example() {
	_, err := router.New(router.Config{
		Paths: []router.PathConfig{
			{Name: "tv", Source: mpegts.Source{URL: "udp+mpegts://238.0.0.1:1234?interface=eth0&source=192.168.3.5"}},
			{Name: "encoder", Source: mpegts.Source{URL: "unix+mpegts:///tmp/socket.sock"}},
		},
	})
	fmt.Println(err)
	// Output: <nil>
}

func ExampleSource_Validate() {
	fmt.Println(mpegts.Source{URL: "udp+mpegts://238.0.0.1:port"}.Validate())
	// Output: the URL is invalid: it must be udp+mpegts://HOST:PORT or unix+mpegts:///PATH
}
