package rtsp_test

import (
	"fmt"

	"github.com/org/mtx/router"
	srcrtsp "github.com/org/mtx/source/rtsp"
)

func Example() {
	_, err := router.New(router.Config{
		Paths: []router.PathConfig{{
			Name: "cam",
			Source: srcrtsp.Source{
				URL:       "rtsp://admin:password@192.168.1.10/stream1",
				Transport: srcrtsp.TCP,
			},
			OnDemand: router.OnDemand{Enabled: true},
		}},
	})
	fmt.Println(err)
	// Output: <nil>
}

func ExampleSource_Validate() {
	s := srcrtsp.Source{URL: "rtsp://host/stream", RangeType: "npt", RangeStart: "noon"}
	fmt.Println(s.Validate())
	// Output: start of the range "noon": with the range type "npt" it must be a duration such as 1m30s
}
