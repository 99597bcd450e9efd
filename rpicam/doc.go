// Package rpicam publishes the camera of a Raspberry Pi. It drives the program
// that the system has for it, rpicam-vid (libcamera-vid on older systems), so
// that whatever cameras the system supports work, and no C library is needed.
//
//	cam := rpicam.Default()
//	cam.Width, cam.Height, cam.FPS = 1280, 720, 25
//	r, err := router.New(router.Config{
//		Paths: []router.PathConfig{{Name: "cam", Source: cam}},
//	})
//
// # What runs
//
// Each run of a [Source] asks the program which options it has, starts it, and
// reads H264 or M-JPEG from its standard output. When the program ends, because
// the camera was unplugged or is in use, the run ends with what the program said
// last, and the router starts the source again after a pause. When the source is
// stopped, the program is interrupted, and killed if it does not obey; none
// outlives the run. What it prints is logged at level debug.
//
// # Time
//
// The program tells when each picture was captured, and time stamps are those.
// Where it cannot (when libav encodes), the time of arrival is used, with its
// jitter taken out; then pictures also leave one frame later, because the end of
// a picture shows only when the next one begins.
//
// # Limits of the program
//
// It has one output and takes no orders while it runs: its preview of another size
// (lores) is not encoded, and of its keys and signals none sets a control. So there
// is no secondary stream, and a change of any setting starts it anew, which takes a
// second or two. Readers stay connected meanwhile, unless the codec is another one
// (see [Source.CanUpdate]). The text overlay needs its stage annotate_cv, a package of its own on
// Raspberry Pi OS (rpicam-apps-opencv-postprocess); without it the stream has no
// overlay, and a warning says so.
package rpicam
