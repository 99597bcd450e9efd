package hls_test

import (
	"fmt"

	"github.com/org/mtx/router"
	srchls "github.com/org/mtx/source/hls"
)

// A path whose stream comes from an HLS camera while somebody reads it.
func ExampleSource() {
	src := srchls.Source{URL: "http://user:pass@192.168.1.10/stream/index.m3u8"}
	if err := src.Validate(); err != nil {
		fmt.Println(err)
		return
	}
	r, err := router.New(router.Config{Paths: []router.PathConfig{{
		Name: "cam", Source: src, OnDemand: router.OnDemand{Enabled: true},
	}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = r.Close() }()
	fmt.Println(src.Type())
	// Output: hlsSource
}
