package mtx_test

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"github.com/org/mtx"
	"github.com/org/mtx/protocol/rtsp"
	srcrtsp "github.com/org/mtx/source/rtsp"
)

// A server pulls a camera when somebody wants to see it, and accepts publishers
// on any other path.
func ExampleNew() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	r, err := mtx.New(mtx.Config{
		Protocols: []mtx.Protocol{&rtsp.Server{Addr: ":8554"}},
		Paths: []mtx.PathConfig{
			{
				Name:     "cam",
				Source:   &srcrtsp.Source{URL: "rtsp://10.0.0.7/stream"},
				OnDemand: mtx.OnDemand{Enabled: true},
			},
			{Name: mtx.AllOthers},
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := r.Run(ctx); err != nil {
		fmt.Println(err)
	}
}
