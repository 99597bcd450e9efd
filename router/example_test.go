package router_test

import (
	"context"
	"fmt"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
)

// A router without protocols: the program publishes, watches and reads.
func Example() {
	ctx := context.Background()
	notReady := make(chan struct{})
	r, err := router.New(router.Config{Paths: []router.PathConfig{{Name: "~^room-([0-9]+)$"}}},
		router.WithHooks(router.Hooks{PathReady: func(e router.PathEvent) func() {
			fmt.Println("room", e.Groups[1], "is live")
			return func() { close(notReady) }
		}}))
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := r.Start(ctx); err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = r.Close() }()

	pub, err := r.Publish(ctx, "room-7", []media.Track{{Codec: &media.KLV{}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	rd, err := r.Read(ctx, "room-7", router.SubscribeOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer rd.Close()
	pub.Write(0, &media.Unit{Payload: [][]byte{[]byte("hello")}})
	pub.Close()
	<-notReady

	_, unit, err := rd.Next(ctx) // what was written before the end is still there
	fmt.Printf("%s %v\n", unit.Payload[0], err)
	_, _, err = rd.Next(ctx)
	fmt.Println(err)
	// Output:
	// room 7 is live
	// hello <nil>
	// stream closed
}

// The effect of a change of configuration can be known before it is applied.
func ExampleDiff() {
	old := router.Config{Paths: []router.PathConfig{{Name: "cam"}, {Name: "door"}}}
	next := old.WithoutPath("door").WithPath(router.PathConfig{Name: "cam", MaxReaders: 5})
	ch := router.Diff(&old, &next)
	fmt.Println("live:", ch.PathsUpdated, "removed:", ch.PathsRemoved)
	// Output: live: [cam] removed: [door]
}
