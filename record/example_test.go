package record_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/org/mtx/record"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
)

// A program records what it publishes, and looks for the recording.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "recordings")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()

	state := &record.State{}
	sink := record.Sink{Pattern: filepath.Join(dir, "%path", "%Y-%m-%d_%H-%M-%S-%f"), State: state}
	done := make(chan time.Duration, 1)
	r, err := router.New(
		router.Config{
			Paths: []router.PathConfig{{Name: "radio", Sinks: []router.Sink{sink}}},
			Protocols: []router.Protocol{&record.Cleaner{
				Policies: []record.Policy{{Path: "radio", Pattern: sink.Pattern, DeleteAfter: 24 * time.Hour}},
				MaxSize:  10 << 30,
				State:    state,
			}},
		},
		router.WithHooks(router.Hooks{SegmentCompleted: func(e router.SegmentEvent) { done <- e.Duration }}),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := r.Start(ctx); err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = r.Close() }()

	pub, err := r.Publish(ctx, "radio", []media.Track{{Codec: &media.G711{MULaw: true, SampleRate: 8000, ChannelCount: 1}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	for state.Stats().Recorders == 0 { // it starts by itself
		time.Sleep(time.Millisecond)
	}
	for n := range 100 { // of 20 ms
		pub.Write(0, &media.Unit{PTS: int64(n) * 160, Payload: [][]byte{make([]byte, 160)}})
	}
	pub.Close()
	fmt.Println("recorded", <-done)

	p, err := record.ParsePattern(sink.Pattern, record.FMP4)
	if err != nil {
		fmt.Println(err)
		return
	}
	segments, err := record.Find(ctx, nil, p, "radio")
	fmt.Println(len(segments), "segment", err)
	// Output:
	// recorded 2s
	// 1 segment <nil>
}

// The name of a segment tells what it holds.
func ExamplePattern_Match() {
	p, err := record.ParsePattern("/rec/%path/%s", record.FMP4)
	if err != nil {
		fmt.Println(err)
		return
	}
	path, start, ok := p.Match("/rec/building/door/1700000000.mp4")
	fmt.Println(path, start.UTC(), ok)
	// Output: building/door 2023-11-14 22:13:20 +0000 UTC true
}
