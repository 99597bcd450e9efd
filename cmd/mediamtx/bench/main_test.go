package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestMain lets the test binary be the baseline server, as the program is.
func TestMain(m *testing.M) {
	if spec := os.Getenv(plainEnv); spec != "" {
		if err := servePlain(spec); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

func TestRunPlain(t *testing.T) {
	t.Parallel()
	if err := checkPlatform(false); err != nil {
		t.Skip(err) // the program refuses to run there
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out, progress bytes.Buffer
	err := run(ctx, []string{
		"-servers", "plain", "-scenarios", "rtsp-tcp,rtsp-udp", "-readers", "3",
		"-rounds", "1", "-dur", "1s", "-warm", "100ms", "-json",
	}, &out, &progress)
	if err != nil {
		t.Fatalf("%v\n%s", err, progress.String())
	}
	var rep report
	if err := json.Unmarshal(out.Bytes(), &rep); err != nil {
		t.Fatal(err)
	}
	if len(rep.Scenarios) != 2 {
		t.Fatalf("%d scenarios in the report, want 2", len(rep.Scenarios))
	}
	for _, s := range rep.Scenarios {
		v := s.Servers[serverPlain]
		// 3 readers of 4 Mbit/s, give or take a frame and a busy machine
		if v[delivered] < 6 || v[delivered] > 18 {
			t.Errorf("%s: %.1f Mbit/s delivered, want about 12", s.Name, v[delivered])
		}
		if v[lost] != 0 || v[lostFrames] != 0 || v[gone] != 0 {
			t.Errorf("%s: losses: %v", s.Name, v)
		}
		if v[latencyP50] <= 0 || v[latencyP50] > v[latencyMax] {
			t.Errorf("%s: latencies: %v", s.Name, v)
		}
	}
	if rep.allMet() {
		t.Error("targets count as met although mtx was not measured")
	}
}

func TestFlagErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ args, want string }{
		{"-scenarios nothing", `"nothing" is not one of rtsp-tcp`},
		{"-servers other", `"other" is not one of mtx, plain`},
		{"-rounds 0", "-rounds must be at least 1"},
		{"-dur 10ms", "-dur at least 1s"},
		{"stray", `argument "stray"`},
		{"-nosuchflag", errUsage.Error()},
	} {
		_, err := parseFlags(strings.Fields(c.args), &bytes.Buffer{})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", c.args, err, c.want)
		}
	}
}

func TestConfigFile(t *testing.T) {
	t.Parallel()
	got := string(configFile(serverPorts{rtsp: "127.0.0.1:1", rtp: "127.0.0.1:2", rtcp: "127.0.0.1:3"}, 2))
	for _, want := range []string{
		"rtspAddress: 127.0.0.1:1\n", "rtpAddress: 127.0.0.1:2\n", "rtcpAddress: 127.0.0.1:3\n",
		"paths:\n  all_others:\n  idle0000:\n  idle0001:\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("configuration lacks %q:\n%s", want, got)
		}
	}
}
