package rpicam

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
	"github.com/org/mtx/router/routertest"
)

const patience = 20 * time.Second

// receive returns the first units of the stream.
func receive(t *testing.T, r *router.Router, n int) ([]*media.Unit, media.Codec) {
	t.Helper()
	st := routertest.WaitReady(t, r, "cam")
	sub, err := st.Subscribe(router.SubscribeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var out []*media.Unit
	for len(out) < n {
		_, u, err := sub.Next(ctx)
		if err != nil {
			t.Fatalf("after %d units: %v", len(out), err)
		}
		out = append(out, u)
	}
	return out, st.Tracks()[0].Codec
}

func TestPublishH264(t *testing.T) {
	t.Parallel()
	for _, e := range []encoder{encoderHardware, encoderSoftware} {
		s := behaving(t, "fine")
		s.Codec = CodecAuto
		r, _ := pull(t, machine{s, e})
		units, codec := receive(t, r, 30)
		c, ok := codec.(*media.H264)
		if !ok || !bytes.Equal(c.SPS, testSPS) || !bytes.Equal(c.PPS, testPPS) {
			t.Fatalf("the codec is %+v", codec)
		}
		checkTime(t, units, e == encoderHardware)
		for i, u := range units {
			switch {
			case len(u.Payload) == 3 && u.RandomAccess && bytes.Equal(u.Payload[0], testSPS):
			case len(u.Payload) == 1 && !u.RandomAccess && u.Payload[0][0] == 0x41:
			default:
				t.Errorf("unit %d: %x", i, u.Payload)
			}
		}
	}
}

// checkTime checks 100 pictures a second: exactly if they are stamped.
func checkTime(t *testing.T, units []*media.Unit, stamped bool) {
	t.Helper()
	for i, u := range units[1:] {
		step := u.PTS - units[i].PTS
		if stamped && step != 900 || step <= 0 || step > 90000 {
			t.Errorf("unit %d comes %d ticks after the one before", i+1, step)
		}
		if d := time.Since(u.NTP); d < -time.Second || d > patience {
			t.Errorf("unit %d was captured %v ago", i+1, d)
		}
	}
}

func TestPublishMJPEG(t *testing.T) {
	t.Parallel()
	r, _ := pull(t, behaving(t, "mjpeg"))
	units, codec := receive(t, r, 20)
	if _, ok := codec.(*media.MJPEG); !ok {
		t.Fatalf("the codec is %s", codec.Name())
	}
	checkTime(t, units, true)
	for i, u := range units {
		if len(u.Payload) != 1 || !bytes.HasPrefix(u.Payload[0], []byte{0xFF, 0xD8}) || !bytes.HasSuffix(u.Payload[0], []byte{0xFF, 0xD9}) {
			t.Errorf("unit %d is no picture: %x", i, u.Payload)
		}
	}
}

// What goes wrong is told in a sentence, and the source starts again.
func TestFaults(t *testing.T) {
	t.Parallel()
	missing := behaving(t, "mjpeg")
	missing.Program = filepath.Join(t.TempDir(), "rpicam-vid")
	secondary := behaving(t, "mjpeg")
	secondary.Secondary = true
	invalid := behaving(t, "mjpeg")
	invalid.Brightness = 2
	hanging := behaving(t, "hang-mjpeg")
	hanging.ReadTimeout = 400 * time.Millisecond
	mute := Default()
	mute.Program = "/bin/false"
	for _, c := range []struct {
		name string
		src  Source
		want string
	}{
		{"crash", behaving(t, "crash-mjpeg"), `rpicam-vid is gone: exit status 255; it said "ERROR: *** failed to queue buffer ***"`},
		{"end", behaving(t, "end-mjpeg"), `rpicam-vid is gone: it ended by itself; it said "[0:06:16.583445990]`},
		{"no camera", behaving(t, "absent-mjpeg"), `rpicam-vid is gone: exit status 255; it said "ERROR: *** no cameras available ***"`},
		{"garbage", behaving(t, "garbage-mjpeg"), "what arrives is not a series of JPEG pictures"},
		{"other codec", behaving(t, "garbage"), "what arrives is not H264 in Annex-B format"},
		{"hang", hanging, "the camera delivered no picture for 400ms; it said"},
		{"missing", missing, "rpicam-vid was not found"},
		{"secondary", secondary, "a secondary stream is not possible: rpicam-vid gives one stream per camera"},
		{"invalid", invalid, "brightness 2: must be between -1 and 1"},
		{"other program", mute, "false cannot be asked for its options: exit status 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, l := pull(t, machine{c.src, encoderHardware})
			l.wait(t, func(s string) bool { return strings.Count(strings.ReplaceAll(s, `\`, ""), c.want) >= 2 })
		})
	}
}

func TestSourceIsThereAgain(t *testing.T) {
	t.Parallel()
	r, l := pull(t, behaving(t, "crash-mjpeg"))
	receive(t, r, 1)
	l.wait(t, func(s string) bool { return strings.Count(s, `msg="stream is available"`) >= 3 })
}

// A change of settings starts the program again, and the stream goes on with growing
// time stamps; another codec is another stream.
func TestChange(t *testing.T) {
	t.Parallel()
	for name, words := range map[string]string{"stamped": "mjpeg", "not stamped": "nostamps-mjpeg"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := behaving(t, words)
			r, l := pull(t, s)
			st := routertest.WaitReady(t, r, "cam")
			sub, err := st.Subscribe(router.SubscribeOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer sub.Close()
			last := int64(-1)
			more := func() {
				t.Helper()
				for range 20 {
					_, u, err := sub.Next(t.Context())
					if err != nil {
						t.Fatalf("%v: %v", err, st.Err())
					}
					if u.PTS <= last {
						t.Errorf("time stamp %d after %d", u.PTS, last)
					}
					last = u.PTS
				}
			}
			apply := func(s Source) {
				t.Helper()
				cfg := r.Config()
				cfg.Paths = []router.PathConfig{{Name: "cam", Source: s}}
				if _, err := r.Apply(t.Context(), cfg); err != nil {
					t.Fatal(err)
				}
			}
			more()
			for n := range 3 {
				s.Brightness, s.FPS = float64(n)/10+0.1, 60
				apply(s)
				l.wait(t, func(text string) bool { return strings.Contains(text, "--brightness="+number(s.Brightness)+" ") })
				more()
			}
			s.Codec = CodecHardwareH264
			apply(s)
			<-st.Done()
			if left := running(t, filepath.Dir(s.Program)); strings.Contains(left, "--codec=mjpeg") {
				t.Errorf("still there: %s", left)
			}
		})
	}
}

func TestCanUpdate(t *testing.T) {
	t.Parallel()
	s := Default()
	for name, c := range map[string]struct {
		set  func(*Source)
		want bool
	}{
		"control":   {func(s *Source) { s.EV = 1 }, true},
		"encoder":   {func(s *Source) { s.Codec = CodecSoftwareH264 }, true},
		"size":      {func(s *Source) { s.Width = 640 }, true},
		"codec":     {func(s *Source) { s.Codec = CodecMJPEG }, false},
		"secondary": {func(s *Source) { s.Secondary = true }, false},
		"invalid":   {func(s *Source) { s.Brightness = 2 }, false},
	} {
		n := s
		c.set(&n)
		if got := s.CanUpdate(n); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if s.CanUpdate(&routertest.Source{}) {
		t.Error("another source")
	}
}

// Stopping ends the program, whatever it does about signals, and what it
// started.
func TestStop(t *testing.T) {
	t.Parallel()
	for _, words := range []string{"mjpeg", "stubborn-mjpeg", "child-mjpeg", "talk-mjpeg", "fine", "garbage-stubborn-mjpeg"} {
		t.Run(words, func(t *testing.T) {
			t.Parallel()
			s := behaving(t, words)
			r, l := pull(t, machine{s, encoderHardware})
			if strings.Contains(words, "garbage") {
				l.wait(t, func(s string) bool { return strings.Contains(s, "what arrives") })
			} else {
				receive(t, r, 3)
			}
			begin := time.Now()
			r.Close()
			took := time.Since(begin)
			if took > 10*time.Second || !strings.Contains(words, "stubborn") && took > grace {
				t.Errorf("it took %v", took)
			}
			if left := running(t, filepath.Dir(s.Program)); left != "" {
				t.Errorf("still there: %s", left)
			}
		})
	}
}

// running returns the command lines of processes that mention a text.
func running(t *testing.T, text string) string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil && bytes.Contains(b, []byte(text)) {
			out = append(out, string(bytes.ReplaceAll(b, []byte{0}, []byte{' '})))
		}
	}
	return strings.Join(out, "; ")
}

// Time stamps that do not come, or make no sense, are replaced by the time of
// arrival.
func TestNoStamps(t *testing.T) {
	t.Parallel()
	for _, words := range []string{"nostamps-mjpeg", "badstamps-mjpeg"} {
		r, _ := pull(t, behaving(t, words))
		units, _ := receive(t, r, 60)
		checkTime(t, units, false)
	}
}

func TestOverlay(t *testing.T) {
	t.Parallel()
	s := behaving(t, "nostage-mjpeg")
	s.TextOverlay = `%H:%M "<yard>"`
	r, l := pull(t, s)
	receive(t, r, 1)
	l.wait(t, func(text string) bool {
		return strings.Contains(strings.ReplaceAll(text, `\`, ""), `"text":"%H:%M "<yard>""`) &&
			strings.Contains(text, "the text overlay is not possible: the camera program lacks its stage annotate_cv")
	})
	name := regexp.MustCompile(`--post-process-file=([^ \]]*)`).FindStringSubmatch(l.String())
	if name == nil {
		t.Fatal("the program was not told about the overlay")
	}
	r.Close()
	if _, err := os.Stat(name[1]); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", name[1], err)
	}
}

// The program is found in PATH, the newer name first.
func TestFind(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	if _, err := find(""); err == nil || !strings.HasPrefix(err.Error(), "neither rpicam-vid nor libcamera-vid was found in PATH") {
		t.Errorf("without a program: %v", err)
	}
	for _, name := range []string{"libcamera-vid", "rpicam-vid"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		if got, err := find(""); err != nil || got != filepath.Join(dir, name) {
			t.Errorf("found %s (%v), want %s", got, err, name)
		}
	}
}
