package rpicam

import (
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

func args(t *testing.T, s Source, e encoder) []string {
	t.Helper()
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	out, _, err := s.arguments(circumstances{program: "rpicam-vid", options: parseHelp([]byte(help)), encoder: e, pts: "/dev/fd/3"})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// What each setting adds to the arguments, or changes in them.
func TestArguments(t *testing.T) {
	t.Parallel()
	tested := map[string]bool{"Program": true, "Secondary": true, "ReadTimeout": true, "TextOverlay": true} // elsewhere
	for _, c := range []struct {
		field string
		set   func(*Source)
		want  string
	}{
		{"Camera", func(s *Source) { s.Camera = 1 }, "--camera=1"},
		{"Width", func(s *Source) { s.Width = 640 }, "--width=640"},
		{"Height", func(s *Source) { s.Height = 480 }, "--height=480"},
		{"FPS", func(s *Source) { s.FPS = 29.97 }, "--framerate=29.97"},
		{"HFlip", func(s *Source) { s.HFlip = true }, "--hflip"},
		{"VFlip", func(s *Source) { s.VFlip = true }, "--vflip"},
		{"Brightness", func(s *Source) { s.Brightness = -0.5 }, "--brightness=-0.5"},
		{"Contrast", func(s *Source) { s.Contrast = 0 }, "--contrast=0"},
		{"Saturation", func(s *Source) { s.Saturation = 2 }, "--saturation=2"},
		{"Sharpness", func(s *Source) { s.Sharpness = 16 }, "--sharpness=16"},
		{"Exposure", func(s *Source) { s.Exposure = "short" }, "--exposure=short"},
		{"AWB", func(s *Source) { s.AWB = "cloudy" }, "--awb=cloudy"},
		{"AWBGains", func(s *Source) { s.AWBGains = [2]float64{1.5, 1.25} }, "--awbgains=1.5,1.25"},
		{"Denoise", func(s *Source) { s.Denoise = "cdn_fast" }, "--denoise=cdn_fast"},
		{"Shutter", func(s *Source) { s.Shutter = 20 * time.Millisecond }, "--shutter=20000"},
		{"Metering", func(s *Source) { s.Metering = "matrix" }, "--metering=matrix"},
		{"Gain", func(s *Source) { s.Gain = 1.5 }, "--gain=1.5"},
		{"EV", func(s *Source) { s.EV = -1 }, "--ev=-1"},
		{"ROI", func(s *Source) { s.ROI = "0.25,0.25,0.5,0.5" }, "--roi=0.25,0.25,0.5,0.5"},
		{"HDR", func(s *Source) { s.HDR = true }, "--hdr"},
		{"TuningFile", func(s *Source) { s.TuningFile = "/x y.json" }, "--tuning-file=/x y.json"},
		{"Mode", func(s *Source) { s.Mode = "1920:1080:10:P" }, "--mode=1920:1080:10:P"},
		{"Autofocus", func(s *Source) { s.Autofocus = "auto" }, "--autofocus-mode=auto"},
		{"AutofocusRange", func(s *Source) { s.AutofocusRange = "macro" }, "--autofocus-range=macro"},
		{"AutofocusSpeed", func(s *Source) { s.AutofocusSpeed = "fast" }, "--autofocus-speed=fast"},
		{"AutofocusWindow", func(s *Source) { s.AutofocusWindow = "0,0,1,1" }, "--autofocus-window=0,0,1,1"},
		{"LensPosition", func(s *Source) { s.LensPosition = 2.5 }, ""}, // only with manual focus
		{"LensPosition", func(s *Source) { s.Autofocus, s.LensPosition = "manual", 2.5 }, "--autofocus-mode=manual --lens-position=2.5"},
		{"FlickerPeriod", func(s *Source) { s.FlickerPeriod = 10 * time.Millisecond }, "--flicker-period=10000us"},
		{"Codec", func(s *Source) { s.Codec = CodecMJPEG }, "--codec=mjpeg --quality=60"},
		{"MJPEGQuality", func(s *Source) { s.Codec, s.MJPEGQuality = CodecMJPEG, 90 }, "--codec=mjpeg --quality=90"},
		{"MJPEGQuality", func(s *Source) { s.MJPEGQuality = 90 }, ""},
		{"IDRPeriod", func(s *Source) { s.IDRPeriod = 30 }, "--intra=30"},
		{"Bitrate", func(s *Source) { s.Bitrate = 1_000_000 }, "--bitrate=1000000"},
		{"HardwareH264Profile", func(s *Source) { s.HardwareH264Profile = "high" }, "--profile=high"},
		{"HardwareH264Level", func(s *Source) { s.HardwareH264Level = "4.0" }, "--level=4"},
		{"SoftwareH264Profile", func(s *Source) { s.SoftwareH264Profile = "high" }, ""},
		{"SoftwareH264Level", func(s *Source) { s.SoftwareH264Level = "4.2" }, ""},
	} {
		tested[c.field] = true
		s := Default()
		before := args(t, s, encoderHardware)
		c.set(&s)
		var added []string
		for _, a := range args(t, s, encoderHardware) {
			if !strings.Contains("\n"+strings.Join(before, "\n")+"\n", "\n"+a+"\n") {
				added = append(added, a)
			}
		}
		if got := strings.Join(added, " "); got != c.want {
			t.Errorf("%s adds %q, want %q", c.field, got, c.want)
		}
	}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[Source]()) {
		if !tested[f.Name] {
			t.Errorf("what does %s do to the arguments?", f.Name)
		}
	}
}

const always = "--timeout=0 --output=- --nopreview --flush --camera=0 --width=1920 --height=1080 --framerate=30 " +
	"--brightness=0 --contrast=1 --saturation=1 --sharpness=1 --exposure=normal --awb=auto --denoise=off --metering=centre " +
	"--autofocus-mode=continuous --autofocus-range=normal --autofocus-speed=normal "

// Which encoder is used, and whether pictures are stamped.
func TestEncoders(t *testing.T) {
	t.Parallel()
	const rest = "--bitrate=5000000 --intra=60 --inline"
	hard := "--codec=h264 --profile=main --level=4.1 " + rest + " --save-pts=/dev/fd/3"
	soft := "--codec=libav --libav-video-codec=libx264 --libav-format=h264 --libav-video-codec-opts=bf=0 --low-latency " +
		"--profile=baseline --level=4.1 " + rest
	either := "--codec=h264 --profile=main --level=4.1 --libav-format=h264 " + rest
	for _, c := range []struct {
		codec string
		e     encoder
		want  string
	}{
		{CodecAuto, encoderHardware, hard},
		{CodecAuto, encoderSoftware, soft},
		{CodecAuto, encoderUnknown, either},
		{CodecHardwareH264, encoderHardware, hard},
		{CodecHardwareH264, encoderUnknown, either},
		{CodecSoftwareH264, encoderHardware, soft},
		{CodecSoftwareH264, encoderSoftware, soft},
		{CodecSoftwareH264, encoderUnknown, soft},
		{CodecMJPEG, encoderSoftware, "--codec=mjpeg --quality=60 --save-pts=/dev/fd/3"},
	} {
		s := Default()
		s.Codec = c.codec
		if got := strings.Join(args(t, s, c.e), " "); got != always+c.want {
			t.Errorf("%s with encoder %d:\n%s\nwant\n%s", c.codec, c.e, got, always+c.want)
		}
	}
}

func TestProgramsThatLackSomething(t *testing.T) {
	t.Parallel()
	const lite = "--hflip --save-pts --nopreview --flush --inline --codec"
	for _, c := range []struct {
		set  func(*Source)
		e    encoder
		want string // error; empty: none
	}{
		{func(*Source) {}, encoderHardware, ""},
		{func(s *Source) { s.HDR = true }, encoderHardware, "rpicam-vid has no option --hdr, which a setting needs: a newer version may have it"},
		{func(s *Source) { s.Autofocus = "manual" }, encoderHardware, "rpicam-vid has no option --autofocus-mode, which"},
		{func(s *Source) { s.FlickerPeriod = time.Millisecond }, encoderHardware, "rpicam-vid has no option --flicker-period, which"},
		{func(*Source) {}, encoderSoftware, "rpicam-vid cannot encode H264 with the processor: it was built without libav"},
		{func(s *Source) { s.Codec = CodecSoftwareH264 }, encoderHardware, "rpicam-vid cannot encode H264 with the processor"},
		{func(s *Source) { s.Codec = CodecHardwareH264 }, encoderSoftware, "this machine has no hardware encoder for H264"},
		{func(s *Source) { s.Codec = CodecMJPEG }, encoderSoftware, ""},
	} {
		s := Default()
		c.set(&s)
		got, _, err := s.arguments(circumstances{program: "rpicam-vid", options: parseHelp([]byte(lite)), encoder: c.e})
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), c.want)) {
			t.Errorf("%v: %v, want %q", got, err, c.want)
		}
		if strings.Contains(strings.Join(got, " "), "save-pts") {
			t.Error("there is nowhere to save time stamps to")
		}
	}
}

func TestOverlayArgument(t *testing.T) {
	t.Parallel()
	got, _, err := Default().arguments(circumstances{overlay: "/o.json"})
	if err != nil || got[len(got)-1] != "--post-process-file=/o.json" {
		t.Errorf("%v, %v", got, err)
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	if err := Default().Validate(); err != nil {
		t.Errorf("the default: %v", err)
	}
	if err := (Source{}).Validate(); err == nil {
		t.Error("zero is not refused")
	}
	nan := 0.0
	nan /= nan
	for _, c := range []struct {
		set  func(*Source)
		want string
	}{
		{func(s *Source) { s.FPS = nan }, "frames per second NaN: must be between 0.001 and 1000"},
		{func(s *Source) { s.Camera = -1 }, "camera -1: must be between 0 and 255"},
		{func(s *Source) { s.AWB = "pink" }, `white balance "pink": must be one of auto, incandescent,`},
		{func(s *Source) { s.ROI = "0,0,1" }, `region of interest "0,0,1": must be x,y,width,height with numbers between 0 and 1`},
		{func(s *Source) { s.ROI = "0,0,1,2" }, `region of interest "0,0,1,2": must be`},
		{func(s *Source) { s.AutofocusWindow = "--x" }, `window of autofocus "--x": must be`},
		{func(s *Source) { s.Mode = "big" }, `mode "big": must be width:height:bits:packing, such as 1920:1080:10:P`},
		{func(s *Source) { s.TextOverlay = strings.Repeat("x", 256) }, "text overlay: must have at most 255 bytes"},
		{func(s *Source) { s.TuningFile = "a\x00b" }, "tuning file: must not hold zero bytes"},
		{func(s *Source) { s.ReadTimeout = -1 }, "read timeout in seconds -1e-09: must be"},
	} {
		s := Default()
		c.set(&s)
		if err := s.Validate(); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
}

func TestFindEncoder(t *testing.T) {
	t.Parallel()
	name := func(n string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(n + "\n")} }
	const dir = "sys/class/video4linux/"
	for _, c := range []struct {
		fs   fstest.MapFS
		want encoder
	}{
		{fstest.MapFS{}, encoderUnknown},
		{fstest.MapFS{dir + "video10/name": name("bcm2835-codec-decode"), dir + "video11/name": name("bcm2835-codec-encode")}, encoderHardware},
		{fstest.MapFS{dir + "video19/name": name("rpi-hevc-dec"), dir + "video20/name": name("pispbe-input")}, encoderSoftware},
	} {
		if got := findEncoder(c.fs); got != c.want {
			t.Errorf("%v: %d, want %d", c.fs, got, c.want)
		}
	}
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	s := Default()
	if got := s.timeout(); got != 10*time.Second {
		t.Errorf("default %v", got)
	}
	if s.FPS = 0.1; s.timeout() != 50*time.Second {
		t.Errorf("with a picture every 10 seconds: %v", s.timeout())
	}
}
