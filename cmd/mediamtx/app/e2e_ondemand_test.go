//go:build e2e

package app_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// onDemand is a server whose streams FFmpeg publishes when somebody wants them.
type onDemand struct {
	*instance
	calls string // what the commands wrote
}

// startOnDemand starts a server. The width of the picture is in the name of
// the path, so that a reader sees whether variables were replaced.
func startOnDemand(t *testing.T) *onDemand {
	t.Helper()
	p := freePorts(t)
	calls := filepath.Join(t.TempDir(), "calls")
	encode := "-pix_fmt yuv420p -c:v libx264 -preset ultrafast -tune zerolatency -g 25 -threads 1"
	source := func(width string) string {
		return "ffmpeg -loglevel error -nostdin -re -f lavfi -i testsrc2=size=" + width + "x144:rate=25 " + encode
	}
	say := func(what string) string { return "sh -c 'echo " + what + " >> " + calls + "'" }
	in := startCommand(t, p, fmt.Sprintf(`webrtc: no
hlsVariant: fmp4
hlsMuxerCloseAfter: 1s
paths:
  ~^cam([0-9]+)$:
    runOnDemand: %s -f rtsp -rtsp_transport tcp rtsp://localhost:$RTSP_PORT/$MTX_PATH
    runOnDemandStartTimeout: 30s
    runOnDemandCloseAfter: 2s
    runOnReady: %s
    runOnUnDemand: %s
  ~^pushed/(.+)$:
    runOnDemand: %s -f flv rtmp://localhost:%s/${MTX_PATH}
    runOnDemandStartTimeout: 30s
    runOnDemandCloseAfter: 1s
  broken:
    runOnDemand: ffmpeg -loglevel quiet -i /nothing -f rtsp rtsp://localhost:$RTSP_PORT/$MTX_PATH
    runOnDemandStartTimeout: 1s
    runOnDemandRestart: yes
  spare:
    fallback: /cam192
  all_others:
    runOnDemand: %s -f mpegts srt://localhost:%s?streamid=publish:$MTX_PATH&pkt_size=1316
    runOnDemandStartTimeout: 30s
    runOnDemandCloseAfter: 1s
`, source("${G1}"), say("ready $MTX_PATH $MTX_SOURCE_TYPE"), say("undemand $MTX_PATH $G1 $RTSP_PORT \"$MTX_QUERY\""),
		source("208"), p.rtmp, source("224"), p.srt))
	return &onDemand{in, calls}
}

// see decodes some pictures and returns the size of the last one.
func (d *onDemand) see(t *testing.T, protocol, path string) string {
	t.Helper()
	out := run(t, "ffmpeg", ffmpeg(append(d.input(protocol, path), strings.Fields("-map 0:v:0 -frames:v 30 -f framemd5 -")...)...)...)
	size := ""
	for line := range strings.Lines(out) {
		if s, ok := strings.CutPrefix(line, "#dimensions 0: "); ok {
			size = strings.TrimSpace(s)
		}
	}
	if n := len(rows(out, 0)); n != 30 {
		t.Errorf("%s by %s: %d pictures", path, protocol, n)
	}
	return size
}

// said returns the lines that commands wrote, sorted.
func (d *onDemand) said() []string {
	b, _ := os.ReadFile(d.calls)
	lines := strings.Split(strings.TrimSpace(strings.ReplaceAll(string(b), " \n", "\n")), "\n")
	slices.Sort(lines)
	return lines
}

// publishers returns how many processes publish to a path.
func publishers(target string) int {
	out, _ := exec.Command("pgrep", "-f", "ffmpeg.*"+target).Output() // fails if there is none
	return len(strings.Fields(string(out)))
}

// FFmpeg publishes on demand, whoever asks by whatever protocol, and is gone a
// while after the last reader.
func TestOnDemandByFFmpeg(t *testing.T) {
	needs(t, "ffmpeg", "pgrep")
	d := startOnDemand(t)
	for _, c := range []struct{ protocol, path, want string }{
		{"rtsp", "cam160", "160x144"},
		{"rtmp", "cam160", "160x144"}, // before the first is given up
		{"srt", "cam176", "176x144"},
		{"hls", "cam176", "176x144"},
		{"rtmp", "pushed/one", "208x144"},
		{"rtsp", "any/other", "224x144"}, // by all_others
		{"rtsp", "spare", "192x144"},     // falls back
		{"rtsp", "cam160", "160x144"},    // again
	} {
		if got := d.see(t, c.protocol, c.path); got != c.want {
			t.Errorf("%s by %s: %s, want %s", c.path, c.protocol, got, c.want)
		}
		if c.path == "cam176" && publishers(d.ports.rtsp+"/cam176") > 1 {
			t.Error("FFmpeg was started twice")
		}
	}
	query := "a=1&b=$(id)%20'"
	out := run(t, "ffmpeg", ffmpeg("-rtsp_transport", "tcp", "-i", d.readURL("rtsp", "cam240")+"?"+query, "-frames:v", "5", "-f", "framemd5", "-")...)
	if !strings.Contains(out, "240x144") {
		t.Error(out)
	}
	eventually(t, "FFmpeg ends", func() bool {
		return publishers(d.ports.rtsp+"/") == 0 && publishers(d.ports.rtmp+"/pushed") == 0 && publishers(d.ports.srt+".streamid=publish") == 0
	})
	eventually(t, "paths are forgotten", func() bool {
		for p := range d.router.Paths() {
			if p.Name != "broken" && p.Name != "spare" {
				return false
			}
		}
		return true
	})
	want := []string{"undemand cam240 240 " + d.ports.rtsp + " a=1&b=%24%28id%29%20%27"}
	for _, n := range []string{"160", "176", "192"} {
		want = append(want, "undemand cam"+n+" "+n+" "+d.ports.rtsp)
	}
	want = append(want, "ready cam160 rtspSession", "ready cam176 rtspSession", "ready cam192 rtspSession", "ready cam240 rtspSession")
	var got []string
	eventually(t, "commands", func() bool {
		got = slices.Compact(d.said()) // a path may have been on demand again
		return len(got) == len(want)
	})
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("commands said\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// Who asks for what nobody publishes is refused after the timeout.
func TestOnDemandThatFails(t *testing.T) {
	needs(t, "ffmpeg", "pgrep")
	d := startOnDemand(t)
	cmd := exec.CommandContext(t.Context(), "ffmpeg", ffmpeg("-rtsp_transport", "tcp", "-i", d.readURL("rtsp", "broken"), "-f", "null", "-")...)
	if out, err := cmd.CombinedOutput(); err == nil {
		t.Errorf("it was played: %s", out)
	}
	eventually(t, "the command is given up", func() bool {
		p, ok := d.router.Path("broken")
		return ok && !p.Info().Ready && len(p.Info().Readers) == 0 && publishers(d.ports.rtsp+"/broken") == 0
	})
}
