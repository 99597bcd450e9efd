//go:build e2e

package rtmp_test

import (
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/org/mtx/protocol/internal/e2e"
	"github.com/org/mtx/protocol/rtmp"
	"github.com/org/mtx/protocol/rtsp"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/routertest"
)

// e2eServer serves RTMP and RTSP at random ports.
type e2eServer struct {
	*router.Router
	ports map[string]string
}

func serveAll(t *testing.T) *e2eServer {
	t.Helper()
	t.Parallel()
	e2e.Needs(t, "ffmpeg", "ffprobe")
	tcp := &rtsp.Server{Addr: "127.0.0.1:0", Transports: []rtsp.Transport{rtsp.TCP}}
	r, _ := start(t, &rtmp.Server{}, func(c *router.Config) { c.Protocols = append(c.Protocols, tcp) })
	s := &e2eServer{Router: r, ports: map[string]string{}}
	for _, name := range []string{"rtmp", "rtsp"} {
		_, port, err := net.SplitHostPort(r.ProtocolAddrs(name)[0].String())
		if err != nil {
			t.Fatal(err)
		}
		s.ports[name] = port
	}
	return s
}

func (s *e2eServer) url(scheme, path string) string {
	return fmt.Sprintf("%s://127.0.0.1:%s/%s", scheme, s.ports[scheme], path)
}

// ffmpeg runs FFmpeg to its end and returns what it printed on its two outputs.
func ffmpeg(t *testing.T, args ...string) (stdout, stderr string) {
	t.Helper()
	return e2e.Run(t, "ffmpeg", append([]string{"-hide_banner", "-loglevel", "warning", "-nostdin", "-y"}, args...)...)
}

// makeFile encodes a test picture and a test tone. Both change every second at
// the same time: the picture turns from black to white for 0.1 s, and the tone
// is heard meanwhile.
func makeFile(t *testing.T, codecs ...string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "source.mkv")
	args := []string{
		"-f", "lavfi", "-i", "color=black:size=128x96:rate=25:duration=40,drawbox=c=white:t=fill:enable='lt(mod(t,1),0.12)'",
		"-f", "lavfi", "-i", "aevalsrc='0.5*sin(2*PI*1000*t)*lt(mod(t,1),0.12)':sample_rate=48000:duration=40",
	}
	args = append(args, codecs...)
	ffmpeg(t, append(args, "-threads", "1", name)...)
	return name
}

var (
	h264 = []string{"-c:v", "libx264", "-preset", "veryfast", "-bf", "0", "-g", "25", "-pix_fmt", "yuv420p"}
	// withB has two B-frames between others.
	withB = []string{"-c:v", "libx264", "-preset", "veryfast", "-bf", "2", "-b_strategy", "0", "-g", "25", "-pix_fmt", "yuv420p"}
	aac   = []string{"-c:a", "aac"}
)

// publishFile publishes a file in real time until the test ends.
func (s *e2eServer) publishFile(t *testing.T, scheme, path, file string, more ...string) {
	t.Helper()
	format := map[string]string{"rtmp": "flv", "rtsp": "rtsp"}[scheme]
	args := []string{"-hide_banner", "-loglevel", "warning", "-nostdin", "-re", "-i", file, "-c", "copy", "-f", format}
	if scheme == "rtsp" {
		args = append(args, "-rtsp_transport", "tcp")
	}
	args = append(append(args, more...), s.url(scheme, path))
	e2e.Start(t, "ffmpeg", args...)
	routertest.WaitReady(t, s.Router, path)
}

// packet is what ffprobe tells about a packet.
type packet struct {
	Type  string `json:"codec_type"`
	PTS   string `json:"pts_time"`
	DTS   string `json:"dts_time"`
	Flags string `json:"flags"`
}

func (p packet) pts(t *testing.T) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(p.PTS, 64)
	if err != nil {
		t.Fatalf("time stamp %q", p.PTS)
	}
	return v
}

// probe returns the first seconds of packets of a stream.
func (s *e2eServer) probe(t *testing.T, scheme, path string, seconds int) []packet {
	t.Helper()
	args := []string{"-loglevel", "error", "-of", "json", "-show_packets", "-read_intervals", "%+" + strconv.Itoa(seconds)}
	if scheme == "rtsp" {
		args = append(args, "-rtsp_transport", "tcp")
	}
	out, _ := e2e.Run(t, "ffprobe", append(args, s.url(scheme, path))...)
	var list struct{ Packets []packet }
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatal(err)
	}
	return list.Packets
}

// checkStart fails unless the first picture is a key frame, decoding times
// increase, and audio begins beside video.
func checkStart(t *testing.T, packets []packet) {
	t.Helper()
	first := map[string]float64{}
	last := map[string]float64{}
	for _, p := range packets {
		if _, ok := first[p.Type]; !ok {
			first[p.Type] = p.pts(t)
			if p.Type == "video" && !strings.HasPrefix(p.Flags, "K") {
				t.Errorf("the first picture has flags %q", p.Flags)
			}
		}
		dts, err := strconv.ParseFloat(p.DTS, 64)
		if err != nil {
			continue // RTSP
		}
		if before, ok := last[p.Type]; ok && dts < before {
			t.Errorf("%s: decoding time %v after %v", p.Type, dts, before)
		}
		last[p.Type] = dts
	}
	if len(first) != 2 {
		t.Fatalf("streams: %v", first)
	}
	if d := first["video"] - first["audio"]; d > 0.3 || d < -0.3 {
		t.Errorf("video begins at %v, audio at %v", first["video"], first["audio"])
	}
}

// checkSync decodes a recording and fails unless flashes and beeps come together.
func checkSync(t *testing.T, file string) {
	t.Helper()
	_, log := e2e.Run(t, "ffmpeg", "-hide_banner", "-nostdin", "-i", file,
		"-vf", "blackdetect=d=0.3:pic_th=0.9", "-af", "silencedetect=n=-30dB:d=0.3", "-f", "null", "-")
	flashes, beeps := times(log, "black_end:"), times(log, "silence_end: ")
	if len(flashes) < 2 || len(beeps) < 2 {
		t.Fatalf("flashes at %v, beeps at %v", flashes, beeps)
	}
	for _, f := range flashes {
		if f > recorded.Seconds()-0.3 {
			continue // its beep may be cut off; the filter takes the end of silence for a beep
		}
		near := slices.MinFunc(beeps, func(a, b float64) int { return int(1e6 * (abs(a-f) - abs(b-f))) })
		if d := abs(near - f); d > 0.1 && d < 0.9 { // the recording may cut one off
			t.Errorf("a flash at %v, the beep at %v", f, near)
		}
	}
}

func abs(v float64) float64 { return max(v, -v) }

// times finds the numbers behind a word.
func times(log, word string) []float64 {
	var out []float64
	for _, s := range strings.Split(log, word)[1:] {
		if v, err := strconv.ParseFloat(strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == '|' || r == '\n' })[0], 64); err == nil {
			out = append(out, v)
		}
	}
	return out
}

// recorded is how long recordings are.
const recorded = 5 * time.Second

// record records some seconds of a stream, as it is, with what FFmpeg complains
// about being an error.
func (s *e2eServer) record(t *testing.T, scheme, path string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "out.mkv")
	args := []string{"-i", s.url(scheme, path), "-t", fmt.Sprint(recorded.Seconds()), "-c", "copy", file}
	if scheme == "rtsp" {
		args = append([]string{"-rtsp_transport", "tcp"}, args...)
	}
	_, log := ffmpeg(t, args...)
	if strings.Contains(log, "on-monoton") {
		t.Errorf("FFmpeg says:\n%s", log)
	}
	return file
}

func TestE2E(t *testing.T) {
	for _, ca := range []struct {
		name     string
		from, to string
		codecs   []string
	}{
		{"RTMP to RTMP", "rtmp", "rtmp", slices.Concat(h264, aac)},
		{"RTMP to RTSP", "rtmp", "rtsp", slices.Concat(h264, aac)},
		{"RTSP to RTMP", "rtsp", "rtmp", slices.Concat(h264, aac)},
		{"B-frames, RTMP to RTMP", "rtmp", "rtmp", slices.Concat(withB, aac)},
		{"B-frames, RTMP to RTSP", "rtmp", "rtsp", slices.Concat(withB, aac)},
		{"B-frames, RTSP to RTMP", "rtsp", "rtmp", slices.Concat(withB, aac)},
		{"MP3, RTMP to RTMP", "rtmp", "rtmp", slices.Concat(h264, []string{"-c:a", "libmp3lame", "-ar", "44100"})},
		{"MP3, RTSP to RTMP", "rtsp", "rtmp", slices.Concat(h264, []string{"-c:a", "libmp3lame", "-ar", "48000"})},
		{"PCMA, RTSP to RTMP", "rtsp", "rtmp", slices.Concat(h264, []string{"-c:a", "pcm_alaw", "-ar", "8000", "-ac", "1"})},
		{"PCMU, RTMP to RTSP", "rtmp", "rtsp", slices.Concat(h264, []string{"-c:a", "pcm_mulaw", "-ar", "8000", "-ac", "1"})},
		{"LPCM, RTMP to RTMP", "rtmp", "rtmp", slices.Concat(h264, []string{"-c:a", "pcm_s16le", "-ar", "44100", "-ac", "1"})},
	} {
		t.Run(ca.name, func(t *testing.T) {
			s := serveAll(t)
			s.publishFile(t, ca.from, "test", makeFile(t, ca.codecs...))
			checkSync(t, s.record(t, ca.to, "test"))
			if ca.to == "rtmp" {
				for range 2 { // they come at different places of a group of pictures
					checkStart(t, s.probe(t, ca.to, "test", 2))
				}
			}
		})
	}
}

// What FFmpeg decodes is what was published, picture by picture.
func TestE2EPictures(t *testing.T) {
	for _, to := range []string{"rtmp", "rtsp"} {
		t.Run(to, func(t *testing.T) {
			s := serveAll(t)
			name := filepath.Join(t.TempDir(), "source.mkv")
			ffmpeg(t, slices.Concat([]string{"-f", "lavfi", "-i", "testsrc2=size=128x96:rate=25:duration=40"}, withB, []string{"-threads", "1", name})...)
			source, _ := ffmpeg(t, "-i", name, "-f", "framemd5", "-")
			s.publishFile(t, "rtmp", "test", name)
			args := []string{"-i", s.url(to, "test"), "-frames:v", "60", "-fps_mode", "passthrough", "-f", "framemd5", "-"}
			if to == "rtsp" {
				args = append([]string{"-rtsp_transport", "tcp"}, args...)
			}
			got, _ := ffmpeg(t, args...)
			all, some := hashes(source), hashes(got)
			at := slices.Index(all, some[0])
			if at < 0 || len(some) < 55 || at+len(some) > len(all) || !slices.Equal(all[at:at+len(some)], some) {
				t.Errorf("%d pictures are no piece of the %d that were published (the first is number %d)", len(some), len(all), at)
			}
		})
	}
}

// hashes reads the output of the framemd5 muxer.
func hashes(out string) []string {
	var list []string
	for line := range strings.Lines(out) {
		if f := strings.Split(line, ","); !strings.HasPrefix(line, "#") && len(f) == 6 {
			list = append(list, strings.TrimSpace(f[5]))
		}
	}
	return list
}

// Encoders of GStreamer and credentials in the query work too.
func TestE2EGStreamer(t *testing.T) {
	s := serveAll(t)
	e2e.Needs(t, "gst:rtmp2sink", "gst:rtmp2src", "gst:x264enc", "gst:flvmux")
	e2e.Start(t, "gst-launch-1.0", strings.Fields(
		"-q flvmux streamable=true name=m ! rtmp2sink location="+s.url("rtmp", "live/gst")+
			" videotestsrc is-live=true ! video/x-raw,width=128,height=96 ! x264enc tune=zerolatency key-int-max=25 ! h264parse ! m."+
			" audiotestsrc is-live=true ! audio/x-raw,rate=44100 ! avenc_aac ! aacparse ! m.")...)
	routertest.WaitReady(t, s.Router, "live/gst")
	checkStart(t, s.probe(t, "rtmp", "live/gst", 2))
	out, _ := e2e.Run(t, "gst-launch-1.0", strings.Fields("-v rtmp2src location="+s.url("rtmp", "live/gst")+
		" ! flvdemux name=d d.video ! queue ! h264parse ! avdec_h264 ! fakesink num-buffers=30 silent=false")...)
	if !strings.Contains(out, "fakesink") {
		t.Errorf("GStreamer read nothing:\n%s", out)
	}
}
