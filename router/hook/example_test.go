package hook_test

import (
	"context"
	"log/slog"
	"os"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/hook"
	"github.com/org/mtx/router/media"
)

func Example() {
	log := slog.New(slog.DiscardHandler)
	runner := hook.NewRunner(log)

	r, err := router.New(router.Config{Paths: []router.PathConfig{{
		Name: "cam",
		Extras: []any{hook.Commands{
			Exec:     hook.Exec{Stdout: os.Stdout},
			NotReady: "echo $MTX_PATH has gone",
		}},
	}}}, router.WithLogger(log), router.WithHooks(runner.Hooks()))
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	if err := r.Start(ctx); err != nil {
		panic(err)
	}
	pub, err := r.Publish(ctx, "cam", []media.Track{{Codec: &media.KLV{}}})
	if err != nil {
		panic(err)
	}
	pub.Close()

	_ = r.Close()
	runner.Close() // returns when the command has ended

	// Output:
	// cam has gone
}
