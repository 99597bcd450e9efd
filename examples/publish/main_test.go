package main

import (
	"bytes"
	"image/jpeg"
	"testing"

	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/bluenviron/gortsplib/v5/pkg/format/rtpmjpeg"
	"github.com/pion/rtp"
	"go.uber.org/goleak"

	"github.com/org/mtx/examples/internal/exampletest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The pictures arrive at an RTSP client.
func TestRun(t *testing.T) {
	t.Parallel()
	addr := exampletest.Start(t, run)
	var dec *rtpmjpeg.Decoder
	exampletest.Play(t, "rtsp://"+addr+"/test", func(f format.Format, p *rtp.Packet) bool {
		if dec == nil {
			var err error
			if dec, err = f.(*format.MJPEG).CreateDecoder(); err != nil {
				t.Error(err)
				return true
			}
		}
		frame, err := dec.Decode(p)
		if err != nil {
			return false // more packets are needed
		}
		img, err := jpeg.Decode(bytes.NewReader(frame))
		if err != nil || img.Bounds().Dx() != 320 || img.Bounds().Dy() != 240 {
			t.Errorf("got %v, %v", img, err)
		}
		return true
	})
}
