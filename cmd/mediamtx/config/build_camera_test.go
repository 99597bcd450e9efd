package config

import (
	"testing"
	"time"

	"github.com/org/mtx/rpicam"
)

// Each key goes where it belongs.
func TestBuildCamera(t *testing.T) {
	t.Parallel()
	const text = `
readTimeout: 7s
paths:
  plain: {source: rpiCamera}
  newer: {source: rpiCamera, rpiCameraH264Profile: high, rpiCameraH264Level: "4.2"}
  full:
    source: rpiCamera
    rpiCameraCamID: 1
    rpiCameraSecondary: yes
    rpiCameraWidth: 640
    rpiCameraHeight: 480
    rpiCameraHFlip: yes
    rpiCameraVFlip: yes
    rpiCameraBrightness: 0.1
    rpiCameraContrast: 2
    rpiCameraSaturation: 3
    rpiCameraSharpness: 4
    rpiCameraExposure: short
    rpiCameraAWB: indoor
    rpiCameraAWBGains: [1.5, 2.5]
    rpiCameraDenoise: cdn_hq
    rpiCameraShutter: 20000
    rpiCameraMetering: spot
    rpiCameraGain: 5
    rpiCameraEV: -6
    rpiCameraROI: 0,0,0.5,0.5
    rpiCameraHDR: yes
    rpiCameraTuningFile: /t.json
    rpiCameraMode: 640:480
    rpiCameraFPS: 12.5
    rpiCameraAfMode: manual
    rpiCameraAfRange: macro
    rpiCameraAfSpeed: fast
    rpiCameraLensPosition: 7
    rpiCameraAfWindow: 0,0,1,1
    rpiCameraFlickerPeriod: 10000
    rpiCameraTextOverlayEnable: yes
    rpiCameraTextOverlay: yard
    rpiCameraCodec: mjpeg
    rpiCameraIDRPeriod: 8
    rpiCameraBitrate: 9
    rpiCameraHardwareH264Profile: high
    rpiCameraHardwareH264Level: "4.2"
    rpiCameraSoftwareH264Profile: main
    rpiCameraSoftwareH264Level: "4.0"
    rpiCameraMJPEGQuality: 10
`
	plain := rpicam.Default()
	plain.ReadTimeout = 7 * time.Second
	newer := plain
	newer.HardwareH264Profile, newer.SoftwareH264Profile = "high", "high"
	newer.HardwareH264Level, newer.SoftwareH264Level = "4.2", "4.2"
	want := map[string]rpicam.Source{"plain": plain, "newer": newer, "full": {
		Camera: 1, Secondary: true, Width: 640, Height: 480, FPS: 12.5, HFlip: true, VFlip: true,
		Brightness: 0.1, Contrast: 2, Saturation: 3, Sharpness: 4, Exposure: "short",
		AWB: "indoor", AWBGains: [2]float64{1.5, 2.5}, Denoise: "cdn_hq", Shutter: 20 * time.Millisecond,
		Metering: "spot", Gain: 5, EV: -6, ROI: "0,0,0.5,0.5", HDR: true, TuningFile: "/t.json", Mode: "640:480",
		Autofocus: "manual", AutofocusRange: "macro", AutofocusSpeed: "fast", AutofocusWindow: "0,0,1,1", LensPosition: 7,
		FlickerPeriod: 10 * time.Millisecond, TextOverlay: "yard", Codec: rpicam.CodecMJPEG, IDRPeriod: 8, Bitrate: 9,
		HardwareH264Profile: "high", HardwareH264Level: "4.2", SoftwareH264Profile: "main", SoftwareH264Level: "4.0",
		MJPEGQuality: 10, ReadTimeout: 7 * time.Second,
	}}
	d, _ := parse(t, text)
	c, err := d.Build()
	if err != nil {
		t.Fatal(err)
	}
	for i := range c.Paths {
		if got := c.Paths[i].Source; got != want[c.Paths[i].Name] {
			t.Errorf("%s:\n%+v\nwant\n%+v", c.Paths[i].Name, got, want[c.Paths[i].Name])
		}
	}
}
