//go:build e2e

package rtsp_test

import (
	"strings"
	"testing"

	"github.com/org/mtx/protocol/internal/e2e"
	"github.com/org/mtx/protocol/rtsp"
)

const (
	gstVideo = "videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=176,height=144,framerate=25/1"
	gstAudio = "audiotestsrc is-live=true samplesperbuffer=480 ! audioconvert ! audioresample"
)

// gst starts a pipeline. Its sinks of type fakesink print a line per buffer.
func gst(t *testing.T, pipeline string) *e2e.Program {
	t.Helper()
	return e2e.Launch(t, "gst-launch-1.0", append([]string{"-v"}, strings.Fields(pipeline)...)...)
}

// gstRead starts GStreamer reading and decoding the first track.
func (s *e2eServer) gstRead(t *testing.T, path, options string) *e2e.Program {
	t.Helper()
	return gst(t, "rtspsrc latency=50 location="+s.url(path)+" "+options+" ! decodebin ! fakesink sync=false silent=false")
}

// waitBuffers waits until a fakesink has received so many buffers.
func waitBuffers(t *testing.T, p *e2e.Program, sink string, buffers int) {
	t.Helper()
	line := "GstFakeSink:" + sink + ": last-message = chain"
	if !p.Stdout.WaitFor(func(out string) bool { return strings.Count(out, line) >= buffers }) {
		t.Errorf("%d buffers were decoded, want %d", strings.Count(p.Stdout.String(), line), buffers)
	}
}

// gstBuffers is how many buffers of decoded media readers wait for.
const gstBuffers = 40

// What GStreamer publishes is read and decoded by GStreamer.
//
// What rtspclientsink of GStreamer 1.22 cannot publish is in
// TestE2EGStreamerReadsFFmpeg: of MPEG-4 video it sends RTCP only, for MPEG-2
// video it finds no payloader, and Speex gets no media section.
func TestE2EGStreamer(t *testing.T) {
	t.Parallel()
	e2e.Needs(t, "gst-launch-1.0", "gst:rtspsrc", "gst:rtspclientsink", "gst:decodebin")
	for _, c := range []struct {
		name     string
		elements string // that must exist
		pipeline string
	}{
		{"H264", "x264enc avdec_h264", gstVideo + " ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=25"},
		{"H265", "x265enc avdec_h265", gstVideo + " ! x265enc tune=zerolatency speed-preset=ultrafast key-int-max=25"},
		{"VP8", "vp8enc vp8dec", gstVideo + " ! vp8enc deadline=1 keyframe-max-dist=25 ! video/x-vp8,profile=(string)0"},
		{"VP9", "vp9enc vp9dec", gstVideo + " ! vp9enc deadline=1 keyframe-max-dist=25 ! video/x-vp9,profile=(string)0"},
		{"M-JPEG", "jpegenc jpegdec", gstVideo + " ! jpegenc"},
		{"Opus", "opusenc opusdec", gstAudio + " ! audio/x-raw,rate=48000,channels=2 ! opusenc"},
		{"AAC", "avenc_aac avdec_aac", gstAudio + " ! audio/x-raw,rate=48000,channels=2 ! avenc_aac ! aacparse"},
		{"MP3", "lamemp3enc avdec_mp3", gstAudio + " ! audio/x-raw,rate=44100,channels=2 ! lamemp3enc ! mpegaudioparse"},
		{"AC-3", "avenc_ac3 avdec_ac3", gstAudio + " ! audio/x-raw,rate=48000,channels=2 ! avenc_ac3 ! ac3parse"},
		{"G722", "avenc_g722 avdec_g722", gstAudio + " ! audio/x-raw,rate=16000,channels=1 ! avenc_g722"},
		{"PCMA", "alawenc alawdec", gstAudio + " ! audio/x-raw,rate=8000,channels=1 ! alawenc"},
		{"PCMU", "mulawenc mulawdec", gstAudio + " ! audio/x-raw,rate=8000,channels=1 ! mulawenc"},
		// a low rate: at the start GStreamer sends a second of audio at once, for
		// which the receive buffers of UDP sockets can be too small
		{"LPCM", "rtpL16pay rtpL16depay", gstAudio + " ! audio/x-raw,format=S16BE,rate=16000,channels=1"},
		{"Vorbis", "vorbisenc vorbisdec", gstAudio + " ! audio/x-raw,rate=44100,channels=2 ! vorbisenc"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for e := range strings.FieldsSeq(c.elements) {
				e2e.Needs(t, "gst:"+e)
			}
			for _, in := range unicast {
				s := serve(t, &rtsp.Server{})
				pub := gst(t, c.pipeline+" ! rtspclientsink latency=0 protocols="+in+" location="+s.url("stream"))
				s.waitReady(t, "stream")
				var readers []*e2e.Program
				for _, out := range unicast {
					readers = append(readers, s.gstRead(t, "stream", "protocols="+out))
				}
				for i, out := range unicast {
					waitBuffers(t, readers[i], "fakesink0", gstBuffers)
					t.Logf("%s to %s: %d buffers", in, out, gstBuffers)
				}
				s.checkLosses(t)
				pub.Stop()
			}
		})
	}
}

func TestE2EGStreamerReadsFFmpeg(t *testing.T) {
	t.Parallel()
	e2e.Needs(t, "ffmpeg", "gst-launch-1.0", "gst:rtspsrc", "gst:decodebin")
	for _, c := range codecCases() {
		decoder := map[string]string{
			"H264 with B frames": "avdec_h264",
			"MPEG-4 video":       "avdec_mpeg4",
			"MPEG-2 video":       "avdec_mpeg2video",
			"Speex":              "speexdec",
		}[c.name]
		if decoder == "" {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e2e.Needs(t, "gst:"+decoder)
			input := picturesInput
			if c.rate != 0 {
				input = noiseInput
				c.args = append(c.args, "-ar", itoa(c.rate), "-ac", itoa(c.channels))
			}
			s := serve(t, &rtsp.Server{})
			s.publishFile(t, encodedFile(t, input, c.args...), "stream", "tcp")
			var readers []*e2e.Program
			for _, out := range unicast {
				readers = append(readers, s.gstRead(t, "stream", "protocols="+out))
			}
			for i, out := range unicast {
				waitBuffers(t, readers[i], "fakesink0", gstBuffers)
				t.Logf("tcp to %s: %d buffers", out, gstBuffers)
			}
			s.checkLosses(t)
		})
	}
}
