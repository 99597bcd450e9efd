//go:build e2e

package rtsp_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/org/mtx/protocol/internal/e2e"
)

const (
	pictureRate = 25 // per second
	keyInterval = 25 // pictures
	// readPictures is how many pictures a reader takes.
	readPictures = 50
	// readSeconds is how much audio a reader takes.
	readSeconds = 2
	// fileSeconds is the length of what is published: longer than any test.
	fileSeconds = "40"
)

var (
	picturesInput = []string{"-f", "lavfi", "-i", "testsrc2=size=176x144:rate=25:duration=" + fileSeconds}
	noiseInput    = []string{"-f", "lavfi", "-i", "anoisesrc=seed=1:amplitude=0.2:duration=" + fileSeconds}
)

// ffmpeg returns the arguments that all calls begin with.
func ffmpeg(args ...string) []string {
	return append([]string{"-hide_banner", "-loglevel", "warning", "-nostdin", "-y"}, args...)
}

// runFFmpeg runs FFmpeg to its end and returns what it printed.
func runFFmpeg(t *testing.T, args ...string) string {
	t.Helper()
	out, _ := e2e.Run(t, "ffmpeg", ffmpeg(args...)...)
	return out
}

// encodedFile makes a file in which every picture and every audio packet differs
// from all others, so that each can be recognized wherever it appears.
func encodedFile(t *testing.T, input []string, codec ...string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "source.nut")
	runFFmpeg(t, slices.Concat(input, codec, []string{"-threads", "1", "-f", "nut", name})...)
	return name
}

// publishFile publishes a file in real time.
func (s *e2eServer) publishFile(t *testing.T, file, path, transport string, more ...string) *e2e.Program {
	t.Helper()
	args := ffmpeg("-re", "-i", file, "-c", "copy", "-strict", "experimental")
	args = append(args, more...)
	p := e2e.Launch(t, "ffmpeg", append(args, "-f", "rtsp", "-rtsp_transport", transport, s.url(path))...)
	s.waitReady(t, path)
	return p
}

// pictures are what decoding a video gives, in order.
type pictures []picture

type picture struct {
	pts  int64 // in ticks of the time base of the output
	hash string
}

// decodeFile decodes the video of a file.
func decodeFile(t *testing.T, file string) pictures {
	t.Helper()
	return parseMD5(t, runFFmpeg(t, "-i", file, "-map", "0:v", "-fps_mode", "passthrough", "-f", "framemd5", "-"), 0)
}

// parseMD5 reads a stream of the output of the framemd5 muxer.
func parseMD5(t *testing.T, out string, stream int) pictures {
	t.Helper()
	var p pictures
	for line := range strings.Lines(out) {
		f := strings.Split(line, ",")
		if strings.HasPrefix(line, "#") || len(f) < 6 || strings.TrimSpace(f[0]) != strconv.Itoa(stream) {
			continue
		}
		pts, err := strconv.ParseInt(strings.TrimSpace(f[2]), 10, 64)
		if err != nil {
			t.Fatalf("framemd5: %q", line)
		}
		p = append(p, picture{pts, strings.TrimSpace(f[5])})
	}
	return p
}

// index returns the position of a picture, or -1.
func (p pictures) index(hash string) int {
	return slices.IndexFunc(p, func(e picture) bool { return e.hash == hash })
}

// checkPictures fails unless got is an uninterrupted piece of source, bit by bit.
// Readers join in the middle, and some decoders show damaged pictures before the
// first key frame: these are passed over. It returns how many are right.
func checkPictures(t *testing.T, source, got pictures) int {
	t.Helper()
	skip := 0
	for skip < len(got) && source.index(got[skip].hash) < 0 {
		skip++
	}
	if skip > keyInterval {
		t.Errorf("the first %d of %d pictures are damaged", skip, len(got))
		return 0
	}
	good := got[skip:]
	if len(good) == 0 {
		t.Error("there are no pictures")
		return 0
	}
	at := source.index(good[0].hash)
	for i, p := range good {
		if at+i >= len(source) || source[at+i].hash != p.hash {
			t.Errorf("picture %d of %d is not the one that follows", i, len(good))
			return i
		}
	}
	return len(good)
}

// startVideo starts FFmpeg reading some pictures; videoOf waits for them.
func (s *e2eServer) startVideo(t *testing.T, path string, input ...string) *e2e.Program {
	t.Helper()
	args := append(slices.Clone(input), "-i", s.url(path), "-map", "0:v:0", "-fps_mode", "passthrough",
		"-frames:v", itoa(readPictures), "-f", "framemd5", "-")
	return e2e.Launch(t, "ffmpeg", ffmpeg(args...)...)
}

func videoOf(t *testing.T, p *e2e.Program) pictures {
	t.Helper()
	p.Wait(t)
	checkLog(t, p)
	return parseMD5(t, p.Stdout.String(), 0)
}

// checkLog looks for what FFmpeg says when it misses packets.
func checkLog(t *testing.T, p *e2e.Program) {
	t.Helper()
	for _, s := range []string{"RTP: missed", "max delay reached"} {
		if strings.Contains(p.Stderr.String(), s) {
			t.Errorf("FFmpeg says %q", s)
		}
	}
}

// startAudio starts FFmpeg reading some audio, into a file as it is encoded, and
// decoded to its standard output.
func (s *e2eServer) startAudio(t *testing.T, path, transport string) *e2e.Program {
	t.Helper()
	seconds := itoa(readSeconds)
	return e2e.Launch(t, "ffmpeg", ffmpeg("-rtsp_transport", transport, "-i", s.url(path),
		"-map", "0:a:0", "-t", seconds, "-c", "copy", "-f", "data", "audio",
		"-map", "0:a:0", "-t", seconds, "-f", "s16le", "-")...)
}

// audioOf waits for the encoded bytes, and the number of samples that decoding
// them gives.
func audioOf(t *testing.T, p *e2e.Program, channels int) (encoded []byte, samples int) {
	t.Helper()
	p.Wait(t)
	checkLog(t, p)
	encoded, err := os.ReadFile(filepath.Join(p.Cmd.Dir, "audio"))
	if err != nil {
		t.Fatal(err)
	}
	const sampleSize = 2
	return encoded, len(p.Stdout.String()) / sampleSize / channels
}

// checkAudio fails unless got is an uninterrupted piece of source, and long enough.
func checkAudio(t *testing.T, source, got []byte, samples, rate int) {
	t.Helper()
	// decoders swallow the beginning of some codecs
	const tolerance = 0.15 // seconds
	if least := int((readSeconds - tolerance) * float64(rate)); samples < least {
		t.Errorf("%d samples, want at least %d", samples, least)
	}
	if len(got) == 0 || !bytes.Contains(source, got) {
		t.Errorf("%d bytes are no piece of the %d bytes that were published", len(got), len(source))
	}
}

func itoa(n int) string { return strconv.Itoa(n) }
