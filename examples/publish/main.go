// Command publish makes pictures in Go and publishes them as a live stream:
//
//	ffplay -rtsp_transport tcp rtsp://localhost:8554/test
package main

import (
	"bytes"
	"context"
	"image"
	"image/color"
	"image/jpeg"
	"log"
	"os"
	"os/signal"
	"time"

	"github.com/org/mtx"
	"github.com/org/mtx/protocol/rtsp"
	"github.com/org/mtx/router/media"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, ":8554")
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

// run starts a server and publishes on it until ctx is done.
func run(ctx context.Context, addr string) error {
	r, err := mtx.New(mtx.Config{
		Protocols: []mtx.Protocol{&rtsp.Server{Addr: addr, Transports: []rtsp.Transport{rtsp.TCP}}},
		Paths:     []mtx.PathConfig{{Name: "test"}},
	})
	if err != nil {
		return err
	}
	if err := r.Start(ctx); err != nil {
		return err
	}
	defer func() { _ = r.Close() }()

	// A track is identified by its index: the only one here is track 0.
	pub, err := r.Publish(ctx, "test", []media.Track{{Codec: &media.MJPEG{}}})
	if err != nil {
		return err
	}
	defer pub.Close()

	const fps = 10
	tick := time.NewTicker(time.Second / fps)
	defer tick.Stop()
	for n := 0; ; n++ {
		frame, err := picture(n)
		if err != nil {
			return err
		}
		pub.Write(0, &media.Unit{
			PTS:     int64(n) * 90000 / fps, // ticks of the clock rate of the codec
			Payload: [][]byte{frame},        // what an element holds is documented on the codec
		})
		select {
		case <-tick.C:
		case <-pub.Done(): // replaced, or the path was removed
			return pub.Err()
		case <-ctx.Done():
			return nil
		}
	}
}

// picture draws a bar that moves.
func picture(n int) ([]byte, error) {
	img := image.NewRGBA(image.Rect(0, 0, 320, 240))
	for y := range 240 {
		for x := range 320 {
			c := color.RGBA{R: uint8(x), G: uint8(y), A: 255}
			if (x+320-n%320)%320 < 16 {
				c = color.RGBA{R: 255, G: 255, B: 255, A: 255}
			}
			img.SetRGBA(x, y, c)
		}
	}
	var b bytes.Buffer
	err := jpeg.Encode(&b, img, nil)
	return b.Bytes(), err
}
