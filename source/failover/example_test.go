package failover_test

import (
	"fmt"
	"time"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/routertest"
	"github.com/org/mtx/source/failover"
)

// A camera with a second one behind it.
func Example() {
	src := &failover.Source{
		Sources: []router.Source{
			&routertest.Source{Label: "main"}, // in a program, sources of package source/rtsp and others
			&routertest.Source{Label: "backup"},
		},
		StallTimeout: 5 * time.Second,
	}
	p := router.PathConfig{Name: "cam", Source: src, PublisherGrace: 30 * time.Second}
	fmt.Println(p.Source.Type(), src.Validate())
	// Output: main <nil>
}
