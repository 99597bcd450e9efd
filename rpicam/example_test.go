package rpicam_test

import (
	"fmt"

	"github.com/org/mtx/router"
	"github.com/org/mtx/rpicam"
)

func Example() {
	cam := rpicam.Default()
	cam.Width, cam.Height, cam.FPS = 1280, 720, 25
	cam.VFlip = true
	_, err := router.New(router.Config{
		Paths: []router.PathConfig{{Name: "cam", Source: cam}},
	})
	fmt.Println(err)
	// Output: <nil>
}

func ExampleSource_Validate() {
	cam := rpicam.Default()
	cam.AWB = "pink"
	fmt.Println(cam.Validate())
	// Output: white balance "pink": must be one of auto, incandescent, tungsten, fluorescent, indoor, daylight, cloudy, custom
}
