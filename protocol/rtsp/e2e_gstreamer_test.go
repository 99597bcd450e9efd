//go:build e2e

package rtsp_test

import (
	"strings"
	"testing"

	"github.com/org/mtx/protocol/rtsp"
)

const (
	gstVideo = "videotestsrc is-live=true pattern=ball ! video/x-raw,width=176,height=144,framerate=25/1"
	gstAudio = "audiotestsrc is-live=true samplesperbuffer=480 ! audioconvert ! audioresample"
)

// gst starts a pipeline.
func gst(t *testing.T, pipeline string) *program {
	t.Helper()
	return launch(t, "gst-launch-1.0", append([]string{"-q", "-e"}, strings.Fields(pipeline)...)...)
}

// gstRead starts GStreamer reading until so many buffers were decoded.
func (s *e2eServer) gstRead(t *testing.T, path, options string, buffers int) *program {
	t.Helper()
	return gst(t, "rtspsrc latency=50 location="+s.url(path)+" "+options+
		" ! decodebin ! fakesink sync=false num-buffers="+itoa(buffers))
}

// What GStreamer publishes is read and decoded by GStreamer. A reader that does
// not get all buffers never ends, which fails the test.
func TestE2EGStreamer(t *testing.T) {
	t.Parallel()
	needs(t, "gst-launch-1.0", "gst:rtspsrc", "gst:rtspclientsink", "gst:decodebin")
	for _, c := range []struct {
		name     string
		elements string // that must exist
		pipeline string
	}{
		{"H264", "x264enc avdec_h264", gstVideo + " ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=25"},
		{"H265", "x265enc avdec_h265", gstVideo + " ! x265enc tune=zerolatency speed-preset=ultrafast key-int-max=25"},
		{"VP8", "vp8enc vp8dec", gstVideo + " ! vp8enc deadline=1 keyframe-max-dist=25"},
		{"VP9", "vp9enc vp9dec", gstVideo + " ! vp9enc deadline=1 keyframe-max-dist=25"},
		{"MPEG-4 video", "avenc_mpeg4 avdec_mpeg4", gstVideo + " ! avenc_mpeg4 gop-size=25"},
		{"MPEG-2 video", "avenc_mpeg2video avdec_mpeg2video", gstVideo + " ! avenc_mpeg2video gop-size=25 ! mpegvideoparse"},
		{"M-JPEG", "jpegenc jpegdec", gstVideo + " ! jpegenc"},
		{"Opus", "opusenc opusdec", gstAudio + " ! audio/x-raw,rate=48000,channels=2 ! opusenc"},
		{"AAC", "avenc_aac avdec_aac", gstAudio + " ! audio/x-raw,rate=48000,channels=2 ! avenc_aac ! aacparse"},
		{"MP3", "lamemp3enc avdec_mp3", gstAudio + " ! audio/x-raw,rate=44100,channels=2 ! lamemp3enc ! mpegaudioparse"},
		{"AC-3", "avenc_ac3 avdec_ac3", gstAudio + " ! audio/x-raw,rate=48000,channels=2 ! avenc_ac3 ! ac3parse"},
		{"G722", "avenc_g722 avdec_g722", gstAudio + " ! audio/x-raw,rate=16000,channels=1 ! avenc_g722"},
		{"PCMA", "alawenc alawdec", gstAudio + " ! audio/x-raw,rate=8000,channels=1 ! alawenc"},
		{"PCMU", "mulawenc mulawdec", gstAudio + " ! audio/x-raw,rate=8000,channels=1 ! mulawenc"},
		{"LPCM", "rtpL16pay rtpL16depay", gstAudio + " ! audio/x-raw,format=S16BE,rate=44100,channels=2"},
		{"Vorbis", "vorbisenc vorbisdec", gstAudio + " ! audio/x-raw,rate=44100,channels=2 ! vorbisenc"},
		{"Speex", "speexenc speexdec", gstAudio + " ! audio/x-raw,rate=16000,channels=1 ! speexenc"},
	} {
		t.Run(c.name, func(t *testing.T) {
			takeSlot(t)
			for e := range strings.FieldsSeq(c.elements) {
				needs(t, "gst:"+e)
			}
			for _, in := range unicast {
				s := serve(t, &rtsp.Server{})
				pub := gst(t, c.pipeline+" ! rtspclientsink latency=0 protocols="+in+" location="+s.url("stream"))
				s.waitReady(t, "stream")
				const buffers = 40
				var readers []*program
				for _, out := range unicast {
					readers = append(readers, s.gstRead(t, "stream", "protocols="+out, buffers))
				}
				for _, r := range readers {
					r.wait(t)
				}
				t.Logf("%s to tcp and udp: %d buffers each", in, buffers)
				s.checkLosses(t)
				pub.stop()
			}
		})
	}
}
