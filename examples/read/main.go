// Command read brings the frames of a live stream into Go code. Publish one:
//
//	ffmpeg -re -i video.mp4 -c copy -f rtsp -rtsp_transport tcp rtsp://localhost:8554/cam
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"

	"github.com/org/mtx"
	"github.com/org/mtx/protocol/rtsp"
	"github.com/org/mtx/router"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, ":8554", os.Stdout)
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

// run starts a server and reads whatever is published on "cam" until ctx is
// done.
func run(ctx context.Context, addr string, out io.Writer) error {
	live := make(chan struct{}, 1)
	r, err := mtx.New(mtx.Config{
		Protocols: []mtx.Protocol{&rtsp.Server{Addr: addr, Transports: []rtsp.Transport{rtsp.TCP}}},
		Paths:     []mtx.PathConfig{{Name: "cam"}},
	}, mtx.WithHooks(mtx.Hooks{
		PathReady: func(mtx.PathEvent) func() {
			select {
			case live <- struct{}{}:
			default: // it was told already
			}
			return nil
		},
	}))
	if err != nil {
		return err
	}
	if err := r.Start(ctx); err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	for {
		select {
		case <-live:
			if err := readStream(ctx, r, out); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// readStream reads one stream up to its end.
func readStream(ctx context.Context, r *mtx.Router, out io.Writer) error {
	rd, err := r.Read(ctx, "cam", mtx.SubscribeOptions{})
	if errors.Is(err, router.ErrNoStream) {
		return nil // it ended in the meantime
	}
	if err != nil {
		return err
	}
	defer rd.Close()
	for {
		track, unit, err := rd.Next(ctx)
		switch {
		case errors.Is(err, router.ErrStreamClosed), ctx.Err() != nil:
			return nil // the publisher left, or we are done
		case err != nil:
			return err
		}
		// a unit is shared with all other readers: it must not be modified
		codec := rd.Tracks()[track].Codec.Name()
		if _, err = fmt.Fprintf(out, "%s at %d: %d bytes, key frame: %v\n", codec, unit.PTS, unit.Size(), unit.RandomAccess); err != nil {
			return err
		}
	}
}
