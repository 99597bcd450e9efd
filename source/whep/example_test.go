package whep_test

import (
	"fmt"

	"github.com/org/mtx/router"
	srcwhep "github.com/org/mtx/source/whep"
)

// A path whose stream comes from another WebRTC server while somebody reads it.
func ExampleSource() {
	src := srcwhep.Source{URL: "wheps://media.example/cam/whep", BearerToken: "secret"}
	r, err := router.New(router.Config{Paths: []router.PathConfig{{
		Name: "cam", Source: src, OnDemand: router.OnDemand{Enabled: true},
	}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = r.Close() }()
	fmt.Println(src.Type())
	fmt.Println(srcwhep.Source{URL: "https://media.example/cam/whep"}.Validate())
	// Output:
	// webRTCSource
	// the scheme of the URL is "https": it must be whep or wheps
}
