//go:build e2e

package app_test

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	pictureRate = 25 // per second
	keyInterval = 25 // pictures
	readSeconds = 3
	// leastPictures is how many pictures a reader must show: all of those
	// seconds but what is lost when the last ones refer to ones behind the end.
	leastPictures = readSeconds*pictureRate - 11
	// most is how far apart video and audio may be after conversion.
	most = 0.1 // seconds
)

// source is a file that is published, and what is in it.
type source struct {
	file       string
	timeline   [2][]moment  // of pictures, of audio packets
	keys       map[int]bool // numbers of the pictures that are key frames
	reordered  bool         // has B-frames
	exactAudio bool         // audio packets stay as they are, so that each is recognized
	adts       bool         // MPEG-TS adds headers to audio packets
	outOfBand  bool         // what the decoder needs first is in the header of the file
}

// moment is when something is shown.
type moment struct {
	hash    string
	seconds float64
}

var (
	h264aac  = strings.Fields("-c:v libx264 -preset ultrafast -bf 2 -b_strategy 0 -g 25 -sc_threshold 0 -c:a aac -ar 48000")
	h265opus = strings.Fields("-c:v libx265 -preset ultrafast -x265-params keyint=25:min-keyint=25:scenecut=0:bframes=2:b-adapt=0:open-gop=0:log-level=none -c:a libopus -ar 48000")
)

// makeSource encodes a minute in which every picture and every audio packet
// differs from all others, so that each is recognized wherever it appears.
func makeSource(t *testing.T, size string, codecs ...string) *source {
	t.Helper()
	s := &source{file: filepath.Join(t.TempDir(), "source.nut"), exactAudio: true}
	run(t, "ffmpeg", ffmpeg(slices.Concat(
		[]string{"-f", "lavfi", "-i", "testsrc2=size=" + size + ":rate=25:duration=60", "-f", "lavfi", "-i", "anoisesrc=seed=1:amplitude=0.2:duration=60"},
		[]string{"-pix_fmt", "yuv420p"}, codecs, []string{"-threads", "1", "-f", "nut", s.file})...)...)
	out := run(t, "ffmpeg", ffmpeg(slices.Concat([]string{"-i", s.file}, decoded())...)...)
	s.timeline = [2][]moment{moments(t, out, 0), moments(t, out, 1)}
	s.keys = keyFrames(t, s.file)
	s.reordered = slices.Contains(codecs, "-bf") || strings.Contains(strings.Join(codecs, " "), "bframes=2")
	s.adts, s.outOfBand = slices.Contains(codecs, "aac"), slices.Contains(codecs, "mpeg4")
	return s
}

// keyFrames returns the numbers of the pictures of a file that are key frames, in
// the order in which they are shown.
func keyFrames(t *testing.T, file string) map[int]bool {
	t.Helper()
	type packet struct {
		pts int
		key bool
	}
	var list []packet
	out := run(t, "ffprobe", "-v", "error", "-select_streams", "v", "-show_entries", "packet=pts,flags", "-of", "csv=p=0", file)
	for line := range strings.Lines(out) {
		f := strings.Split(line, ",")
		pts, err := strconv.Atoi(f[0])
		if err != nil || len(f) < 2 {
			t.Fatalf("ffprobe: %q", line)
		}
		list = append(list, packet{pts, strings.Contains(f[1], "K")})
	}
	slices.SortFunc(list, func(a, b packet) int { return a.pts - b.pts })
	keys := map[int]bool{}
	for i, p := range list {
		if p.key {
			keys[i] = true
		}
	}
	return keys
}

// index returns the number of a picture, or -1.
func (s *source) index(hash string) int {
	return slices.IndexFunc(s.timeline[0], func(m moment) bool { return m.hash == hash })
}

// videoOnly is the same without audio, for what carries one track.
func (s *source) videoOnly() *source {
	v := *s
	v.timeline[1], v.exactAudio, v.adts = nil, false, false
	return &v
}

// decoded asks for the pictures, decoded, and for the audio packets without the
// framing of MPEG-TS, on the standard output.
func decoded() []string {
	return strings.Fields("-map 0:v:0 -map 0:a:0? -c:v rawvideo -fps_mode passthrough -enc_time_base:v 1:1000 -c:a copy -f framemd5 -")
}

// startRead starts FFmpeg reading some seconds: decoded to its standard output,
// and as they came, from the very first packet, to the file packets.
func (in *instance) startRead(t *testing.T, protocol, path string, src *source) *program {
	t.Helper()
	seconds := strconv.Itoa(readSeconds)
	limits := []string{"-t", seconds}
	if src.adts {
		limits = append(limits, "-bsf:a", "aac_adtstoasc") // leaves alone what has no ADTS header
	}
	return launch(t, "ffmpeg", ffmpeg(slices.Concat(in.input(protocol, path), limits, decoded(),
		strings.Fields("-t "+seconds+" -map 0:v:0 -c copy -copyinkf -f framemd5 packets"))...)...)
}

// reading is what a reader got.
type reading struct {
	pictures, audio int
	apart           float64 // seconds that audio comes after video, more than it did in the source
}

// finish waits for a reader and checks what it got.
func finish(t *testing.T, who string, p *program, src *source) reading {
	t.Helper()
	p.wait(t)
	for _, complaint := range []string{"on-monoton", "RTP: missed", "max delay reached", "corrupt"} {
		if strings.Contains(p.stderr.String(), complaint) {
			t.Errorf("%s: FFmpeg says %q:\n%s", who, complaint, tail(p.stderr.String()))
		}
	}
	video, audio := moments(t, p.stdout.String(), 0), moments(t, p.stdout.String(), 1)
	got := reading{pictures: len(video), audio: len(audio)}
	if len(video) < leastPictures || len(audio) == 0 && src.timeline[1] != nil {
		t.Fatalf("%s: %d pictures and %d audio packets, want at least %d pictures", who, len(video), len(audio), leastPictures)
	}
	checkPictures(t, who, src, video)
	packets, err := os.ReadFile(filepath.Join(p.cmd.Dir, "packets"))
	if err != nil {
		t.Fatal(err)
	}
	checkPackets(t, who, string(packets), video[0].seconds, src.reordered)
	checkRising(t, who+": audio", audio)
	if src.exactAudio {
		v, a := offset(t, who+": video", src.timeline[0], video), offset(t, who+": audio", src.timeline[1], audio)
		got.apart = a - v
		if math.Abs(got.apart) > most {
			t.Errorf("%s: audio is %.3f s off", who, got.apart)
		}
	}
	t.Logf("%-20s %3d pictures, %3d audio packets, audio %+.3f s off", who, got.pictures, got.audio, got.apart)
	return got
}

// moments returns a stream in the output of the framemd5 muxer.
func moments(t *testing.T, out string, stream int) []moment {
	t.Helper()
	var list []moment
	for _, f := range rows(out, stream) {
		list = append(list, moment{strings.TrimSpace(f[5]), ticks(t, f[2]) * timeBase(t, out, stream)})
	}
	return list
}

// rows returns stream, DTS, PTS, duration, size and hash of each packet.
func rows(out string, stream int) (list [][]string) {
	for line := range strings.Lines(out) {
		f := strings.Split(line, ",")
		if !strings.HasPrefix(line, "#") && len(f) >= 6 && strings.TrimSpace(f[0]) == strconv.Itoa(stream) {
			list = append(list, f)
		}
	}
	return list
}

func ticks(t *testing.T, field string) float64 {
	t.Helper()
	v, err := strconv.ParseInt(strings.TrimSpace(field), 10, 64)
	if err != nil {
		t.Fatalf("framemd5: %q", field)
	}
	return float64(v)
}

// timeBase returns the length of a tick, in seconds.
func timeBase(t *testing.T, out string, stream int) float64 {
	t.Helper()
	_, rest, ok := strings.Cut(out, "#tb "+strconv.Itoa(stream)+": ")
	base, _, _ := strings.Cut(rest, "\n")
	num, den, _ := strings.Cut(base, "/")
	n, err1 := strconv.ParseFloat(num, 64)
	d, err2 := strconv.ParseFloat(den, 64)
	if !ok || err1 != nil || err2 != nil {
		t.Fatalf("stream %d has no time base in\n%s", stream, tail(out))
	}
	return n / d
}

// checkPictures fails unless got is an uninterrupted piece of all, bit by bit,
// that begins with a key frame and rises.
func checkPictures(t *testing.T, who string, src *source, got []moment) {
	t.Helper()
	all, at := src.timeline[0], src.index(got[0].hash)
	switch {
	case at < 0:
		t.Errorf("%s: the first picture is damaged", who)
		return
	case !src.keys[at]:
		t.Errorf("%s: it begins with picture %d, which is no key frame", who, at)
	}
	for i, m := range got {
		if at+i >= len(all) || all[at+i].hash != m.hash {
			t.Errorf("%s: picture %d of %d is not the one that follows", who, i, len(got))
			return
		}
	}
	checkRising(t, who+": video", got)
}

func checkRising(t *testing.T, who string, got []moment) {
	t.Helper()
	for i := 1; i < len(got); i++ {
		if got[i].seconds <= got[i-1].seconds {
			t.Errorf("%s: number %d of %d is shown at %.3f, after %.3f", who, i, len(got), got[i].seconds, got[i-1].seconds)
			return
		}
	}
}

// checkPackets fails unless decoding times rise, pictures are decoded before they
// are shown, B-frames are there if they were, and the first packet is the first
// picture: nothing came before the key frame.
//
// By RTSP, FFmpeg loses the time of the first packet: of codecs for which it cannot
// guess it, if pictures are reordered, the server sends one that does not count.
func checkPackets(t *testing.T, who, out string, first float64, reordered bool) {
	t.Helper()
	base := timeBase(t, out, 0)
	list := rows(out, 0)
	exact := 0.005 // seconds
	if strings.HasPrefix(who, "rtsp") {
		exact = 2.5 / pictureRate // of a guess
		if len(list) > 0 && ticks(t, list[0][2]) == math.MinInt64 {
			list = list[1:]
		}
	}
	found := false
	for i, f := range list {
		dts, pts := ticks(t, f[1]), ticks(t, f[2])
		if i == 0 && math.Abs(pts*base-first) > exact {
			t.Errorf("%s: the first packet is shown at %.3f, the first picture at %.3f", who, pts*base, first)
		}
		if pts < dts {
			t.Errorf("%s: packet %d is decoded at %.0f, shown at %.0f", who, i, dts, pts)
		}
		if i > 0 {
			if before := ticks(t, list[i-1][1]); dts <= before {
				t.Errorf("%s: packet %d is decoded at %.0f, after %.0f", who, i, dts, before)
			}
			found = found || pts < ticks(t, list[i-1][2])
		}
	}
	if reordered && !found {
		t.Errorf("%s: B-frames are lost", who)
	}
}

// offset returns how much later a stream is shown than it was published: the
// same for all that is in it. Players of RTSP correct times in the first moments.
func offset(t *testing.T, who string, published, read []moment) float64 {
	t.Helper()
	const start = 0.5 // seconds
	at := map[string]float64{}
	for _, m := range published {
		at[m.hash] = m.seconds
	}
	var all []float64
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
		t.Errorf("%s: %d of %d are known", who, len(all), late)
		return 0
	}
	slices.Sort(all)
	if spread := all[len(all)-1] - all[0]; spread > most/2 {
		t.Errorf("%s: times vary by %.3f s", who, spread)
	}
	return all[len(all)/2]
}
