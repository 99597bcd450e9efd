package rpicam

import (
	"errors"
	"fmt"
	"strconv"
	"time"
)

// encoder is what makes H264 on this machine.
type encoder int

const (
	encoderUnknown encoder = iota // the program finds out by itself
	encoderHardware
	encoderSoftware
)

// circumstances are what the arguments depend on beside the settings.
type circumstances struct {
	program string  // its name, for errors
	options options // that the program has
	encoder encoder // that this machine has for H264
	overlay string  // name of the file with the text overlay; empty: none
	pts     string  // name of the file for time stamps; empty: none
}

// command is a list of arguments for the program.
type command struct {
	circumstances
	args []string
	errs []error
}

// arguments translates the settings. stamped tells whether the program will
// write time stamps.
func (s Source) arguments(c circumstances) (args []string, stamped bool, err error) {
	b := &command{circumstances: c}
	b.add("timeout", "0")
	b.add("output", "-")
	b.flag("nopreview", true)
	b.flag("flush", true)
	s.picture(b)
	s.controls(b)
	s.focus(b)
	stamped = s.encoding(b) && c.pts != "" && c.options.has("save-pts")
	if stamped {
		b.add("save-pts", c.pts)
	}
	if c.overlay != "" {
		b.add("post-process-file", c.overlay)
	}
	return b.args, stamped, errors.Join(b.errs...)
}

func (s Source) picture(b *command) {
	def := Default()
	b.add("camera", strconv.Itoa(s.Camera))
	b.add("width", strconv.Itoa(s.Width))
	b.add("height", strconv.Itoa(s.Height))
	b.add("framerate", number(s.FPS))
	b.flag("hflip", s.HFlip)
	b.flag("vflip", s.VFlip)
	b.set("mode", s.Mode, s.Mode != def.Mode)
	b.set("roi", s.ROI, s.ROI != def.ROI)
	b.set("tuning-file", s.TuningFile, s.TuningFile != def.TuningFile)
	b.flag("hdr", s.HDR)
}

func (s Source) controls(b *command) {
	b.add("brightness", number(s.Brightness))
	b.add("contrast", number(s.Contrast))
	b.add("saturation", number(s.Saturation))
	b.add("sharpness", number(s.Sharpness))
	b.add("exposure", s.Exposure)
	b.add("awb", s.AWB)
	b.set("awbgains", number(s.AWBGains[0])+","+number(s.AWBGains[1]), s.AWBGains != [2]float64{})
	b.add("denoise", s.Denoise)
	b.set("shutter", microseconds(s.Shutter), s.Shutter != 0)
	b.add("metering", s.Metering)
	b.set("gain", number(s.Gain), s.Gain != 0)
	b.set("ev", number(s.EV), s.EV != 0)
	b.set("flicker-period", microseconds(s.FlickerPeriod)+"us", s.FlickerPeriod != 0)
}

// focus is left out where the program cannot focus, unless it was asked for.
func (s Source) focus(b *command) {
	def := Default()
	for _, o := range []struct {
		name, value string
		asked       bool
	}{
		{"autofocus-mode", s.Autofocus, s.Autofocus != def.Autofocus},
		{"autofocus-range", s.AutofocusRange, s.AutofocusRange != def.AutofocusRange},
		{"autofocus-speed", s.AutofocusSpeed, s.AutofocusSpeed != def.AutofocusSpeed},
	} {
		b.set(o.name, o.value, o.asked || b.options.has(o.name))
	}
	b.set("autofocus-window", s.AutofocusWindow, s.AutofocusWindow != "")
	b.set("lens-position", number(s.LensPosition), s.Autofocus == "manual")
}

// encoding tells whether the encoder comes with time stamps: libav does not when
// it writes to a pipe.
func (s Source) encoding(b *command) (stamped bool) {
	e := b.encoder
	switch {
	case s.Codec == CodecMJPEG:
		b.add("codec", "mjpeg")
		b.add("quality", strconv.Itoa(s.MJPEGQuality))
		return true
	case s.Codec == CodecSoftwareH264:
		e = encoderSoftware
	case s.Codec == CodecHardwareH264 && e == encoderSoftware:
		b.errs = append(b.errs, errors.New("this machine has no hardware encoder for H264: the codec must be softwareH264, auto or mjpeg"))
		return false
	}
	if e == encoderSoftware {
		s.software(b)
	} else {
		b.add("codec", "h264")
		b.add("profile", s.HardwareH264Profile)
		b.add("level", level(s.HardwareH264Level))
	}
	if e == encoderUnknown && b.options.has("libav-format") {
		b.add("libav-format", "h264") // counts only if the program turns to libav
	}
	b.add("bitrate", strconv.Itoa(s.Bitrate))
	b.add("intra", strconv.Itoa(s.IDRPeriod))
	b.flag("inline", true)
	return e == encoderHardware || e == encoderUnknown && !b.options.has("libav-format")
}

func (s Source) software(b *command) {
	if !b.options.has("libav-format") {
		b.errs = append(b.errs, fmt.Errorf("%s cannot encode H264 with the processor: it was built without libav (on Raspberry Pi OS, "+
			"package rpicam-apps has it and rpicam-apps-lite has not)", b.program))
		return
	}
	b.add("codec", "libav")
	b.add("libav-video-codec", "libx264")
	b.add("libav-format", "h264")
	// pictures must leave in the order of capture
	b.add("libav-video-codec-opts", "bf=0")
	b.flag("low-latency", b.options.has("low-latency"))
	b.add("profile", s.SoftwareH264Profile)
	b.add("level", level(s.SoftwareH264Level))
}

// add adds an option with a value. The form with an equal sign takes any value,
// also one that begins with a dash.
func (b *command) add(name, value string) { b.args = append(b.args, "--"+name+"="+value) }

// set adds an option if it is wanted, which the program must have then.
func (b *command) set(name, value string, wanted bool) {
	if !wanted {
		return
	}
	b.need(name)
	b.add(name, value)
}

// flag adds an option without value if it is wanted.
func (b *command) flag(name string, wanted bool) {
	if !wanted {
		return
	}
	b.need(name)
	b.args = append(b.args, "--"+name)
}

func (b *command) need(name string) {
	if !b.options.has(name) {
		b.errs = append(b.errs, fmt.Errorf("%s has no option --%s, which a setting needs: a newer version may have it", b.program, name))
	}
}

func number(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

func microseconds(d time.Duration) string { return strconv.FormatInt(d.Microseconds(), 10) }

// level is the name that the program has for a level.
func level(l string) string {
	if l == "4.0" {
		return "4"
	}
	return l
}
