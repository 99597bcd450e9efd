package mtx_test

import (
	"context"
	"fmt"

	"github.com/org/mtx"
	"github.com/org/mtx/router/media"
)

// A program publishes a message and reads it back, without any protocol.
func Example() {
	ctx := context.Background()
	r, err := mtx.New(mtx.Config{Paths: []mtx.PathConfig{{Name: "telemetry"}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := r.Start(ctx); err != nil {
		fmt.Println(err)
		return
	}
	defer r.Close()

	tracks := []media.Track{{Codec: &media.KLV{}}}
	pub, err := r.Publish(ctx, "telemetry", tracks)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer pub.Close()

	rd, err := r.Read(ctx, "telemetry", mtx.SubscribeOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer rd.Close()

	pub.Write(0, &media.Unit{PTS: 3600, Payload: [][]byte{[]byte("hello")}})

	track, unit, err := rd.Next(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("track %d at %d: %s\n", track, unit.PTS, unit.Payload[0])
	// Output: track 0 at 3600: hello
}
