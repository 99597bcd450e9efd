//go:build e2e

package rtsp_test

import (
	"slices"
	"testing"

	"github.com/org/mtx/protocol/internal/e2e"
	"github.com/org/mtx/protocol/rtsp"
)

// codecCase is a codec that FFmpeg can publish.
type codecCase struct {
	name string
	args []string // of the encoder
	// of audio
	rate, channels int
	live           bool // encoded while it is published
}

func codecCases() []codecCase {
	video := func(name string, args ...string) codecCase {
		return codecCase{name: name, args: append(args, "-g", "25", "-pix_fmt", "yuv420p")}
	}
	audio := func(name string, rate, channels int, args ...string) codecCase {
		return codecCase{name: name, args: args, rate: rate, channels: channels}
	}
	cases := []codecCase{
		video("H264", "-c:v", "libx264", "-preset", "ultrafast", "-bf", "0"),
		video("H264 with B frames", "-c:v", "libx264", "-preset", "veryfast", "-bf", "2"),
		video("H265", "-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error"),
		video("VP8", "-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8"),
		video("VP9", "-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8"),
		video("MPEG-4 video", "-c:v", "mpeg4", "-b:v", "300k"),
		video("MPEG-2 video", "-c:v", "mpeg2video", "-b:v", "300k"),
		video("MPEG-1 video", "-c:v", "mpeg1video", "-b:v", "300k"),
		// RFC 2435 has no Huffman tables but the default ones
		{name: "M-JPEG", args: []string{"-c:v", "mjpeg", "-huffman", "default", "-pix_fmt", "yuvj420p"}},
		audio("Opus", 48000, 2, "-c:a", "libopus"),
		audio("AAC", 44100, 2, "-c:a", "aac"),
		audio("MP3", 44100, 2, "-c:a", "libmp3lame"),
		audio("MPEG-1 audio layer 2", 48000, 2, "-c:a", "mp2"),
		audio("Vorbis", 44100, 2, "-c:a", "libvorbis"),
		audio("Speex", 16000, 1, "-c:a", "libspeex"),
		audio("G722", 16000, 1, "-c:a", "g722"),
		audio("G726", 8000, 1, "-c:a", "g726"),
		audio("PCMA", 8000, 1, "-c:a", "pcm_alaw"),
		audio("PCMU", 8000, 1, "-c:a", "pcm_mulaw"),
		audio("LPCM", 48000, 2, "-c:a", "pcm_s16be"),
	}
	// FFmpeg 5.1 crashes when it copies G726
	cases[slices.IndexFunc(cases, func(c codecCase) bool { return c.name == "G726" })].live = true
	return cases
}

// Every codec that FFmpeg publishes, by TCP and by UDP, is read by TCP and by
// UDP: nothing is lost, and what arrives is what was published, bit by bit.
//
// FFmpeg 5.1 publishes neither AV1 nor AC-3: see TestE2EAV1 and
// TestE2EGStreamer.
func TestE2ECodecs(t *testing.T) {
	t.Parallel()
	e2e.Needs(t, "ffmpeg")
	for _, c := range codecCases() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if c.rate == 0 {
				testVideoCodec(t, c)
			} else {
				testAudioCodec(t, c)
			}
		})
	}
}

var unicast = []string{"tcp", "udp"}

func testVideoCodec(t *testing.T, c codecCase) {
	t.Helper()
	file := encodedFile(t, picturesInput, c.args...)
	source := decodeFile(t, file)
	for _, in := range unicast {
		s := serve(t, &rtsp.Server{})
		pub := s.publishFile(t, file, "video", in)
		var readers []*e2e.Program
		for _, out := range unicast {
			readers = append(readers, s.startVideo(t, "video", "-rtsp_transport", out))
		}
		for i, out := range unicast {
			got := videoOf(t, readers[i])
			good := checkPictures(t, source, got)
			t.Logf("%s to %s: %d pictures, %d of them exact", in, out, len(got), good)
			if len(got) != readPictures || good < readPictures-keyInterval {
				t.Errorf("%s to %s: %d pictures are too few", in, out, good)
			}
		}
		s.checkLosses(t)
		pub.Stop()
	}
}

func testAudioCodec(t *testing.T, c codecCase) {
	t.Helper()
	args := append(slices.Clone(c.args), "-ar", itoa(c.rate), "-ac", itoa(c.channels))
	source := []byte(runFFmpeg(t, slices.Concat(noiseInput, []string{"-map", "0:a"}, args, []string{"-f", "data", "-"})...))
	file := ""
	if !c.live {
		file = encodedFile(t, noiseInput, args...)
	}
	for _, in := range unicast {
		s := serve(t, &rtsp.Server{})
		var pub *e2e.Program
		if c.live {
			pub = e2e.Launch(t, "ffmpeg", ffmpeg(slices.Concat([]string{"-re"}, noiseInput, args,
				[]string{"-f", "rtsp", "-rtsp_transport", in, s.url("audio")})...)...)
			s.waitReady(t, "audio")
		} else {
			pub = s.publishFile(t, file, "audio", in)
		}
		var readers []*e2e.Program
		for _, out := range unicast {
			readers = append(readers, s.startAudio(t, "audio", out))
		}
		for i, out := range unicast {
			got, samples := audioOf(t, readers[i], c.channels)
			t.Logf("%s to %s: %d samples in %d bytes", in, out, samples, len(got))
			checkAudio(t, source, got, samples, c.rate)
		}
		s.checkLosses(t)
		pub.Stop()
	}
}
