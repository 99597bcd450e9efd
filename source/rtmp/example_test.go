package rtmp_test

import (
	"fmt"

	"github.com/org/mtx/router"
	srcrtmp "github.com/org/mtx/source/rtmp"
)

// A path that pulls a camera while somebody watches.
func ExampleSource() {
	path := router.PathConfig{
		Name:     "cam",
		Source:   srcrtmp.Source{URL: "rtmp://user:secret@camera.example/live/main"},
		OnDemand: router.OnDemand{Enabled: true},
	}
	fmt.Println(path.Source.Type())
	fmt.Println(srcrtmp.Source{URL: "http://camera.example"}.Validate())
	// Output:
	// rtmpSource
	// the scheme of the URL is "http": it must be rtmp or rtmps
}
