package app_test

import (
	"context"
	"os"

	"github.com/org/mtx"
	"github.com/org/mtx/cmd/mediamtx/app"
)

// The command with a path of its own, whatever the configuration file says. A
// server would leave out --check and give the result to os.Exit.
func ExampleRun() {
	app.Run(context.Background(), app.Options{
		Args:   []string{"--check", "testdata/example.yml"},
		Stdout: os.Stdout,
		Extend: []func(*mtx.Config){func(c *mtx.Config) {
			c.Paths = append(c.Paths, mtx.PathConfig{Name: "demo"})
		}},
	})
	// Output: the configuration is good (testdata/example.yml)
}
