package rpicam

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/org/mtx/router"
)

// Codecs of a camera.
const (
	// CodecAuto is H264 by the encoder of the chip if there is one, otherwise by
	// the processor.
	CodecAuto = "auto"
	// CodecHardwareH264 is H264 by the encoder of the chip. Raspberry Pi 5 has none.
	CodecHardwareH264 = "hardwareH264"
	// CodecSoftwareH264 is H264 by the processor.
	CodecSoftwareH264 = "softwareH264"
	// CodecMJPEG is Motion JPEG.
	CodecMJPEG = "mjpeg"
)

const defaultReadTimeout = 10 * time.Second

// Source is a camera and its settings. Begin with [Default]: zero is not a
// sensible value of every field. Values may be compared with ==.
type Source struct {
	// Program is the name or path of the program. Default: rpicam-vid, then
	// libcamera-vid, as found in PATH.
	Program string

	// Camera is the number of the camera, from 0.
	Camera int

	// Secondary asks for a second stream of a camera that another path uses. The
	// program cannot do that, so Run fails.
	Secondary bool

	// Width and Height of the picture, in pixels. FPS is the number of pictures
	// per second.
	Width, Height int
	FPS           float64

	// HFlip mirrors the picture, VFlip turns it upside down.
	HFlip, VFlip bool

	// Brightness is between -1 and 1; the others between 0 and 16, where 1 changes
	// nothing.
	Brightness, Contrast, Saturation, Sharpness float64

	// Exposure is normal, short, long or custom.
	Exposure string

	// AWB is the white balance: auto, incandescent, tungsten, fluorescent, indoor,
	// daylight, cloudy or custom. AWBGains are fixed gains of red and blue; zero
	// leaves them to AWB.
	AWB      string
	AWBGains [2]float64

	// Denoise is off, cdn_off, cdn_fast or cdn_hq.
	Denoise string

	// Shutter is a fixed time of exposure, in whole microseconds; zero is
	// automatic.
	Shutter time.Duration

	// Metering is centre, spot, matrix or custom.
	Metering string

	// Gain is a fixed gain; zero is automatic. EV compensates the exposure, between
	// -10 and 10.
	Gain, EV float64

	// ROI is the part of the picture that is used, as x,y,width,height between 0
	// and 1. Empty: all of it.
	ROI string

	// HDR widens the dynamic range, with cameras that can.
	HDR bool

	// TuningFile is a tuning file of libcamera. Empty: that of the sensor.
	TuningFile string

	// Mode is a mode of the sensor, as width:height:bits:packing where packing is P
	// or U and the last two may be missing. Empty: chosen by the program.
	Mode string

	// Autofocus is auto, manual or continuous; AutofocusRange is normal, macro or
	// full; AutofocusSpeed is normal or fast. AutofocusWindow is what is focused,
	// in the form of ROI. LensPosition, in dioptres, counts if Autofocus is manual;
	// zero is infinity.
	Autofocus, AutofocusRange, AutofocusSpeed string
	AutofocusWindow                           string
	LensPosition                              float64

	// FlickerPeriod, in whole microseconds, avoids flicker of lamps: 10ms for mains
	// of 50 Hz. Zero does nothing.
	FlickerPeriod time.Duration

	// TextOverlay is a text in the picture, with verbs of strftime such as %H:%M.
	// Empty: none.
	TextOverlay string

	// Codec is one of the constants.
	Codec string

	// IDRPeriod is the number of pictures from key frame to key frame, Bitrate is
	// in bits per second. Both are for H264.
	IDRPeriod, Bitrate int

	// Profile (baseline, main, high) and level (4.0, 4.1, 4.2) of H264, of the chip
	// and of the processor.
	HardwareH264Profile, HardwareH264Level string
	SoftwareH264Profile, SoftwareH264Level string

	// MJPEGQuality is between 1 and 100.
	MJPEGQuality int

	// ReadTimeout is how long no picture may come. Default 10s; never less than
	// five pictures take.
	ReadTimeout time.Duration
}

var _ router.HotSource = Source{}

// Default returns a source with the settings that are usual.
func Default() Source {
	return Source{
		Width: 1920, Height: 1080, FPS: 30,
		Contrast: 1, Saturation: 1, Sharpness: 1,
		Exposure: "normal", AWB: "auto", Denoise: "off", Metering: "centre",
		Autofocus: "continuous", AutofocusRange: "normal", AutofocusSpeed: "normal",
		Codec: CodecAuto, IDRPeriod: 60, Bitrate: 5_000_000,
		HardwareH264Profile: "main", HardwareH264Level: "4.1",
		SoftwareH264Profile: "baseline", SoftwareH264Level: "4.1",
		MJPEGQuality: 60,
	}
}

// Type implements router.Source.
func (s Source) Type() string { return "rpiCameraSource" }

func (s Source) timeout() time.Duration {
	t := s.ReadTimeout
	if t == 0 {
		t = defaultReadTimeout
	}
	return max(t, 5*s.interval())
}

// interval is the time from picture to picture.
func (s Source) interval() time.Duration {
	return time.Duration(float64(time.Second) / s.FPS)
}

var modePattern = regexp.MustCompile(`^[0-9]{1,5}:[0-9]{1,5}(:[0-9]{1,2}(:[PU])?)?$`)

// Validate tells what is wrong with the settings.
func (s Source) Validate() error {
	return errors.Join(s.validateNumbers(), s.validateWords(), s.validateForms())
}

func (s Source) validateNumbers() error {
	var errs []error
	for _, c := range []struct {
		name               string
		v, lowest, highest float64
	}{
		{"camera", float64(s.Camera), 0, 255},
		{"width", float64(s.Width), 1, 65535},
		{"height", float64(s.Height), 1, 65535},
		{"frames per second", s.FPS, 0.001, 1000},
		{"brightness", s.Brightness, -1, 1},
		{"contrast", s.Contrast, 0, 16},
		{"saturation", s.Saturation, 0, 16},
		{"sharpness", s.Sharpness, 0, 16},
		{"gain of red", s.AWBGains[0], 0, 1000},
		{"gain of blue", s.AWBGains[1], 0, 1000},
		{"shutter in seconds", s.Shutter.Seconds(), 0, 3600},
		{"gain", s.Gain, 0, 10000},
		{"EV", s.EV, -10, 10},
		{"lens position", s.LensPosition, 0, 1000},
		{"flicker period in seconds", s.FlickerPeriod.Seconds(), 0, 1},
		{"IDR period", float64(s.IDRPeriod), 1, math.MaxInt32},
		{"bit rate", float64(s.Bitrate), 1, math.MaxInt32},
		{"M-JPEG quality", float64(s.MJPEGQuality), 1, 100},
		{"read timeout in seconds", s.ReadTimeout.Seconds(), 0, math.MaxInt32},
	} {
		if !(c.v >= c.lowest && c.v <= c.highest) { // so that NaN is refused too
			errs = append(errs, fmt.Errorf("%s %v: must be between %v and %v", c.name, c.v, c.lowest, c.highest))
		}
	}
	return errors.Join(errs...)
}

func (s Source) validateWords() error {
	profiles, levels := "baseline main high", "4.0 4.1 4.2"
	var errs []error
	for _, c := range []struct{ name, v, accepted string }{
		{"exposure", s.Exposure, "normal short long custom"},
		{"white balance", s.AWB, "auto incandescent tungsten fluorescent indoor daylight cloudy custom"},
		{"denoise", s.Denoise, "off cdn_off cdn_fast cdn_hq"},
		{"metering", s.Metering, "centre spot matrix custom"},
		{"autofocus", s.Autofocus, "auto manual continuous"},
		{"range of autofocus", s.AutofocusRange, "normal macro full"},
		{"speed of autofocus", s.AutofocusSpeed, "normal fast"},
		{"codec", s.Codec, "auto hardwareH264 softwareH264 mjpeg"},
		{"profile of hardware H264", s.HardwareH264Profile, profiles},
		{"profile of software H264", s.SoftwareH264Profile, profiles},
		{"level of hardware H264", s.HardwareH264Level, levels},
		{"level of software H264", s.SoftwareH264Level, levels},
	} {
		if words := strings.Fields(c.accepted); !slices.Contains(words, c.v) {
			errs = append(errs, fmt.Errorf("%s %q: must be one of %s", c.name, c.v, strings.Join(words, ", ")))
		}
	}
	return errors.Join(errs...)
}

func (s Source) validateForms() error {
	var errs []error
	for _, c := range []struct{ name, v string }{{"region of interest", s.ROI}, {"window of autofocus", s.AutofocusWindow}} {
		if c.v != "" && !isWindow(c.v) {
			errs = append(errs, fmt.Errorf("%s %q: must be x,y,width,height with numbers between 0 and 1", c.name, c.v))
		}
	}
	if s.Mode != "" && !modePattern.MatchString(s.Mode) {
		errs = append(errs, fmt.Errorf("mode %q: must be width:height:bits:packing, such as 1920:1080:10:P", s.Mode))
	}
	if len(s.TextOverlay) > maxOverlay || strings.ContainsRune(s.TextOverlay, 0) {
		errs = append(errs, fmt.Errorf("text overlay: must have at most %d bytes, and none that are zero", maxOverlay))
	}
	if strings.ContainsRune(s.TuningFile, 0) {
		errs = append(errs, errors.New("tuning file: must not hold zero bytes"))
	}
	return errors.Join(errs...)
}

func isWindow(v string) bool {
	parts := strings.Split(v, ",")
	for _, p := range parts {
		if n, err := strconv.ParseFloat(p, 64); err != nil || !(n >= 0 && n <= 1) {
			return false
		}
	}
	return len(parts) == 4
}
