//go:build e2e

package rtsp_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/org/mtx/protocol/internal/e2e"
)

// listening finds the address of the RTSP server in the log of the program.
var listening = regexp.MustCompile(`(?i)\brtsp\b.*127\.0\.0\.1:([1-9][0-9]*)`)

// The program without arguments, without configuration file: FFmpeg publishes
// and reads. SIGTERM ends it.
func TestE2ECommand(t *testing.T) {
	e2e.Needs(t, "ffmpeg")
	t.Parallel()
	name := filepath.Join(t.TempDir(), "mediamtx")
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no SIGTERM")
	}
	build := exec.Command("go", "build", "-o", name, "../../cmd/mediamtx")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	file := smallH264(t)

	p := e2e.LaunchWith(t, []string{
		"MTX_RTSPADDRESS=127.0.0.1:0", "MTX_RTPADDRESS=127.0.0.1:0", "MTX_RTCPADDRESS=127.0.0.1:0",
		"MTX_RTSPTRANSPORTS=udp,tcp",
		"MTX_RTMPADDRESS=127.0.0.1:0", "MTX_HLSADDRESS=127.0.0.1:0", "MTX_SRTADDRESS=127.0.0.1:0",
		"MTX_WEBRTCADDRESS=127.0.0.1:0", "MTX_WEBRTCLOCALUDPADDRESS=127.0.0.1:0",
	}, name)
	if !p.Stdout.WaitFor(listening.MatchString) {
		t.Fatalf("it does not listen:\n%s", p.Stdout.String())
	}
	s := &e2eServer{scheme: "rtsp", port: listening.FindStringSubmatch(p.Stdout.String())[1]}
	e2e.Launch(t, "ffmpeg", ffmpeg("-re", "-i", file, "-c", "copy", "-f", "rtsp", "-rtsp_transport", "udp", s.url("mystream"))...)
	if !p.Stdout.WaitFor(func(log string) bool { return strings.Contains(log, "stream is available") }) {
		t.Fatal("FFmpeg does not publish")
	}
	source := decodeFile(t, file)
	for _, out := range unicast {
		checkRead(t, out, source, videoOf(t, s.startVideo(t, "mystream", "-rtsp_transport", out)))
	}

	if err := p.Cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.Done:
		if p.Err != nil {
			t.Errorf("after SIGTERM: %v", p.Err)
		}
	case <-time.After(5 * time.Second):
		t.Error("SIGTERM has not ended it")
	}
	if left, err := os.ReadDir(p.Cmd.Dir); err != nil || len(left) != 0 {
		t.Errorf("it has left files: %v %v", left, err)
	}
}
