// Command embed is a program with an RTSP server inside. Anybody may publish on
// any path, and anybody may read:
//
//	ffmpeg -re -i video.mp4 -c copy -f rtsp rtsp://localhost:8554/cam
//	ffplay rtsp://localhost:8554/cam
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"os/signal"

	"github.com/org/mtx"
	"github.com/org/mtx/protocol/rtsp"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, ":8554", os.Stdout)
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

// run serves until ctx is done. Nothing of the server is left when it returns.
func run(ctx context.Context, addr string, out io.Writer) error {
	r, err := mtx.New(mtx.Config{
		Protocols: []mtx.Protocol{
			// media travels over TCP, too, so that one port is enough
			&rtsp.Server{Addr: addr, Transports: []rtsp.Transport{rtsp.TCP}},
		},
		Paths: []mtx.PathConfig{
			{Name: "cam", MaxReaders: 10},
			{Name: mtx.AllOthers},
		},
	},
		// both are optional; without a logger, the library is silent
		mtx.WithLogger(slog.Default()),
		mtx.WithHooks(mtx.Hooks{
			PathReady: func(e mtx.PathEvent) func() {
				_, _ = fmt.Fprintf(out, "%s is live\n", e.Path)
				return func() { _, _ = fmt.Fprintf(out, "%s is over\n", e.Path) }
			},
		}),
	)
	if err != nil {
		return err
	}
	return r.Run(ctx)
}
