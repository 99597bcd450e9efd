//go:build e2e

package rtsp_test

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/org/mtx/protocol/internal/e2e"
	"github.com/org/mtx/protocol/rtsp"
)

// Audio and video that were recorded together arrive together: of each picture
// and of each audio packet it is known when it was published, and the time that
// the reader gives it must be later by the same amount for both.
func TestE2EAlignment(t *testing.T) {
	t.Parallel()
	e2e.Needs(t, "ffmpeg")
	file := encodedFile(t, slices.Concat(picturesInput, noiseInput),
		"-c:v", "libx264", "-preset", "ultrafast", "-bf", "0", "-g", "25", "-pix_fmt", "yuv420p", "-c:a", "aac", "-ar", "48000")
	published := timeline(t, runFFmpeg(t, append([]string{"-i", file}, timelineOutput()...)...))
	for _, in := range unicast {
		for _, out := range unicast {
			t.Run(in+" to "+out, func(t *testing.T) {
				t.Parallel()
				s := serve(t, &rtsp.Server{})
				s.publishFile(t, file, "both", in)
				r := e2e.Launch(t, "ffmpeg", ffmpeg(append([]string{"-rtsp_transport", out, "-i", s.url("both"), "-t", "3"},
					timelineOutput()...)...)...)
				r.Wait(t)
				checkLog(t, r)
				read := timeline(t, r.Stdout.String())
				video, audio := offset(t, published[0], read[0]), offset(t, published[1], read[1])
				t.Logf("video is %.3f s later, audio %.3f s; the first times are %.3f and %.3f",
					video, audio, read[0][0].seconds, read[1][0].seconds)
				const most = 0.1 // seconds
				if math.Abs(video-audio) > most {
					t.Errorf("video is %.3f s later, audio %.3f s", video, audio)
				}
			})
		}
	}
}

// timelineOutput asks for the decoded pictures and for the audio packets.
func timelineOutput() []string {
	return []string{"-map", "0:v", "-map", "0:a", "-c:v", "rawvideo", "-fps_mode", "passthrough", "-enc_time_base:v", "1:1000",
		"-c:a", "copy", "-f", "framemd5", "-"}
}

// moment is when something is shown.
type moment struct {
	hash    string
	seconds float64
}

// timeline returns the moments of the streams in the output of the framemd5 muxer.
func timeline(t *testing.T, out string) [2][]moment {
	t.Helper()
	var all [2][]moment
	for i := range all {
		_, rest, ok := strings.Cut(out, "#tb "+itoa(i)+": ")
		base, _, _ := strings.Cut(rest, "\n")
		num, den, ok2 := strings.Cut(base, "/")
		n, err1 := strconv.ParseFloat(num, 64)
		d, err2 := strconv.ParseFloat(den, 64)
		if !ok || !ok2 || err1 != nil || err2 != nil {
			t.Fatalf("stream %d has no time base in\n%s", i, e2e.Tail(out))
		}
		for _, p := range parseMD5(t, out, i) {
			all[i] = append(all[i], moment{p.hash, float64(p.pts) * n / d})
		}
		if len(all[i]) == 0 {
			t.Fatalf("stream %d is empty", i)
		}
	}
	return all
}

// offset returns how much later a stream is shown than it was published: the
// same for all that is in it, or the test fails. In the first moments times may
// be corrected, since the publisher tells how its tracks are aligned only when it
// sends them.
func offset(t *testing.T, published, read []moment) float64 {
	t.Helper()
	at := map[string]float64{}
	for _, m := range published {
		at[m.hash] = m.seconds
	}
	var all []float64
	const start = 0.5 // seconds
	late := 0
	for _, m := range read {
		if m.seconds < start {
			continue
		}
		late++
		if s, ok := at[m.hash]; ok {
			all = append(all, m.seconds-s)
		}
	}
	if len(all) < late*3/4 || len(all) == 0 {
		t.Fatalf("%d of %d are known", len(all), late)
	}
	slices.Sort(all)
	const most = 0.05 // seconds: a picture
	if spread := all[len(all)-1] - all[0]; spread > most {
		t.Errorf("times vary by %.3f s", spread)
	}
	return all[len(all)/2]
}

// Decoding times of a stream with B frames grow, and no presentation time is
// missing.
func TestE2EBFrames(t *testing.T) {
	e2e.Needs(t, "ffmpeg")
	t.Parallel()
	file := encodedFile(t, picturesInput, "-c:v", "libx264", "-preset", "veryfast", "-bf", "2", "-b_strategy", "0",
		"-g", "25", "-pix_fmt", "yuv420p")
	s := serve(t, &rtsp.Server{})
	s.publishFile(t, file, "video", "tcp")
	r := e2e.Launch(t, "ffmpeg", ffmpeg("-rtsp_transport", "tcp", "-i", s.url("video"), "-map", "0:v", "-c", "copy",
		"-t", "3", "-f", "framemd5", "-")...)
	r.Wait(t)
	checkLog(t, r)
	var dts, pts []int64
	for line := range strings.Lines(r.Stdout.String()) {
		f := strings.Split(line, ",")
		if strings.HasPrefix(line, "#") || len(f) < 6 {
			continue
		}
		for i, list := range []*[]int64{&dts, &pts} {
			n, err := strconv.ParseInt(strings.TrimSpace(f[1+i]), 10, 64)
			if err != nil {
				t.Fatal(line)
			}
			*list = append(*list, n)
		}
	}
	const least = 2 * pictureRate
	if len(dts) < least {
		t.Fatalf("%d pictures, want at least %d", len(dts), least)
	}
	reordered := false
	for i := range dts {
		// FFmpeg guesses those of the first pictures, as many as are reordered
		const guessed = 2
		if i > guessed && dts[i] <= dts[i-1] || i > 0 && dts[i] < dts[i-1] {
			t.Errorf("decoding time %d of picture %d comes after %d", dts[i], i, dts[i-1])
		}
		if pts[i] < dts[i] {
			t.Errorf("picture is shown at %d and decoded at %d", pts[i], dts[i])
		}
		reordered = reordered || i > 0 && pts[i] < pts[i-1]
	}
	if !reordered {
		t.Error("there are no B frames")
	}
	slices.Sort(pts)
	step := int64(90000 / pictureRate) // ticks
	// the last pictures may refer to ones that were not read anymore
	for i := 1; i < len(pts)-2; i++ {
		if d := pts[i] - pts[i-1]; d < step-step/10 || d > step+step/10 {
			t.Errorf("%d ticks between pictures %d and %d, want %d", d, i-1, i, step)
		}
	}
	t.Logf("%d pictures", len(pts))
}

// A reader that joins in the middle of a long group of pictures starts with the
// next key frame, and misses nothing from there.
func TestE2ELateJoiner(t *testing.T) {
	e2e.Needs(t, "ffmpeg")
	t.Parallel()
	const gop = 4 * pictureRate
	file := encodedFile(t, picturesInput, "-c:v", "libx264", "-preset", "ultrafast", "-bf", "0", "-g", itoa(gop),
		"-sc_threshold", "0", "-pix_fmt", "yuv420p")
	source := decodeFile(t, file)
	s := serve(t, &rtsp.Server{})
	s.publishFile(t, file, "long", "tcp")
	// one reader makes sure that the others come late
	videoOf(t, s.startVideo(t, "long", "-rtsp_transport", "tcp"))
	for _, out := range unicast {
		got := videoOf(t, s.startVideo(t, "long", "-rtsp_transport", out))
		at := source.index(got[0].hash)
		t.Logf("%s: the first picture is number %d", out, at)
		if at <= 0 || at%gop != 0 {
			t.Errorf("%s: starts with picture %d, which is no key frame", out, at)
		}
		checkRead(t, out, source, got)
	}
	s.checkLosses(t)
}
