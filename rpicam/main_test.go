package rpicam

import (
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
)

// The test binary is also the camera program: under the name of one it behaves
// like it.
func TestMain(m *testing.M) {
	switch filepath.Base(os.Args[0]) {
	case "rpicam-vid", "libcamera-vid":
		os.Exit(standIn(os.Args[1:]))
	}
	goleak.VerifyTestMain(m)
}
