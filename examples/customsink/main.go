// Command customsink adds a sink: it reports the rate of units of each path.
//
//	ffmpeg -re -i video.mp4 -c copy -f rtsp -rtsp_transport tcp rtsp://localhost:8554/cam
package main

import (
	"context"
	"errors"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"time"

	"github.com/org/mtx"
	"github.com/org/mtx/protocol/rtsp"
)

// Rate logs the number of units in each period.
type Rate struct{ Period time.Duration }

// Type implements mtx.Sink.
func (Rate) Type() string { return "rate" }

// Run implements mtx.Sink. It is called for every stream of a path, and returns
// when the stream is over.
func (s Rate) Run(ctx context.Context, run *mtx.SinkRun) error {
	sub, err := run.Stream.Subscribe(mtx.SubscribeOptions{AnyStart: true})
	if err != nil {
		return err
	}
	defer sub.Close()
	for {
		units, err := count(ctx, sub, s.Period)
		if err != nil {
			return err // router.ErrStreamClosed is the normal end
		}
		run.Log.Info("rate", "units", units, "dropped", sub.Dropped())
	}
}

// count takes units for a while.
func count(ctx context.Context, sub *mtx.Subscription, d time.Duration) (units int, err error) {
	period, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	for {
		_, _, err = sub.Next(period)
		switch {
		case err == nil:
			units++
		case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
			return units, nil
		default:
			return units, err
		}
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, ":8554", Rate{Period: time.Second}, slog.Default())
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, addr string, sink mtx.Sink, l *slog.Logger) error {
	r, err := mtx.New(mtx.Config{
		Protocols: []mtx.Protocol{&rtsp.Server{Addr: addr, Transports: []rtsp.Transport{rtsp.TCP}}},
		Paths:     []mtx.PathConfig{{Name: mtx.AllOthers, Sinks: []mtx.Sink{sink}}},
	}, mtx.WithLogger(l))
	if err != nil {
		return err
	}
	return r.Run(ctx)
}
