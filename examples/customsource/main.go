// Command customsource adds a source: a track of silence, which is made only
// while somebody listens.
//
//	ffplay -rtsp_transport tcp rtsp://localhost:8554/silence
package main

import (
	"context"
	"log"
	"os"
	"os/signal"
	"time"

	"github.com/org/mtx"
	"github.com/org/mtx/protocol/rtsp"
	"github.com/org/mtx/router/media"
)

// Silence is the source. Its fields are its configuration; Run may be called
// many times, so all state is local to it.
type Silence struct{ Every time.Duration }

// Type implements mtx.Source.
func (Silence) Type() string { return "silence" }

// Run implements mtx.Source. When it returns, the router calls it again after a
// pause, unless nobody listens anymore.
func (s Silence) Run(ctx context.Context, run *mtx.SourceRun) error {
	tracks := []media.Track{{Codec: &media.Opus{ChannelCount: 2}}}
	pub, err := run.Publish(ctx, tracks, mtx.PublishOptions{})
	if err != nil {
		return err
	}
	defer pub.Close()
	run.Log.Info("silence begins")
	tick := time.NewTicker(s.Every)
	defer tick.Stop()
	for pts := int64(0); ; pts += media.Ticks(s.Every, 48000) {
		select {
		case <-tick.C:
			pub.Write(0, &media.Unit{PTS: pts, Payload: [][]byte{{0xf8, 0xff, 0xfe}}})
		case <-pub.Done():
			return pub.Err()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, ":8554")
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, addr string) error {
	r, err := mtx.New(config(addr))
	if err != nil {
		return err
	}
	return r.Run(ctx)
}

func config(addr string) mtx.Config {
	return mtx.Config{
		Protocols: []mtx.Protocol{&rtsp.Server{Addr: addr, Transports: []rtsp.Transport{rtsp.TCP}}},
		Paths: []mtx.PathConfig{{
			Name:     "silence",
			Source:   Silence{Every: 20 * time.Millisecond},
			OnDemand: mtx.OnDemand{Enabled: true, CloseAfter: time.Second},
		}},
	}
}
