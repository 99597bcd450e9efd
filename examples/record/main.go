// Command record records whatever is published, for a day, and plays it back in the
// browser, on a page with a time line.
//
//	ffmpeg -re -i video.mp4 -c copy -f rtsp -rtsp_transport tcp rtsp://localhost:8554/cam
//
// Then open http://localhost:9996/cam/. The list of what was recorded is at
// http://localhost:9996/list?path=cam, in JSON.
package main

import (
	"context"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/org/mtx"
	"github.com/org/mtx/playback"
	"github.com/org/mtx/protocol/hls"
	"github.com/org/mtx/protocol/httpserver"
	"github.com/org/mtx/protocol/rtsp"
	"github.com/org/mtx/record"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, ":8554", ":9996", "recordings")
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

// run serves until ctx is done. What is being recorded then is complete when it
// returns.
func run(ctx context.Context, rtspAddr, httpAddr, dir string) error {
	sink := record.Sink{
		Pattern:         filepath.Join(dir, "%path", "%Y-%m-%d_%H-%M-%S-%f"),
		SegmentDuration: 10 * time.Minute,
		MinFreeSpace:    1 << 30,
		State:           &record.State{}, // tells the cleaner what is being written
	}
	pattern, err := record.ParsePattern(sink.Pattern, record.FMP4)
	if err != nil {
		return err
	}
	r, err := mtx.New(mtx.Config{
		Protocols: []mtx.Protocol{
			&rtsp.Server{Addr: rtspAddr, Transports: []rtsp.Transport{rtsp.TCP}},
			&record.Cleaner{
				Policies: []record.Policy{{Path: mtx.AllOthers, Pattern: sink.Pattern, DeleteAfter: 24 * time.Hour}},
				State:    sink.State,
			},
			&playback.Server{
				HTTP:       httpserver.Listen{Addr: httpAddr},
				Recordings: []playback.Recording{{Name: mtx.AllOthers, Pattern: pattern}},
				Script:     hls.Script(), // for browsers that cannot play HLS by themselves
			},
		},
		Paths: []mtx.PathConfig{{Name: mtx.AllOthers, Sinks: []mtx.Sink{sink}}},
	}, mtx.WithLogger(slog.Default()))
	if err != nil {
		return err
	}
	return r.Run(ctx)
}
