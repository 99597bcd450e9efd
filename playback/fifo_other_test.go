//go:build !unix

package playback

import "os"

// makeFIFO makes a folder: there are no FIFOs here.
func makeFIFO(name string) error { return os.Mkdir(name, 0o700) }
