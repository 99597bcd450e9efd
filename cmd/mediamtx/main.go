// Command mediamtx is a live media router. See "mediamtx --help" and
// mediamtx.yml; package app makes builds with plugins.
package main

import (
	"os"

	"github.com/org/mtx/cmd/mediamtx/app"
)

func main() { os.Exit(app.Main()) }
