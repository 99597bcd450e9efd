package config

import (
	"strconv"

	"github.com/org/mtx/rpicam"
)

// camera gives the keys of a camera to its package one after the other, to know
// which one it refuses.
func (v *validator) camera(at keyPath, p *Path) {
	s := p.buildCamera(0)
	for _, c := range []struct {
		key, value string
		set        func(*rpicam.Source)
	}{
		{"rpiCameraCamID", strconv.Itoa(s.Camera), func(d *rpicam.Source) { d.Camera = s.Camera }},
		{"rpiCameraWidth", strconv.Itoa(s.Width), func(d *rpicam.Source) { d.Width = s.Width }},
		{"rpiCameraHeight", strconv.Itoa(s.Height), func(d *rpicam.Source) { d.Height = s.Height }},
		{"rpiCameraFPS", decimal(s.FPS), func(d *rpicam.Source) { d.FPS = s.FPS }},
		{"rpiCameraAWBGains", decimal(s.AWBGains[0]) + ", " + decimal(s.AWBGains[1]), func(d *rpicam.Source) { d.AWBGains = s.AWBGains }},
		{"rpiCameraShutter", strconv.Itoa(p.RPiCameraShutter), func(d *rpicam.Source) { d.Shutter = s.Shutter }},
		{"rpiCameraGain", decimal(s.Gain), func(d *rpicam.Source) { d.Gain = s.Gain }},
		{"rpiCameraROI", s.ROI, func(d *rpicam.Source) { d.ROI = s.ROI }},
		{"rpiCameraMode", s.Mode, func(d *rpicam.Source) { d.Mode = s.Mode }},
		{"rpiCameraAfWindow", s.AutofocusWindow, func(d *rpicam.Source) { d.AutofocusWindow = s.AutofocusWindow }},
		{"rpiCameraLensPosition", decimal(s.LensPosition), func(d *rpicam.Source) { d.LensPosition = s.LensPosition }},
		{"rpiCameraFlickerPeriod", strconv.Itoa(p.RPiCameraFlickerPeriod), func(d *rpicam.Source) { d.FlickerPeriod = s.FlickerPeriod }},
		{"rpiCameraTextOverlay", s.TextOverlay, func(d *rpicam.Source) { d.TextOverlay = s.TextOverlay }},
		{"rpiCameraTuningFile", s.TuningFile, func(d *rpicam.Source) { d.TuningFile = s.TuningFile }},
		{"rpiCameraIDRPeriod", strconv.Itoa(s.IDRPeriod), func(d *rpicam.Source) { d.IDRPeriod = s.IDRPeriod }},
		{"rpiCameraBitrate", strconv.Itoa(s.Bitrate), func(d *rpicam.Source) { d.Bitrate = s.Bitrate }},
	} {
		d := rpicam.Default()
		c.set(&d)
		if err := d.Validate(); err != nil {
			v.problems.add(v.at(v.inherited(at, c.key)), "%s %s: %s", at.with(c.key), quote(c.value), reason(err))
		}
	}
}

func decimal(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
