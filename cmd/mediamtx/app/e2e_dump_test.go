//go:build e2e

package app_test

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Programs for captures read dumps and find no fault: tcpdump and, where it is
// installed, tshark, which has to reassemble and decode them.
func TestDumpPrograms(t *testing.T) {
	needs(t, "ffmpeg", "tcpdump")
	takeSlot(t)
	src := makeSource(t, "176x144", h264aac...)
	dir := t.TempDir()
	in := startCommand(t, ports{}, "dumpPackets: yes\nlogFile: "+filepath.ToSlash(dir)+"/log\n")
	publisher := in.publish(t, "rtsp-udp", "cam", src)
	in.readAll(t, "cam", "", src, "rtsp", "rtsp-udp", "rtmp", "srt")
	publisher.stop()
	in.stop()

	_, err := exec.LookPath("tshark")
	tshark := err == nil
	files := map[string]int{}
	for _, file := range glob(t, filepath.Join(dir, "dump", "*.pcap")) {
		kind := strings.Split(filepath.Base(file), "_")[1]
		files[kind]++
		packets := run(t, "tcpdump", "-nn", "-vv", "-r", file)
		if n := strings.Count(packets, "length"); n < 10 {
			t.Errorf("%s: tcpdump sees %d packets", kind, n)
		}
		if bad := regexp.MustCompile(`(?i).*(\b(bad|incorrect|truncated|wrong)\b|\[\|).*`).FindString(packets); bad != "" {
			t.Errorf("%s: %s", kind, bad)
		}
		if tshark {
			decode(t, file, kind, in.ports)
		}
	}
	// the publisher and one reader have two medias over UDP
	for kind, n := range map[string]int{"rtsp": 3, "rtsp-udp": 4, "rtmp": 1, "srt-udp": 1} {
		if files[kind] < n {
			t.Errorf("%d files of %s, want %d", files[kind], kind, n)
		}
	}
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// decode checks what tshark makes of a file.
func decode(t *testing.T, file, kind string, p ports) {
	t.Helper()
	ask := func(as, filter, field string) []string {
		args := []string{"-r", file, "-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE", "--enable-heuristic", "rtp_udp"}
		if as != "" {
			args = append(args, "-d", as)
		}
		return strings.Fields(run(t, "tshark", append(args, "-Y", filter, "-T", "fields", "-e", field)...))
	}
	const faults = `ip.checksum.status == "Bad" || tcp.checksum.status == "Bad" || udp.checksum.status == "Bad" || tcp.analysis.flags`
	if bad := ask("", faults, "frame.number"); len(bad) > 0 {
		t.Errorf("%s: faulty packets: %q", kind, bad)
	}
	switch kind {
	case "rtsp":
		as := "tcp.port==" + p.rtsp + ",rtsp"
		requests, answers := ask(as, "rtsp.request", "frame.number"), ask(as, "rtsp.response", "frame.number")
		if len(requests) < 4 || len(answers) != len(requests) {
			t.Errorf("requests in %q, answers in %q", requests, answers)
		}
	case "rtsp-udp":
		if n, all := len(ask("", "rtp || rtcp", "frame.number")), len(ask("", "udp", "frame.number")); n < 20 || n < all-10 {
			t.Errorf("%d of %d packets are RTP or RTCP", n, all)
		}
	case "srt-udp":
		if n := len(ask("udp.port=="+p.srt+",srt", "srt.iscontrol == 0", "frame.number")); n < 20 {
			t.Errorf("%d packets of SRT with data", n)
		}
	case "rtmp":
		if n := len(ask("tcp.port=="+p.rtmp+",rtmpt", "rtmpt", "frame.number")); n < 20 {
			t.Errorf("%d packets of RTMP", n)
		}
	}
}
