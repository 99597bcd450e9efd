package config

import (
	"time"

	"github.com/org/mtx/rpicam"
)

// buildCamera makes the source of a Raspberry Pi camera.
func (p *Path) buildCamera(readTimeout time.Duration) rpicam.Source {
	s := rpicam.Source{
		Camera:     p.RPiCameraCamID,
		Secondary:  p.RPiCameraSecondary,
		Width:      p.RPiCameraWidth,
		Height:     p.RPiCameraHeight,
		FPS:        p.RPiCameraFPS,
		HFlip:      p.RPiCameraHFlip,
		VFlip:      p.RPiCameraVFlip,
		Brightness: p.RPiCameraBrightness,
		Contrast:   p.RPiCameraContrast,
		Saturation: p.RPiCameraSaturation,
		Sharpness:  p.RPiCameraSharpness,
		Exposure:   p.RPiCameraExposure,
		AWB:        p.RPiCameraAWB,
		AWBGains:   p.RPiCameraAWBGains,
		Denoise:    p.RPiCameraDenoise,
		Shutter:    time.Duration(p.RPiCameraShutter) * time.Microsecond,
		Metering:   p.RPiCameraMetering,
		Gain:       p.RPiCameraGain,
		EV:         p.RPiCameraEV,
		ROI:        p.RPiCameraROI,
		HDR:        p.RPiCameraHDR,
		TuningFile: p.RPiCameraTuningFile,
		Mode:       p.RPiCameraMode,

		Autofocus:       p.RPiCameraAfMode,
		AutofocusRange:  p.RPiCameraAfRange,
		AutofocusSpeed:  p.RPiCameraAfSpeed,
		AutofocusWindow: p.RPiCameraAfWindow,
		LensPosition:    p.RPiCameraLensPosition,
		FlickerPeriod:   time.Duration(p.RPiCameraFlickerPeriod) * time.Microsecond,

		Codec:               p.RPiCameraCodec,
		IDRPeriod:           p.RPiCameraIDRPeriod,
		Bitrate:             p.RPiCameraBitrate,
		HardwareH264Profile: p.RPiCameraHardwareH264Profile,
		HardwareH264Level:   p.RPiCameraHardwareH264Level,
		SoftwareH264Profile: p.RPiCameraSoftwareH264Profile,
		SoftwareH264Level:   p.RPiCameraSoftwareH264Level,
		MJPEGQuality:        p.RPiCameraMJPEGQuality,
		ReadTimeout:         readTimeout,
	}
	if p.RPiCameraTextOverlayEnable {
		s.TextOverlay = p.RPiCameraTextOverlay
	}
	// the newer keys stand for both encoders; their defaults for neither
	if p.RPiCameraH264Profile != "auto" {
		s.HardwareH264Profile, s.SoftwareH264Profile = p.RPiCameraH264Profile, p.RPiCameraH264Profile
	}
	if p.RPiCameraH264Level != "4.1" {
		s.HardwareH264Level, s.SoftwareH264Level = p.RPiCameraH264Level, p.RPiCameraH264Level
	}
	return s
}
