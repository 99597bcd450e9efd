// Command mount-in-http puts HLS into the web server of a program: a chi router
// with pages of its own, and all streams below /video.
//
//	ffmpeg -re -i file.mp4 -c copy -f rtsp rtsp://localhost:8554/test
//
// and then open http://localhost:8080.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/org/mtx"
	"github.com/org/mtx/protocol/hls"
	"github.com/org/mtx/protocol/httpserver"
	"github.com/org/mtx/protocol/rtsp"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, ":8080", ":8554")
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

// run serves until ctx is done.
func run(ctx context.Context, httpAddr, rtspAddr string) error {
	// The place of HLS in the web server. It is a http.Handler for the router of
	// the program, and an endpoint for the HLS server.
	video := &httpserver.Mount{Prefix: "/video"}

	r, err := mtx.New(mtx.Config{
		Protocols: []mtx.Protocol{
			&rtsp.Server{Addr: rtspAddr, Transports: []rtsp.Transport{rtsp.TCP}},
			&hls.Server{HTTP: video},
		},
		Paths: []mtx.PathConfig{{Name: mtx.AllOthers}},
	})
	if err != nil {
		return err
	}
	if err := r.Start(ctx); err != nil {
		return err
	}
	defer func() { _ = r.Close() }()

	// The router of the program, with whatever else it serves.
	web := chi.NewRouter()
	web.Get("/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = fmt.Fprint(w, `<h1>Live</h1><iframe src="/video/test/" width="640" height="480"></iframe>`)
	})
	web.Handle("/video/*", video)

	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", httpAddr)
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: web, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		select {
		case <-ctx.Done():
		case <-r.Done(): // a protocol failed
		}
		_ = srv.Close()
	}()
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return r.Err()
}
