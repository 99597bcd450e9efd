package rpicam

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// help is what the real program prints, shortened.
const help = `Valid options are:
  -h [ --help ] [=arg(=1)] (=0)    Print this help message
  --version, --list-cameras, --camera arg (=0), -v [ --verbose ], -c [ --config ], --info-text
  --width --height -t [ --timeout ] -o [ --output ] --post-process-file -n [ --nopreview ]
  --hflip --vflip --rotation --roi --shutter --analoggain --gain --metering --exposure --ev
  --awb --awbgains --flush --wrap --brightness --contrast --saturation --sharpness --framerate --denoise
  --tuning-file --lores-width --lores-height --mode --autofocus-mode --autofocus-range
  --autofocus-speed --autofocus-window --lens-position --hdr [=arg(=auto)] (=off) --flicker-period
  -b [ --bitrate ] --profile --level -g [ --intra ] --inline --codec --save-pts -q [ --quality ]
  -l [ --listen ] -k [ --keypress ] -s [ --signal ] --frames
  --libav-video-codec --libav-video-codec-opts --libav-format --low-latency
`

var (
	testSPS = []byte{
		0x67, 0x42, 0xc0, 0x28, 0xd9, 0x00, 0x78, 0x02, 0x27, 0xe5, 0x84, 0x00, 0x00, 0x03, 0x00, 0x04,
		0x00, 0x00, 0x03, 0x00, 0xf0, 0x3c, 0x60, 0xc9, 0x20,
	}
	testPPS = []byte{0x68, 0xce, 0x3c, 0x80}
	code    = []byte{0, 0, 0, 1}
)

// testAU is the n-th access unit of a stream with a key frame every 10, in
// Annex-B format.
func testAU(n int) []byte {
	body := bytes.Repeat([]byte{0xAB, 0xCD}, 40+n%7)
	if n%10 == 0 {
		return slicesJoin(code, testSPS, code, testPPS, code, []byte{0x65, 0x88}, body, body)
	}
	return slicesJoin(code, []byte{0x41, 0x9A, byte(n) | 1}, body)
}

func slicesJoin(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// testJPEG is a picture of the kind that libjpeg makes for the camera: 4:2:0, two
// quantization tables, the usual Huffman tables.
func testJPEG(n int) []byte {
	m := image.NewYCbCr(image.Rect(0, 0, 32, 16), image.YCbCrSubsampleRatio420)
	for i := range m.Y {
		m.Y[i] = byte(i * n)
	}
	var b bytes.Buffer
	_ = jpeg.Encode(&b, m, nil)
	return b.Bytes()
}

// standIn is the camera program. How it behaves is in the name of the tuning
// file, as words that are separated by dashes.
func standIn(args []string) int {
	opts := map[string]string{}
	for _, a := range args {
		name, value, _ := strings.Cut(strings.TrimPrefix(a, "--"), "=")
		if !strings.Contains(help, "--"+name) {
			fmt.Fprintf(os.Stderr, "ERROR: *** unrecognised option '%s' ***\n", a)
			return 255
		}
		opts[name] = value
	}
	if _, ok := opts["help"]; ok {
		fmt.Print(help)
		return 0
	}
	c := &camera{opts: opts, words: strings.Split(opts["tuning-file"], "-")}
	return c.run()
}

type camera struct {
	opts   map[string]string
	words  []string
	stamps *os.File
}

func (c *camera) does(word string) bool {
	for _, w := range c.words {
		if w == word {
			return true
		}
	}
	return false
}

func (c *camera) run() int {
	fmt.Fprintln(os.Stderr, "[0:06:16.583445990] [1264]  INFO Camera camera_manager.cpp:284 libcamera v0.1.0")
	if f := c.opts["post-process-file"]; f != "" {
		b, err := os.ReadFile(f)
		fmt.Fprintf(os.Stderr, "post-processing: %s %v\n", b, err)
		if c.does("nostage") {
			fmt.Fprintln(os.Stderr, `No post processing stage found for "annotate_cv"`)
		}
	}
	switch {
	case c.does("absent"):
		fmt.Fprintln(os.Stderr, "ERROR: *** no cameras available ***")
		fmt.Fprintln(os.Stderr, "bye")
		return 255
	case c.does("garbage"):
		_, _ = io.Copy(os.Stdout, strings.NewReader(strings.Repeat("not a video ", 1<<15)))
		time.Sleep(time.Minute)
	case c.does("talk"):
		fmt.Fprintln(os.Stderr, strings.Repeat("x", 1<<20))
	case c.does("child"):
		child := exec.Command("sh", "-c", "trap '' INT; sleep 1000; :", os.Args[0]) // a process that stays
		child.Stdout, child.Stderr = os.Stdout, os.Stderr
		_ = child.Start()
	}
	if name := c.opts["save-pts"]; name != "" {
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			fmt.Fprintln(os.Stderr, "ERROR: *** Failed to open timestamp file", name, err)
			return 255
		}
		c.stamps = f
		fmt.Fprintln(f, "# timecode format v2")
	}
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, syscall.SIGINT)
	if c.does("stubborn") {
		signal.Ignore(syscall.SIGINT)
	}
	if c.does("ffmpeg") {
		return c.encode(interrupted)
	}
	return c.film(interrupted)
}

// encode films with FFmpeg. As the real program does, it writes a picture, then
// its time stamp.
func (c *camera) encode(interrupted chan os.Signal) int {
	o := c.opts
	args := "-loglevel error -re -f lavfi -i testsrc2=size=" + o["width"] + "x" + o["height"] + ":rate=" + o["framerate"] + " -pix_fmt yuv420p "
	if o["codec"] == "mjpeg" {
		args += "-pix_fmt yuvj420p -c:v mjpeg -q:v 5 -f mjpeg -"
	} else {
		args += "-c:v libx264 -preset ultrafast -tune zerolatency -g " + o["intra"] + " -b:v " + o["bitrate"] + " -profile:v " + o["profile"] +
			" -x264-params aud=1 -f h264 -"
	}
	cmd := exec.Command("ffmpeg", strings.Fields(args)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "ERROR: ***", err)
		return 255
	}
	go func() { <-interrupted; _ = cmd.Process.Kill() }()
	fps, _ := strconv.ParseFloat(o["framerate"], 64)
	n := 0
	picture := func(b []byte) {
		_, _ = os.Stdout.Write(b)
		if c.stamps != nil {
			_, _ = fmt.Fprintf(c.stamps, "%.3f\n", 1000*float64(n)/fps)
		}
		n++
	}
	var split splitter = newJPEGs(picture)
	if o["codec"] != "mjpeg" {
		split = newAnnexB(func(au [][]byte) { picture(slicesJoin(code, bytes.Join(au, code))) })
	}
	_, _ = io.Copy(writer{split}, out)
	_ = cmd.Wait()
	return 0
}

type writer struct{ splitter }

func (w writer) Write(b []byte) (int, error) { return len(b), w.write(b) }

func (c *camera) film(interrupted chan os.Signal) int {
	fps, _ := strconv.ParseFloat(c.opts["framerate"], 64)
	tick := time.NewTicker(time.Duration(float64(time.Second) / fps))
	defer tick.Stop()
	for n := 0; ; n++ {
		switch {
		case c.does("crash") && n == 15:
			fmt.Fprintln(os.Stderr, "ERROR: *** failed to queue buffer ***")
			return 255
		case c.does("hang") && n == 5:
			time.Sleep(time.Hour)
		case c.does("end") && n == 15:
			return 0
		}
		if !c.frame(n, fps) {
			return 255
		}
		select {
		case <-interrupted:
			return 0
		case <-tick.C:
		}
	}
}

func (c *camera) frame(n int, fps float64) bool {
	b := testAU(n)
	if c.opts["codec"] == "mjpeg" {
		b = testJPEG(n)
	}
	for len(b) > 0 { // in pieces, as pipes do
		k := min(len(b), 37)
		if _, err := os.Stdout.Write(b[:k]); err != nil {
			return false
		}
		b = b[k:]
	}
	if c.stamps != nil {
		switch {
		case c.does("badstamps") && n > 2:
			_, _ = fmt.Fprintln(c.stamps, "nonsense")
		case !c.does("nostamps"):
			_, _ = fmt.Fprintf(c.stamps, "%.3f\n", 1000*float64(n)/fps)
		}
	}
	return true
}

// program returns the path of the stand-in.
func program(t testing.TB) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "rpicam-vid")
	if err := os.Symlink(exe, name); err != nil {
		t.Fatal(err)
	}
	return name
}

// behaving returns a camera that behaves as the words say.
func behaving(t testing.TB, words string) Source {
	t.Helper()
	s := Default()
	s.Program, s.TuningFile, s.FPS = program(t), words, 100
	s.Codec = CodecMJPEG
	if !strings.Contains(words, "mjpeg") {
		s.Codec = CodecHardwareH264
	}
	return s
}
