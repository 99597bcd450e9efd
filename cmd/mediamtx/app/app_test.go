package app

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/org/mtx"
	"github.com/org/mtx/router/routertest"
)

// localServer has every server on a port that the system chooses, noServers
// switches those off that a test does not need.
const (
	localServer = "rtspAddress: 127.0.0.1:0\nrtspTransports: [tcp]\n" +
		"rtmpAddress: 127.0.0.1:0\nhlsAddress: 127.0.0.1:0\nsrtAddress: 127.0.0.1:0\n" +
		"webrtcAddress: 127.0.0.1:0\nwebrtcLocalUDPAddress: 127.0.0.1:0\n"
	noServers = "rtmp: no\nhls: no\nsrt: no\nwebrtc: no\n"
)

func writeFile(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// until waits for a condition.
func until(t *testing.T, what string, out *routertest.Log, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(15 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: did not happen; log:\n%s", what, out)
		}
	}
}

// instance is a running command.
type instance struct {
	router *mtx.Router
	out    *routertest.Log
	file   string
	stop   func() int
}

func start(t *testing.T, text string, o Options) *instance {
	t.Helper()
	in := &instance{out: &routertest.Log{}, file: filepath.Join(t.TempDir(), "mediamtx.yml")}
	writeFile(t, in.file, text)
	ctx, cancel := context.WithCancel(t.Context())
	routers, codes := make(chan *mtx.Router, 1), make(chan int, 1)
	o.Args = append(o.Args, in.file)
	o.Stdout, o.Stderr = in.out, in.out
	o.Router = func(r *mtx.Router) { routers <- r }
	go func() { codes <- Run(ctx, o) }()
	var once sync.Once
	code := -1
	in.stop = func() int {
		once.Do(func() {
			cancel()
			select {
			case code = <-codes:
			case <-time.After(15 * time.Second):
				t.Error("does not stop")
			}
		})
		return code
	}
	t.Cleanup(func() { in.stop() })
	select {
	case in.router = <-routers:
	case code := <-codes:
		t.Fatalf("ended with %d: %s", code, in.out)
	}
	until(t, "start", in.out, func() bool { return len(in.router.Protocols()) == len(in.router.Config().Protocols) })
	return in
}

// serves tells whether a server listens.
func (in *instance) serves(protocol string) bool { return len(in.router.ProtocolAddrs(protocol)) > 0 }

func TestRunAndStop(t *testing.T) {
	t.Parallel()
	in := start(t, localServer+"protocols: [tcp]\nmoqQUICAddress: :1\npaths:\n  cam:\n", Options{})
	conn, err := net.Dial("tcp", in.router.ProtocolAddrs("rtsp")[0].String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := conn.Write([]byte("OPTIONS rtsp://localhost/cam RTSP/1.0\r\nCSeq: 7\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 15)
	if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != "RTSP/1.0 200 OK" {
		t.Errorf("the server answers %q (%v)", answer, err)
	}
	if code := in.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []string{
		" INF mediamtx version=", " INF configuration loaded file=", "WAR " + in.file + ":8: protocols is deprecated, use rtspTransports\n",
		" WAR has no effect in this version key=moqQUICAddress\n", " INF shutting down\n",
	} {
		if strings.Count(in.out.String(), want) != 1 {
			t.Errorf("%q is not once in the log:\n%s", want, in.out)
		}
	}
}

func TestReload(t *testing.T) {
	t.Parallel()
	in := start(t, localServer+"paths:\n  one:\n", Options{Env: []string{"MTX_PATHS_FROMENV_MAXREADERS=3"}})
	has := func(name string) bool {
		for _, p := range in.router.Config().Paths {
			if p.Name == name {
				return true
			}
		}
		return false
	}
	addr := in.router.ProtocolAddrs("rtsp")[0].String()

	writeFile(t, in.file, localServer+"logLevel: debug\npaths:\n  two:\n")
	until(t, "reload", in.out, func() bool { return has("two") && !has("one") })
	if !has("fromenv") {
		t.Error("the environment was forgotten")
	}
	if got := in.router.ProtocolAddrs("rtsp")[0].String(); got != addr {
		t.Errorf("the server moved from %s to %s", addr, got)
	}
	until(t, "message", in.out, func() bool {
		return strings.Contains(in.out.String(), " INF configuration applied changes.pathsAdded=two changes.pathsRemoved=one\n")
	})

	writeFile(t, in.file, localServer+"rtspAddress: zz\npaths:\n  three:\n")
	until(t, "refusal", in.out, func() bool {
		return strings.Contains(in.out.String(), ` ERR the changed configuration is not used error="`)
	})
	if !has("two") || has("three") {
		t.Error("a wrong file changed something")
	}

	writeFile(t, in.file, localServer+"paths:\n  three:\n")
	until(t, "reload after a wrong file", in.out, func() bool { return has("three") })
	if code := in.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// A change of one server leaves the others alone, with their ports.
func TestReloadOfOneServer(t *testing.T) {
	t.Parallel()
	in := start(t, localServer+"paths:\n  one:\n", Options{})
	port := map[string]string{}
	for _, p := range []string{"rtsp", "rtmp", "hls", "srt"} {
		until(t, p, in.out, func() bool { return in.serves(p) })
		port[p] = in.router.ProtocolAddrs(p)[0].String()
	}
	others := func(changed string) {
		t.Helper()
		for p, want := range port {
			if p == changed {
				continue
			}
			if got := in.router.ProtocolAddrs(p); len(got) != 1 || got[0].String() != want {
				t.Errorf("a change of %s has moved %s from %s to %v", changed, p, want, got)
			}
		}
	}
	for _, c := range []struct{ protocol, off, log string }{
		{"rtmp", "rtmpDisable: yes\n", "changes.protocolsStopped=rtmp"},
		{"hls", "hls: no\n", "changes.protocolsStopped=hls"},
		{"srt", "srt: no\n", "changes.protocolsStopped=srt"},
	} {
		writeFile(t, in.file, localServer+c.off+"paths:\n  one:\n")
		until(t, c.protocol+" stops", in.out, func() bool {
			return !in.serves(c.protocol) && strings.Contains(in.out.String(), c.log)
		})
		others(c.protocol)
		writeFile(t, in.file, localServer+"paths:\n  one:\n")
		until(t, c.protocol+" starts", in.out, func() bool {
			return in.serves(c.protocol) && strings.Contains(in.out.String(), "changes.protocolsStarted="+c.protocol)
		})
		port[c.protocol] = in.router.ProtocolAddrs(c.protocol)[0].String()
	}
	writeFile(t, in.file, localServer+"hlsVariant: mpegts\npaths:\n  one:\n")
	until(t, "HLS restarts", in.out, func() bool {
		return in.serves("hls") && strings.Contains(in.out.String(), "changes.protocolsStopped=hls changes.protocolsStarted=hls")
	})
	others("hls")
	writeFile(t, in.file, localServer+"hlsVariant: mpegts\npaths:\n  one: {srtReadPassphrase: 0123456789}\n")
	until(t, "path restarts", in.out, func() bool { return strings.Contains(in.out.String(), "changes.pathsRestarted=one") })
	others("")
	if strings.Contains(in.out.String(), "0123456789") {
		t.Error("the passphrase is in the log")
	}
}

// An address that is taken keeps the old configuration.
func TestReloadRollsBack(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	in := start(t, localServer+"paths:\n  one:\n", Options{})
	writeFile(t, in.file, strings.Replace(localServer, "127.0.0.1:0", taken.Addr().String(), 1)+"paths:\n  two:\n")
	until(t, "refusal", in.out, func() bool { return strings.Contains(in.out.String(), "ERR the changed configuration is not used") })
	until(t, "rollback", in.out, func() bool { return len(in.router.ProtocolAddrs("rtsp")) > 0 })
	if p := in.router.Config().Paths; len(p) != 1 || p[0].Name != "one" {
		t.Errorf("paths: %v", p)
	}
}

// The addresses of the file and of the environment cannot be used, that of the
// flag can.
func TestFlagsWin(t *testing.T) {
	t.Parallel()
	in := start(t, noServers+"rtspAddress: 192.0.2.1:1\nrtspTransports: [udp, multicast]\n", Options{
		Env:  []string{"MTX_RTSPADDRESS=192.0.2.1:2"},
		Args: []string{"--rtsp-address", "127.0.0.1:0", "--rtsp-transports", "tcp"},
	})
	if code := in.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestExtend(t *testing.T) {
	t.Parallel()
	in := start(t, localServer, Options{Extend: []func(*mtx.Config){
		func(c *mtx.Config) { c.Paths = append(c.Paths, mtx.PathConfig{Name: "extra"}) },
	}})
	extended := func() bool {
		p := in.router.Config().Paths
		return len(p) > 0 && p[len(p)-1].Name == "extra"
	}
	if !extended() {
		t.Error("not extended at the start")
	}
	writeFile(t, in.file, localServer+"paths:\n  two:\n")
	until(t, "reload", in.out, func() bool { return len(in.router.Config().Paths) == 2 })
	if !extended() {
		t.Error("not extended at the reload")
	}
}

func TestStartErrors(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() })
	dir := t.TempDir()
	cases := []struct {
		name, text string
		args       []string
		want       string // all of stderr; a * at the end stands for anything
	}{
		{"wrong value", "rtspAddress: zz", nil, "ERR: FILE:1: rtspAddress \"zz\": must be an address with a port of at most 65535 such as \":8554\" or \"127.0.0.1:8554\"\n"},
		{"two problems", "rtsp: 5\nhls: 6", nil, "ERR: FILE:1: rtsp \"5\": must be yes or no\nERR: FILE:2: hls \"6\": must be yes or no\n"},
		{"wrong flag value", "", []string{"--log-level", "loud"}, "ERR: option logLevel: logLevel \"loud\": must be error, warn, info or debug\n"},
		{"unknown flag", "", []string{"--nothing"}, "ERR: unknown flag: --nothing\n"},
		{"two files", "", []string{"other.yml"}, "ERR: accepts at most 1 arg(s), received 2\n"},
		{"log file", "logDestinations: [file]\nlogFile: /none/x.log", nil, "ERR: logFile: open /none/x.log: no such file or directory\n"},
		{"address in use", noServers + "rtspTransports: [tcp]\nrtspAddress: " + taken.Addr().String(), nil, "ERR: *"},
	}
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(dir, "f"+string(rune('0'+i))+".yml")
			writeFile(t, file, c.text)
			var out, errs routertest.Log
			ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
			defer cancel()
			code := Run(ctx, Options{Args: append(c.args, file), Stdout: &out, Stderr: &errs})
			want := strings.ReplaceAll(c.want, "FILE", file)
			got := errs.String()
			if prefix, ok := strings.CutSuffix(want, "*"); ok && strings.HasPrefix(got, prefix) && strings.Count(got, "\n") == 1 {
				got = want
			}
			if code != 1 || got != want {
				t.Errorf("exit code %d, stderr:\n%swant:\n%s", code, errs.String(), want)
			}
		})
	}
	var errs routertest.Log
	if code := Run(t.Context(), Options{Args: []string{filepath.Join(dir, "none.yml")}, Stderr: &errs}); code != 1 ||
		!strings.HasSuffix(errs.String(), "none.yml\": file does not exist\n") {
		t.Errorf("a missing file: exit code %d, %q", code, errs.String())
	}
}

func TestCheckVersionHelp(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "f.yml")
	writeFile(t, file, "moqQUICAddress: :1\nrtmpDisable: yes")
	cases := []struct {
		args []string
		want []string // parts of stdout
	}{
		{[]string{"--check", file}, []string{":2: rtmpDisable is deprecated, use rtmp: no\n", "WAR: has no effect in this version: moqQUICAddress\n", "the configuration is good ("}},
		{[]string{"--version"}, []string{Version() + "\n"}},
		{[]string{"--help"}, []string{"mediamtx [FILE]", "--rtsp-address", "--check"}},
	}
	for _, c := range cases {
		var out, errs routertest.Log
		if code := Run(t.Context(), Options{Args: c.args, Stdout: &out, Stderr: &errs}); code != 0 || errs.String() != "" {
			t.Errorf("%q: exit code %d, stderr %q", c.args, code, errs.String())
		}
		for _, w := range c.want {
			if !strings.Contains(out.String(), w) {
				t.Errorf("%q: %q is not in %q", c.args, w, out.String())
			}
		}
	}
}
