package rtmp_test

import (
	"context"
	"fmt"
	"time"

	"github.com/org/mtx/protocol/rtmp"
	"github.com/org/mtx/router"
)

// A program that serves RTMP, and sends one of its paths on to a platform.
func ExampleServer() {
	r, err := router.New(router.Config{
		Protocols: []router.Protocol{&rtmp.Server{Addr: "127.0.0.1:0", ReadTimeout: 5 * time.Second}},
		Paths: []router.PathConfig{
			{Name: "live", Sinks: []router.Sink{rtmp.Forward{URL: "rtmps://platform.example/app#stream-key"}}},
			{Name: router.AllOthers},
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = r.Close() }()
	if err := r.Start(context.Background()); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("serving", r.Protocols())
	// Output: serving [rtmp]
}
